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
 * Decides a record's event time in epoch milliseconds. A negative result drops the record (`invalid-timestamp`); what is no number, and a throw,
 * make it invalid: the source's error policy applies. `partitionTimeMs` is the highest timestamp seen in the partition, -1 before the first;
 * `wallClockMs` is not the same in a replay.
 */
export type TimestampExtractor = (record: FetchedRecordView, partitionTimeMs: number, wallClockMs: number) => number;

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
  return (record, ...times) => {
    if (record.timestampMs > latestMs)
      throw new StreamError('TIMESTAMP_INVALID', 'record has a timestamp beyond the accepted bound', {
        facts: { timestampMs: record.timestampMs, latestMs },
      });
    return recordTimestamp(record, ...times);
  };
}

/** The record's own timestamp; a record with a negative one is dropped and counted. */
export const recordTimestampOrDrop: TimestampExtractor = (record) => record.timestampMs;

/** The record's own timestamp, or the partition's time so far when it is negative; refused with `TIMESTAMP_INVALID` before there is one. */
export const partitionTimestamp: TimestampExtractor = (record, partitionTimeMs) => {
  if (record.timestampMs >= 0) return record.timestampMs;
  if (partitionTimeMs >= 0) return partitionTimeMs;
  throw new StreamError('TIMESTAMP_INVALID', 'record has a negative timestamp, and its partition has no time yet', {
    facts: { timestampMs: record.timestampMs },
  });
};

/** When the record is processed, whatever time it carries. */
export const wallClockTimestamp: TimestampExtractor = (_record, _partitionTimeMs, wallClockMs) => wallClockMs;
