/**
 * The store contract over bytes: what a LevelDB directory or an in-memory map must do for the engine.
 *
 * The engine reads synchronously, collects writes elsewhere (`layered-store.ts`) and hands them over once per commit together with the
 * changelog position, as one batch: all or nothing, also across `kill -9`.
 */

/** Changelog position: the offset from which to go on reading the changelog. */
export type Position = number;

export interface Range {
  /** Inclusive; absent: from the first key. */
  readonly from?: Uint8Array;
  /** Exclusive; absent: to the last key. */
  readonly to?: Uint8Array;
  readonly reverse?: boolean;
  /** At most this many entries; absent: all. */
  readonly limit?: number;
}

export type Entry = readonly [key: Uint8Array, value: Uint8Array];

/**
 * An ordered map from bytes to bytes, owned by one task.
 *
 * Keys compare as unsigned bytes and may be empty. A returned array belongs to the caller; an array handed in may be reused by the caller
 * once the call returned (for `write`: once it resolved). Methods throw (or reject with) `STORE_NOT_OPEN` after `close`, `STORE_CORRUPT` when
 * a checksum fails, `STORE_IO` when the medium does.
 */
export interface KeyValueStore {
  /** The value of the last resolved or pending `write`. Synchronous, no promise. */
  get(key: Uint8Array): Uint8Array | undefined;
  /** A consistent view as of the call, in key order; for queries and maintenance, never in the record path. */
  scan(range: Range): AsyncIterable<Entry>;
  /** Position of the last written batch; `undefined` in a fresh store. */
  readonly position: Position | undefined;
  /** Wall clock of the last written batch, epoch ms; `undefined` in a fresh store. */
  readonly savedAtMs: number | undefined;
  /** Starts a batch. One batch is open or being written at a time. */
  batch(): StoreBatch;
  /** Exact in memory, an estimate on disk. */
  approximateCount(): number;
  /** Reorganises the medium after a bulk load. */
  compact(): Promise<void>;
  /** Resolves when a pending write ended and the medium is released. Idempotent. */
  close(): Promise<void>;
}

export interface StoreBatch {
  put(key: Uint8Array, value: Uint8Array): void;
  delete(key: Uint8Array): void;
  /** Number of puts and deletes so far. */
  readonly count: number;
  /** Writes everything and `position`, all or nothing. */
  write(position: Position): Promise<void>;
}

/** Whose directory it is; a directory with another identity is refused with `STORE_FOREIGN`. */
export interface StoreIdentity {
  readonly application: string;
  readonly store: string;
  readonly taskId: string;
  /** Version of the value layout in the store. */
  readonly format: number;
  /** Identity of the changelog: cluster, topic id and partition count. A change means: rebuild. */
  readonly changelog: string;
}

export interface StoreOpenOptions {
  readonly identity: StoreIdentity;
  /** Memory for not yet flushed writes, bytes. */
  readonly writeBufferBytes: number;
  /** Wall clock, epoch ms. */
  readonly nowMs: () => number;
}

/** Opens stores below one state directory (or in memory). */
export interface Stores {
  /** Whether what is opened survives the process. */
  readonly persistent: boolean;
  /**
   * Opens or creates. Rejects with `STORE_FOREIGN`, `STORE_CORRUPT` (both: destroy, then open again and restore), `STORE_LOCKED` (retry), `STORE_IO`.
   * `path` consists of checked names.
   */
  open(path: readonly string[], options: StoreOpenOptions): Promise<KeyValueStore>;
  /** Removes a store that is not open. */
  destroy(path: readonly string[]): Promise<void>;
  /** Task directories that exist, for stickiness: the first path element of each, with its stores. */
  list(): Promise<readonly { readonly path: readonly string[] }[]>;
}
