/** Writes made-up records to topics, first quickly, then slowly for ever: something to look at. */
import type { Clock, Logger } from '../clock.ts';
import type { Log, OutgoingBatch, Producer } from '../connectors/log.ts';
import { batchesOf, type OutgoingRecord } from '../connectors/outgoing-record.ts';
import { StreamError } from '../errors.ts';

export interface RecordFeedOptions {
  readonly log: Log;
  /** Never ends before `signal` aborts, or does. */
  readonly records: Iterator<OutgoingRecord>;
  /** Topics and how many partitions they have. */
  readonly partitions: ReadonlyMap<string, number>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/** So many records come quickly, then it is a trickle. */
const pace = { quickRecords: 1_000, quickSlice: 100, slowSlice: 2, everyMs: 200 } as const;
const retryEveryMs = 2_000;

/** Resolves when `signal` aborts or the records end; rejects with what trying again cannot mend. A record may be written twice after a failure. */
export async function feedRecords(options: RecordFeedOptions): Promise<void> {
  const { clock, signal } = options;
  let producer: Producer | undefined;
  let written = 0;
  try {
    while (!signal.aborted) {
      const slice = nextSlice(options, written < pace.quickRecords ? pace.quickSlice : pace.slowSlice);
      if (slice.length === 0) return;
      producer = await send(batchesOf(slice, options.partitions), producer, options);
      written += slice.length;
      await clock.sleep(pace.everyMs, signal);
    }
  } finally {
    await producer?.close();
  }
}

function nextSlice({ records }: RecordFeedOptions, count: number): readonly OutgoingRecord[] {
  const slice: OutgoingRecord[] = [];
  while (slice.length < count) {
    const next = records.next();
    if (next.done === true) break;
    slice.push(next.value);
  }
  return slice;
}

/** Sends until it worked; returns the producer that did it. */
async function send(
  batches: readonly OutgoingBatch[],
  current: Producer | undefined,
  { log, clock, logger, signal }: RecordFeedOptions,
): Promise<Producer | undefined> {
  let producer = current;
  while (!signal.aborted) {
    try {
      producer ??= await log.producer({});
      await producer.send(batches);
      return producer;
    } catch (error) {
      if (!(error instanceof StreamError) || error.retry === 'never') throw error;
      logger.warn('sample records cannot be written yet', { error });
      await producer?.close();
      producer = undefined;
      await clock.sleep(retryEveryMs, signal);
    }
  }
  return producer;
}
