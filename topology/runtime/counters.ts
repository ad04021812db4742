/** Plain counters of one task: bumped in the record path, read by the metrics. */
import type { DropReason } from '../../processors/node.ts';

/** `consumed = applied + droppedRecords + skipped + deadLettered + parked` between any two records. A parked one counts again when it is processed. */
export interface TaskCounters {
  consumed: number;
  applied: number;
  droppedRecords: number;
  /** Drops by reason; one record may be dropped in several places. */
  readonly dropped: Map<DropReason, number>;
  skipped: number;
  deadLettered: number;
  parked: number;
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
    parked: 0,
    forwarded: 0,
    retries: 0,
    punctuations: 0,
  };
}

/** How a record that was consumed ended. */
export type Outcome = 'applied' | 'dropped' | 'skipped' | 'dead-lettered' | 'parked';

const counterOf = {
  applied: 'applied',
  dropped: 'droppedRecords',
  skipped: 'skipped',
  'dead-lettered': 'deadLettered',
  parked: 'parked',
} as const satisfies Record<Outcome, keyof TaskCounters>;

export function countRecord(counters: TaskCounters, outcome: Outcome): void {
  counters.consumed += 1;
  counters[counterOf[outcome]] += 1;
}
