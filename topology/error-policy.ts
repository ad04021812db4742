/** What happens to a record that cannot be handled: declared per source and per step, with a default for the topology. */

/**
 * The end of a record that cannot be handled. Whatever it wrote and forwarded before it failed is undone first, in every case.
 *
 * - `fail`: the instance stops.
 * - `stop`: its task holds there, before the record; other tasks go on. The record is tried again when the task is opened anew.
 * - `skip`: it is counted and passed over.
 * - `dead-letter`: it goes to the dead-letter topic of the settings, in the same transaction as the offset that passes over it.
 * - `park-key`: as `dead-letter`; and records that have its key and come after it from its topic wait, put aside, until it was replayed or discarded.
 *   Then they are processed in their order. For steps to which the order of records matters. A record without a key keeps none waiting.
 */
export type FinalPolicy = 'fail' | 'stop' | 'skip' | 'dead-letter' | 'park-key';

/** When a failed record is tried again. Its task waits meanwhile, and commits nothing of it; other tasks go on. */
export interface RetrySchedule {
  /** Tries after the first one, 1 to 100; default 3. Counted anew where the task is opened again. */
  readonly attempts?: number;
  /** Wait before the first of them, at least 1 ms; default 1,000. */
  readonly initialMs?: number;
  /** By which the wait grows each time, at least 1; default 2. */
  readonly multiplier?: number;
  /** Longest wait, up to an hour; default 30,000. */
  readonly maxMs?: number;
  /** Share of a wait, 0 to 1, by which chance may shorten it; default 0.2. */
  readonly jitter?: number;
  /** Whether a failure may pass by itself; default: any but those of serdes, sizes and timestamps, which are never retried. */
  readonly isRetryable?: (error: unknown) => boolean;
}

export interface RetryPolicy {
  readonly retry: RetrySchedule;
  /** When the attempts are used up, or the failure is none that passes. */
  readonly then: FinalPolicy;
}

/** What happens to a record that a source or step cannot handle. */
export type ErrorPolicy = FinalPolicy | RetryPolicy;

export type ResolvedSchedule = Required<RetrySchedule>;

const defaults: ResolvedSchedule = {
  attempts: 3,
  initialMs: 1_000,
  multiplier: 2,
  maxMs: 30_000,
  jitter: 0.2,
  isRetryable: () => true,
};

const attemptsMax = 100;
const waitMsMax = 3_600_000;

export function finalPolicy(policy: ErrorPolicy): FinalPolicy {
  return typeof policy === 'string' ? policy : policy.then;
}

/** `undefined` for a policy that does not retry. */
export function retrySchedule(policy: ErrorPolicy): ResolvedSchedule | undefined {
  return typeof policy === 'string' ? undefined : { ...defaults, ...policy.retry };
}

/** What is wrong with a policy, for the message; `undefined` if nothing is. */
export function policyProblem(policy: ErrorPolicy): string | undefined {
  const schedule = retrySchedule(policy);
  if (schedule === undefined) return undefined;
  const { attempts, initialMs, multiplier, maxMs, jitter } = schedule;
  const wanted: readonly (readonly [isMet: boolean, problem: string])[] = [
    [Number.isInteger(attempts), 'retry.attempts must be a whole number'],
    [attempts >= 1 && attempts <= attemptsMax, `retry.attempts must be from 1 to ${String(attemptsMax)}`],
    [initialMs >= 1, 'retry.initialMs must be at least 1'],
    [multiplier >= 1, 'retry.multiplier must be at least 1'],
    [maxMs >= initialMs && maxMs <= waitMsMax, `retry.maxMs must be from initialMs to ${String(waitMsMax)}`],
    [jitter >= 0 && jitter <= 1, 'retry.jitter must be from 0 to 1'],
  ];
  return wanted.find(([isMet]) => !isMet)?.[1];
}

/** The wait before retry number `attempt` (from 1); `chance` is in [0, 1). */
export function retryWaitMs(schedule: ResolvedSchedule, attempt: number, chance: number): number {
  const { initialMs, multiplier, maxMs, jitter } = schedule;
  const waitMs = Math.min(maxMs, initialMs * multiplier ** (attempt - 1));
  return Math.max(1, Math.round(waitMs * (1 - jitter * chance)));
}
