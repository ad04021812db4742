/** Writes single records to topics, as many at once as there are: for those who cannot go on before their record is in the log. */
import type { Clock } from '../clock.ts';
import type { Log, Producer } from '../connectors/log.ts';
import { StreamError } from '../errors.ts';
import { batchesOf, partitionOf, type OutgoingRecord, type WrittenRecord } from '../connectors/outgoing-record.ts';
import { partitionId } from '../schemas/record.ts';

export interface RecordWriter {
  /** Resolves to where the record lies once it is acknowledged; rejects with `LOG_UNAVAILABLE` (it may be there all the same), or what the log says of the record. */
  write(record: OutgoingRecord): Promise<WrittenRecord>;
  /** Waits for what was begun; later writes are refused. */
  close(): Promise<void>;
}

interface Waiting {
  readonly record: OutgoingRecord;
  readonly resolve: (written: WrittenRecord) => void;
  readonly reject: (error: unknown) => void;
}

/** More do not wait: who asks then is told to come back. */
const waitingMax = 10_000;
/** In one request to the log. */
const recordsMax = 1_000;
/** From one request to the next, if that one had several records: where many ask at once, what comes in meanwhile goes together. */
const gapMs = 3;

/** Records of one partition lie in the log in the order in which they were given; `next` has the place of the next one. */
function takePlace(
  { topic, key }: OutgoingRecord,
  partitions: ReadonlyMap<string, number>,
  next: Map<string, number>,
): WrittenRecord {
  const partition = partitionOf(key, partitions.get(topic));
  const id = partitionId(topic, partition);
  const offset = next.get(id) ?? 0;
  next.set(id, offset + 1);
  return { topic, partition, offset };
}

async function sleepUntil(monotonicMs: number, clock: Clock): Promise<void> {
  const leftMs = monotonicMs - clock.monotonicMs();
  if (leftMs > 0) await clock.sleep(leftMs);
}

export function createRecordWriter(log: Pick<Log, 'producer' | 'admin'>, clock: Clock): RecordWriter {
  const waiting: Waiting[] = [];
  const partitions = new Map<string, number>();
  let producer: Producer | undefined;
  let writing: Promise<void> | undefined;
  let isClosed = false;

  const send = async (slice: readonly Waiting[]): Promise<readonly WrittenRecord[]> => {
    const topics = [...new Set(slice.map(({ record }) => record.topic))].filter((topic) => !partitions.has(topic));
    for (const [topic, found] of await log.admin.describeTopics(topics)) {
      if (found === undefined)
        throw new StreamError('LOG_UNAVAILABLE', 'the topic is not there yet', { facts: { topic } });
      partitions.set(topic, found.partitions);
    }
    producer ??= await log.producer({});
    const batches = batchesOf(
      slice.map(({ record }) => record),
      partitions,
    );
    const bases = await producer.send(batches);
    const next = new Map(batches.map((batch, index) => [partitionId(batch.topic, batch.partition), bases[index] ?? 0]));
    return slice.map(({ record }) => takePlace(record, partitions, next));
  };

  /** After a failure nobody knows what the producer has written: the next one starts anew. */
  const giveUp = async (slice: readonly Waiting[], error: unknown): Promise<void> => {
    const lost = producer;
    producer = undefined;
    partitions.clear();
    for (const { reject } of slice) reject(error);
    await lost?.close();
  };

  const writeAll = async (): Promise<void> => {
    while (waiting.length > 0) {
      const slice = waiting.splice(0, recordsMax);
      const nextMs = clock.monotonicMs() + (slice.length > 1 ? gapMs : 0);
      try {
        const written = await send(slice);
        for (const [index, { resolve }] of slice.entries()) if (written[index] !== undefined) resolve(written[index]);
      } catch (error) {
        await giveUp(slice, error);
      }
      if (!isClosed) await sleepUntil(nextMs, clock);
    }
    writing = undefined;
  };

  return {
    write: (record) =>
      new Promise((resolve, reject) => {
        if (isClosed || waiting.length >= waitingMax) {
          reject(new StreamError('LOG_UNAVAILABLE', isClosed ? 'the writer is closed' : 'too many records wait'));
          return;
        }
        waiting.push({ record, resolve, reject });
        writing ??= writeAll();
      }),
    close: async () => {
      isClosed = true;
      await writing;
      await producer?.close();
    },
  };
}
