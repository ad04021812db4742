/**
 * The port to the log: topics, groups, fetch and transactional append.
 *
 * Implemented by Kafka (`kafka/`), by an embedded broker in this process (`embedded/`, on files or in memory) and by the simulator;
 * one contract suite (`test/contracts/log-contract.ts`) holds for all of them. Every method rejects with a `StreamError`;
 * `retry` says what to do. Offsets are safe integers; absent bytes are `undefined`, an empty value is not an absent one.
 */
import type { BatchBuilder, RecordCursor } from '../schemas/record-batch.ts';
import type { TopicPartition } from '../schemas/record.ts';
import type { StreamError } from '../errors.ts';

export type Isolation = 'read_committed' | 'read_uncommitted';
export type Compression = 'none' | 'gzip' | 'snappy' | 'lz4';

export interface Log {
  readonly admin: Admin;
  /** A reader of its own connections and buffers. */
  reader(options: ReaderOptions): Reader;
  /** Resolves when the producer is usable: for a transactional one after InitProducerId, which fences and aborts its predecessor. */
  producer(options: ProducerOptions): Promise<Producer>;
  /** Creates a group member; it joins when `start` is called. */
  member(options: GroupOptions, listener: GroupListener): Member;
  /** Ends all connections. Readers, producers and members must be closed before. Idempotent. */
  close(): Promise<void>;
}

// ---- topics ---------------------------------------------------------------------------------------------------------

export interface NewTopic {
  readonly name: string;
  readonly partitions: number;
  /** So many replicas, or as many as there are brokers if these are fewer. Absent: what the log was opened with, else the brokers' default. */
  readonly replicationFactor?: number;
  readonly configs?: Readonly<Record<string, string>>;
}

export interface TopicDescription {
  readonly name: string;
  /** Changes when a topic is deleted and created again. `undefined` where the broker cannot tell. */
  readonly topicId: string | undefined;
  readonly partitions: number;
  /** Of the partition that has fewest. */
  readonly replicationFactor: number;
}

export interface PartitionOffsets {
  /** The first offset that is still there. */
  readonly start: number;
  /** Last stable offset: everything below is decided. Equals `end` unless a transaction is open. */
  readonly stable: number;
  /** High watermark: the offset the next record will get. */
  readonly end: number;
}

export interface CommittedOffset {
  readonly offset: number;
  readonly metadata: string;
}

export interface Admin {
  /** Names of all topics that the client may see. */
  listTopics(): Promise<readonly string[]>;
  /** Creates topics; one that exists is left alone and reported as `existing`. Resolves when all are usable. */
  createTopics(
    topics: readonly NewTopic[],
  ): Promise<{ readonly created: readonly string[]; readonly existing: readonly string[] }>;
  /** `undefined` for a topic that does not exist. */
  describeTopics(names: readonly string[]): Promise<ReadonlyMap<string, TopicDescription | undefined>>;
  /** Effective configuration of one topic. Rejects with `TOPIC_UNKNOWN`. */
  topicConfigs(name: string): Promise<ReadonlyMap<string, string>>;
  /** Sets these configurations and leaves the others, soon after it resolves. Rejects with `TOPIC_UNKNOWN`, `TOPIC_INVALID`; then none is set. */
  alterTopicConfigs(name: string, configs: Readonly<Record<string, string>>): Promise<void>;
  deleteTopics(names: readonly string[]): Promise<void>;
  /** Raises the partition count. */
  addPartitions(name: string, partitions: number): Promise<void>;
  /** Aligned with `partitions`. Rejects with `TOPIC_UNKNOWN`. */
  offsets(partitions: readonly TopicPartition[]): Promise<readonly PartitionOffsets[]>;
  /** The first offset whose record's timestamp is at least `timestampMs`, else the end. Aligned with `partitions`. */
  offsetsAt(partitions: readonly TopicPartition[], timestampMs: number): Promise<readonly number[]>;
  /** Removes records below `before`. */
  deleteRecords(partitions: readonly (TopicPartition & { readonly before: number })[]): Promise<void>;
  /**
   * What the group has committed; `undefined` where nothing is. With `requireStable` rejects with `OFFSETS_UNSTABLE` while
   * offsets are pending in an open transaction.
   */
  committed(
    groupId: string,
    partitions: readonly TopicPartition[],
    options: { readonly requireStable: boolean },
  ): Promise<readonly (CommittedOffset | undefined)[]>;
  /** Commits offsets for a group without live members (tools). Rejects with `LOG_REFUSED` if it has some. */
  commitForEmptyGroup(groupId: string, offsets: readonly OffsetToCommit[]): Promise<void>;
  /** Fences the producer of a transactional id and aborts its open transaction. */
  fence(transactionalId: string): Promise<void>;
  /** Those that are there now. */
  brokerCount(): Promise<number>;
  /** Identifies the cluster (or the embedded log's directory). */
  clusterId(): Promise<string>;
}

