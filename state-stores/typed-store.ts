/** What processors see of their stores: keys and values of their types, read and written at once. */
import { StreamError } from '../errors.ts';
import type { Serde } from '../schemas/serde.ts';
import type { LayeredStore } from './layered-store.ts';
import type { CacheBounds } from './object-cache.ts';
import type { Entry } from './store.ts';
import { timestampOf, valueOf, withTimestamp } from './timestamped-value.ts';
import { TypedRows, decode, encodeKey, encodeValue } from './typed-rows.ts';

/**
 * Keys with values. What is put is serialised at once; a later change of the object is not seen. What is read is shared and deep-frozen if it is
 * plain (objects, arrays, primitives), else decoded for each read. Nothing may be `null` or `undefined`; a failing serde throws `SERIALIZATION_FAILED` or
 * `DESERIALIZATION_FAILED`.
 */
export interface KeyValueState<K, V> {
  get(key: K): V | undefined;
  put(key: K, value: V): void;
  delete(key: K): void;
  /** The value that was there; if none was, puts `value` and returns `undefined`. */
  putIfAbsent(key: K, value: V): V | undefined;
}

/** Bounds of a range, in the order of the serialised keys as unsigned bytes. */
export interface KeyRangeOptions<K> {
  /** Inclusive; absent: from the first key. */
  readonly from?: K;
  /** Exclusive; absent: to the last key. */
  readonly to?: K;
  readonly reverse?: boolean;
  /** At most this many rows. */
  readonly limit?: number;
}

export interface PrefixOptions {
  readonly reverse?: boolean;
  /** At most this many rows. */
  readonly limit?: number;
}

/** A key-value state whose rows can be walked in key order while records are processed. */
export interface OrderedState<K, V> extends KeyValueState<K, V> {
  /** The keys of the time of the call, with their values when they are reached; rows may be put and deleted meanwhile. */
  range(range?: KeyRangeOptions<K>): IterableIterator<readonly [key: K, value: V]>;
  /** The rows whose serialised keys begin with the given bytes, or with the serialised form of the given key. */
  prefix(prefix: K | Uint8Array, options?: PrefixOptions): IterableIterator<readonly [key: K, value: V]>;
}

export interface Timestamped<V> {
  readonly value: V;
  readonly timestampMs: number;
}

/** As `KeyValueState`, each value with the event time that it reflects; the changelog record carries it as its own timestamp. */
export interface TimestampedState<K, V> {
  get(key: K): Timestamped<V> | undefined;
  /** Throws `TIMESTAMP_INVALID` unless `timestampMs` is an integer of at least 0. */
  put(key: K, value: V, timestampMs: number): void;
  delete(key: K, timestampMs: number): void;
}

export interface TypedStoreOptions<K, V> {
  readonly store: LayeredStore;
  readonly key: Serde<K>;
  readonly value: Serde<V>;
  readonly cache: CacheBounds;
  /** Serves a value that was put (then frozen) instead of decoding it: only if the serde gives back exactly what it was given. */
  readonly keepsPutValues: boolean;
}

export class TypedKeyValueStore<K, V> implements OrderedState<K, V> {
  readonly #store: LayeredStore;
  readonly #key: Serde<K>;
  readonly #value: Serde<V>;
  readonly #currentTimestampMs: () => number;
  readonly #rows: TypedRows<K, V>;

  /** `currentTimestampMs`: of the changelog records. */
  constructor(options: TypedStoreOptions<K, V> & { readonly currentTimestampMs: () => number }) {
    const { store, value } = options;
    this.#store = store;
    this.#key = options.key;
    this.#value = value;
    this.#currentTimestampMs = options.currentTimestampMs;
    this.#rows = new TypedRows({ ...options, decode: (stored) => decode(store.name, value, stored) });
  }

  get(key: K): V | undefined {
    return this.#rows.get(key);
  }

  put(key: K, value: V): void {
    const stored = encodeValue(this.#store.name, this.#value, value);
    this.#rows.put(key, { stored, timestampMs: this.#currentTimestampMs(), value });
  }

  delete(key: K): void {
    this.#rows.put(key, { stored: undefined, timestampMs: this.#currentTimestampMs(), value: undefined });
  }

  putIfAbsent(key: K, value: V): V | undefined {
    const present = this.#rows.get(key);
    if (present === undefined) this.put(key, value);
    return present;
  }

  range({ from, to, reverse, limit }: KeyRangeOptions<K> = {}): IterableIterator<readonly [key: K, value: V]> {
    return this.#decoded(
      this.#store.range({
        ...(from === undefined ? {} : { from: this.#encodeKey(from) }),
        ...(to === undefined ? {} : { to: this.#encodeKey(to) }),
        ...(reverse === undefined ? {} : { reverse }),
        ...(limit === undefined ? {} : { limit }),
      }),
    );
  }

  prefix(prefix: K | Uint8Array, options: PrefixOptions = {}): IterableIterator<readonly [key: K, value: V]> {
    const bytes = prefix instanceof Uint8Array ? prefix : this.#encodeKey(prefix);
    return this.#decoded(this.#store.prefix(bytes, options));
  }

  #encodeKey(key: K): Uint8Array {
    return encodeKey(this.#store.name, this.#key, key);
  }

  *#decoded(entries: Iterable<Entry>): IterableIterator<readonly [key: K, value: V]> {
    const { name } = this.#store;
    for (const [key, stored] of entries) yield [decode(name, this.#key, key), decode(name, this.#value, stored)];
  }
}

export class TypedTimestampedStore<K, V> implements TimestampedState<K, V> {
  readonly #name: string;
  readonly #value: Serde<V>;
  readonly #rows: TypedRows<K, Timestamped<V>>;

  constructor(options: TypedStoreOptions<K, V>) {
    const { value } = options;
    const { name } = options.store;
    this.#name = name;
    this.#value = value;
    this.#rows = new TypedRows({
      ...options,
      decode: (stored) => ({ value: decode(name, value, valueOf(stored)), timestampMs: timestampOf(stored) }),
    });
  }

  get(key: K): Timestamped<V> | undefined {
    return this.#rows.get(key);
  }

  put(key: K, value: V, timestampMs: number): void {
    this.#checkTimestamp(timestampMs);
    const stored = withTimestamp(encodeValue(this.#name, this.#value, value), timestampMs);
    this.#rows.put(key, { stored, timestampMs, value: { value, timestampMs } });
  }

  delete(key: K, timestampMs: number): void {
    this.#checkTimestamp(timestampMs);
    this.#rows.put(key, { stored: undefined, timestampMs, value: undefined });
  }

  #checkTimestamp(timestampMs: number): void {
    if (Number.isSafeInteger(timestampMs) && timestampMs >= 0) return;
    throw new StreamError('TIMESTAMP_INVALID', `store ${this.#name}: a timestamp is a whole number of at least 0`, {
      facts: { store: this.#name, timestampMs },
    });
  }
}
