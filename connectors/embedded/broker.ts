/** The embedded broker: topics and their partitions, committed offsets, and upkeep. Synchronous; clients talk to it through `client.ts`. */
import type { Clock, Logger, Random, Timer } from '../../clock.ts';
import { StreamError } from '../../errors.ts';
import { partitionId, type TopicPartition } from '../../schemas/record.ts';
import type { CommittedOffset, NewTopic } from '../log.ts';
import { cleanPartition } from './compaction.ts';
import { GroupCoordinator } from './group-coordinator.ts';
import { Journal, journalPath, lockPath } from './journal.ts';
import type { CommitEntry, StoredOffset, TopicEntry } from './metadata.ts';
import { PartitionLog } from './partition-log.ts';
import type { OpenTransaction } from './producer-states.ts';
import { applyRetention } from './retention.ts';
import { isSegmentName } from './segment-files.ts';
import type { Storage } from './storage.ts';
import { checkTopicConfigs, topicPolicy } from './topic-configs.ts';
import { TransactionCoordinator, type ProducerGrant } from './transaction-coordinator.ts';

const topicNamePattern = /^[a-zA-Z0-9._-]{1,249}$/;
const partitionCountMax = 10_000;

export interface BrokerOptions {
  readonly storage: Storage;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** `always`: what was acknowledged survives power loss. `on-roll`: the end of the process, and power loss up to the last full segment. */
  readonly fsync: 'always' | 'on-roll';
  /** Retention and compaction run this often. */
  readonly maintenanceIntervalMs: number;
  /** Markers follow the decision of a transaction by at most this; 0: at once. */
  readonly markerDelayMs: number;
  /** A producer or a transactional id that was idle for so long is forgotten. */
  readonly producerExpirationMs: number;
  /** The journal is rewritten when it has grown by this. */
  readonly journalBytes: number;
}

export class Broker {
  readonly groups: GroupCoordinator;
  readonly transactions: TransactionCoordinator;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly #options: BrokerOptions;
  readonly #journal: Journal;
  readonly #topics = new Map<string, readonly PartitionLog[]>();
  /** By `partitionId`: who wants to know when there may be more to read. */
  readonly #watchers = new Map<string, Set<() => void>>();
  readonly #isTornPossible: boolean;
  #maintenance: Timer | undefined;
  #maintaining: Promise<void> | undefined;
  #isClosed = false;

  /** Opens what the storage has, ending what the last process left open. Throws `LOG_CORRUPT`, `LOG_UNAVAILABLE`. */
  constructor(options: BrokerOptions) {
    this.#options = options;
    const { storage, clock, random, logger, markerDelayMs, journalBytes } = options;
    this.clock = clock;
    this.random = random;
    this.logger = logger;
    const isSynced = options.fsync === 'always';
    const newClusterId = (): string => random.uuid();
    const journal = new Journal({ storage, logger, newClusterId, isSynced, snapshotBytes: journalBytes });
    this.#journal = journal;
    this.#isTornPossible = !journal.metadata.isClosed;
    journal.record({ type: 'opened' });
    this.#removeDeleted();
    for (const topic of journal.metadata.topics.values()) this.#topics.set(topic.name, this.#openPartitions(topic, 0));
    this.#endOpenTransactions();
    this.transactions = new TransactionCoordinator({ clock, random, journal, markerDelayMs, isSynced });
    this.groups = new GroupCoordinator({ clock, random, journal, logger });
    this.#scheduleMaintenance();
  }

