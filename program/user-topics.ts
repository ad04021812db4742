/** Creates the topics an application names; the engine itself never does. */
import type { Clock, Logger } from '../clock.ts';
import type { Log, NewTopic } from '../connectors/log.ts';
import { StreamError } from '../errors.ts';

export interface CreateTopicsOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** Told why it takes long. */
  readonly onWaiting: (reason: string) => void;
}

/** Between attempts to reach the log. */
const retryEveryMs = 2_000;

/** Creates what is missing, however long the log cannot be reached, and returns the names of what was; none once `signal` aborts. */
export async function createTopics(
  log: Log,
  topics: readonly NewTopic[],
  { clock, logger, signal, onWaiting }: CreateTopicsOptions,
): Promise<readonly string[]> {
  while (!signal.aborted) {
    try {
      const { created } = await log.admin.createTopics(topics);
      if (created.length > 0) logger.info('topics created', { created });
      return created;
    } catch (error) {
      if (!(error instanceof StreamError) || error.retry !== 'with-backoff') throw error;
      logger.warn('topics cannot be created yet', { error });
      onWaiting(error.message);
      await clock.sleep(retryEveryMs, signal);
    }
  }
  return [];
}
