import { StreamError, assert } from '../errors.ts';
import { noHeaders } from '../schemas/record.ts';
import type { LayeredStore } from './layered-store.ts';
import type { Entry, KeyValueStore, Position, Range } from './store.ts';
import type { RestoredEntry, StoreLayers } from './store-layers.ts';
import { timestampOf, valueOf, withTimestamp } from './timestamped-value.ts';
import {
  decodeHistory,
  decodeLatest,
  encodeHistory,
  encodeLatest,
  historyKey,
  int64,
  keyOfHistory,
  keyOfLatest,
  latestKey,
  readInt64,
  timeKey,
  type PastVersion,
  type Version,
} from './versioned-row.ts';
import type { SealedWrite } from './write-set.ts';

/** The history of a key in so many parts: each is read and written as a whole, and expires as a whole. */
const segmentsPerRetention = 8;
/** Rows of history that one commit removes at most. */
const expiredRowsMax = 2_000;

/** Of the store as processors have it, or as it is committed. */
interface Rows {
  /** Latest timestamp put. */
  readonly nowMs: number;
  readonly read: (row: Uint8Array) => Uint8Array | undefined;
}

/** What became of a put: it is the latest version of its key, an older one, or beyond retention and not kept. */
export type PutOutcome = 'latest' | 'older' | 'expired';

/**
 * Keys with all their versions of the last `retentionMs`, counted from the latest timestamp put; the latest version never expires. The changelog
 * has every put as a record of its own, in order, with its time: keys and values as they are.
 */
export class VersionedStore implements StoreLayers {
  readonly name: string;
  readonly #backing: KeyValueStore;
  readonly #rows: LayeredStore;
  readonly #retentionMs: number;
  readonly #segmentMs: number;
  #journal: SealedWrite[] = [];
  #journalBytes = 0;
  #timeMs: number;
  #attempt: { readonly journal: number; readonly bytes: number; readonly timeMs: number } | undefined;
  /** All segments below this one are cleared. */
  #clearedSegment = 0;

  /** `rows` lie over `backing`. */
  constructor(backing: KeyValueStore, rows: LayeredStore, { retentionMs }: { readonly retentionMs: number }) {
    this.name = rows.name;
    this.#backing = backing;
    this.#rows = rows;
    this.#retentionMs = retentionMs;
    this.#segmentMs = Math.max(1, Math.ceil(retentionMs / segmentsPerRetention));
    this.#timeMs = this.#readTime();
  }

  get uncommittedBytes(): number {
    return this.#journalBytes;
  }

  get uncommittedCount(): number {
    return this.#journal.length + this.#rows.uncommittedCount;
  }

  /** The latest version. */
  get(key: Uint8Array): Version | undefined {
    const row = this.#rows.get(latestKey(key));
    return row === undefined ? undefined : decodeLatest(row);
  }

  /** The version of that time; `undefined` also where it is beyond retention and not the latest. */
  asOf(key: Uint8Array, timeMs: number): Version | undefined {
    return this.#versionAt(key, timeMs, { nowMs: this.#timeMs, read: (row) => this.#rows.get(row) });
  }

  #versionAt(key: Uint8Array, timeMs: number, { nowMs, read }: Rows): Version | undefined {
    const row = read(latestKey(key));
    const latest = row === undefined ? undefined : decodeLatest(row);
    if (latest === undefined || latest.from <= timeMs) return latest;
    if (timeMs < nowMs - this.#retentionMs) return undefined;
    const past = this.#ending(key, timeMs, { latest, read });
    return past !== undefined && past.from <= timeMs ? past : undefined;
  }

  #advance(timestampMs: number): void {
    if (timestampMs <= this.#timeMs) return;
    this.#timeMs = timestampMs;
    this.#rows.put(timeKey, int64(timestampMs), timestampMs);
  }

