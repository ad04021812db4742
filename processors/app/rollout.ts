/** Who goes the new way: a stable share of the keys. And how fast the share may grow. Pure. */
import { partitionForKey, stringSerde } from '../../index.ts';

/** Percentages in steps of a hundredth. */
const buckets = 10_000;

/** The same for a key everywhere and for ever: murmur2 of its UTF-8 bytes, as Kafka partitions keys. */
export function bucketOf(key: string): number {
  return partitionForKey(stringSerde.serialize(key), buckets);
}

/** Whether a key belongs to the first `percent`: once it does, it does for every higher percentage. */
export function isWithin(key: string, percent: number): boolean {
  return bucketOf(key) < percent * 100;
}

/** The shares of the plan; a share grows from one to the next. */
export const rolloutSteps: readonly number[] = [1, 5, 10, 25, 50, 100];

export interface RaiseLimits {
  readonly percent: number;
  /** Microseconds; absent: it never changed. */
  readonly changedAt?: number | undefined;
  /** How long a share is held before it grows. */
  readonly holdMs: number;
}

/** Why a share may not become `percent` now; `undefined` if it may. To fall it always may. */
export function raiseRefusal(
  { percent: current, changedAt, holdMs }: RaiseLimits,
  percent: number,
  nowMs: number,
): 'step_skipped' | 'hold_not_over' | undefined {
  if (percent <= current) return undefined;
  const next = rolloutSteps.find((step) => step > current) ?? 100;
  if (percent > next) return 'step_skipped';
  return changedAt !== undefined && nowMs < changedAt / 1_000 + holdMs ? 'hold_not_over' : undefined;
}
