import { StreamError } from '../../errors.ts';
import type { Host } from './host.ts';
import { backoffMs } from './options.ts';

export interface Attempts<T> {
  /** What is attempted, for the log. */
  readonly what: string;
  readonly isCancelled: () => boolean;
  readonly attempt: () => Promise<T>;
  /** Told of each failure that is waited out. */
  readonly waiting: (error: StreamError) => void;
}

/** Tries until it works or is cancelled (then `undefined`); rejects at once for what waiting cannot mend. */
export async function withPatience<T>(
  host: Host,
  { what, isCancelled, attempt, waiting }: Attempts<T>,
): Promise<T | undefined> {
  for (let failures = 0; !isCancelled(); failures += 1) {
    try {
      return await attempt();
    } catch (error) {
      if (!(error instanceof StreamError) || error.retry === 'never') throw error;
      waiting(error);
      host.logger.warn(`${what} failed, trying again`, { code: error.code, error: error.message, ...error.facts });
      await host.clock.sleep(backoffMs(failures));
    }
  }
  return undefined;
}
