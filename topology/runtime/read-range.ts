/** Reads a part of one partition from end to end, for tools: what is committed between two offsets. */
import type { Log } from '../../connectors/log.ts';
import type { Header } from '../../schemas/record.ts';

/** How long one poll waits. */
const pollWaitMs = 500;

export interface ReadRecord {
  readonly offset: number;
  readonly timestampMs: number;
  readonly key: Uint8Array | undefined;
  readonly value: Uint8Array | undefined;
  readonly headers: readonly Header[];
}

export interface OffsetRange {
  readonly topic: string;
  readonly partition: number;
  /** Inclusive. */
  readonly from: number;
  /** Exclusive; not beyond the last stable offset. */
  readonly to: number;
}

/** Throws what a poll fails with; the reader is closed however the loop ends. */
export async function* readRange(log: Log, { topic, partition, from, to }: OffsetRange): AsyncGenerator<ReadRecord> {
  if (from >= to) return;
  const reader = log.reader({ isolation: 'read_committed' });
  try {
    reader.seek({ topic, partition }, from);
    for (let position = from; position < to;) {
      const { batches, failures } = await reader.poll(pollWaitMs);
      if (failures[0] !== undefined) throw failures[0].error;
      for (const batch of batches) {
        const cursor = batch.cursor();
        while (cursor.next()) {
          if (cursor.offset >= to) return;
          const { offset, timestampMs } = cursor;
          yield { offset, timestampMs, key: cursor.key(), value: cursor.value(), headers: cursor.headers() };
        }
        position = batch.nextOffset;
      }
    }
  } finally {
    await reader.close();
  }
}
