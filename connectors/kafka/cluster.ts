/** What is known of the cluster, shared by all readers, producers and members of one log; and connections to its brokers. */
import type { Clock, Logger, Random } from '../../clock.ts';
import { StreamError } from '../../errors.ts';
import type { TopicPartition } from '../../schemas/record.ts';
import { KafkaConnection, type ConnectionSettings, type Request } from './connection.ts';
import { attemptAgain, connectionError, isUnanswered, kafkaCode, kafkaError } from './kafka-errors.ts';
import {
  findCoordinatorRequest,
  metadataRequest,
  type ClusterMetadata,
  type CoordinatorKind,
  type TopicMetadata,
} from './metadata.ts';
import { retrying, type RetryOptions } from './retry.ts';

export interface ClusterOptions extends ConnectionSettings {
  /** `host:port` of some brokers; the others are learned. */
  readonly brokers: readonly string[];
  /** Of topics that are created without one. */
  readonly replicationFactor?: number;
  readonly operationTimeoutMs: number;
}

export interface ClusterDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** Connections of one owner for one purpose, one per address: what blocks on them blocks nobody else. */
export class Connections {
  readonly #cluster: Cluster;
  readonly #byAddress = new Map<string, Promise<KafkaConnection>>();
  #isClosed = false;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    cluster.opened.add(this);
  }

  /** Connects if need be. Rejects with `LOG_UNAVAILABLE`, `LOG_REFUSED`, or `LOG_CLOSED` after `close`. */
  async get(address: string): Promise<KafkaConnection> {
    if (this.#isClosed || this.#cluster.isClosed)
      throw new StreamError('LOG_CLOSED', 'the log is closed, or who used it');
    const known = this.#byAddress.get(address);
    if (known !== undefined) {
      const connection = await known;
      if (connection.isOpen) return connection;
      // Whoever came first has already replaced it.
      if (this.#byAddress.get(address) !== known) return this.get(address);
    }
    const opening = KafkaConnection.open(address, this.#cluster.options, this.#cluster.deps);
    this.#byAddress.set(address, opening);
    try {
      return await opening;
    } catch (error) {
      if (this.#byAddress.get(address) === opening) this.#byAddress.delete(address);
      throw error;
    }
  }

  /** Rejects all that is unanswered. Idempotent. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cluster.opened.delete(this);
    const all = [...this.#byAddress.values()];
    this.#byAddress.clear();
    for (const result of await Promise.allSettled(all)) if (result.status === 'fulfilled') result.value.close();
  }
}

export class Cluster {
  readonly options: ClusterOptions;
  readonly deps: ClusterDeps;
  /** All that are not closed. */
  readonly opened = new Set<Connections>();
  isClosed = false;
  /** For requests that any broker answers at once. */
  readonly #connections: Connections;
  readonly #topics = new Map<string, TopicMetadata>();
  /** The latest leaders that anybody has told of, also of topics whose leaders are asked anew. */
  readonly #latest = new Map<string, TopicMetadata>();
  readonly #coordinators = new Map<string, string>();
  readonly #refreshing = new Map<string, Promise<ClusterMetadata>>();
  /** Questions that are not answered yet, by address. */
  readonly #asking = new Map<string, number>();
  /** Addresses whose last question was not answered. */
  readonly #silent = new Set<string>();
  #brokers: ReadonlyMap<number, string> = new Map<number, string>();
  #turn = 0;

  constructor(options: ClusterOptions, deps: ClusterDeps) {
    this.options = options;
    this.deps = deps;
    this.#connections = new Connections(this);
    this.#turn = Math.floor(deps.random.next() * options.brokers.length);
  }

  /** Ends every connection, whoever uses it: whatever is asked from now on rejects with `LOG_CLOSED`. */
  async close(): Promise<void> {
    this.isClosed = true;
    await Promise.all([...this.opened].map((connections) => connections.close()));
  }

  /** Repeats for passing reasons until `operationTimeoutMs`. */
  retry<T>(attempt: (index: number) => Promise<T>, options: Partial<RetryOptions> = {}): Promise<T> {
    return retrying(this.deps, { budgetMs: this.options.operationTimeoutMs, ...options }, attempt);
  }

  /** Asks any broker, trying each once. */
  async ask<T>(request: Request<T>): Promise<T> {
    let failure: unknown = connectionError('no broker is known', { facts: {} });
    for (const address of this.#addresses()) {
      try {
        return await this.#askOne(address, request);
      } catch (error) {
        if (!isUnanswered(error)) throw error;
        failure = error;
      }
    }
    throw failure;
  }

  async #askOne<T>(address: string, request: Request<T>): Promise<T> {
    this.#asking.set(address, (this.#asking.get(address) ?? 0) + 1);
    try {
      const connection = await this.#connections.get(address);
      const answer = await connection.request(request);
      this.#silent.delete(address);
      return answer;
    } catch (error) {
      if (isUnanswered(error)) this.#silent.add(address);
      else this.#silent.delete(address);
      throw error;
    } finally {
      this.#asking.set(address, (this.#asking.get(address) ?? 1) - 1);
    }
  }

  /**
   * Those that are known and those that were given, another one first each time. A broker that is frozen costs the whole request timeout: one
   * that did not answer last time comes last, and of the others the one with the fewest open questions first.
   */
  #addresses(): readonly string[] {
    const all = [...new Set([...this.#brokers.values(), ...this.options.brokers])];
    const first = this.#turn % all.length;
    this.#turn += 1;
    const cost = (address: string): number => (this.#silent.has(address) ? Infinity : (this.#asking.get(address) ?? 0));
    const turned = [...all.slice(first), ...all.slice(0, first)];
    return turned.sort((left, right) => (cost(left) === cost(right) ? 0 : cost(left) - cost(right)));
  }

  // ---- topics -------------------------------------------------------------------------------------------------------

  /** Fresh metadata of these topics (of all: `undefined`), remembered for `leader`. One attempt. */
  metadata(names: readonly string[] | undefined): Promise<ClusterMetadata> {
    const key = names === undefined ? '*' : [...names].sort().join(' ');
    const running = this.#refreshing.get(key);
    if (running !== undefined) return running;
    const asked = this.#fetchMetadata(names).finally(() => {
      this.#refreshing.delete(key);
    });
    this.#refreshing.set(key, asked);
    return asked;
  }

  async #fetchMetadata(names: readonly string[] | undefined): Promise<ClusterMetadata> {
    const metadata = await this.ask(metadataRequest(names));
    if (metadata.brokers.size > 0) this.#brokers = metadata.brokers;
    for (const topic of metadata.topics) this.#learn(topic);
    for (const name of metadata.unknown) {
      this.#topics.delete(name);
      this.#latest.delete(name);
    }
    return metadata;
  }

  /** A broker that was frozen tells of leaders that were: they are not believed. */
  #learn(topic: TopicMetadata): void {
    const known = this.#latest.get(topic.name);
    const before = known?.topicId === topic.topicId && topic.topicId !== undefined ? known?.leaders : undefined;
    const isPast = (partition: number): boolean =>
      (topic.leaders[partition]?.epoch ?? -1) < (before?.[partition]?.epoch ?? -1);
    const leaders = topic.leaders.map((leader, partition) =>
      isPast(partition) ? { nodeId: -1, epoch: before?.[partition]?.epoch ?? -1 } : leader,
    );
    this.#topics.set(topic.name, { ...topic, leaders });
    this.#latest.set(topic.name, { ...topic, leaders });
  }

  /** The address of the partition's leader as far as is known; no request is made. */
  knownLeader({ topic, partition }: TopicPartition): string | undefined {
    return this.#brokers.get(this.#topics.get(topic)?.leaders[partition]?.nodeId ?? -1);
  }

  /** Under which the known leader leads; -1 if none is known. */
  leaderEpoch({ topic, partition }: TopicPartition): number {
    return this.#topics.get(topic)?.leaders[partition]?.epoch ?? -1;
  }

  /** The next question for leaders of these topics is asked anew. */
  forgetTopics(names: Iterable<string>): void {
    for (const name of names) this.#topics.delete(name);
  }

  /** The leaders' addresses, aligned. Rejects with `TOPIC_UNKNOWN` or `LOG_UNAVAILABLE`; one attempt. */
  async leaders(partitions: readonly TopicPartition[]): Promise<readonly string[]> {
    const unknown = new Set(partitions.filter((at) => this.knownLeader(at) === undefined).map(({ topic }) => topic));
    if (unknown.size > 0) await this.metadata([...unknown]);
    return partitions.map((at) => this.leaderNow(at));
  }

  /** As `knownLeader`; throws `TOPIC_UNKNOWN` or `LOG_UNAVAILABLE`. */
  leaderNow(at: TopicPartition): string {
    const address = this.knownLeader(at);
    if (address !== undefined) return address;
    const facts = { topic: at.topic, partition: at.partition };
    const leader = this.#topics.get(at.topic)?.leaders[at.partition];
    if (leader === undefined)
      throw kafkaError(kafkaCode.unknownTopicOrPartition, 'the partition does not exist', facts);
    throw kafkaError(leaderNotAvailable, 'the partition has no leader', facts);
  }

  /** Sends one request to each partition's leader, and again for passing reasons. Answers are aligned with `partitions`. */
  async onLeaders<T extends TopicPartition, R>(
    partitions: readonly T[],
    send: (address: string, partitions: readonly T[]) => Promise<readonly R[]>,
  ): Promise<readonly R[]> {
    const names = new Set(partitions.map(({ topic }) => topic));
    const attempt = async (): Promise<readonly R[]> => {
      const leaders = await this.leaders(partitions);
      const answers: R[] = [];
      const ask = async (address: string): Promise<void> => {
        const indexes = partitions.flatMap((_, index) => (leaders[index] === address ? [index] : []));
        const results = await send(
          address,
          indexes.flatMap((index) => partitions[index] ?? []),
        );
        for (const [place, index] of indexes.entries()) {
          const result = results[place];
          if (result !== undefined) answers[index] = result;
        }
      };
      // All must have ended before anything is sent again.
      const failures = rejections(await Promise.allSettled([...new Set(leaders)].map(ask)));
      if (failures.length > 0) throw worst(failures);
      return answers;
    };
    return this.retry(attempt, {
      onMoved: () => {
        this.forgetTopics(names);
      },
    });
  }

  // ---- coordinators -------------------------------------------------------------------------------------------------

  /** The coordinator's address. One attempt. */
  async coordinator(kind: CoordinatorKind, key: string): Promise<string> {
    const id = `${kind}/${key}`;
    const known = this.#coordinators.get(id);
    if (known !== undefined) return known;
    const { address } = await this.ask(findCoordinatorRequest(kind, key));
    this.#coordinators.set(id, address);
    return address;
  }

  forgetCoordinator(kind: CoordinatorKind, key: string): void {
    this.#coordinators.delete(`${kind}/${key}`);
  }

  /** Calls the coordinator, and again for passing reasons, asking anew who it is when it has moved. */
  onCoordinator<T>(
    at: { readonly kind: CoordinatorKind; readonly key: string; readonly connections: Connections },
    call: (connection: KafkaConnection) => Promise<T>,
    options: Partial<RetryOptions> = {},
  ): Promise<T> {
    const attempt = async (): Promise<T> => {
      const address = await this.coordinator(at.kind, at.key);
      try {
        return await call(await at.connections.get(address));
      } catch (error) {
        if (attemptAgain(error) === 'moved') this.forgetCoordinator(at.kind, at.key);
        throw error;
      }
    };
    return this.retry(attempt, options);
  }

  /** The broker that changes topics. One attempt. */
  async controller(): Promise<string> {
    const { brokers, controllerId } = await this.metadata([]);
    const address = brokers.get(controllerId) ?? [...brokers.values()][0];
    if (address === undefined) throw connectionError('no controller is known', { facts: {} });
    return address;
  }
}

const leaderNotAvailable = 5;

/** Why some of several things failed. */
export function rejections(results: readonly PromiseSettledResult<unknown>[]): readonly unknown[] {
  return results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
}

/** The failure to report for several: one that another attempt will not mend, if there is one. */
export function worst(failures: readonly unknown[]): unknown {
  return failures.find((failure) => attemptAgain(failure) === undefined) ?? failures[0];
}
