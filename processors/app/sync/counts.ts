/** What the two-way sync has seen in this process, for its metrics. After a crash a record may be counted again. */
export interface SyncCounts {
  /** Changes that were our own writes coming back. */
  echoes: number;
  conflicts: number;
  /** Pairs that wait for something outside, by task. */
  readonly waiting: Map<string, number>;
}

export function createSyncCounts(): SyncCounts {
  return { echoes: 0, conflicts: 0, waiting: new Map() };
}
