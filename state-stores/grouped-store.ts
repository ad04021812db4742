import { StreamError, assert } from '../errors.ts';
import { noHeaders } from '../schemas/record.ts';
import { fromBinaryKey, toBinaryKey } from './binary-key.ts';
import { CommittedGroups } from './committed-groups.ts';
import { GroupAttempt } from './group-attempt.ts';
import { GroupCache } from './group-cache.ts';
import { changelogKey, groupOfHead, headOf, rowOfChangelogKey, segmentKey } from './group-key.ts';
import { decodeRows, isDirectory, type Row } from './group-page.ts';
import { Group, type GroupName, type WritePage } from './group.ts';
import { readTime, timeKey, writeTime } from './group-time.ts';
import type { Entry, KeyValueStore, Position, Range, StoreBatch } from './store.ts';
import type { RestoredEntry, StoreLayers, TimeBounds } from './store-layers.ts';
import { TimeIndex, type TimedRow } from './time-index.ts';
import type { SealedWrite } from './write-set.ts';

/** Pages of expired segments that one commit removes at most: what a commit pays for cleaning up stays small. */
const expiredPagesMax = 2_000;

export interface GroupedStoreOptions {
  /** The store's name, for messages. */
  readonly name: string;
  /** Bytes of `minor` in keys of the changelog. */
  readonly minorBytes: 4 | 8;
  /** Rows of one group and one segment lie together. At least what one look into the group spans. */
  readonly segmentMs: number;
  /** Rows are kept until their `major` lies this far behind the latest one. */
  readonly retentionMs: number;
  /** Segments as Kafka Streams cuts them: a row is refused once its whole segment is beyond retention. */
  readonly refusalSegmentMs: number;
  /** Keeps an index of all rows by time in memory, for `byTime`. */
  readonly indexedRowsMax: number | undefined;
  /** Bound of key plus value of one row. */
  readonly rowBytesMax: number;
  /** Memory for groups in use; uncommitted rows may take more. */
  readonly cacheBytesMax: number;
}

/** What becomes of a row. */
export interface GroupWrite<T> {
  readonly stored: Uint8Array;
  readonly timestampMs: number;
  readonly value: T | undefined;
}

/** Pages of one commit by their binary keys; `undefined`: gone. */
type Pages = ReadonlyMap<string, Uint8Array | undefined>;

const noPages: Pages = new Map();

/** What a commit makes of the store. */
interface Sealed {
  readonly pages: Pages;
  readonly timeMs: number;
}

/**
 * Rows in groups, read and written at once; what lies in the backing store are pages, what goes to the changelog are rows. Processors see
 * their own uncommitted writes, queries do not. Rows expire by the time of the store, the latest `major` it has seen, which survives a restart.
 */
export class GroupedStore<T> implements StoreLayers {
  readonly name: string;
  readonly #backing: KeyValueStore;
  readonly #options: GroupedStoreOptions;
  readonly #cache: GroupCache<T>;
  readonly #index: TimeIndex | undefined;
  readonly #committed: CommittedGroups;
  /** In the order of their first writes. */
  #dirtyRows: { readonly group: Group<T>; readonly row: Row<T> }[] = [];
  #uncommittedBytes = 0;
  /** Present while what a record does can be undone. */
  #attempt: GroupAttempt<T> | undefined;
  #sealed: Sealed | undefined;
  #isApplying = false;
  #timeMs: number;
  #appliedTimeMs: number;
  /** All segments below this one are cleared. */
  #clearedSegment = 0;
  #last: Group<T> | undefined;

  constructor(backing: KeyValueStore, options: GroupedStoreOptions) {
    this.name = options.name;
    this.#backing = backing;
    this.#options = options;
    this.#cache = new GroupCache(options.cacheBytesMax);
    this.#index = timeIndexOf(options);
    this.#timeMs = readTime(backing);
    this.#appliedTimeMs = this.#timeMs;
    const hasSessions = options.minorBytes === 8;
    this.#committed = new CommittedGroups(backing, { ...options, hasSessions }, () => this.#appliedTimeMs);
  }

  async load(): Promise<void> {
    const index = this.#index;
    if (index === undefined) return;
    for await (const [key, page] of this.#backing.scan({ to: timeKey })) {
      if (isDirectory(page)) continue;
      const group = groupOfHead(headOf(key));
      for (const row of decodeRows(page)) index.add(row, toBinaryKey(group));
    }
  }

  /** The latest `major` that was written; -1 at first. */
  get timeMs(): number {
    return this.#timeMs;
  }

  get uncommittedBytes(): number {
    return this.#uncommittedBytes;
  }

  get uncommittedCount(): number {
    return this.#dirtyRows.length;
  }

