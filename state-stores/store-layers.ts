import type { Entry, Position, Range } from './store.ts';
import type { SealedWrite } from './write-set.ts';

/** Takes back what one record did, if it fails. */
export interface Undoable {
  /** From here on what is done can be undone, until `endAttempt`. */
  beginAttempt(): void;
  endAttempt(): void;
  /** Takes back everything done since `beginAttempt`. */
  undoAttempt(): void;
}

export interface RestoredEntry {
  readonly key: Uint8Array;
  /** As stored; `undefined`: deleted. */
  readonly value: Uint8Array | undefined;
  /** Of the changelog record; needed by stores that keep versions. */
  readonly timestampMs?: number;
}

/** Epoch ms, both inclusive. */
export interface TimeBounds {
  readonly fromMs: number;
  readonly toMs: number;
}

/**
 * The state of one store of one task as the runtime handles it, whatever lies how in its backing store.
 *
 * A commit is `seal`, then the changelog's transaction, then `apply`; or `discard` if the transaction failed. Writing may go on between
 * `seal` and `apply`. Opening is `restore`, as often as needed, then `load`.
 */
export interface StoreLayers extends Undoable {
  readonly name: string;
  /** Bytes of keys, values and headers put since the last `seal`. */
  readonly uncommittedBytes: number;
  /** Rows put since the last `seal`. */
  readonly uncommittedCount: number;
  /** Sets the uncommitted writes apart for a commit and returns them as rows of the changelog, the last one of each key last. */
  seal(): readonly SealedWrite[];
  /**
   * Writes what was sealed together with `position`, all or nothing; writes nothing if there is nothing new. Rejects with `STORE_IO`, after which the
   * store must be closed: what was sealed is committed, and comes back from the changelog.
   */
  apply(position: Position): Promise<void>;
  /** As `apply`, over a backing that writes within the call (memory): done when it returns. */
  applyNow(position: Position): void;
  /** Drops all that is not committed: the uncommitted writes, and the sealed ones unless `apply` has begun. */
  discard(): void;
  /** Writes entries of the changelog, in order, and the position after them; when nothing is uncommitted. */
  restore(entries: Iterable<RestoredEntry>, nextPosition: Position): Promise<void>;
  /** Reads what must be in memory. Once, after the restore and before anything else is asked; not needed for an empty store. */
  load(): Promise<void>;
  /** For queries: what is applied or, being committed, about to be. */
  committedGet(key: Uint8Array): Uint8Array | undefined;
  /** For queries, of stores that keep versions: as `committedGet`, of the version that was valid at a time. */
  committedAsOf?(key: Uint8Array, timeMs: number): Uint8Array | undefined;
  /** For queries: what is applied, as of the call, in the order of the keys of queries. */
  committedScan(range: Range): AsyncIterable<Entry>;
  /**
   * For queries, of grouped rows only: those of a group with a time from `fromMs` to `toMs`, in order, with their keys of queries. What is applied,
   * as long as they are taken within one turn.
   */
  committedRows?(group: Uint8Array, bounds: TimeBounds): Iterable<Entry>;
  /** Worth it once after a full restore. */
  compact(): Promise<void>;
}
