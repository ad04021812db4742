/** Repeating what failed for a passing reason, within a budget of time. */
import type { Clock, Random } from '../../clock.ts';
import { hasCode } from '../../errors.ts';
import { attemptAgain, isKafkaError } from './kafka-errors.ts';
import { backoffMs, concurrentTransactionsMs, unknownTopicMsMax } from './limits.ts';

export interface RetryDeps {
  readonly clock: Clock;
  readonly random: Random;
}

export interface RetryOptions {
  readonly budgetMs: number;
  /** Ends the waiting: the last error is thrown. */
  readonly signal?: AbortSignal;
  /** Called before another attempt when someone else may be responsible now. */
  readonly onMoved?: (error: unknown) => void;
}

/** Doubles from `min` to `max`, by at most half less, by chance: many clients must not knock together. */
export function backoff(
  random: Random,
  range: { readonly min: number; readonly max: number },
  attempt: number,
): number {
  const full = Math.min(range.max, range.min * 2 ** Math.min(attempt, 20));
  return full * (1 - random.next() / 2);
}

/** Runs `attempt` until it succeeds, fails for good or the budget is spent; then its last error is thrown. */
export async function retrying<T>(
  deps: RetryDeps,
  options: RetryOptions,
  attempt: (attemptIndex: number) => Promise<T>,
): Promise<T> {
  const startMs = deps.clock.monotonicMs();
  for (let index = 0; ; index++) {
    try {
      return await attempt(index);
    } catch (error) {
      const spentMs = deps.clock.monotonicMs() - startMs;
      const waitMs = waitBeforeNext(deps.random, error, index);
      if (waitMs === undefined || spentMs + waitMs > budgetFor(error, options)) throw error;
      if (attemptAgain(error) === 'moved') options.onMoved?.(error);
      await deps.clock.sleep(waitMs, options.signal);
    }
  }
}

function waitBeforeNext(random: Random, error: unknown, attemptIndex: number): number | undefined {
  if (attemptAgain(error) === undefined) return undefined;
  return backoff(
    random,
    isKafkaError(error, 'CONCURRENT_TRANSACTIONS') ? concurrentTransactionsMs : backoffMs,
    attemptIndex,
  );
}

function budgetFor(error: unknown, { budgetMs, signal }: RetryOptions): number {
  if (signal?.aborted === true) return 0;
  return hasCode(error, 'TOPIC_UNKNOWN') ? Math.min(unknownTopicMsMax, budgetMs) : budgetMs;
}
