import { StreamError, assert } from '../errors.ts';
import { noHeaders, type Header } from '../schemas/record.ts';
import { afterPrefix, fromBinaryKey, toBinaryKey } from './binary-key.ts';
import { KeyIndex } from './key-index.ts';
import type { RestoredEntry, StoreLayers, Undoable } from './store-layers.ts';
import type { Entry, KeyValueStore, Position, Range } from './store.ts';
import { WriteSet, type ReplacedWrite, type SealedWrite } from './write-set.ts';

/** Keys an ordered store may hold per task: at some 100 bytes of heap each this is 100 MB. */
export const defaultOrderedKeysMax = 1_000_000;

export interface LayeredStoreOptions {
  /** The store's name, for messages. */
  readonly name: string;
  /** Keeps an index of all keys in memory, for `range` and `prefix`. */
  readonly ordered?: boolean;
  /** Bound of that index. */
  readonly orderedKeysMax?: number;
  /** Bound of key plus value of one row: what the changelog topic takes in one record, less its overhead. */
  readonly rowBytesMax?: number;
  /** What a state keeps in memory of the rows. */
  readonly companion?: Companion;
}

export interface Companion extends Undoable {
  /** Told of every row when the store is loaded. */
  load(key: Uint8Array, value: Uint8Array): void;
}

/** Wraps an opened store for the task that owns it. Reads all of it once if it is ordered. */
export async function layered(backing: KeyValueStore, options: LayeredStoreOptions): Promise<LayeredStore> {
  const store = new LayeredStore(backing, options);
  await store.load();
  return store;
}

/**
 * The state of one task as its processors see it: writes of the current batch, above those being committed, above what is applied.
 *
 * A commit is `seal`, then the changelog's transaction, then `apply`; or `discard` if the transaction failed. Writing may go on between
 * `seal` and `apply`. Arrays handed to `put` belong to the store; an array that `get` returns may be one of them and must not be changed.
 * Reads throw what the backing store throws.
 */
export class LayeredStore implements StoreLayers {
  readonly name: string;
  readonly #backing: KeyValueStore;
  readonly #index: KeyIndex | undefined;
  readonly #orderedKeysMax: number;
  readonly #rowBytesMax: number;
  readonly #companion: Companion | undefined;
  #uncommitted = new WriteSet();
  #sealed: WriteSet | undefined;
  #isApplying = false;
  #generation = 0;
  /** Puts since `beginAttempt`; `undefined` outside of attempts. */
  #attempt: ReplacedWrite[] | undefined;

  /** Use `layered`, which also builds the index. */
  constructor(backing: KeyValueStore, options: LayeredStoreOptions) {
    this.name = options.name;
    this.#backing = backing;
    this.#index = options.ordered === true ? new KeyIndex() : undefined;
    this.#orderedKeysMax = options.orderedKeysMax ?? defaultOrderedKeysMax;
    this.#rowBytesMax = options.rowBytesMax ?? Infinity;
    this.#companion = options.companion;
  }

  async load(): Promise<void> {
    const index = this.#index;
    const companion = this.#companion;
    if (index === undefined && companion === undefined) return;
    for await (const [key, value] of this.#backing.scan({})) {
      if (index !== undefined) this.#addToIndex(index, toBinaryKey(key));
      companion?.load(key, value);
    }
  }

  get isOrdered(): boolean {
    return this.#index !== undefined;
  }

  /** Changes whenever rows change otherwise than by `put`: what was read before may be wrong. */
  get generation(): number {
    return this.#generation;
  }

  /** Bytes of keys, values and headers put since the last `seal`, counting each key once. */
  get uncommittedBytes(): number {
    return this.#uncommitted.bytes;
  }

  /** Keys put since the last `seal`. */
  get uncommittedCount(): number {
    return this.#uncommitted.count;
  }

  /** Position of what is applied; `undefined` in a fresh store. */
  get position(): Position | undefined {
    return this.#backing.position;
  }

