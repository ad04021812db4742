/** The part of LevelDB's interface that the store uses; `level` gives `classic-level` on Node and does not type all of it. */
import { Level } from 'level';

export interface LevelIterator {
  /** Up to `size` entries; none at the end. */
  nextv(size: number): Promise<[key: Uint8Array, value: Uint8Array][]>;
  close(): Promise<void>;
}

export interface LevelIteratorOptions {
  readonly gte: Uint8Array;
  readonly lt: Uint8Array;
  readonly reverse?: boolean;
  /** -1: all. */
  readonly limit?: number;
  /** Of one `nextv`. */
  readonly highWaterMarkBytes?: number;
}

export interface LevelChainedBatch {
  put(key: Uint8Array, value: Uint8Array): unknown;
  del(key: Uint8Array): unknown;
  write(): Promise<void>;
  close(): Promise<void>;
}

export interface LevelDatabase {
  open(): Promise<void>;
  /** Waits for what is running and ends iterators. */
  close(): Promise<void>;
  getSync(key: Uint8Array): Uint8Array | undefined;
  batch(): LevelChainedBatch;
  /** Shows the database as of this call. */
  iterator(options: LevelIteratorOptions): LevelIterator;
  approximateSize(start: Uint8Array, end: Uint8Array): Promise<number>;
  compactRange(start: Uint8Array, end: Uint8Array): Promise<void>;
}

export interface LevelDatabaseOptions {
  readonly createIfMissing: boolean;
  readonly writeBufferBytes: number;
  readonly cacheBytes: number;
}

/**
 * Larger tables earn a larger allowance of seeks: with the default of 2 MiB, reads between writes make LevelDB rewrite the store for ever.
 */
const maxFileSize = 16 * 1024 * 1024;
/** At `maxFileSize` this is 4 GiB of tables without reopening; keeps many stores within the usual limits on descriptors. */
const maxOpenFiles = 256;

/** Not open yet. */
export function levelDatabase(directory: string, options: LevelDatabaseOptions): LevelDatabase {
  const database: unknown = new Level<Uint8Array, Uint8Array>(directory, {
    keyEncoding: 'view',
    valueEncoding: 'view',
    createIfMissing: options.createIfMissing,
    errorIfExists: options.createIfMissing,
    compression: true,
    writeBufferSize: options.writeBufferBytes,
    cacheSize: options.cacheBytes,
    maxFileSize,
    maxOpenFiles,
  });
  return database as LevelDatabase;
}
