/** Plain counters of one task: bumped in the record path, read by the metrics. */
import type { DropReason } from '../../processors/node.ts';

/** `consumed = applied + droppedRecords + skipped + deadLettered` between any two records. */
export interface TaskCounters {
  consumed: number;
  applied: number;
  droppedRecords: number;
  /** Drops by reason; one record may be dropped in several places. */
  readonly dropped: Map<DropReason, number>;
  skipped: number;
  deadLettered: number;
  forwarded: number;
  /** Tries of records after their first. */
  retries: number;
  punctuations: number;
}

export function newCounters(): TaskCounters {
  return {
    consumed: 0,
    applied: 0,
    droppedRecords: 0,
    dropped: new Map(),
    skipped: 0,
    deadLettered: 0,
    forwarded: 0,
    retries: 0,
    punctuations: 0,
  };
}
