/** Remembers recoveries that led to nothing: they slow down, and are seen from outside. */
import type { StreamError } from '../../errors.ts';
import { backoffMs } from './options.ts';

/** Nothing to commit for so long after a recovery means that it worked. */
const calmMs = 10_000;
/** The first wait is that of this many attempts: tasks are opened again in vain at some cost. */
const firstAttempt = 3;

export interface Moment {
  readonly nowMs: number;
  /** Commits that succeeded so far. */
  readonly commitCount: number;
}

export class Setbacks {
  #last: ({ readonly error: StreamError } & Moment) | undefined;
  #inARow = 0;

  /** To be told of each recovery. Returns how long to wait before everything is opened again, ms. */
  note(error: StreamError, moment: Moment): number {
    const isRepeated = this.#last?.commitCount === moment.commitCount && moment.nowMs - this.#last.nowMs < 2 * calmMs;
    this.#inARow = isRepeated ? this.#inARow + 1 : 0;
    this.#last = { error, ...moment };
    if (error.retry === 'with-backoff') return backoffMs(firstAttempt + this.#inARow);
    return error.retry === 'never' && isRepeated ? backoffMs(this.#inARow) : 0;
  }

  /** What made the last recovery necessary, as long as it may still be so. `isIdle`: there is nothing to commit. */
  failure({ nowMs, commitCount }: Moment, isIdle: boolean): StreamError | undefined {
    const last = this.#last;
    if (last?.error.retry !== 'with-backoff' || last.commitCount !== commitCount) return undefined;
    return isIdle && nowMs - last.nowMs >= calmMs ? undefined : last.error;
  }
}
