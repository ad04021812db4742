/** Records on their way into the log, before it is known which partition they go to. */
import { partitionForKey } from '../schemas/murmur2.ts';
import { BatchBuilder } from '../schemas/record-batch.ts';
import { partitionId, type Header, type TopicPartition } from '../schemas/record.ts';
import type { OutgoingBatch } from './log.ts';

export interface OutgoingRecord {
  readonly topic: string;
  readonly key: Uint8Array | undefined;
  readonly value: Uint8Array | undefined;
  readonly headers: readonly Header[];
  readonly timestampMs: number;
}

/** Where a record lies once it is in the log. */
export interface WrittenRecord extends TopicPartition {
  readonly offset: number;
}

export function partitionOf(key: Uint8Array | undefined, partitions = 1): number {
  return key === undefined ? 0 : partitionForKey(key, partitions);
}

/** The records by topic and partition, in order; the partition follows from the key. */
export function batchesOf(
  slice: readonly OutgoingRecord[],
  partitions: ReadonlyMap<string, number>,
): readonly OutgoingBatch[] {
  const batches = new Map<string, OutgoingBatch>();
  for (const { topic, key, value, headers, timestampMs } of slice) {
    const partition = partitionOf(key, partitions.get(topic));
    const id = partitionId(topic, partition);
    const batch = batches.get(id) ?? { topic, partition, records: new BatchBuilder() };
    batches.set(id, batch);
    batch.records.append(timestampMs, key, value, headers);
  }
  return [...batches.values()];
}
