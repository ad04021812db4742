/** The Fetch request: what lies in partitions from given offsets on, as raw batches. Without a fetch session: each request says everything. */
import type { Isolation } from '../log.ts';
import { apis } from './apis.ts';
import type { Request } from './connection.ts';
import { checkCode } from './kafka-errors.ts';
import type { WireReader, WireWriter } from './wire.ts';

export interface PartitionToFetch {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** Of the leader that is meant: another one refuses. -1: whoever leads. */
  readonly leaderEpoch: number;
}

export interface AbortedTransaction {
  readonly producerId: bigint;
  readonly firstOffset: number;
}

export interface PartitionAnswer {
  readonly topic: string;
  readonly partition: number;
  readonly code: number;
  readonly highWatermark: number;
  readonly lastStableOffset: number;
  readonly aborted: readonly AbortedTransaction[];
  /** Whole batches, the last one perhaps cut. A view of the answer's bytes. */
  readonly records: Buffer;
}

export interface FetchParameters {
  readonly partitions: readonly PartitionToFetch[];
  readonly isolation: Isolation;
  readonly waitMs: number;
  readonly bytesMax: number;
  readonly partitionBytesMax: number;
  /** Beyond `waitMs`, until the broker is taken for dead. */
  readonly answerMs: number;
}

const nothing = Buffer.alloc(0);
const noSession = { id: 0, epoch: -1 };

/** Partitions are served in the given order: the first one that has records gets at least one batch, however large. */
export function fetchRequest(parameters: FetchParameters): Request<readonly PartitionAnswer[]> {
  return {
    api: apis.fetch,
    timeoutMs: parameters.waitMs + parameters.answerMs,
    encode: (writer) => {
      writeFetch(writer, parameters);
    },
    decode: (reader) => {
      reader.int32();
      checkCode(reader.int16(), 'the fetch failed');
      reader.int32();
      return reader.array(() => readTopic(reader)).flat();
    },
  };
}

function writeFetch(writer: WireWriter, parameters: FetchParameters): void {
  writer.int32(-1);
  writer.int32(parameters.waitMs);
  writer.int32(1);
  writer.int32(parameters.bytesMax);
  writer.int8(parameters.isolation === 'read_committed' ? 1 : 0);
  writer.int32(noSession.id);
  writer.int32(noSession.epoch);
  writer.array([...byTopic(parameters.partitions)], ([topic, partitions]) => {
    writer.string(topic);
    writer.array(partitions, ({ partition, offset, leaderEpoch }) => {
      writer.int32(partition);
      writer.int32(leaderEpoch);
      writer.int64(offset);
      writer.int64(-1);
      writer.int32(parameters.partitionBytesMax);
    });
  });
  writer.array([], () => undefined);
  writer.string('');
}

/** Grouped as requests want it, in the order of first appearance. */
export function byTopic<T extends { readonly topic: string }>(items: readonly T[]): ReadonlyMap<string, readonly T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const group = groups.get(item.topic);
    if (group === undefined) groups.set(item.topic, [item]);
    else group.push(item);
  }
  return groups;
}

function readTopic(reader: WireReader): readonly PartitionAnswer[] {
  const topic = reader.string();
  return reader.array(() => {
    const partition = reader.int32();
    const code = reader.int16();
    const highWatermark = reader.int64();
    const lastStableOffset = reader.int64();
    reader.int64();
    const aborted = reader.array(() => ({ producerId: reader.bigint64(), firstOffset: reader.int64() }));
    reader.int32();
    const records = reader.nullableBytes() ?? nothing;
    return { topic, partition, code, highWatermark, lastStableOffset, aborted, records };
  });
}
