/** What a reader fetched, in pieces that a sink deals with at a time. */
import type { Header } from '../schemas/record.ts';
import type { FetchedBatch } from './log.ts';
import type { SinkRecord } from './sink-table.ts';

/** Enough to make a transaction cheap, few enough to make it short. */
const sliceRecordsMax = 1_000;
export const sliceBytesMax = 4 * 1024 * 1024;

/** A record with what is needed if it has to be put aside. */
export interface Incoming extends SinkRecord {
  readonly headers: readonly Header[];
}

/** Records that lie behind one another, and the offset after them. */
export interface Slice {
  readonly records: readonly Incoming[];
  readonly to: number;
}

/** All records of a poll, in slices of bearable size. */
export function* slicesOf(batches: readonly FetchedBatch[]): Generator<Slice> {
  let records: Incoming[] = [];
  let bytes = 0;
  for (const record of recordsOf(batches)) {
    const sizeBytes = sizeOf(record);
    const isFull = records.length >= sliceRecordsMax || bytes + sizeBytes > sliceBytesMax;
    if (isFull && records.length > 0) {
      yield { records, to: record.offset };
      records = [];
      bytes = 0;
    }
    records.push(record);
    bytes += sizeBytes;
  }
  if (records.length > 0) yield { records, to: batches.at(-1)?.nextOffset ?? 0 };
}

const sizeOf = ({ key, value }: Incoming): number => (key?.length ?? 0) + (value?.length ?? 0);

function* recordsOf(batches: readonly FetchedBatch[]): Generator<Incoming> {
  for (const batch of batches) {
    const cursor = batch.cursor();
    while (cursor.next()) {
      const { offset, timestampMs } = cursor;
      yield { key: cursor.key(), value: cursor.value(), offset, timestampMs, headers: cursor.headers() };
    }
  }
}
