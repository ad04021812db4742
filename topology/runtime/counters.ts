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
  /** Skipped records by what was wrong. */
  readonly skips: FailureCounts;
  deadLettered: number;
  /** Dead letters by what they say is wrong. */
  readonly deadLetters: FailureCounts;
  parked: number;
  forwarded: number;
  /** Tries of records after their first. */
  retries: number;
  punctuations: number;
}

interface FailureCount {
  readonly code: string;
  readonly reason: string;
  readonly count: number;
}

export type FailureCounts = Map<string, FailureCount>;

/** Told apart in one task; the others are counted together. */
const reasonsMax = 50;

/** Counts what was wrong with a record; `reason` is empty where the failure names none. */
export function countFailure(counts: FailureCounts, cause: Omit<FailureCount, 'count'>): void {
  const key = `${cause.code}|${cause.reason}`;
  const isTold = counts.has(key) || counts.size < reasonsMax;
  const [place, told] = isTold ? [key, cause] : ['other', { code: 'other', reason: 'other' }];
  counts.set(place, { ...told, count: 1 + (counts.get(place)?.count ?? 0) });
}

export function newCounters(): TaskCounters {
  return {
    consumed: 0,
    applied: 0,
    droppedRecords: 0,
    dropped: new Map(),
    skipped: 0,
    skips: new Map(),
    deadLettered: 0,
    deadLetters: new Map(),
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