  /** The latest value, uncommitted writes included. */
  get(key: Uint8Array): Uint8Array | undefined {
    return this.getNamed(toBinaryKey(key), key);
  }

  /** `get` for a caller that has the binary key at hand. */
  getNamed(name: string, key: Uint8Array): Uint8Array | undefined {
    const write = this.#uncommitted.get(name) ?? this.#sealed?.get(name);
    return write === undefined ? this.#backing.get(key) : write.value;
  }

  /** `undefined` deletes. Throws `RECORD_TOO_LARGE`, and `CONFIG_INVALID` when an ordered store outgrows its bound; nothing is written then. */
  put(
    key: Uint8Array,
    value: Uint8Array | undefined,
    timestampMs: number,
    headers: readonly Header[] = noHeaders,
  ): void {
    this.putNamed(toBinaryKey(key), { key, value, timestampMs, headers });
  }

  /** `put` for a caller that has the binary key at hand. */
  putNamed(name: string, write: SealedWrite): void {
    if (write.value !== undefined && write.key.length + write.value.length > this.#rowBytesMax)
      this.#refuseSize(write.key.length + write.value.length);
    const index = this.#index;
    let wasIndexed = false;
    if (index !== undefined)
      wasIndexed = write.value === undefined ? index.delete(name) : !this.#addToIndex(index, name);
    this.#attempt?.push(this.#uncommitted.replaced(name, wasIndexed));
    this.#uncommitted.put(name, write, wasIndexed);
  }

  beginAttempt(): void {
    this.#attempt ??= [];
    this.#attempt.length = 0;
    this.#companion?.beginAttempt();
  }

  endAttempt(): void {
    this.#attempt = undefined;
    this.#companion?.endAttempt();
  }

  undoAttempt(): void {
    const puts = this.#attempt ?? [];
    this.#attempt = undefined;
    this.#companion?.undoAttempt();
    if (puts.length === 0) return;
    this.#generation += 1;
    for (const put of puts.toReversed()) {
      this.#uncommitted.undo(put);
      if (put.wasIndexed) this.#index?.add(put.name);
      else this.#index?.delete(put.name);
    }
  }

  /**
   * The keys with `from <= key < to` in order, each with its value when it is reached; only in an ordered store. The keys are those of the time of the call;
   * one that is deleted before it is reached is left out. Throws `STORE_CORRUPT` when a key has lost its value.
   */
  *range(range: Range): IterableIterator<Entry> {
    const index = this.#index;
    assert(index !== undefined, `store ${this.name} is not ordered`);
    let left = range.limit ?? Infinity;
    if (left <= 0) return;
    const from = range.from === undefined ? undefined : toBinaryKey(range.from);
    const to = range.to === undefined ? undefined : toBinaryKey(range.to);
    for (const name of index.keys({ from, to, reverse: range.reverse })) {
      const key = fromBinaryKey(name);
      const value = this.getNamed(name, key);
      if (value === undefined) {
        if (index.has(name))
          throw new StreamError('STORE_CORRUPT', `store ${this.name} lost a row`, { facts: { store: this.name } });
        continue;
      }
      yield [key, value];
      left -= 1;
      if (left <= 0) return;
    }
  }

  /** As `range`, over the keys that begin with these bytes. */
  prefix(
    prefix: Uint8Array,
    options: { readonly reverse?: boolean; readonly limit?: number } = {},
  ): IterableIterator<Entry> {
    const end = afterPrefix(toBinaryKey(prefix));
    return this.range({ ...options, from: prefix, ...(end === undefined ? {} : { to: fromBinaryKey(end) }) });
  }

  /** Sets the uncommitted writes apart for a commit and returns them, the last one of each key, in the order of those last writes. */
  seal(): readonly SealedWrite[] {
    assert(this.#sealed === undefined, `store ${this.name} sealed twice`);
    this.#sealed = this.#uncommitted;
    this.#uncommitted = new WriteSet();
    return this.#sealed.writes();
  }

  /**
   * Writes what was sealed together with `position`, all or nothing; writes nothing if there is nothing new. Rejects with `STORE_IO`, after which the store
   * must be closed: what was sealed is committed, and comes back from the changelog.
   */
  async apply(position: Position): Promise<void> {
    assert(!this.#isApplying, `store ${this.name} applied twice`);
    const sealed = this.#sealed;
    if ((sealed === undefined || sealed.count === 0) && position === this.#backing.position) {
      this.#sealed = undefined;
      return;
    }
    this.#isApplying = true;
    await this.#write(position);
    this.#isApplying = false;
    this.#sealed = undefined;
  }

  /** As `apply`, over a backing that writes within the call (memory): done when it returns. */
  applyNow(position: Position): void {
    this.#write(position).catch((error: unknown) => {
      assert(false, `store ${this.name} did not write within the call: ${String(error)}`);
    });
    this.#sealed = undefined;
  }

  #write(position: Position): Promise<void> {
    const batch = this.#backing.batch();
    for (const { key, value } of this.#sealed?.writes() ?? []) {
      if (value === undefined) batch.delete(key);
      else batch.put(key, value);
    }
    return batch.write(position);
  }

