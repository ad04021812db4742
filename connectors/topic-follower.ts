/** Reads one partition of a small topic from its start, and then whatever comes, for as long as it is open. */
import type { Clock, Logger } from '../clock.ts';
import { StreamError, hasCode } from '../errors.ts';
import type { FetchedBatch, Log, Reader } from './log.ts';

export interface TopicFollowerOptions {
  readonly log: Pick<Log, 'reader' | 'admin'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly topic: string;
  /** Every record that has a value, once, in order; all over again if the topic was made anew. */
  readonly onValue: (value: Uint8Array) => void;
}

export interface TopicFollower {
  start(): void;
  close(): Promise<void>;
  /** Below it everything was told. */
  readonly nextOffset: number;
  /** It has once read all there was, or there is no such topic. */
  readonly hasCaughtUp: boolean;
}

const pollMs = 1_000;
const retryMs = 2_000;

interface Progress {
  nextOffset: number;
  hasCaughtUp: boolean;
}

export function createTopicFollower(options: TopicFollowerOptions): TopicFollower {
  const progress: Progress = { nextOffset: 0, hasCaughtUp: false };
  const end = new AbortController();
  let following: Promise<void> | undefined;
  return {
    start: () => {
      following ??= keepFollowing(options, progress, end.signal);
    },
    close: async () => {
      end.abort();
      await following;
    },
    get nextOffset() {
      return progress.nextOffset;
    },
    get hasCaughtUp() {
      return progress.hasCaughtUp;
    },
  };
}

async function keepFollowing(options: TopicFollowerOptions, progress: Progress, signal: AbortSignal): Promise<void> {
  const { log, clock, logger, topic } = options;
  while (!signal.aborted) {
    const reader = log.reader({ isolation: 'read_committed' });
    const wake = (): void => reader.wakeup();
    signal.addEventListener('abort', wake, { once: true });
    try {
      await follow(reader, options, { progress, signal });
    } catch (error) {
      if (!(error instanceof StreamError)) throw error;
      logger.debug('a topic cannot be followed yet', { topic, code: error.code });
      if (hasCode(error, 'OFFSET_OUT_OF_RANGE')) progress.nextOffset = 0;
      if (hasCode(error, 'TOPIC_UNKNOWN')) progress.hasCaughtUp = true;
      await clock.sleep(retryMs, signal);
    } finally {
      signal.removeEventListener('abort', wake);
      await reader.close();
    }
  }
}

async function follow(
  reader: Reader,
  { log, topic, onValue }: TopicFollowerOptions,
  { progress, signal }: { readonly progress: Progress; readonly signal: AbortSignal },
): Promise<void> {
  const at = { topic, partition: 0 };
  const [{ start, stable } = { start: 0, stable: 0 }] = await log.admin.offsets([at]);
  reader.seek(at, Math.max(start, progress.nextOffset));
  while (!signal.aborted) {
    progress.nextOffset = Math.max(progress.nextOffset, reader.position(at)?.offset ?? 0);
    progress.hasCaughtUp ||= progress.nextOffset >= stable;
    const { batches, failures } = await reader.poll(pollMs);
    for (const { error } of failures) throw error;
    // A reader whose client was closed reads nothing, at once.
    if (reader.position(at) === undefined) throw new StreamError('LOG_CLOSED', 'the log was closed');
    for (const batch of batches) tell(batch, onValue);
  }
}

function tell(batch: FetchedBatch, onValue: TopicFollowerOptions['onValue']): void {
  const cursor = batch.cursor();
  while (cursor.next()) {
    const value = cursor.value();
    if (value !== undefined) onValue(value);
  }
}