  /** Whether rows of this time can still be written. */
  isLive(major: number): boolean {
    const { retentionMs, refusalSegmentMs } = this.#options;
    return Math.floor(major / refusalSegmentMs) >= Math.floor((this.#timeMs - retentionMs) / refusalSegmentMs);
  }

  /** Whatever its age. */
  get(group: GroupName, major: number, minor: number): Row<T> | undefined {
    return this.#group(group, this.#segmentOf(major)).get(major, minor);
  }

  /** The rows with `from <= major <= to`, in order; as of the call. */
  range(group: GroupName, from: number, to: number): readonly Row<T>[] {
    const last = this.#segmentOf(Math.min(to, this.#timeMs));
    let found: Row<T>[] = [];
    for (let segment = this.#segmentOf(Math.max(0, from)); segment <= last; segment += 1) {
      const rows = this.#group(group, segment).range(from, to);
      found = found.length === 0 ? rows : found.concat(rows);
    }
    return found;
  }

  /** Moves the time of the store; whether it took the row: not if its segment is beyond retention. Throws `RECORD_TOO_LARGE`. */
  put(name: GroupName, position: { readonly major: number; readonly minor: number }, write: GroupWrite<T>): boolean {
    const { major, minor } = position;
    const bytes = name.bytes.length + 8 + this.#options.minorBytes + write.stored.length;
    if (bytes > this.#options.rowBytesMax) this.#refuseSize(bytes);
    if (major > this.#timeMs) this.#timeMs = major;
    else if (!this.isLive(major)) return false;
    const group = this.#group(name, this.#segmentOf(major));
    const index = this.#index;
    if (index !== undefined && group.get(major, minor) === undefined) index.add(position, name.name);
    const row = group.claim(major, minor);
    this.#attempt?.remember(group, row);
    group.write(row, write.stored);
    row.value = write.value;
    row.timestampMs = write.timestampMs;
    this.#touch(group, row, bytes);
    return true;
  }

  /** Moves the time of the store. */
  delete(name: GroupName, position: { readonly major: number; readonly minor: number }, timestampMs: number): void {
    const { major, minor } = position;
    if (major > this.#timeMs) this.#timeMs = major;
    const group = this.#group(name, this.#segmentOf(major));
    const row = group.get(major, minor);
    if (row === undefined) return;
    this.#attempt?.remember(group, row);
    this.#index?.delete(row, name.name);
    group.remove(row);
    row.timestampMs = timestampMs;
    this.#touch(group, row, name.bytes.length + 8 + this.#options.minorBytes);
  }

  /** The rows with `from <= major <= to` of all groups, by major, minor if it is a time, and group; only with an index. */
  byTime(from: number, to: number): readonly (TimedRow & { readonly row: Row<T> })[] {
    const found: (TimedRow & { readonly row: Row<T> })[] = [];
    for (const entry of this.#indexed().between(from, to)) {
      const row = this.get({ name: entry.group, bytes: fromBinaryKey(entry.group) }, entry.major, entry.minor);
      if (row !== undefined) found.push({ ...entry, row });
    }
    return found;
  }

  /** Takes the rows with `major < before` out of the index of time: nobody will ask for them again. */
  forgetBefore(before: number): void {
    if (this.#attempt === undefined) this.#indexed().deleteBefore(before);
    else this.#attempt.forgetBefore = before;
  }

  beginAttempt(): void {
    const dirtyCount = this.#dirtyRows.length;
    this.#attempt = new GroupAttempt({ timeMs: this.#timeMs, dirtyCount, uncommittedBytes: this.#uncommittedBytes });
  }

  endAttempt(): void {
    const before = this.#attempt?.forgetBefore;
    this.#attempt = undefined;
    if (before !== undefined) this.#index?.deleteBefore(before);
  }

  undoAttempt(): void {
    const attempt = this.#attempt;
    this.#attempt = undefined;
    if (attempt === undefined) return;
    attempt.undo(this.#index);
    const { timeMs, dirtyCount, uncommittedBytes } = attempt.start;
    for (const { row } of this.#dirtyRows.splice(dirtyCount)) row.isDirty = false;
    this.#uncommittedBytes = uncommittedBytes;
    this.#timeMs = timeMs;
  }

  seal(): readonly SealedWrite[] {
    assert(this.#sealed === undefined, `store ${this.name} sealed twice`);
    const pages = new Map<string, Uint8Array | undefined>();
    const write: WritePage = (key, bytes) => pages.set(toBinaryKey(key), bytes);
    for (const group of this.#cache.takeDirty()) group.seal(write);
    const writes = this.#dirtyRows.map(({ group, row }) => this.#sealRow(group, row));
    this.#dirtyRows = [];
    this.#uncommittedBytes = 0;
    this.#sealed = { pages, timeMs: this.#timeMs };
    return writes;
  }

  async apply(position: Position): Promise<void> {
    assert(!this.#isApplying, `store ${this.name} applied twice`);
    const sealed = this.#sealed;
    if ((sealed === undefined || sealed.pages.size === 0) && position === this.#backing.position) {
      this.#sealed = undefined;
      return;
    }
    this.#isApplying = true;
    const batch = this.#backing.batch();
    await this.#clearExpired(batch);
    await this.#write(batch, position);
    this.#isApplying = false;
    this.#sealed = undefined;
  }

  applyNow(position: Position): void {
    this.#write(this.#backing.batch(), position).catch((error: unknown) => {
      assert(false, `store ${this.name} did not write within the call: ${String(error)}`);
    });
    this.#sealed = undefined;
  }

  discard(): void {
    this.#cache.clear();
    this.#last = undefined;
    this.#dirtyRows = [];
    this.#uncommittedBytes = 0;
    if (!this.#isApplying) this.#sealed = undefined;
  }

  async restore(entries: Iterable<RestoredEntry>, nextPosition: Position): Promise<void> {
    assert(this.#sealed === undefined && this.uncommittedCount === 0, `store ${this.name} restored while written to`);
    const { minorBytes } = this.#options;
    for (const { key, value } of entries) {
      const { group, major, minor } = rowOfChangelogKey(key, minorBytes);
      const name = { bytes: group, name: toBinaryKey(group) };
      if (value === undefined) this.delete(name, { major, minor }, 0);
      else this.put(name, { major, minor }, { stored: value, timestampMs: 0, value: undefined });
    }
    this.seal();
    await this.apply(nextPosition);
  }

  /** By a key of queries. */
  committedGet(key: Uint8Array): Uint8Array | undefined {
    return this.#committed.get(key);
  }

  committedScan(range: Range): AsyncIterable<Entry> {
    return this.#committed.scan(range);
  }

  committedRows(group: Uint8Array, bounds: TimeBounds): Iterable<Entry> {
    return this.#committed.rowsOf(group, bounds);
  }

  compact(): Promise<void> {
    return this.#backing.compact();
  }

  #segmentOf(major: number): number {
    return Math.floor(major / this.#options.segmentMs);
  }

  #group(name: GroupName, segment: number): Group<T> {
    const last = this.#last;
    if (last !== undefined && last.segment === segment && last.name.name === name.name) return last;
    const group = this.#cache.get(segment, name.name) ?? this.#load(name, segment);
    this.#last = group;
    return group;
  }

  #load(name: GroupName, segment: number): Group<T> {
    const group = new Group<T>(segment, name, (key) => this.#readPage(key));
    this.#cache.add(group);
    return group;
  }

  #readPage(key: Uint8Array): Uint8Array | undefined {
    const pages = this.#sealed?.pages;
    if (pages === undefined) return this.#backing.get(key);
    const name = toBinaryKey(key);
    return pages.has(name) ? pages.get(name) : this.#backing.get(key);
  }

  #touch(group: Group<T>, row: Row<T>, bytes: number): void {
    this.#cache.touch(group, bytes);
    if (row.isDirty) return;
    row.isDirty = true;
    this.#dirtyRows.push({ group, row });
    this.#uncommittedBytes += bytes;
  }

  #sealRow(group: Group<T>, row: Row<T>): SealedWrite {
    row.isDirty = false;
    const key = changelogKey(group.name.bytes, row, this.#options.minorBytes);
    return { key, value: row.stored, timestampMs: row.timestampMs, headers: noHeaders };
  }

  #write(batch: StoreBatch, position: Position): Promise<void> {
    const { pages, timeMs } = this.#sealed ?? { pages: noPages, timeMs: this.#appliedTimeMs };
    for (const [name, page] of pages) {
      if (page === undefined) batch.delete(fromBinaryKey(name));
      else batch.put(fromBinaryKey(name), page);
    }
    if (timeMs !== this.#appliedTimeMs) writeTime(batch, timeMs);
    this.#appliedTimeMs = timeMs;
    return batch.write(position);
  }

  /** Removes pages of segments that nobody sees any more, a bounded number at a time. */
  async #clearExpired(batch: StoreBatch): Promise<void> {
    const firstLive = this.#segmentOf(Math.max(0, this.#appliedTimeMs - this.#options.retentionMs));
    if (firstLive <= this.#clearedSegment) return;
    const to = segmentKey(firstLive);
    let left = expiredPagesMax;
    for await (const [key] of this.#backing.scan({ to, limit: expiredPagesMax })) {
      batch.delete(key);
      left -= 1;
    }
    if (left > 0) this.#clearedSegment = firstLive;
  }

  #indexed(): TimeIndex {
    assert(this.#index !== undefined, `store ${this.name} has no index of time`);
    return this.#index;
  }

  #refuseSize(bytes: number): never {
    const { rowBytesMax } = this.#options;
    throw new StreamError('RECORD_TOO_LARGE', `a row of store ${this.name} is larger than its changelog takes`, {
      facts: { store: this.name, bytes, rowBytesMax },
    });
  }
}

function timeIndexOf({ name, indexedRowsMax, minorBytes }: GroupedStoreOptions): TimeIndex | undefined {
  if (indexedRowsMax === undefined) return undefined;
  return new TimeIndex(name, { rowsMax: indexedRowsMax, minorIsTime: minorBytes === 8 });
}
