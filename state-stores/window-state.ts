/** What processors see of windows and sessions: rows by key and time, read and written at once. */
import { StreamError } from '../errors.ts';
import type { Serde } from '../schemas/serde.ts';
import type { Window } from '../schemas/windowed.ts';
import { fromBinaryKey, toBinaryKey } from './binary-key.ts';
import type { Row } from './group-page.ts';
import type { GroupName } from './group.ts';
import type { GroupedStore } from './grouped-store.ts';
import { freezePlain } from './object-cache.ts';
import { decode, encodeKey, encodeValue } from './typed-rows.ts';

/** A row of a key, by the start of its window. */
export interface WindowRow<V> {
  readonly startMs: number;
  readonly value: V;
  /** The event time that the value reflects. */
  readonly timestampMs: number;
}

export interface WindowEntry<K, V> extends WindowRow<V> {
  readonly key: K;
}

/** How a row is to be written. */
export interface WindowPut {
  readonly startMs: number;
  readonly timestampMs: number;
}

/**
 * Values by key and start of a window. Rows are seen as long as they are younger than the retention, by the latest start that was written: as in
 * Kafka Streams, whatever its key. Values behave as in a `KeyValueState`.
 */
export interface WindowState<K, V> {
  get(key: K, startMs: number): { readonly value: V; readonly timestampMs: number } | undefined;
  /**
   * Replaces the row, or adds one if the store keeps duplicates. False if the row is too old to be kept. Throws `TIMESTAMP_INVALID` unless both
   * times are whole numbers of at least 0.
   */
  put(key: K, value: V, at: WindowPut): boolean;
  /** Not for a store that keeps duplicates. */
  delete(key: K, startMs: number): void;
  /** The rows of a key with `fromMs <= startMs <= toMs`, in order of time, then of arrival; as of the call. */
  fetch(key: K, fromMs: number, toMs: number): readonly WindowRow<V>[];
  /** The rows of all keys with `fromMs <= startMs <= toMs`, by start, then by the bytes of the key. Only in a store with `byTime`. */
  fetchAll(fromMs: number, toMs: number): readonly WindowEntry<K, V>[];
  /** Rows that start before `beforeMs` will not be asked for by time again: frees memory of a store with `byTime`. */
  passBy(beforeMs: number): void;
}

export interface SessionRow<V> extends Window {
  readonly value: V;
}

export interface SessionEntry<K, V> extends SessionRow<V> {
  readonly key: K;
}

/** Values by key and session. Sessions are seen as long as their ends are younger than the retention, by the latest end that was written. */
export interface SessionState<K, V> {
  get(key: K, session: Window): V | undefined;
  /** False if the session is too old to be kept. Throws `TIMESTAMP_INVALID` unless both times are whole numbers of at least 0. */
  put(key: K, value: V, session: Window): boolean;
  delete(key: K, session: Window): void;
  /** The sessions of a key that end at `earliestEndMs` or later and start at `latestStartMs` or earlier, by end, then start; as of the call. */
  find(key: K, earliestEndMs: number, latestStartMs: number): readonly SessionRow<V>[];
  /** The sessions of all keys with `fromMs <= endMs <= toMs`, by end, start, bytes of the key. Only in a store with `byTime`. */
  findAll(fromMs: number, toMs: number): readonly SessionEntry<K, V>[];
  /** Sessions that end before `beforeMs` will not be asked for by time again: frees memory of a store with `byTime`. */
  passBy(beforeMs: number): void;
}

/** How values lie in a row, with whatever goes with them. */
export interface RowCodec<V> {
  encode(value: Uint8Array, timestampMs: number): Uint8Array;
  timestampOf(stored: Uint8Array, startMs: number): number;
  valueOf(stored: Uint8Array): Uint8Array;
  readonly serde: Serde<V>;
}

export interface GroupedStateOptions<K, V> {
  readonly store: GroupedStore<V>;
  readonly key: Serde<K>;
  readonly codec: RowCodec<V>;
  /** Rows this much older than the latest one are seen, older ones not. */
  readonly visibleMs: number;
  readonly keepsPutValues: boolean;
  readonly currentTimestampMs: () => number;
}

/** The part that windows and sessions share: names of keys, values of rows. */
class GroupedRows<K, V> {
  readonly store: GroupedStore<V>;
  readonly #options: GroupedStateOptions<K, V>;
  #lastKey: K | undefined;
  #lastName: GroupName | undefined;

  constructor(options: GroupedStateOptions<K, V>) {
    this.store = options.store;
    this.#options = options;
  }

