/** The fetched but not yet processed records of one input partition; only the head is decoded. */
import { asStreamError, assert, type StreamError } from '../../errors.ts';
import type { FetchedBatch } from '../../connectors/log.ts';
import type { RecordCursor } from '../../schemas/record-batch.ts';
import { partitionId } from '../../schemas/record.ts';
import type { Header, StreamRecord } from '../../schemas/record.ts';
import type { SourceNode } from '../graph.ts';
import type { Plan, SubTopology } from '../plan.ts';
import { decodeRecord } from './decode-record.ts';
import { physicalTopicName } from './plan-tasks.ts';

export type HeadRecord = StreamRecord<unknown, unknown>;

/** A head record that could not be decoded or has no valid timestamp, with its bytes as they came. */
export interface RefusedRecord {
  readonly error: StreamError;
}

/** A record as it lies in the log. */
export interface RawRecord {
  readonly key: Uint8Array | undefined;
  readonly value: Uint8Array | undefined;
  readonly headers: readonly Header[];
  readonly timestampMs: number;
}

/**
 * FIFO of batches with the decoded record at its head. `advance` moves on after the head was processed.
 *
 * `nextOffset` is where the group would resume: past everything processed, and past markers once the queue is drained.
 */
export class PartitionQueue {
  readonly topic: string;
  readonly partition: number;
  readonly source: SourceNode;
  /** Bytes waiting, as fetched. */
  bufferedBytes = 0;
  head: HeadRecord | undefined;
  refused: RefusedRecord | undefined;
  headOffset = -1;
  /** Timestamp by which the next record of a task is chosen; of a refused head: the partition's time. */
  headTimestampMs = -1;
  /** Highest timestamp seen here. */
  partitionTimeMs = -1;
  nextOffset: number;
  isPaused = false;

  readonly #scope: QueueScope;
  #batches: FetchedBatch[] = [];
  #batch: FetchedBatch | undefined;
  #cursor: RecordCursor | undefined;

  constructor(topic: string, partition: number, options: Position & { source: SourceNode; scope: QueueScope }) {
    this.topic = topic;
    this.partition = partition;
    this.source = options.source;
    this.nextOffset = options.offset;
    this.partitionTimeMs = options.partitionTimeMs;
    this.#scope = options.scope;
  }

  get isEmpty(): boolean {
    return this.head === undefined && this.refused === undefined;
  }

  add(batch: FetchedBatch): void {
    this.bufferedBytes += batch.sizeBytes;
    this.#batches.push(batch);
    if (this.isEmpty) this.#next();
  }

  /** The head's bytes as they lie in the log, for dead letters. */
  raw(): RawRecord {
    const cursor = this.#cursor;
    if (cursor === undefined) return { key: undefined, value: undefined, headers: [], timestampMs: 0 };
    return { key: cursor.key(), value: cursor.value(), headers: cursor.headers(), timestampMs: cursor.timestampMs };
  }

  /** Call after the head was dealt with: it counts as consumed. */
  advance(): void {
    this.nextOffset = this.headOffset + 1;
    if (this.headTimestampMs > this.partitionTimeMs) this.partitionTimeMs = this.headTimestampMs;
    this.#next();
  }

  #next(): void {
    this.head = undefined;
    this.refused = undefined;
    for (;;) {
      if (this.#cursor?.next() === true) {
        if (this.#decode(this.#cursor)) return;
        this.nextOffset = this.headOffset + 1;
        this.#scope.dropped();
        continue;
      }
      if (this.#batch !== undefined) {
        this.bufferedBytes -= this.#batch.sizeBytes;
        this.nextOffset = Math.max(this.nextOffset, this.#batch.nextOffset);
      }
      this.#batch = this.#batches.shift();
      this.#cursor = this.#batch?.cursor();
      if (this.#batch === undefined) return;
    }
  }

  /** False if the record has no time by which it could be processed, and is to be passed over. */
  #decode(cursor: RecordCursor): boolean {
    this.headOffset = cursor.offset;
    try {
      const record = decodeRecord(this, cursor, this.#scope.wallClockMs);
      if (record === undefined) return false;
      this.headTimestampMs = record.timestampMs;
      this.head = record;
    } catch (error) {
      this.headTimestampMs = this.partitionTimeMs;
      this.refused = { error: asStreamError(error) };
    }
    return true;
  }
}

interface Position {
  readonly offset: number;
  readonly partitionTimeMs: number;
}

/** What a queue needs of its task. */
export interface QueueScope {
  readonly wallClockMs: number;
  /** A record was passed over. */
  dropped(): void;
}

export interface QueuesOptions {
  readonly plan: Plan;
  readonly subTopology: SubTopology;
  readonly partition: number;
  /** Where to start per input topic, and the partition's time so far. */
  readonly start: ReadonlyMap<string, { readonly offset: number; readonly partitionTimeMs: number }>;
}

/** A queue for each source topic that has this partition. */
export function queuesOf(
  { plan, subTopology, partition, start }: QueuesOptions,
  scope: QueueScope,
): readonly PartitionQueue[] {
  const queues: PartitionQueue[] = [];
  for (const source of subTopology.nodes) {
    if (source.kind !== 'source') continue;
    for (const reference of source.topics) {
      const topic = physicalTopicName(plan.applicationId, reference);
      if (partition >= (plan.partitions.get(topic) ?? 0)) continue;
      const at = start.get(topic);
      assert(at !== undefined, `no start offset for ${partitionId(topic, partition)}`);
      queues.push(new PartitionQueue(topic, partition, { source, scope, ...at }));
    }
  }
  return queues;
}
