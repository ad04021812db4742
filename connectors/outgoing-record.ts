/** Records on their way into the log, before it is known which partition they go to. */
import { partitionForKey } from '../schemas/murmur2.ts';
import { BatchBuilder } from '../schemas/record-batch.ts';
import { partitionId, type Header } from '../schemas/record.ts';
import type { OutgoingBatch } from './log.ts';

export interface OutgoingRecord {
  readonly topic: string;
  readonly key: Uint8Array | undefined;
  readonly value: Uint8Array | undefined;
  readonly headers: readonly Header[];
  readonly timestampMs: number;
}

/** The records by topic and partition, in order; the partition follows from the key. */
export function batchesOf(
  slice: readonly OutgoingRecord[],
  partitions: ReadonlyMap<string, number>,
): readonly OutgoingBatch[] {
  const batches = new Map<string, OutgoingBatch>();
  for (const { topic, key, value, headers, timestampMs } of slice) {
    const partition = key === undefined ? 0 : partitionForKey(key, partitions.get(topic) ?? 1);
    const id = partitionId(topic, partition);
    const batch = batches.get(id) ?? { topic, partition, records: new BatchBuilder() };
    batches.set(id, batch);
    batch.records.append(timestampMs, key, value, headers);
  }
  return [...batches.values()];
}
