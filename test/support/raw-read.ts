/** Everything in a topic as bytes, with or without what was aborted. */
import { systemClock } from '../../clock.ts';
import type { FetchedBatch, Isolation, Log, Reader } from '../../connectors/log.ts';
import type { Header } from '../../schemas/record.ts';
import { partitionsOf } from './progress.ts';

export interface RawRead {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly timestampMs: number;
  readonly key: Uint8Array | undefined;
  readonly value: Uint8Array | undefined;
  readonly headers: readonly Header[];
}

/** From the start to the last stable offset as of the call. A failure is waited out for so long as nothing else comes. */
export async function rawBytesOf(
  log: Log,
  topic: string,
  { isolation, patienceMs = 0 }: { readonly isolation: Isolation; readonly patienceMs?: number },
): Promise<readonly RawRead[]> {
  const reader = log.reader({ isolation });
  try {
    const left = await seekAll(log, reader, topic);
    const records: RawRead[] = [];
    let failingSinceMs = Infinity;
    while (left.size > 0) {
      const { batches, failures } = await reader.poll(1_000);
      const nowMs = systemClock.monotonicMs();
      if (batches.length > 0) failingSinceMs = Infinity;
      if (failures[0] !== undefined) {
        failingSinceMs = Math.min(failingSinceMs, nowMs);
        if (nowMs >= failingSinceMs + patienceMs) throw failures[0].error;
      }
      for (const batch of batches) {
        records.push(...recordsOf(batch));
        if (batch.nextOffset >= (left.get(batch.partition) ?? 0)) left.delete(batch.partition);
      }
    }
    return records;
  } finally {
    await reader.close();
  }
}

/** Seeks all partitions that hold something; returns where each ends. */
async function seekAll(log: Log, reader: Reader, topic: string): Promise<Map<number, number>> {
  const all = await partitionsOf(log, topic);
  const left = new Map<number, number>();
  for (const [partition, { start, stable }] of (await log.admin.offsets(all)).entries()) {
    if (start >= stable) continue;
    reader.seek({ topic, partition }, start);
    left.set(partition, stable);
  }
  return left;
}

function* recordsOf(batch: FetchedBatch): Generator<RawRead> {
  const { topic, partition } = batch;
  const cursor = batch.cursor();
  while (cursor.next()) {
    const { offset, timestampMs } = cursor;
    yield {
      topic,
      partition,
      offset,
      timestampMs,
      key: cursor.key(),
      value: cursor.value(),
      headers: cursor.headers(),
    };
  }
}
