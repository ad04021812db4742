/** One record as a batch of its own. */
import type { FetchedBatch } from '../../connectors/log.ts';
import { BatchBuilder } from '../../schemas/record-batch.ts';
import { batchCursor } from '../../schemas/record-batch-cursor.ts';
import type { TopicPartition } from '../../schemas/record.ts';
import type { RawRecord } from './partition-queue.ts';

/** Belongs to no producer. */
const nobody = { producerId: -1n, producerEpoch: -1, baseSequence: -1, isTransactional: false };

export function encodeBatch(records: BatchBuilder): Buffer {
  return records.encode(nobody, 'none');
}

export function encodeRecord({ key, value, headers, timestampMs }: RawRecord, offset: number): Buffer {
  const records = new BatchBuilder();
  records.append(timestampMs, key, value, headers);
  const batch = encodeBatch(records);
  batch.writeBigInt64BE(BigInt(offset), 0);
  return batch;
}

/** As if it had been fetched. */
export function fetchedRecord({ topic, partition }: TopicPartition, batch: Buffer): FetchedBatch {
  const offset = Number(batch.readBigInt64BE(0));
  return {
    topic,
    partition,
    count: 1,
    nextOffset: offset + 1,
    sizeBytes: batch.length,
    cursor: () => batchCursor(batch, offset),
  };
}