// ---- reading --------------------------------------------------------------------------------------------------------

export interface ReaderOptions {
  readonly isolation: Isolation;
  /** Upper bound of bytes asked for in one poll over all partitions. */
  readonly pollBytesMax?: number;
  /** Upper bound of bytes asked for per partition; a larger record is delivered all the same. */
  readonly partitionBytesMax?: number;
}

/**
 * Records of one partition as they lie in the log, in offset order, decoded while a cursor moves over them.
 *
 * Holds no aborted and no control records under `read_committed`, and no control records ever. `count` may be 0: then the batch
 * only says that the position moved over records nobody may see.
 */
export interface FetchedBatch {
  readonly topic: string;
  readonly partition: number;
  /** Number of records, an upper bound where some are skipped by the cursor (offsets below the position asked for). */
  readonly count: number;
  /** Where to go on after this batch. Past markers and aborted records that follow it, as far as they are known. */
  readonly nextOffset: number;
  /** Size in the log, uncompressed; for bounding buffers. */
  readonly sizeBytes: number;
  /** A fresh cursor before the first record. */
  cursor(): RecordCursor;
}

export interface ReadFailure extends TopicPartition {
  /**
   * `OFFSET_OUT_OF_RANGE` (facts `offset`, `start`, `end`), `TOPIC_UNKNOWN`, `RECORD_CORRUPT`, `LOG_UNAVAILABLE`,
   * `LOG_UNAUTHORIZED`.
   */
  readonly error: StreamError;
}

export interface ReadResult {
  readonly batches: readonly FetchedBatch[];
  /** Partitions that could not be read this time. The reader tries them again at the next poll. */
  readonly failures: readonly ReadFailure[];
}

export interface ReaderPosition {
  /** Where the reader stands: after everything that `poll` has returned, whatever was fetched ahead. */
  readonly offset: number;
  /** As of the last fetch; `undefined` before the first. Under `read_committed` `end` is the last stable offset. */
  readonly end: number | undefined;
  readonly highWatermark: number | undefined;
}

/** Fetches from explicitly given partitions. One `poll` at a time; the other calls may come in between and take effect at once. */
export interface Reader {
  /** Adds a partition, or moves it: batches of it that were fetched before but not returned are dropped. */
  seek(partition: TopicPartition, offset: number): void;
  remove(partition: TopicPartition): void;
  pause(partition: TopicPartition): void;
  resume(partition: TopicPartition): void;
  position(partition: TopicPartition): ReaderPosition | undefined;
  /** Resolves as soon as something was read or failed, or after `waitMs`. Never rejects for one partition's sake. */
  poll(waitMs: number): Promise<ReadResult>;
  /** Ends a pending poll early (it resolves with what it has). */
  wakeup(): void;
  close(): Promise<void>;
}

// ---- appending ------------------------------------------------------------------------------------------------------

export interface ProducerOptions {
  /** Absent: idempotent, without transactions. */
  readonly transactionalId?: string;
  readonly transactionTimeoutMs?: number;
  readonly compression?: Compression;
}

export interface OutgoingBatch extends TopicPartition {
  readonly records: BatchBuilder;
}

export interface OffsetToCommit extends TopicPartition {
  readonly offset: number;
  readonly metadata?: string;
}

