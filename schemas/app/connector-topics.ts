import { defineTopic, stringSerde, type Topic } from '../../index.ts';

/** What connectors need to know of themselves; one partition each. */
export interface ConnectorTopics {
  /** What pollers remember, by `<source>|<name>`. */
  readonly checkpoints: Topic<string, string>;
  /** How each source is, by its name. */
  readonly status: Topic<string, string>;
  /** The last backfill of each source, by its name. */
  readonly backfills: Topic<string, string>;
}

export function connectorTopics(prefix = ''): ConnectorTopics {
  const topic = (name: string): Topic<string, string> =>
    defineTopic({
      name: `${prefix}${name}`,
      key: stringSerde,
      value: stringSerde,
      create: { partitions: 1, configs: { 'cleanup.policy': 'compact' } },
    });
  return Object.freeze({
    checkpoints: topic('connector.checkpoints'),
    status: topic('connector.status'),
    backfills: topic('connector.backfills'),
  });
}
