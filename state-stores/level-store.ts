import { StreamError, assert, type Facts } from '../errors.ts';
import { toBinaryKey } from './binary-key.ts';
import type { LevelChainedBatch, LevelDatabase, LevelIterator } from './level-database.ts';
import { storeError } from './level-error.ts';
import { putState, type StoreState } from './level-metadata.ts';
import { rowKey, rowKind, type EntryFramer } from './level-row.ts';
import type { Entry, KeyValueStore, Position, Range, StoreBatch } from './store.ts';

const firstRow = Buffer.of(rowKind);
const afterRows = Buffer.of(rowKind + 1);
const beforeAll = Buffer.of(0);

/** One trip to the thread pool brings at most this much of a scan. */
const scanEntriesMax = 1000;
const scanBytesMax = 1024 * 1024;

/** Rows looked at when a store is opened, to guess how large one is. */
const sampledRows = 100;

export interface LevelStoreOptions {
  readonly database: LevelDatabase;
  readonly framer: EntryFramer;
  readonly state: StoreState;
  /** For messages. */
  readonly facts: Facts;
  /** After so many written bytes the size on disk is asked for again. */
  readonly writeBufferBytes: number;
  /** Wall clock, epoch ms. */
  readonly nowMs: () => number;
  /** Gives the directory up. */
  readonly release: () => Promise<void>;
}

/** A store in an opened LevelDB directory. */
export class LevelStore implements KeyValueStore {
  readonly #database: LevelDatabase;
  readonly #framer: EntryFramer;
  readonly #options: LevelStoreOptions;
  #state: StoreState;
  #batch: LevelBatch | undefined;
  /** Batches that were begun and never written, until their memory is given back. */
  readonly #abandoned: LevelBatch[] = [];
  /** The batch that is being written, and the end of that. */
  #pending: LevelBatch | undefined;
  #writing: Promise<void> | undefined;
  /** After a failed write nothing more is written: what of it reached the medium is known only when it is opened again. */
  #failure: StreamError | undefined;
  #closing: Promise<void> | undefined;
  #diskBytes = 0;
  #bytesSinceMeasured = 0;
  #writtenBytes = 0;
  #writtenRows = 0;

  constructor(options: LevelStoreOptions) {
    this.#options = options;
    this.#database = options.database;
    this.#framer = options.framer;
    this.#state = options.state;
  }

  /** Learns how large the store and its rows are. */
  async measure(): Promise<void> {
    await this.#measureDisk();
    for await (const [key, value] of this.scan({ limit: sampledRows })) {
      this.#writtenRows += 1;
      this.#writtenBytes += key.length + value.length;
    }
  }

  get position(): Position | undefined {
    return this.#state.position;
  }

  get savedAtMs(): number | undefined {
    return this.#state.savedAtMs;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    this.#assertOpen();
    const pending = this.#pending?.lookUp(key);
    if (pending !== undefined) return pending.value === undefined ? undefined : Buffer.from(pending.value);
    try {
      const framedKey = this.#framer.rowKey(key);
      const sealed = this.#database.getSync(framedKey);
      return sealed === undefined ? undefined : this.#framer.open(framedKey, sealed);
    } catch (error) {
      throw this.#translate(error);
    }
  }

