/** Appends batches exactly once each: numbered per partition, encoded once, repeated until acknowledged. */
import type { StreamError } from '../../errors.ts';
import { partitionId } from '../../schemas/record.ts';
import type { Compression, OutgoingBatch } from '../log.ts';
import { rejections, worst, type Cluster, type Connections } from './cluster.ts';
import { kafkaCode, kafkaError } from './kafka-errors.ts';
import { produceRequestBytesMax } from './limits.ts';
import { produceRequest, type BatchToProduce, type ProduceAnswer } from './produce-request.ts';
import type { ProducerEpoch } from './transaction-requests.ts';

export interface SenderIdentity extends ProducerEpoch {
  readonly transactionalId: string | undefined;
  readonly compression: Compression;
}

interface NumberedBatch extends BatchToProduce {
  readonly id: string;
  readonly count: number;
  /** Once acknowledged: -1 if the broker could not tell any more. */
  baseOffset: number | undefined;
}

const sequenceModulus = 2 ** 31;

export class BatchSender {
  readonly #cluster: Cluster;
  readonly #connections: Connections;
  readonly #identity: SenderIdentity;
  /** The sequence number of each partition's next record. */
  readonly #sequences = new Map<string, number>();

  constructor(cluster: Cluster, connections: Connections, identity: SenderIdentity) {
    this.#cluster = cluster;
    this.#connections = connections;
    this.#identity = identity;
  }

  /** The offset of each batch's first record, aligned; -1 for an empty batch, which is not sent. */
  async send(batches: readonly OutgoingBatch[]): Promise<readonly number[]> {
    const offsets = new Map<OutgoingBatch, number>();
    for (const round of rounds(batches)) {
      const numbered = round.map((batch) => this.#number(batch));
      await this.#cluster.onLeaders(numbered, (address, group) => this.#produce(address, group));
      for (const [index, batch] of round.entries()) offsets.set(batch, numbered[index]?.baseOffset ?? -1);
    }
    return batches.map((batch) => offsets.get(batch) ?? -1);
  }

  /** Encoded once: a repetition must be the same bytes under the same sequence numbers. */
  #number({ topic, partition, records }: OutgoingBatch): NumberedBatch {
    const { producerId, producerEpoch, transactionalId, compression } = this.#identity;
    const id = partitionId(topic, partition);
    const baseSequence = this.#sequences.get(id) ?? 0;
    const isTransactional = transactionalId !== undefined;
    const bytes = records.encode({ producerId, producerEpoch, baseSequence, isTransactional }, compression);
    return { id, topic, partition, count: records.count, bytes, baseOffset: undefined };
  }

  /** To one leader, in requests of bounded size. What is acknowledged is not sent again when another batch has to be. */
  async #produce(address: string, batches: readonly NumberedBatch[]): Promise<readonly NumberedBatch[]> {
    const open = batches.filter(({ baseOffset }) => baseOffset === undefined);
    if (open.length === 0) return batches;
    const connection = await this.#connections.get(address);
    const refused: StreamError[] = [];
    const ended = await Promise.allSettled(
      inRequests(open).map(async (part) => {
        const answers = await connection.request(produceRequest(this.#identity.transactionalId, part));
        refused.push(...this.#accept(part, answers));
      }),
    );
    const failures = [...refused, ...rejections(ended)];
    if (failures.length > 0) throw worst(failures);
    return batches;
  }

  #accept(batches: readonly NumberedBatch[], answers: readonly ProduceAnswer[]): readonly StreamError[] {
    const byId = new Map(answers.map((answer) => [partitionId(answer.topic, answer.partition), answer]));
    return batches.flatMap((batch) => {
      const { topic, partition, id, count, bytes } = batch;
      const answer = byId.get(id);
      const code = answer?.code ?? kafkaCode.unknownTopicOrPartition;
      if (code !== kafkaCode.none && code !== kafkaCode.duplicateSequenceNumber) {
        const facts = { topic, partition, records: count, bytes: bytes.length, reason: answer?.message };
        return [kafkaError(code, 'the batch was not appended', facts)];
      }
      batch.baseOffset = answer?.baseOffset ?? -1;
      this.#sequences.set(id, ((this.#sequences.get(id) ?? 0) + count) % sequenceModulus);
      return [];
    });
  }
}

/** A request can hold one batch per partition: further ones go in further rounds, in order. */
function rounds(batches: readonly OutgoingBatch[]): readonly (readonly OutgoingBatch[])[] {
  const result: OutgoingBatch[][] = [];
  const roundOf = new Map<string, number>();
  for (const batch of batches) {
    if (batch.records.count === 0) continue;
    const id = partitionId(batch.topic, batch.partition);
    const index = roundOf.get(id) ?? 0;
    roundOf.set(id, index + 1);
    (result[index] ??= []).push(batch);
  }
  return result;
}

function inRequests(batches: readonly NumberedBatch[]): readonly (readonly NumberedBatch[])[] {
  const requests: NumberedBatch[][] = [];
  let bytes = Infinity;
  for (const batch of batches) {
    if (bytes + batch.bytes.length > produceRequestBytesMax) {
      requests.push([]);
      bytes = 0;
    }
    requests.at(-1)?.push(batch);
    bytes += batch.bytes.length;
  }
  return requests;
}
