/** Topics, offsets and groups from outside. */
import { hasCode, StreamError } from '../../errors.ts';
import { partitionId, type TopicPartition } from '../../schemas/record.ts';
import type { Admin, CommittedOffset, NewTopic, OffsetToCommit, PartitionOffsets, TopicDescription } from '../log.ts';
import { Connections, type Cluster } from './cluster.ts';
import type { Request } from './connection.ts';
import { connectionError } from './kafka-errors.ts';
import { backoffMs, topicReadyMsMax } from './limits.ts';
import {
  earliestOffset,
  latestOffset,
  listOffsetsRequest,
  offsetCommitRequest,
  offsetFetchRequest,
  type FoundOffset,
} from './offset-requests.ts';
import { initProducerId } from './producer-id.ts';
import {
  alterConfigsRequest,
  createPartitionsRequest,
  createTopicsRequest,
  deleteRecordsRequest,
  deleteTopicsRequest,
  describeConfigsRequest,
  type RecordsToDelete,
} from './topic-requests.ts';

type ListOptions = Omit<Parameters<typeof listOffsetsRequest>[1], 'leaderEpoch'>;

export class KafkaAdmin implements Admin {
  readonly #cluster: Cluster;
  readonly #connections: Connections;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.#connections = new Connections(cluster);
  }

  async listTopics(): Promise<readonly string[]> {
    const { topics } = await this.#cluster.retry(() => this.#cluster.metadata(undefined));
    return topics.filter(({ isInternal }) => !isInternal).map(({ name }) => name);
  }

  async describeTopics(names: readonly string[]): Promise<ReadonlyMap<string, TopicDescription | undefined>> {
    const described = new Map<string, TopicDescription | undefined>(names.map((name) => [name, undefined]));
    if (names.length === 0) return described;
    const { topics } = await this.#cluster.retry(() => this.#cluster.metadata(names));
    for (const { name, topicId, leaders, replicas } of topics)
      described.set(name, { name, topicId, partitions: leaders.length, replicationFactor: replicas });
    return described;
  }

  async createTopics(
    topics: readonly NewTopic[],
  ): Promise<{ readonly created: readonly string[]; readonly existing: readonly string[] }> {
    if (topics.length === 0) return { created: [], existing: [] };
    const replicated = await this.#replicated(topics);
    const existing = await this.#onController(createTopicsRequest(replicated, this.#timeoutMs));
    const created = topics.filter(({ name }) => !existing.includes(name)).map(({ name }) => name);
    await this.#untilUsable(
      topics.map(({ name, partitions }) => ({ name, partitions: existing.includes(name) ? 1 : partitions })),
    );
    return { created, existing };
  }

  /** With no more replicas than there are brokers. */
  async #replicated(topics: readonly NewTopic[]): Promise<readonly NewTopic[]> {
    const wanted = topics.map(({ replicationFactor }) => replicationFactor ?? this.#cluster.options.replicationFactor);
    if (wanted.every((replicationFactor) => replicationFactor === undefined)) return topics;
    const brokers = await this.brokerCount();
    return topics.map((topic, index) => {
      const replicationFactor = wanted[index];
      return replicationFactor === undefined
        ? topic
        : { ...topic, replicationFactor: Math.min(replicationFactor, brokers) };
    });
  }

  async deleteTopics(names: readonly string[]): Promise<void> {
    if (names.length === 0) return;
    await this.#onController(deleteTopicsRequest(names, this.#timeoutMs));
    this.#cluster.forgetTopics(names);
    await this.#until(async () => (await this.#cluster.metadata(names)).topics.length === 0);
  }

  async addPartitions(name: string, partitions: number): Promise<void> {
    await this.#onController(createPartitionsRequest(name, partitions, this.#timeoutMs));
    await this.#untilUsable([{ name, partitions }]);
  }

  async topicConfigs(name: string): Promise<ReadonlyMap<string, string>> {
    return this.#cluster.retry(() => this.#cluster.ask(describeConfigsRequest(name)));
  }

  async alterTopicConfigs(name: string, configs: Readonly<Record<string, string>>): Promise<void> {
    await this.#onController(alterConfigsRequest(name, configs));
  }

  async brokerCount(): Promise<number> {
    const { brokers } = await this.#cluster.retry(() => this.#cluster.metadata([]));
    return brokers.size;
  }

  async clusterId(): Promise<string> {
    const { clusterId } = await this.#cluster.retry(() => this.#cluster.metadata([]));
    return clusterId;
  }

  // ---- offsets ------------------------------------------------------------------------------------------------------

  async offsets(partitions: readonly TopicPartition[]): Promise<readonly PartitionOffsets[]> {
    const [start, stable, end] = await Promise.all([
      this.#list(partitions, { isolation: 'read_uncommitted', timestampMs: earliestOffset }),
      this.#list(partitions, { isolation: 'read_committed', timestampMs: latestOffset }),
      this.#list(partitions, { isolation: 'read_uncommitted', timestampMs: latestOffset }),
    ]);
    return partitions.map((_, index) => {
      const endOffset = end[index] ?? 0;
      // Asked for one after the other: what grew in between must not contradict.
      return {
        start: Math.min(start[index] ?? 0, endOffset),
        stable: Math.min(stable[index] ?? 0, endOffset),
        end: endOffset,
      };
    });
  }

  async offsetsAt(partitions: readonly TopicPartition[], timestampMs: number): Promise<readonly number[]> {
    const found = await this.#list(partitions, {
      isolation: 'read_uncommitted',
      timestampMs: Math.max(0, timestampMs),
    });
    if (!found.includes(-1)) return found;
    const ends = await this.#list(partitions, { isolation: 'read_uncommitted', timestampMs: latestOffset });
    return found.map((offset, index) => (offset === -1 ? (ends[index] ?? 0) : offset));
  }

  async #list(partitions: readonly TopicPartition[], options: ListOptions): Promise<readonly number[]> {
    const answers = await this.#cluster.onLeaders(partitions, async (address, group) => {
      const connection = await this.#connections.get(address);
      return align(
        group,
        await connection.request(
          listOffsetsRequest(group, { ...options, leaderEpoch: (at) => this.#cluster.leaderEpoch(at) }),
        ),
      );
    });
    return answers.map(({ offset }) => offset);
  }

  async deleteRecords(partitions: readonly RecordsToDelete[]): Promise<void> {
    await this.#cluster.onLeaders(partitions, async (address, group) => {
      const connection = await this.#connections.get(address);
      return connection.request(deleteRecordsRequest(group, this.#timeoutMs));
    });
  }

  async committed(
    groupId: string,
    partitions: readonly TopicPartition[],
    options: { readonly requireStable: boolean },
  ): Promise<readonly (CommittedOffset | undefined)[]> {
    if (partitions.length === 0) return [];
    const request = offsetFetchRequest(groupId, partitions, options.requireStable);
    const found = await this.#onGroup(groupId, request);
    const byId = new Map(found.map(({ topic, partition, committed }) => [partitionId(topic, partition), committed]));
    return partitions.map(({ topic, partition }) => byId.get(partitionId(topic, partition)));
  }

  async commitForEmptyGroup(groupId: string, offsets: readonly OffsetToCommit[]): Promise<void> {
    if (offsets.length === 0) return;
    try {
      await this.#onGroup(groupId, offsetCommitRequest({ groupId, generation: -1, memberId: '' }, offsets));
    } catch (error) {
      if (!hasCode(error, 'MEMBER_FENCED', 'REBALANCE_IN_PROGRESS')) throw error;
      throw new StreamError('LOG_REFUSED', 'the group has live members', { facts: { groupId }, cause: error });
    }
  }

  async fence(transactionalId: string): Promise<void> {
    await initProducerId(this.#cluster, this.#connections, { transactionalId });
  }

  // ---- sending ------------------------------------------------------------------------------------------------------

  /** The broker gives up before we stop listening. */
  get #timeoutMs(): number {
    return Math.floor(this.#cluster.options.requestTimeoutMs / 2);
  }

  #onController<T>(request: Request<T>): Promise<T> {
    return this.#cluster.retry(async () => {
      const connection = await this.#connections.get(await this.#cluster.controller());
      return connection.request(request);
    });
  }

  #onGroup<T>(groupId: string, request: Request<T>): Promise<T> {
    const at = { kind: 'group', key: groupId, connections: this.#connections } as const;
    return this.#cluster.onCoordinator(at, (connection) => connection.request(request));
  }

  /** Until the brokers' metadata know a leader of each partition. */
  #untilUsable(wanted: readonly { readonly name: string; readonly partitions: number }[]): Promise<void> {
    const names = wanted.map(({ name }) => name);
    return this.#until(async () => {
      const { topics } = await this.#cluster.metadata(names);
      const leaders = new Map(topics.map((topic) => [topic.name, topic.leaders]));
      return wanted.every(({ name, partitions }) => {
        const known = leaders.get(name) ?? [];
        return known.length >= partitions && known.every(({ nodeId }) => nodeId >= 0);
      });
    });
  }

  async #until(isDone: () => Promise<boolean>): Promise<void> {
    const { clock } = this.#cluster.deps;
    const startMs = clock.monotonicMs();
    while (!(await this.#cluster.retry(isDone))) {
      if (clock.monotonicMs() - startMs > topicReadyMsMax)
        throw connectionError('the brokers do not agree on a change of topics in time', { facts: { topicReadyMsMax } });
      await clock.sleep(backoffMs.min);
    }
  }
}

function align(partitions: readonly TopicPartition[], found: readonly FoundOffset[]): readonly FoundOffset[] {
  const byId = new Map(found.map((offset) => [partitionId(offset.topic, offset.partition), offset]));
  return partitions.map(({ topic, partition }) => {
    const offset = byId.get(partitionId(topic, partition));
    if (offset === undefined) throw connectionError('the broker left out a partition', { facts: { topic, partition } });
    return offset;
  });
}
