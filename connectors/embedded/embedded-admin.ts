import { StreamError } from '../../errors.ts';
import type { TopicPartition } from '../../schemas/record.ts';
import type { Admin, CommittedOffset, NewTopic, OffsetToCommit, PartitionOffsets, TopicDescription } from '../log.ts';
import type { Broker } from './broker.ts';
import type { Connection } from './connection.ts';
import type { StoredOffset } from './metadata.ts';
import { offsetAt } from './partition-read.ts';
import { effectiveConfigs } from './topic-configs.ts';

export class EmbeddedAdmin implements Admin {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  listTopics(): Promise<readonly string[]> {
    return this.#ask((broker) => broker.topicNames());
  }

  createTopics(topics: readonly NewTopic[]): Promise<{ created: readonly string[]; existing: readonly string[] }> {
    return this.#ask((broker) => {
      const known = new Set(broker.topicNames());
      for (const topic of topics) if (!known.has(topic.name)) broker.checkTopic(topic);
      const created = topics.filter((topic) => broker.createTopic(topic)).map(({ name }) => name);
      return { created, existing: topics.map(({ name }) => name).filter((name) => !created.includes(name)) };
    });
  }

  describeTopics(names: readonly string[]): Promise<ReadonlyMap<string, TopicDescription | undefined>> {
    return this.#ask((broker) => {
      const describe = (name: string): TopicDescription | undefined => {
        const topic = broker.topic(name);
        return topic && { name, topicId: topic.id, partitions: topic.partitions, replicationFactor: 1 };
      };
      return new Map(names.map((name) => [name, describe(name)]));
    });
  }

  topicConfigs(name: string): Promise<ReadonlyMap<string, string>> {
    return this.#ask((broker) => {
      const topic = broker.topic(name);
      if (topic === undefined) throw new StreamError('TOPIC_UNKNOWN', `no topic ${name}`, { facts: { topic: name } });
      return effectiveConfigs(topic.configs);
    });
  }

  alterTopicConfigs(name: string, configs: Readonly<Record<string, string>>): Promise<void> {
    return this.#ask((broker) => {
      broker.alterConfigs(name, configs);
    });
  }

  deleteTopics(names: readonly string[]): Promise<void> {
    return this.#ask((broker) => {
      for (const name of names) broker.deleteTopic(name);
    });
  }

  addPartitions(name: string, partitions: number): Promise<void> {
    return this.#ask((broker) => {
      broker.addPartitions(name, partitions);
    });
  }

  offsets(partitions: readonly TopicPartition[]): Promise<readonly PartitionOffsets[]> {
    return this.#ask((broker) => partitions.map(({ topic, partition }) => broker.partition(topic, partition).offsets));
  }

  offsetsAt(partitions: readonly TopicPartition[], timestampMs: number): Promise<readonly number[]> {
    return this.#ask((broker) =>
      partitions.map(({ topic, partition }) => offsetAt(broker.partition(topic, partition), timestampMs)),
    );
  }

  deleteRecords(partitions: readonly (TopicPartition & { readonly before: number })[]): Promise<void> {
    return this.#ask((broker) => {
      for (const partition of partitions) broker.deleteRecords(partition);
    });
  }

  committed(
    groupId: string,
    partitions: readonly TopicPartition[],
    { requireStable }: { readonly requireStable: boolean },
  ): Promise<readonly (CommittedOffset | undefined)[]> {
    return this.#ask((broker) => {
      const pending = partitions.find(({ topic, partition }) =>
        broker.transactions.hasPendingOffset(groupId, topic, partition),
      );
      if (requireStable && pending !== undefined)
        throw new StreamError('OFFSETS_UNSTABLE', `offsets of ${groupId} are pending in an open transaction`, {
          facts: { groupId, topic: pending.topic, partition: pending.partition },
        });
      return partitions.map((partition) => broker.committed(groupId, partition));
    });
  }

  commitForEmptyGroup(groupId: string, offsets: readonly OffsetToCommit[]): Promise<void> {
    return this.#ask((broker) => {
      if (broker.groups.hasMembers(groupId))
        throw new StreamError('LOG_REFUSED', `group ${groupId} has members`, { facts: { groupId } });
      broker.commitOffsets(groupId, storedOffsets(broker, offsets));
    });
  }

  fence(transactionalId: string): Promise<void> {
    const { broker } = this.#connection;
    return this.#connection.request('init-producer', () => {
      broker.checkOpen();
      return broker.transactions.fence(transactionalId);
    });
  }

  brokerCount(): Promise<number> {
    return this.#ask(() => 1);
  }

  clusterId(): Promise<string> {
    return this.#ask((broker) => broker.clusterId);
  }

  #ask<T>(effect: (broker: Broker) => T): Promise<T> {
    const { broker } = this.#connection;
    return this.#connection.request('admin', () => {
      broker.checkOpen();
      return effect(broker);
    });
  }
}

/** Throws `TOPIC_UNKNOWN` for a partition that does not exist. */
export function storedOffsets(broker: Broker, offsets: readonly OffsetToCommit[]): readonly StoredOffset[] {
  return offsets.map(({ topic, partition, offset, metadata = '' }) => {
    broker.partition(topic, partition);
    return { topic, partition, offset, metadata };
  });
}
