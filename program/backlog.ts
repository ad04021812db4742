/** How much of what billing accepted waits to be worked off: looked up in the log, wherever the topologies run. */
import type { Backlog } from '../api/app/backlog.ts';
import type { Clock, Logger } from '../clock.ts';
import { measuresWith, type Connector } from '../connectors/connector.ts';
import type { Log } from '../connectors/log.ts';
import { StreamError } from '../errors.ts';
import { topicPartitions } from '../schemas/record.ts';

export interface BacklogOptions {
  readonly log: { readonly admin: Pick<Log['admin'], 'describeTopics' | 'offsets' | 'committed'> };
  readonly clock: Clock;
  readonly logger: Logger;
  /** By group, the topics that it works off. */
  readonly inputs: ReadonlyMap<string, readonly string[]>;
  /** Records; 0: there is no limit, and nobody looks. */
  readonly max: number;
}

const lookEveryMs = 1_000;

export function openBacklog(options: BacklogOptions): Backlog & { readonly connector: Connector } {
  const { max, clock, logger } = options;
  const end = new AbortController();
  let count = 0;
  let looking: Promise<void> | undefined;
  const look = async (): Promise<void> => {
    while (!end.signal.aborted) {
      try {
        count = await countOf(options);
      } catch (error) {
        if (!(error instanceof StreamError)) throw error;
        // Who wants to write is told by the log itself.
        logger.debug('the backlog cannot be looked up', { code: error.code });
      }
      await clock.sleep(lookEveryMs, end.signal);
    }
  };
  return {
    get isTooLong() {
      return max > 0 && count > max;
    },
    connector: {
      name: 'backlog',
      start: () => {
        if (max > 0) looking ??= look();
      },
      close: async () => {
        end.abort();
        await looking;
      },
      measures: () =>
        max === 0
          ? []
          : [measuresWith({})('rivulet_billing_backlog', 'Records of billing that wait to be worked off', count)],
    },
  };
}

async function countOf({ log: { admin }, inputs }: BacklogOptions): Promise<number> {
  let count = 0;
  for (const [groupId, topics] of inputs) {
    const described = await admin.describeTopics(topics);
    const partitions = topics.flatMap((topic) => topicPartitions(topic, described.get(topic)?.partitions));
    const ranges = await admin.offsets(partitions);
    const committed = await admin.committed(groupId, partitions, { requireStable: false });
    for (const [index, { start, end }] of ranges.entries())
      count += Math.max(0, end - Math.max(start, committed[index]?.offset ?? 0));
  }
  return count;
}
