/** The Produce request: finished batches, one per partition. */
import { apis } from './apis.ts';
import type { Request } from './connection.ts';
import { byTopic } from './fetch-request.ts';
import { produceAckTimeoutMs } from './limits.ts';
import type { WireReader } from './wire.ts';

export interface BatchToProduce {
  readonly topic: string;
  readonly partition: number;
  readonly bytes: Buffer;
}

export interface ProduceAnswer {
  readonly topic: string;
  readonly partition: number;
  readonly code: number;
  /** Of the first record; -1 if the broker cannot tell any more. */
  readonly baseOffset: number;
  /** Why, in the broker's words. */
  readonly message: string | undefined;
}

const allInSyncReplicas = -1;
const messageVersion = 8;

export function produceRequest(
  transactionalId: string | undefined,
  batches: readonly BatchToProduce[],
): Request<readonly ProduceAnswer[]> {
  return {
    api: apis.produce,
    encode: (writer) => {
      writer.nullableString(transactionalId);
      writer.int16(allInSyncReplicas);
      writer.int32(produceAckTimeoutMs);
      writer.array([...byTopic(batches)], ([topic, partitions]) => {
        writer.string(topic);
        writer.array(partitions, ({ partition, bytes }) => {
          writer.int32(partition);
          writer.bytes(bytes);
        });
      });
    },
    decode: (reader, version) =>
      reader
        .array(() => {
          const topic = reader.string();
          return reader.array(() => ({ topic, ...readPartition(reader, version) }));
        })
        .flat(),
  };
}

function readPartition(reader: WireReader, version: number): Omit<ProduceAnswer, 'topic'> {
  const partition = reader.int32();
  const code = reader.int16();
  const baseOffset = reader.int64();
  reader.int64();
  reader.int64();
  if (version < messageVersion) return { partition, code, baseOffset, message: undefined };
  const messages = reader.array(() => {
    reader.int32();
    return reader.nullableString();
  });
  return { partition, code, baseOffset, message: reader.nullableString() ?? messages[0] };
}
