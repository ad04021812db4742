/** Reads what lies in a partition now, from one offset to another. */
import { StreamError } from '../errors.ts';
import type { TopicPartition } from '../schemas/record.ts';
import type { FetchedBatch, Log } from './log.ts';

/** Without a byte of progress for so long the log counts as unavailable. */
const stallMs = 30_000;
const pollMs = 500;

export interface ScanOptions {
  readonly from: number;
  /** Exclusive; the last batch may reach beyond it. */
  readonly to: number;
  readonly onBatch: (batch: FetchedBatch) => void | Promise<void>;
}

/** Hands over every committed batch below `to`, in order; resolves with where the reader then stood. */
export async function scanPartition(
  log: Pick<Log, 'reader'>,
  at: TopicPartition,
  { from, to, onBatch }: ScanOptions,
): Promise<number> {
  const reader = log.reader({ isolation: 'read_committed' });
  try {
    reader.seek(at, from);
    let idleMs = 0;
    let position = from;
    while (position < to) {
      const { batches, failures } = await reader.poll(pollMs);
      for (const { error } of failures) throw error;
      for (const batch of batches) await onBatch(batch);
      position = reader.position(at)?.offset ?? position;
      idleMs = batches.length > 0 ? 0 : idleMs + pollMs;
      if (idleMs >= stallMs)
        throw new StreamError('LOG_UNAVAILABLE', 'a topic cannot be read to its end', { facts: { topic: at.topic } });
    }
    return position;
  } finally {
    await reader.close();
  }
}