  /** Drops all that is not committed: the uncommitted writes, and the sealed ones unless `apply` has begun. */
  discard(): void {
    this.#generation += 1;
    const dropped = [this.#uncommitted];
    this.#uncommitted = new WriteSet();
    if (!this.#isApplying && this.#sealed !== undefined) {
      dropped.push(this.#sealed);
      this.#sealed = undefined;
    }
    for (const writes of dropped) this.#revertIndex(writes);
  }

  /** Writes entries of the changelog, in order, and the position after them, past all layers; when nothing is uncommitted. */
  async restore(entries: Iterable<RestoredEntry>, nextPosition: Position): Promise<void> {
    assert(this.#sealed === undefined && this.#uncommitted.count === 0, `store ${this.name} restored while written to`);
    this.#generation += 1;
    const index = this.#index;
    const batch = this.#backing.batch();
    for (const { key, value } of entries) {
      if (value === undefined) batch.delete(key);
      else batch.put(key, value);
      if (index === undefined) continue;
      if (value === undefined) index.delete(toBinaryKey(key));
      else this.#addToIndex(index, toBinaryKey(key));
    }
    await batch.write(nextPosition);
  }

  /** For queries: what is applied or, being committed, about to be. */
  committedGet(key: Uint8Array): Uint8Array | undefined {
    return this.#backing.get(key);
  }

  /** For queries: what is applied, as of the call. */
  committedScan(range: Range): AsyncIterable<Entry> {
    return this.#backing.scan(range);
  }

  approximateCount(): number {
    return this.#index?.size ?? this.#backing.approximateCount();
  }

  /** Worth it once after a full restore. */
  compact(): Promise<void> {
    return this.#backing.compact();
  }

  /** Closes the backing store after a pending `apply`; what is not committed is lost. Idempotent. */
  close(): Promise<void> {
    return this.#backing.close();
  }

  #addToIndex(index: KeyIndex, name: string): boolean {
    if (index.size >= this.#orderedKeysMax && !index.has(name))
      throw new StreamError(
        'CONFIG_INVALID',
        `ordered store ${this.name} is full: raise orderedKeysMax, expire rows or use more partitions`,
        {
          facts: { store: this.name, orderedKeysMax: this.#orderedKeysMax },
        },
      );
    return index.add(name);
  }

  #revertIndex(writes: WriteSet): void {
    const index = this.#index;
    if (index === undefined) return;
    for (const [name, wasIndexed] of writes.indexedBefore()) {
      if (wasIndexed) index.add(name);
      else index.delete(name);
    }
  }

  #refuseSize(bytes: number): never {
    throw new StreamError('RECORD_TOO_LARGE', `a row of store ${this.name} is larger than its changelog takes`, {
      facts: { store: this.name, bytes, rowBytesMax: this.#rowBytesMax },
    });
  }
}
