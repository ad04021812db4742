/** A client of the log whose transactions are written down, and that fetches as little at a time as the simulation wants. */
import type { Log, Producer } from '../../connectors/log.ts';
import { partitionId } from '../../schemas/record.ts';
import type { ObservedTransaction } from './ledger.ts';

export interface ObservedLogOptions {
  readonly applicationId: string;
  readonly instanceId: string;
  /** Upper bound of what one partition answers to a fetch: small, so that reading takes several. */
  readonly fetchBytes: number;
  /** Called before the request that commits the transaction is sent. */
  committing(transaction: ObservedTransaction): void;
}

export function observedLog(client: Log, options: ObservedLogOptions): Log {
  return {
    admin: client.admin,
    reader: (reading) => client.reader({ ...reading, partitionBytesMax: options.fetchBytes }),
    producer: async (producing) => observedProducer(await client.producer(producing), options),
    member: (joining, listener) => client.member(joining, listener),
    close: () => client.close(),
  };
}

function observedProducer(producer: Producer, options: ObservedLogOptions): Producer {
  const { applicationId, instanceId } = options;
  const begun = (): ObservedTransaction => ({
    ...{ applicationId, instanceId, generation: -1 },
    ...{ offsets: [], ends: new Map(), records: 0 },
  });
  let transaction = begun();
  return {
    begin: () => {
      transaction = begun();
      producer.begin();
    },
    send: async (batches) => {
      const bases = await producer.send(batches);
      for (const [index, { topic, partition, records }] of batches.entries()) {
        transaction.ends.set(partitionId(topic, partition), (bases[index] ?? 0) + records.count);
        transaction.records += records.count;
      }
      return bases;
    },
    sendOffsets: async (offsets, group) => {
      await producer.sendOffsets(offsets, group);
      transaction.generation = group.generation;
      transaction.offsets.push(...offsets);
    },
    commit: () => {
      options.committing(transaction);
      return producer.commit();
    },
    abort: () => producer.abort(),
    close: () => producer.close(),
  };
}
