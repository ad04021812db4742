/** From the bytes of an input record to what is processed. */
import { StreamError } from '../../errors.ts';
import type { RecordCursor } from '../../schemas/record-batch.ts';
import type { StreamRecord } from '../../schemas/record.ts';
import type { SourceNode } from '../graph.ts';

/** Where a record lies, and how it is read. */
export interface RecordOrigin {
  readonly source: SourceNode;
  readonly topic: string;
  readonly partition: number;
  /** Highest timestamp seen there so far. */
  readonly partitionTimeMs: number;
}

/**
 * The record at which a cursor stands; `undefined` if it has no time by which it could be processed, and is to be passed over. Throws
 * `DESERIALIZATION_FAILED` or `TIMESTAMP_INVALID`, naming the place.
 */
export function decodeRecord(
  origin: RecordOrigin,
  cursor: RecordCursor,
  wallClockMs: number,
): StreamRecord<unknown, unknown> | undefined {
  const { source, topic, partition, partitionTimeMs } = origin;
  const { offset } = cursor;
  try {
    const keyBytes = cursor.key();
    const valueBytes = cursor.value();
    const key = keyBytes === undefined ? null : source.key.deserialize(keyBytes);
    const value = valueBytes === undefined ? null : source.value.deserialize(valueBytes);
    const headers = cursor.headers();
    const view = { topic, partition, offset, timestampMs: cursor.timestampMs, key, value, headers };
    const timestampMs = source.timestamp(view, partitionTimeMs, wallClockMs);
    if (timestampMs < 0) return undefined;
    if (!Number.isSafeInteger(timestampMs))
      throw new StreamError('TIMESTAMP_INVALID', 'the timestamp extractor gave no valid timestamp', {
        facts: { timestampMs },
      });
    return { key, value, timestampMs, headers };
  } catch (cause) {
    const facts = { topic, partition, offset };
    if (cause instanceof StreamError && cause.code === 'TIMESTAMP_INVALID')
      throw new StreamError('TIMESTAMP_INVALID', cause.message, { facts: { ...cause.facts, ...facts }, cause });
    throw new StreamError('DESERIALIZATION_FAILED', `record of ${topic} cannot be decoded`, { facts, cause });
  }
}
