/** What a batch must be to enter a partition. */
import { StreamError } from '../../errors.ts';
import { crc32c } from '../../schemas/crc32c.ts';
import { BatchCursor } from '../../schemas/record-batch-cursor.ts';
import { readBatchHeader, withBaseOffset, type BatchHeader } from '../../schemas/record-batch-header.ts';
import type { TopicPolicy } from './topic-configs.ts';

export interface Admission {
  readonly topic: string;
  readonly partition: number;
  readonly policy: TopicPolicy;
  readonly baseOffset: number;
  readonly nowMs: number;
}

const crcPosition = 17;
const attributesPosition = 21;
const maxTimestampPosition = 35;
const logAppendTimeBit = 0x08;

/** Checks the batch against the topic's configuration and gives it its offset, in place. Throws `RECORD_TOO_LARGE`, `RECORD_INVALID`. */
export function admitBatch(batch: Buffer, admission: Admission): BatchHeader {
  const { topic, partition, policy, baseOffset, nowMs } = admission;
  if (batch.length > policy.batchBytesMax)
    throw new StreamError('RECORD_TOO_LARGE', `batch exceeds max.message.bytes of topic ${topic}`, {
      facts: { topic, partition, bytes: batch.length, bytesMax: policy.batchBytesMax },
    });
  if (policy.isLogAppendTime) stampAppendTime(batch, nowMs);
  const header = placeBatch(batch, baseOffset);
  const problem = problemOf(batch, header, admission);
  if (problem !== undefined) throw new StreamError('RECORD_INVALID', problem, { facts: { topic, partition } });
  return header;
}

/** Throws `RECORD_INVALID` unless the buffer is exactly one batch. */
export function placeBatch(batch: Buffer, baseOffset: number): BatchHeader {
  const header = readBatchHeader(withBaseOffset(batch, baseOffset, 0), 0);
  if (header?.end === batch.length) return header;
  throw new StreamError('RECORD_INVALID', 'not exactly one record batch', { facts: { bytes: batch.length } });
}

function problemOf(batch: Buffer, header: BatchHeader, { policy, nowMs }: Admission): string | undefined {
  if (header.count < 1) return 'batch holds no records';
  const newestMs = nowMs + policy.timestampAfterMs;
  const oldestMs = policy.isLogAppendTime ? -Infinity : nowMs - policy.timestampBeforeMs;
  if (!policy.isLogAppendTime && header.maxTimestampMs > newestMs) return 'timestamp is too far ahead';
  // Most topics need no look at the records.
  if (!policy.isCompacted && oldestMs === -Infinity) return undefined;
  return recordProblemOf(batch, { needsKey: policy.isCompacted, oldestMs });
}

function recordProblemOf(
  batch: Buffer,
  needs: { readonly needsKey: boolean; readonly oldestMs: number },
): string | undefined {
  const { needsKey, oldestMs } = needs;
  const cursor = new BatchCursor(batch, [0], 0);
  while (cursor.next()) {
    if (needsKey && cursor.key() === undefined) return 'record of a compacted topic has no key';
    if (cursor.timestampMs < oldestMs) return 'timestamp is too old';
  }
  return undefined;
}

function stampAppendTime(batch: Buffer, nowMs: number): void {
  batch.writeInt16BE(batch.readInt16BE(attributesPosition) | logAppendTimeBit, attributesPosition);
  batch.writeBigInt64BE(BigInt(nowMs), maxTimestampPosition);
  batch.writeUInt32BE(crc32c(batch.subarray(attributesPosition)), crcPosition);
}