  /** `value` `undefined` deletes from that time on. */
  put(key: Uint8Array, value: Uint8Array | undefined, timestampMs: number): PutOutcome {
    if (timestampMs < this.#timeMs - this.#retentionMs) return 'expired';
    this.#advance(timestampMs);
    const stored = value === undefined ? undefined : withTimestamp(value, timestampMs);
    this.#journal.push({ key, value: stored, timestampMs, headers: noHeaders });
    this.#journalBytes += key.length + (value?.length ?? 0);
    const latest = this.get(key);
    if (latest !== undefined && timestampMs < latest.from) {
      this.#putPast(key, { from: timestampMs, value }, latest);
      return 'older';
    }
    this.#putLatest(key, { from: timestampMs, value }, latest);
    return 'latest';
  }

  beginAttempt(): void {
    this.#attempt = { journal: this.#journal.length, bytes: this.#journalBytes, timeMs: this.#timeMs };
    this.#rows.beginAttempt();
  }

  endAttempt(): void {
    this.#attempt = undefined;
    this.#rows.endAttempt();
  }

  undoAttempt(): void {
    const attempt = this.#attempt;
    this.#attempt = undefined;
    this.#rows.undoAttempt();
    if (attempt === undefined) return;
    this.#journal.length = attempt.journal;
    this.#journalBytes = attempt.bytes;
    this.#timeMs = attempt.timeMs;
  }

  seal(): readonly SealedWrite[] {
    this.#rows.seal();
    const journal = this.#journal;
    this.#journal = [];
    this.#journalBytes = 0;
    return journal;
  }

  async apply(position: Position): Promise<void> {
    await this.#rows.apply(position);
    await this.#clearExpired();
  }

  applyNow(position: Position): void {
    this.#rows.applyNow(position);
  }

  discard(): void {
    this.#rows.discard();
    this.#journal = [];
    this.#journalBytes = 0;
  }

  async restore(entries: Iterable<RestoredEntry>, nextPosition: Position): Promise<void> {
    assert(this.uncommittedCount === 0, `store ${this.name} restored while written to`);
    for (const { key, value, timestampMs } of entries) {
      const time = value === undefined ? timestampMs : timestampOf(value);
      if (time === undefined)
        throw new StreamError('STORE_CORRUPT', `changelog of ${this.name} has a record without a time`);
      this.put(key, value === undefined ? undefined : valueOf(value), time);
    }
    this.seal();
    await this.#rows.apply(nextPosition);
  }

  load(): Promise<void> {
    return this.#rows.load();
  }

  committedGet(key: Uint8Array): Uint8Array | undefined {
    const row = this.#rows.committedGet(latestKey(key));
    return row === undefined ? undefined : asStored(row);
  }

  committedAsOf(key: Uint8Array, timeMs: number): Uint8Array | undefined {
    const read = (row: Uint8Array): Uint8Array | undefined => this.#rows.committedGet(row);
    const time = read(timeKey);
    const nowMs = time === undefined ? -1 : readInt64(time);
    const version = this.#versionAt(key, timeMs, { nowMs, read });
    return version?.value === undefined ? undefined : withTimestamp(version.value, version.from);
  }

  async *committedScan(range: Range): AsyncIterable<Entry> {
    const from = latestKey(range.from ?? new Uint8Array());
    const to = range.to === undefined ? Buffer.of(1) : latestKey(range.to);
    let left = range.limit ?? Infinity;
    for await (const [key, row] of this.#rows.committedScan({ from, to, reverse: range.reverse ?? false })) {
      const stored = asStored(row);
      if (stored === undefined) continue;
      if (left <= 0) return;
      left -= 1;
      yield [keyOfLatest(key), stored];
    }
  }

  compact(): Promise<void> {
    return this.#rows.compact();
  }

  #readTime(): number {
    const row = this.#backing.get(timeKey);
    return row === undefined ? -1 : readInt64(row);
  }

  #segmentOf(timeMs: number): number {
    return Math.floor(Math.max(0, timeMs) / this.#segmentMs);
  }