  get clusterId(): string {
    return this.#journal.metadata.clusterId;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  // ---- topics -------------------------------------------------------------------------------------------------------

  topicNames(): readonly string[] {
    return [...this.#topics.keys()];
  }

  topic(name: string): TopicEntry | undefined {
    return this.#journal.metadata.topics.get(name);
  }

  /** Creates the topic unless it exists; says whether it did. Throws `TOPIC_INVALID`. */
  createTopic({ name, partitions, configs = {} }: NewTopic): boolean {
    this.checkOpen();
    if (this.#topics.has(name)) return false;
    this.checkTopic({ name, partitions, configs });
    this.#options.storage.removeDirectory(name);
    const entry: TopicEntry = { type: 'topic', name, id: this.random.uuid(), partitions, configs: { ...configs } };
    this.#journal.record(entry);
    this.#topics.set(name, this.#openPartitions(entry, 0));
    this.#notifyTopic(name, partitions);
    return true;
  }

  /** Throws `TOPIC_INVALID`. */
  checkTopic({ name, partitions, configs = {} }: NewTopic): void {
    const facts = { topic: name.slice(0, 250), partitions };
    const isName = topicNamePattern.test(name) && name !== '.' && name !== '..';
    if (!isName) throw new StreamError('TOPIC_INVALID', 'topic name is not valid', { facts });
    if (!Number.isSafeInteger(partitions) || partitions < 1 || partitions > partitionCountMax)
      throw new StreamError('TOPIC_INVALID', `topic ${name} cannot have ${partitions} partitions`, { facts });
    const lowerCase = name.toLowerCase();
    const alike = this.topicNames().find((other) => other !== name && other.toLowerCase() === lowerCase);
    if (alike !== undefined)
      throw new StreamError('TOPIC_INVALID', `topic ${name} differs from ${alike} only in case`, { facts });
    checkTopicConfigs(name, configs);
  }

  deleteTopic(name: string): void {
    this.checkOpen();
    const logs = this.#logs(name);
    this.#journal.record({ type: 'topic-deleted', name });
    this.#topics.delete(name);
    this.transactions.forgetTopic(name);
    for (const log of logs) log.close();
    this.#options.storage.removeDirectory(name);
    this.#notifyTopic(name, logs.length);
  }

  /** Throws `TOPIC_INVALID`. */
  alterConfigs(name: string, configs: Readonly<Record<string, string>>): void {
    const logs = this.#logs(name);
    const entry = this.topic(name);
    if (entry === undefined) throw unknownTopic(name);
    checkTopicConfigs(name, configs);
    const altered = { ...entry, configs: { ...entry.configs, ...configs } };
    this.#journal.record(altered);
    const policy = topicPolicy(altered.configs);
    for (const log of logs) log.policy = policy;
  }

  addPartitions(name: string, partitions: number): void {
    this.checkOpen();
    const logs = this.#logs(name);
    const entry = this.topic(name);
    if (entry === undefined || partitions <= logs.length || partitions > partitionCountMax)
      throw new StreamError(
        'TOPIC_INVALID',
        `topic ${name} cannot go from ${logs.length} to ${partitions} partitions`,
        {
          facts: { topic: name, partitions },
        },
      );
    const raised = { ...entry, partitions };
    this.#journal.record(raised);
    this.#topics.set(name, [...logs, ...this.#openPartitions(raised, logs.length)]);
    this.#notifyTopic(name, partitions);
  }

  // ---- records ------------------------------------------------------------------------------------------------------

  /** Throws `TOPIC_UNKNOWN`, `LOG_CLOSED`. */
  partition(topic: string, partition: number): PartitionLog {
    const log = this.#logs(topic)[partition];
    if (log === undefined) throw unknownTopic(topic, partition);
    return log;
  }

  /** Appends a batch as the producer encoded it; returns its base offset. */
  append({ topic, partition }: TopicPartition, batch: Buffer, grant: ProducerGrant): number {
    const log = this.partition(topic, partition);
    if (grant.transactionalId !== undefined) this.transactions.enlist(grant, log);
    const baseOffset = log.append(batch);
    if (this.#options.fsync === 'always' && grant.transactionalId === undefined) log.sync();
    return baseOffset;
  }

  deleteRecords({ topic, partition, before }: TopicPartition & { readonly before: number }): void {
    const log = this.partition(topic, partition);
    if (before > log.start && before <= log.end)
      this.#journal.record({ type: 'start', topic, partition, offset: before });
    log.deleteBefore(before);
  }

  /** Calls `changed` whenever there may be more to read from the partition, which need not exist yet. Returns how to end that. */
  watch(topic: string, partition: number, changed: () => void): () => void {
    const id = partitionId(topic, partition);
    const watchers = this.#watchers.get(id) ?? new Set();
    this.#watchers.set(id, watchers);
    watchers.add(changed);
    return () => {
      watchers.delete(changed);
      if (watchers.size === 0 && this.#watchers.get(id) === watchers) this.#watchers.delete(id);
    };
  }

  // ---- committed offsets --------------------------------------------------------------------------------------------

  committed(groupId: string, { topic, partition }: TopicPartition): CommittedOffset | undefined {
    this.checkOpen();
    const stored = this.#journal.metadata.offsets.get(groupId)?.get(partitionId(topic, partition));
    return stored && { offset: stored.offset, metadata: stored.metadata };
  }

  commitOffsets(groupId: string, offsets: readonly StoredOffset[]): void {
    this.checkOpen();
    this.#journal.record({ type: 'offsets', groupId, offsets });
  }

  // ---- upkeep -------------------------------------------------------------------------------------------------------

  /** Deletes what retention allows and compacts what is due; one run at a time. */
  maintain(): Promise<void> {
    this.#maintaining ??= this.#maintain().finally(() => {
      this.#maintaining = undefined;
    });
    return this.#maintaining;
  }

  /** Closes all files; what the medium has then is complete. Idempotent. */
  async close(): Promise<void> {
    if (this.#isClosed) return this.#maintaining;
    this.#isClosed = true;
    this.#maintenance?.cancel();
    await this.#maintaining;
    this.groups.close();
    this.transactions.close();
    for (const id of [...this.#watchers.keys()]) this.#notify(id);
    const logs = [...this.#topics.values()].flat();
    try {
      for (const log of logs) log.sync();
      this.#journal.close();
    } finally {
      for (const log of logs) log.close();
      this.#options.storage.close();
    }
  }

  async #maintain(): Promise<void> {
    for (const log of [...this.#topics.values()].flat()) {
      if (this.#isClosed) break;
      try {
        await this.#maintainPartition(log);
      } catch (error) {
        const { topic, partition } = log;
        this.logger.error('upkeep of a partition failed', { topic, partition, error });
      }
      await this.clock.yield();
    }
    this.#maintainJournal();
  }

  #maintainJournal(): void {
    if (this.#isClosed) return;
    this.transactions.forgetIdleSince(this.clock.nowMs() - this.#options.producerExpirationMs);
    this.#journal.shrink(() => {
      for (const log of [...this.#topics.values()].flat()) log.sync();
    });
  }

  async #maintainPartition(log: PartitionLog): Promise<void> {
    if (log.isClosed) return;
    const nowMs = this.clock.nowMs();
    log.producers.forgetIdleSince(nowMs - this.#options.producerExpirationMs);
    applyRetention(log, nowMs);
    if (!log.policy.isCompacted) return;
    const { topic, partition } = log;
    const { storage, clock } = this.#options;
    const { cleaned } = this.#journal.metadata;
    const cleanedTo = cleaned.get(partitionId(topic, partition)) ?? 0;
    const offset = await cleanPartition(log, { storage, clock, cleanedTo });
    if (offset > cleanedTo && log.holds([])) this.#journal.record({ type: 'cleaned', topic, partition, offset });
  }

  #scheduleMaintenance(): void {
    if (this.#isClosed) return;
    this.#maintenance = this.clock.timer(this.#options.maintenanceIntervalMs, () => {
      this.maintain()
        .catch((error: unknown) => {
          this.logger.error('upkeep failed', { error });
        })
        .finally(() => {
          this.#scheduleMaintenance();
        });
    });
  }

  /** Throws `LOG_CLOSED`. */
  checkOpen(): void {
    if (this.#isClosed) throw new StreamError('LOG_CLOSED', 'the log is closed');
  }

  #logs(topic: string): readonly PartitionLog[] {
    this.checkOpen();
    const logs = this.#topics.get(topic);
    if (logs === undefined) throw unknownTopic(topic);
    return logs;
  }

  #notify(id: string): void {
    for (const changed of [...(this.#watchers.get(id) ?? [])]) changed();
  }

  #notifyTopic(name: string, partitions: number): void {
    for (let partition = 0; partition < partitions; partition++) this.#notify(partitionId(name, partition));
  }

  // ---- opening ------------------------------------------------------------------------------------------------------

  #openPartitions({ name: topic, partitions, configs }: TopicEntry, from: number): readonly PartitionLog[] {
    const { storage, clock, logger } = this.#options;
    const policy = topicPolicy(configs);
    return Array.from({ length: partitions - from }, (_, index) => {
      const partition = from + index;
      const id = partitionId(topic, partition);
      const start = this.#journal.metadata.starts.get(id) ?? 0;
      const changed = (): void => {
        this.#notify(id);
      };
      const mayBeTorn = this.#isTornPossible;
      return new PartitionLog({ topic, partition, policy, storage, clock, logger, changed, start, mayBeTorn });
    });
  }

  #removeDeleted(): void {
    const { storage } = this.#options;
    const { topics, deletedTopics } = this.#journal.metadata;
    for (const name of storage.list('')) {
      if (topics.has(name) || name === journalPath || name === lockPath) continue;
      if (deletedTopics.has(name)) storage.removeDirectory(name);
      else if (storage.list(name).some((partition) => storage.list(`${name}/${partition}`).some(isSegmentName)))
        throw new StreamError('LOG_CORRUPT', `${name} holds records of a topic that the journal does not know`, {
          facts: { file: name },
        });
    }
    deletedTopics.clear();
  }

  /** The journal decides: what it committed gets the markers that are missing, everything else is aborted. */
  #endOpenTransactions(): void {
    const { commits } = this.#journal.metadata;
    for (const log of [...this.#topics.values()].flat())
      for (const open of log.openTransactions) {
        const { producerId, epoch } = open;
        const isCommitted = isPartOf(commits.get(producerId), log, open);
        log.appendMarker(isCommitted ? 'commit' : 'abort', producerId, epoch);
      }
    this.#journal.record({ type: 'settled' });
  }
}

/** Whether the commit is that of this very transaction, not of an earlier one of the same producer. */
function isPartOf(commit: CommitEntry | undefined, log: PartitionLog, open: OpenTransaction): boolean {
  if (commit?.epoch !== open.epoch) return false;
  return commit.parts.some(
    ({ topic, partition, firstOffset }) =>
      topic === log.topic && partition === log.partition && firstOffset === open.firstOffset,
  );
}

function unknownTopic(topic: string, partition?: number): StreamError {
  return new StreamError(
    'TOPIC_UNKNOWN',
    `no topic ${topic}${partition === undefined ? '' : ` with partition ${partition}`}`,
    {
      facts: { topic, partition },
    },
  );
}
