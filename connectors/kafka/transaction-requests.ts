/** The requests that begin, fill and end transactions. */
import type { TopicPartition } from '../../schemas/record.ts';
import type { GroupMetadata, OffsetToCommit } from '../log.ts';
import { apis } from './apis.ts';
import type { Request } from './connection.ts';
import { byTopic } from './fetch-request.ts';
import { checkCode, kafkaCode } from './kafka-errors.ts';

export interface ProducerEpoch {
  readonly producerId: bigint;
  readonly producerEpoch: number;
}

export interface Transaction extends ProducerEpoch {
  readonly transactionalId: string;
}

/** Gives a producer its id; for a transactional one, fences and aborts its predecessor. */
export function initProducerIdRequest(
  transactionalId: string | undefined,
  transactionTimeoutMs: number,
): Request<ProducerEpoch> {
  return {
    api: apis.initProducerId,
    encode: (writer) => {
      writer.nullableString(transactionalId);
      writer.int32(transactionTimeoutMs);
    },
    decode: (reader) => {
      reader.int32();
      checkCode(reader.int16(), 'the producer cannot be initialised', { transactionalId });
      return { producerId: reader.bigint64(), producerEpoch: reader.int16() };
    },
  };
}

export function addPartitionsRequest(transaction: Transaction, partitions: readonly TopicPartition[]): Request<void> {
  return {
    api: apis.addPartitionsToTxn,
    encode: (writer) => {
      writer.string(transaction.transactionalId);
      writer.bigint64(transaction.producerId);
      writer.int16(transaction.producerEpoch);
      writer.array([...byTopic(partitions)], ([topic, group]) => {
        writer.string(topic);
        writer.array(group, ({ partition }) => {
          writer.int32(partition);
        });
      });
    },
    decode: (reader) => {
      reader.int32();
      const results = reader.array(() => {
        const topic = reader.string();
        return reader.array(() => ({ topic, partition: reader.int32(), code: reader.int16() }));
      });
      // One that failed keeps the others from being tried: theirs is not the reason.
      const failed = results.flat().filter(({ code }) => code !== kafkaCode.none);
      const reason = failed.find(({ code }) => code !== kafkaCode.operationNotAttempted) ?? failed[0];
      if (reason === undefined) return;
      const { code, topic, partition } = reason;
      checkCode(code, 'the transaction cannot take the partition', {
        transactionalId: transaction.transactionalId,
        topic,
        partition,
      });
    },
  };
}

export function addOffsetsRequest(transaction: Transaction, groupId: string): Request<void> {
  return {
    api: apis.addOffsetsToTxn,
    encode: (writer) => {
      writer.string(transaction.transactionalId);
      writer.bigint64(transaction.producerId);
      writer.int16(transaction.producerEpoch);
      writer.string(groupId);
    },
    decode: (reader) => {
      reader.int32();
      const { transactionalId } = transaction;
      checkCode(reader.int16(), 'the transaction cannot take the group', { transactionalId, groupId });
    },
  };
}

/** With the group's generation, so that a member of an earlier one is refused. */
export function txnOffsetCommitRequest(
  transaction: Transaction,
  offsets: readonly OffsetToCommit[],
  group: GroupMetadata,
): Request<void> {
  return {
    api: apis.txnOffsetCommit,
    encode: (writer) => {
      writer.string(transaction.transactionalId);
      writer.string(group.groupId);
      writer.bigint64(transaction.producerId);
      writer.int16(transaction.producerEpoch);
      writer.int32(group.generation);
      writer.string(group.memberId);
      writer.nullableString(group.instanceId);
      writer.array([...byTopic(offsets)], ([topic, partitions]) => {
        writer.string(topic);
        writer.array(partitions, ({ partition, offset, metadata }) => {
          writer.int32(partition);
          writer.int64(offset);
          writer.int32(-1);
          writer.string(metadata ?? '');
          writer.tags();
        });
        writer.tags();
      });
      writer.tags();
    },
    decode: (reader) => {
      reader.int32();
      reader.array(() => {
        const topic = reader.string();
        reader.array(() => {
          const partition = reader.int32();
          const facts = { topic, partition, groupId: group.groupId, generation: group.generation };
          checkCode(reader.int16(), 'the offset cannot be committed in the transaction', facts);
          reader.tags();
        });
        reader.tags();
      });
    },
  };
}

export function endTransactionRequest(transaction: Transaction, outcome: 'commit' | 'abort'): Request<void> {
  return {
    api: apis.endTxn,
    encode: (writer) => {
      writer.string(transaction.transactionalId);
      writer.bigint64(transaction.producerId);
      writer.int16(transaction.producerEpoch);
      writer.boolean(outcome === 'commit');
    },
    decode: (reader) => {
      reader.int32();
      checkCode(reader.int16(), `the transaction cannot ${outcome}`, { transactionalId: transaction.transactionalId });
    },
  };
}