  /** The past version that ends next after a time. Versions lie in the segments of their ends. */
  #ending(
    key: Uint8Array,
    timeMs: number,
    { latest, read }: Pick<Rows, 'read'> & { readonly latest: Version },
  ): PastVersion | undefined {
    for (let segment = this.#segmentOf(timeMs); segment <= this.#segmentOf(latest.from); segment += 1) {
      const found = historyIn(read(historyKey(segment, key))).find(({ to }) => to > timeMs);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  #putLatest(key: Uint8Array, version: Version, latest: Version | undefined): void {
    const { from, value } = version;
    const isDelete = value === undefined;
    if (isDelete && latest?.value !== undefined && latest.from === from) {
      this.#takeBack(key, latest);
      return;
    }
    // What is deleted must be found again when nobody needs to know that any more.
    if (latest === undefined && isDelete) this.#writeHistory(key, from, []);
    if (latest !== undefined && latest.from < from) this.#addPast(key, { ...latest, to: from });
    this.#rows.put(latestKey(key), encodeLatest(version), from);
  }

  #putPast(key: Uint8Array, { from, value }: Version, latest: Version): void {
    const next = this.#ending(key, from, { latest, read: (row) => this.#rows.get(row) });
    if (next === undefined) this.#addPast(key, { from, to: latest.from, value });
    else if (next.from > from) this.#addPast(key, { from, to: next.from, value });
    else {
      // It ends the version of its time, and takes over that one's end.
      this.#removePast(key, next);
      if (next.from < from) this.#addPast(key, { ...next, to: from });
      this.#addPast(key, { from, to: next.to, value });
    }
  }

  /**
   * Deletes the latest version at its very time. As in Kafka Streams there was no such version then: the delete before it is the latest again,
   * or nothing is known of the key.
   */
  #takeBack(key: Uint8Array, latest: Version): void {
    const { from } = latest;
    const row = latestKey(key);
    const before = this.#history(key, this.#segmentOf(from)).find(({ to }) => to === from);
    if (before === undefined) this.#rows.put(row, undefined, from);
    else if (before.value !== undefined) this.#rows.put(row, encodeLatest({ from, value: undefined }), from);
    else {
      this.#removePast(key, before);
      this.#rows.put(row, encodeLatest(before), from);
    }
  }

  #addPast(key: Uint8Array, version: PastVersion): void {
    const others = this.#history(key, this.#segmentOf(version.to));
    const versions = [...others, version].sort((a, b) => a.to - b.to);
    this.#writeHistory(key, version.to, versions);
  }

  #removePast(key: Uint8Array, { to }: PastVersion): void {
    const versions = this.#history(key, this.#segmentOf(to)).filter((version) => version.to !== to);
    this.#writeHistory(key, to, versions);
  }

  /** By their ends. */
  #history(key: Uint8Array, segment: number): readonly PastVersion[] {
    return historyIn(this.#rows.get(historyKey(segment, key)));
  }

  #writeHistory(key: Uint8Array, endMs: number, versions: readonly PastVersion[]): void {
    this.#rows.put(historyKey(this.#segmentOf(endMs), key), encodeHistory(versions), endMs);
  }

  /** Removes history that nobody can ask for any more, with the next commit, and keys that were deleted in it. */
  async #clearExpired(): Promise<void> {
    const firstLive = this.#segmentOf(this.#timeMs - this.#retentionMs);
    if (firstLive <= this.#clearedSegment) return;
    const range = { from: historyKey(0, new Uint8Array()), to: historyKey(firstLive, new Uint8Array()) };
    let left = expiredRowsMax;
    for await (const [row] of this.#rows.committedScan({ ...range, limit: expiredRowsMax })) {
      this.#rows.put(row, undefined, this.#timeMs);
      const key = keyOfHistory(row);
      const latest = this.get(key);
      if (latest !== undefined && latest.value === undefined && this.#segmentOf(latest.from) < firstLive)
        this.#rows.put(latestKey(key), undefined, this.#timeMs);
      left -= 1;
    }
    if (left > 0) this.#clearedSegment = firstLive;
  }
}

function historyIn(row: Uint8Array | undefined): readonly PastVersion[] {
  return row === undefined ? [] : decodeHistory(row);
}

/** The latest row as tables have it; `undefined` if it says that the key is deleted. */
function asStored(row: Uint8Array): Uint8Array | undefined {
  const { from, value } = decodeLatest(row);
  return value === undefined ? undefined : withTimestamp(value, from);
}
