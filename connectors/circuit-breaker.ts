/** Stops asking a dependency that fails again and again, and asks it once in a while whether it is back. */
import type { Clock } from '../clock.ts';
import { StreamError } from '../errors.ts';

export type BreakerState = 'closed' | 'open' | 'half-open';

export interface CircuitBreakerOptions {
  readonly clock: Clock;
  /** What is guarded, for the message. */
  readonly name: string;
  /** Failures in a row that open it. */
  readonly failuresMax?: number;
  /** How long nobody asks. */
  readonly openMs?: number;
}

export interface CircuitBreaker {
  readonly state: BreakerState;
  /**
   * Does the work unless the breaker is open; then it rejects with `DEPENDENCY_UNAVAILABLE` at once. Only failures of that code count: an answer that is
   * wrong comes from a dependency that is there.
   */
  guard<T>(work: () => Promise<T>): Promise<T>;
}

const defaults = { failuresMax: 5, openMs: 30_000 } as const;

export function createCircuitBreaker(options: CircuitBreakerOptions): CircuitBreaker {
  const { clock, name, failuresMax, openMs } = { ...defaults, ...options };
  let failures = 0;
  let opensAgainMs = 0;
  let isProbing = false;

  const stateNow = (): BreakerState => {
    if (failures < failuresMax) return 'closed';
    return clock.monotonicMs() < opensAgainMs || isProbing ? 'open' : 'half-open';
  };

  return {
    get state() {
      return stateNow();
    },
    guard: async (work) => {
      const state = stateNow();
      if (state === 'open')
        throw new StreamError('DEPENDENCY_UNAVAILABLE', `${name} has failed too often and is left alone for a while`, {
          facts: { name },
        });
      isProbing = state === 'half-open';
      try {
        const result = await work();
        failures = 0;
        return result;
      } catch (error) {
        if (error instanceof StreamError && error.code === 'DEPENDENCY_UNAVAILABLE') {
          failures += 1;
          opensAgainMs = clock.monotonicMs() + openMs;
        } else failures = 0;
        throw error;
      } finally {
        isProbing = false;
      }
    },
  };
}