/** Who commits offsets: the log refuses a stale generation with `MEMBER_FENCED`. */
export interface GroupMetadata {
  readonly groupId: string;
  readonly memberId: string;
  readonly generation: number;
  readonly instanceId?: string;
}

/**
 * Appends to the log. Order within a partition is the order of `send`; one `send` at a time.
 *
 * After `PRODUCER_FENCED`, `COMMIT_INDEFINITE` or any failure inside a transaction the producer must be closed and a new one made
 * under the same transactional id: that settles what was open. An error of a `send` outside a transaction leaves the producer usable
 * only if it is `RECORD_TOO_LARGE` or `RECORD_INVALID`.
 */
export interface Producer {
  /** Opens a transaction locally; the log learns of it with the first send. */
  begin(): void;
  /**
   * Appends each batch to its partition; resolves when all are acknowledged by all in-sync replicas, with the offset of each
   * batch's first record, aligned (-1 where the log does not know it any more). Rejects with `RECORD_TOO_LARGE`,
   * `RECORD_INVALID`, `TOPIC_UNKNOWN`, `PRODUCER_FENCED`, `LOG_UNAVAILABLE`, `LOG_UNAUTHORIZED`.
   */
  send(batches: readonly OutgoingBatch[]): Promise<readonly number[]>;
  /** Commits group offsets inside the transaction. Rejects with `MEMBER_FENCED` for a stale generation. */
  sendOffsets(offsets: readonly OffsetToCommit[], group: GroupMetadata): Promise<void>;
  /** Rejects with `COMMIT_INDEFINITE` when it may or may not have happened. */
  commit(): Promise<void>;
  abort(): Promise<void>;
  /** Never rejects. An open transaction is left to be aborted by the log or the successor. */
  close(): Promise<void>;
}

// ---- groups ---------------------------------------------------------------------------------------------------------

export interface GroupOptions {
  readonly groupId: string;
  /** Topics named in the subscription, for tools that list groups. */
  readonly topics: readonly string[];
  readonly protocol: string;
  readonly sessionTimeoutMs: number;
  readonly rebalanceTimeoutMs: number;
  readonly heartbeatIntervalMs: number;
  /** Static membership: survives a restart within the session timeout without a rebalance. */
  readonly instanceId?: string;
}

export interface JoinedMember {
  readonly memberId: string;
  readonly instanceId?: string;
  readonly topics: readonly string[];
  readonly userData: Uint8Array;
}

export interface Assignment {
  readonly memberId: string;
  readonly generation: number;
  readonly isLeader: boolean;
  readonly userData: Uint8Array;
}

/**
 * What a member asks its owner. Calls never overlap. In one rebalance: `joining`, then on the leader `assign`, then `assigned`.
 */
export interface GroupListener {
  /** Before each JoinGroup; the bytes are what the leader sees. No commit may start between its resolving and `assigned`. */
  joining(): Promise<Uint8Array>;
  /** On the leader: one assignment per member; foreign members (user data that is not ours) may get empty bytes. */
  assign(members: readonly JoinedMember[]): Promise<ReadonlyMap<string, Uint8Array>>;
  /** The new generation is in force. Heartbeats go on while this runs. */
  assigned(assignment: Assignment): Promise<void>;
  /** Membership was lost (expelled, fenced): whatever was owned is owned no more. The member rejoins by itself after this resolves. */
  lost(error: StreamError): Promise<void>;
}

/** A member of a group. Heartbeats by itself, independent of anything the owner awaits. */
export interface Member {
  /** Starts joining and keeps on, with backoff, until `leave`. Resolves when started, not when joined. */
  start(): void;
  /** `undefined` while it is not a member. */
  readonly current: GroupMetadata | undefined;
  /** Asks for a rebalance. */
  rejoin(reason: string): void;
  /** Commits offsets without a transaction. Rejects with `MEMBER_FENCED`, or `REBALANCE_IN_PROGRESS` (try after rejoining). */
  commit(offsets: readonly OffsetToCommit[]): Promise<void>;
  /** Leaves the group (a static member stays unless `permanently`) and stops. Never rejects. */
  leave(options?: { readonly permanently?: boolean }): Promise<void>;
}