  /** Steps read and write one key several times in a row. An object may have changed in between. */
  nameOf(key: K): GroupName {
    if (this.#lastName !== undefined && key === this.#lastKey && typeof key !== 'object') return this.#lastName;
    const bytes = encodeKey(this.store.name, this.#options.key, key);
    this.#lastKey = key;
    this.#lastName = { bytes, name: toBinaryKey(bytes) };
    return this.#lastName;
  }

  keyOf(name: string): K {
    return decode(this.store.name, this.#options.key, fromBinaryKey(name));
  }

  valueOf(row: Row<V>): V | undefined {
    if (row.value !== undefined || row.stored === undefined) return row.value;
    const { codec } = this.#options;
    const value = decode(this.store.name, codec.serde, codec.valueOf(row.stored));
    if (freezePlain(value)) row.value = value;
    return value;
  }

  /** What hides old rows is the time of the store. */
  get visibleFromMs(): number {
    return this.store.timeMs - this.#options.visibleMs;
  }

  write(value: V, timestampMs: number): { stored: Uint8Array; timestampMs: number; value: V | undefined } {
    const { codec, keepsPutValues } = this.#options;
    const stored = codec.encode(encodeValue(this.store.name, codec.serde, value), timestampMs);
    return { stored, timestampMs, value: keepsPutValues && freezePlain(value) ? value : undefined };
  }

  checkTime(timeMs: number): void {
    if (Number.isSafeInteger(timeMs) && timeMs >= 0) return;
    throw new StreamError('TIMESTAMP_INVALID', `store ${this.store.name}: a time is a whole number of at least 0`, {
      facts: { store: this.store.name, timeMs },
    });
  }
}

export class TypedWindowStore<K, V> implements WindowState<K, V> {
  readonly #rows: GroupedRows<K, V>;
  readonly #store: GroupedStore<V>;
  readonly #codec: RowCodec<V>;
  readonly #keepsDuplicates: boolean;
  readonly #currentTimestampMs: () => number;

  constructor(options: GroupedStateOptions<K, V> & { readonly keepsDuplicates: boolean }) {
    this.#rows = new GroupedRows(options);
    this.#store = options.store;
    this.#codec = options.codec;
    this.#keepsDuplicates = options.keepsDuplicates;
    this.#currentTimestampMs = options.currentTimestampMs;
  }

  get(key: K, startMs: number): { readonly value: V; readonly timestampMs: number } | undefined {
    if (startMs < this.#rows.visibleFromMs) return undefined;
    const row = this.#store.get(this.#rows.nameOf(key), startMs, 0);
    return row === undefined ? undefined : this.#read(row);
  }

  put(key: K, value: V, { startMs, timestampMs }: WindowPut): boolean {
    this.#rows.checkTime(startMs);
    this.#rows.checkTime(timestampMs);
    const name = this.#rows.nameOf(key);
    const write = this.#rows.write(value, timestampMs);
    const minor = this.#keepsDuplicates ? this.#nextMinor(name, startMs) : 0;
    return this.#store.put(name, { major: startMs, minor }, write);
  }

  delete(key: K, startMs: number): void {
    this.#store.delete(this.#rows.nameOf(key), { major: startMs, minor: 0 }, this.#currentTimestampMs());
  }

  fetch(key: K, fromMs: number, toMs: number): readonly WindowRow<V>[] {
    const from = Math.max(fromMs, this.#rows.visibleFromMs);
    if (from > toMs) return [];
    const found: WindowRow<V>[] = [];
    for (const row of this.#store.range(this.#rows.nameOf(key), from, toMs)) {
      const read = this.#read(row);
      if (read !== undefined) found.push(read);
    }
    return found;
  }

  fetchAll(fromMs: number, toMs: number): readonly WindowEntry<K, V>[] {
    const found: WindowEntry<K, V>[] = [];
    for (const { group, row } of this.#store.byTime(Math.max(fromMs, this.#rows.visibleFromMs), toMs)) {
      const read = this.#read(row);
      if (read !== undefined) found.push({ key: this.#rows.keyOf(group), ...read });
    }
    return found;
  }

  passBy(beforeMs: number): void {
    this.#store.forgetBefore(beforeMs);
  }

  #read(row: Row<V>): WindowRow<V> | undefined {
    const value = this.#rows.valueOf(row);
    if (value === undefined || row.stored === undefined) return undefined;
    return { startMs: row.major, value, timestampMs: this.#codec.timestampOf(row.stored, row.major) };
  }

  #nextMinor(name: GroupName, startMs: number): number {
    const last = this.#store.range(name, startMs, startMs).at(-1);
    return last === undefined ? 0 : last.minor + 1;
  }
}

export class TypedSessionStore<K, V> implements SessionState<K, V> {
  readonly #rows: GroupedRows<K, V>;
  readonly #store: GroupedStore<V>;
  readonly #currentTimestampMs: () => number;

  constructor(options: GroupedStateOptions<K, V>) {
    this.#rows = new GroupedRows(options);
    this.#store = options.store;
    this.#currentTimestampMs = options.currentTimestampMs;
  }

  get(key: K, { startMs, endMs }: Window): V | undefined {
    if (endMs < this.#rows.visibleFromMs) return undefined;
    const row = this.#store.get(this.#rows.nameOf(key), endMs, startMs);
    return row === undefined ? undefined : this.#rows.valueOf(row);
  }

  put(key: K, value: V, { startMs, endMs }: Window): boolean {
    this.#rows.checkTime(startMs);
    this.#rows.checkTime(endMs);
    const write = this.#rows.write(value, this.#currentTimestampMs());
    return this.#store.put(this.#rows.nameOf(key), { major: endMs, minor: startMs }, write);
  }

  delete(key: K, { startMs, endMs }: Window): void {
    this.#store.delete(this.#rows.nameOf(key), { major: endMs, minor: startMs }, this.#currentTimestampMs());
  }

  find(key: K, earliestEndMs: number, latestStartMs: number): readonly SessionRow<V>[] {
    const found: SessionRow<V>[] = [];
    const from = Math.max(earliestEndMs, this.#rows.visibleFromMs);
    for (const row of this.#store.range(this.#rows.nameOf(key), from, Infinity)) {
      if (row.minor > latestStartMs) continue;
      const value = this.#rows.valueOf(row);
      if (value !== undefined) found.push({ startMs: row.minor, endMs: row.major, value });
    }
    return found;
  }

  findAll(fromMs: number, toMs: number): readonly SessionEntry<K, V>[] {
    const found: SessionEntry<K, V>[] = [];
    for (const { group, row } of this.#store.byTime(fromMs, toMs)) {
      const value = this.#rows.valueOf(row);
      if (value === undefined || !this.#store.isLive(row.major)) continue;
      found.push({ key: this.#rows.keyOf(group), startMs: row.minor, endMs: row.major, value });
    }
    return found;
  }

  passBy(beforeMs: number): void {
    this.#store.forgetBefore(beforeMs);
  }
}