  scan(range: Range): AsyncIterable<Entry> {
    this.#assertOpen();
    const { from, to, reverse, limit } = range;
    const iterator = this.#database.iterator({
      gte: from === undefined ? firstRow : rowKey(from),
      lt: to === undefined ? afterRows : rowKey(to),
      reverse: reverse ?? false,
      limit: limit ?? -1,
      highWaterMarkBytes: scanBytesMax,
    });
    return this.#entries(iterator);
  }

  batch(): StoreBatch {
    this.#assertOpen();
    this.#assertWritable();
    if (this.#batch !== undefined) this.#abandoned.push(this.#batch);
    const chained = this.#database.batch();
    this.#batch = new LevelBatch(chained, this.#framer, {
      write: (batch, position) => this.#write(batch, position),
      translate: (error) => this.#translate(error),
    });
    return this.#batch;
  }

  approximateCount(): number {
    const bytes = this.#diskBytes + this.#bytesSinceMeasured;
    return this.#writtenRows === 0 ? 0 : Math.round((bytes * this.#writtenRows) / Math.max(1, this.#writtenBytes));
  }

  async compact(): Promise<void> {
    this.#assertOpen();
    try {
      await this.#database.compactRange(beforeAll, afterRows);
    } catch (error) {
      throw this.#translate(error);
    }
    await this.#measureDisk();
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    try {
      await this.#writing;
    } catch {
      // Whoever writes was told.
    }
    try {
      await this.#database.close();
    } catch (error) {
      throw this.#translate(error);
    } finally {
      await this.#options.release();
    }
  }

  async #write(batch: LevelBatch, position: Position): Promise<void> {
    this.#assertOpen();
    this.#assertWritable();
    assert(batch === this.#batch, 'a batch is written once, before the next one is begun');
    assert(Number.isSafeInteger(position) && position >= 0, 'a position is an offset');
    this.#batch = undefined;
    this.#pending = batch;
    const savedAtMs = Math.floor(this.#options.nowMs());
    this.#writing = this.#commit(batch, { sequence: this.#state.sequence + 1, position, savedAtMs });
    try {
      await this.#writing;
    } finally {
      this.#writing = undefined;
    }
  }

  async #commit(batch: LevelBatch, state: StoreState): Promise<void> {
    try {
      putState(this.#framer, state, ({ key, value }) => batch.chained.put(key, value));
      await batch.chained.write();
    } catch (error) {
      this.#failure = this.#translate(error);
      throw this.#failure;
    } finally {
      this.#pending = undefined;
    }
    this.#state = state;
    this.#writtenRows += batch.putCount;
    this.#writtenBytes += batch.bytes;
    this.#bytesSinceMeasured += batch.bytes;
    if (this.#bytesSinceMeasured >= this.#options.writeBufferBytes) await this.#measureDisk();
    for (const abandoned of this.#abandoned.splice(0)) await abandoned.chained.close();
  }

  async #measureDisk(): Promise<void> {
    try {
      this.#diskBytes = await this.#database.approximateSize(firstRow, afterRows);
      this.#bytesSinceMeasured = 0;
    } catch {
      // An old estimate will do; what is wrong will show where it matters.
    }
  }

  async *#entries(iterator: LevelIterator): AsyncIterable<Entry> {
    try {
      for (let entries = await iterator.nextv(scanEntriesMax); entries.length > 0;) {
        for (const [key, sealed] of entries) {
          this.#assertOpen();
          yield [key.subarray(1), this.#framer.open(key, sealed)];
        }
        entries = await iterator.nextv(scanEntriesMax);
      }
    } catch (error) {
      throw this.#translate(error);
    } finally {
      await iterator.close();
    }
  }

  #assertOpen(): void {
    if (this.#closing !== undefined)
      throw new StreamError('STORE_NOT_OPEN', 'store is closed', { facts: this.#options.facts });
  }

  #assertWritable(): void {
    assert(this.#pending === undefined, 'one batch is written at a time');
    if (this.#failure !== undefined)
      throw new StreamError('STORE_IO', 'an earlier write failed: close the store and open it again', {
        facts: this.#options.facts,
        cause: this.#failure,
      });
  }

  #translate(error: unknown): StreamError {
    const translated = storeError(error, this.#options.facts);
    if (translated.facts['store'] !== undefined) return translated;
    return new StreamError(translated.code, translated.message, {
      facts: { ...this.#options.facts, ...translated.facts },
      cause: translated.cause,
    });
  }
}

interface BatchOwner {
  write(batch: LevelBatch, position: Position): Promise<void>;
  translate(error: unknown): StreamError;
}

class LevelBatch implements StoreBatch {
  readonly chained: LevelChainedBatch;
  readonly #framer: EntryFramer;
  readonly #owner: BatchOwner;
  readonly #keys: Uint8Array[] = [];
  readonly #values: (Uint8Array | undefined)[] = [];
  /** By binary key; made when something is read while the batch is being written. */
  #byKey: Map<string, { readonly value: Uint8Array | undefined }> | undefined;
  bytes = 0;
  putCount = 0;

  constructor(chained: LevelChainedBatch, framer: EntryFramer, owner: BatchOwner) {
    this.chained = chained;
    this.#framer = framer;
    this.#owner = owner;
  }

  get count(): number {
    return this.#keys.length;
  }

  put(key: Uint8Array, value: Uint8Array): void {
    const entry = this.#framer.seal(this.#framer.rowKey(key), value);
    try {
      this.chained.put(entry.key, entry.value);
    } catch (error) {
      throw this.#owner.translate(error);
    }
    this.#keys.push(key);
    this.#values.push(value);
    this.bytes += key.length + value.length;
    this.putCount += 1;
  }

  delete(key: Uint8Array): void {
    try {
      this.chained.del(this.#framer.rowKey(key));
    } catch (error) {
      throw this.#owner.translate(error);
    }
    this.#keys.push(key);
    this.#values.push(undefined);
  }

  write(position: Position): Promise<void> {
    return this.#owner.write(this, position);
  }

  /** What the batch does to a key; `undefined`: nothing. */
  lookUp(key: Uint8Array): { readonly value: Uint8Array | undefined } | undefined {
    this.#byKey ??= new Map(this.#keys.map((each, index) => [toBinaryKey(each), { value: this.#values[index] }]));
    return this.#byKey.get(toBinaryKey(key));
  }
}
