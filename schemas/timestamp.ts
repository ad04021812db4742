import { StreamError } from '../errors.ts';
import type { Header } from './record.ts';

/** What a timestamp extractor sees: the decoded record and where it lies. */
export interface FetchedRecordView {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** The record's own timestamp in the log. */
  readonly timestampMs: number;
  readonly key: unknown;
  readonly value: unknown;
  readonly headers: readonly Header[];
}

/**
 * Decides a record's event time in epoch milliseconds. A negative result or a throw makes the record invalid: the source's error policy applies.
 * `partitionTimeMs` is the highest timestamp seen in the partition, -1 before the first.
 */
export type TimestampExtractor = (record: FetchedRecordView, partitionTimeMs: number) => number;

/** The default: the record's own timestamp; a negative one is refused with `TIMESTAMP_INVALID`. */
export const recordTimestamp: TimestampExtractor = (record) => {
  if (record.timestampMs < 0)
    throw new StreamError('TIMESTAMP_INVALID', 'record has a negative timestamp', {
      facts: { timestampMs: record.timestampMs },
    });
  return record.timestampMs;
};

/** The record's own timestamp; one that is negative or beyond `latestMs` (epoch ms, a fixed bound so that a replay decides the same) is refused. */
export function timestampUpTo(latestMs: number): TimestampExtractor {
  return (record, partitionTimeMs) => {
    if (record.timestampMs > latestMs)
      throw new StreamError('TIMESTAMP_INVALID', 'record has a timestamp beyond the accepted bound', {
        facts: { timestampMs: record.timestampMs, latestMs },
      });
    return recordTimestamp(record, partitionTimeMs);
  };
}

/** The record's own timestamp, or the partition's time so far when it is negative. */
export const partitionTimestamp: TimestampExtractor = (record, partitionTimeMs) =>
  record.timestampMs < 0 ? partitionTimeMs : record.timestampMs;
