import { assert, StreamError } from '../../errors.ts';
import { partitionId } from '../../schemas/record.ts';
import type { GroupMetadata, OffsetToCommit, OutgoingBatch, Producer, ProducerOptions } from '../log.ts';
import type { Connection } from './connection.ts';
import { storedOffsets } from './embedded-admin.ts';
import type { ProducerGrant } from './transaction-coordinator.ts';

const sequenceCount = 2 ** 31;

/** What `COMMIT_INDEFINITE` and fencing leave of a producer: nothing but `close`. */
type State = 'idle' | 'in-transaction' | 'failed' | 'closed';

interface EncodedBatch extends OutgoingBatch {
  readonly id: string;
  readonly bytes: Buffer;
  readonly nextSequence: number;
}

export class EmbeddedProducer implements Producer {
  readonly #connection: Connection;
  readonly #options: ProducerOptions;
  readonly #grant: ProducerGrant;
  /** By `partitionId`. */
  readonly #sequences = new Map<string, number>();
  #state: State = 'idle';
  /** Whether the log knows of the open transaction. */
  #hasWritten = false;

  constructor(connection: Connection, options: ProducerOptions, grant: ProducerGrant) {
    this.#connection = connection;
    this.#options = options;
    this.#grant = grant;
  }

  begin(): void {
    assert(this.#grant.transactionalId !== undefined, 'a producer without a transactional id has no transactions');
    assert(this.#state !== 'in-transaction', 'a transaction is open already');
    if (this.#state !== 'idle') return;
    this.#state = 'in-transaction';
    this.#hasWritten = false;
  }

  async send(batches: readonly OutgoingBatch[]): Promise<readonly number[]> {
    const isTransactional = this.#grant.transactionalId !== undefined;
    this.#checkState(isTransactional ? 'in-transaction' : 'idle');
    if (batches.length === 0) return [];
    return this.#guarded(async () => {
      const encoded = this.#encode(batches, isTransactional);
      return this.#request('produce', () => this.#append(encoded));
    });
  }

  async sendOffsets(offsets: readonly OffsetToCommit[], group: GroupMetadata): Promise<void> {
    this.#checkState('in-transaction');
    const { broker } = this.#connection;
    await this.#guarded(() =>
      this.#request('txn-offsets', () => {
        const isMember = group.memberId !== '' || group.generation >= 0;
        if (isMember) broker.groups.checkGeneration(group);
        broker.transactions.addOffsets(this.#grant, group.groupId, storedOffsets(broker, offsets));
      }),
    );
  }

  async commit(): Promise<void> {
    this.#checkState('in-transaction');
    await this.#end('commit');
  }

  async abort(): Promise<void> {
    this.#checkState('in-transaction');
    await this.#end('abort');
  }

  async close(): Promise<void> {
    this.#state = 'closed';
  }

  async #end(type: 'commit' | 'abort'): Promise<void> {
    const { broker } = this.#connection;
    if (this.#hasWritten)
      await this.#guarded(() =>
        this.#connection.request('end-txn', () => {
          broker.checkOpen();
          broker.transactions.end(this.#grant, type);
        }),
      );
    this.#state = 'idle';
  }

  /** Any failure ends the producer, but for a batch refused outside of a transaction: the log has nothing of that one. */
  async #guarded<T>(run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (error) {
      const isRefusal =
        error instanceof StreamError && (error.code === 'RECORD_TOO_LARGE' || error.code === 'RECORD_INVALID');
      if (this.#state === 'in-transaction' || !isRefusal) this.#state = 'failed';
      throw error;
    }
  }

  /** A request that belongs to the open transaction, once the one before it is settled. */
  #request<T>(name: 'produce' | 'txn-offsets', effect: () => T): Promise<T> {
    this.#hasWritten = true;
    const { broker } = this.#connection;
    const { transactionalId } = this.#grant;
    return this.#connection.request(name, async () => {
      if (transactionalId !== undefined) await broker.transactions.settled(transactionalId);
      broker.checkOpen();
      return effect();
    });
  }

  #encode(batches: readonly OutgoingBatch[], isTransactional: boolean): readonly EncodedBatch[] {
    const producerId = BigInt(this.#grant.producerId);
    const sequences = new Map<string, number>();
    return batches.map(({ topic, partition, records }) => {
      const id = partitionId(topic, partition);
      const baseSequence = sequences.get(id) ?? this.#sequences.get(id) ?? 0;
      const nextSequence = (baseSequence + records.count) % sequenceCount;
      sequences.set(id, nextSequence);
      const identity = { producerId, producerEpoch: this.#grant.epoch, baseSequence, isTransactional };
      const bytes = records.encode(identity, this.#options.compression ?? 'none');
      return { topic, partition, records, id, bytes, nextSequence };
    });
  }

  /** Each partition on its own, as brokers do: what follows a refused batch in its partition is not tried. The first error is thrown. */
  #append(batches: readonly EncodedBatch[]): readonly number[] {
    const failed = new Map<string, unknown>();
    const offsets = batches.map((batch) => {
      if (failed.has(batch.id)) return -1;
      try {
        const offset = this.#connection.broker.append(batch, batch.bytes, this.#grant);
        this.#sequences.set(batch.id, batch.nextSequence);
        return offset;
      } catch (error) {
        failed.set(batch.id, error);
        return -1;
      }
    });
    for (const error of failed.values()) throw error;
    return offsets;
  }

  #checkState(expected: State): void {
    if (this.#state === expected) return;
    assert(this.#state === 'failed' || this.#state === 'closed', `producer is ${this.#state}, not ${expected}`);
    throw new StreamError('LOG_CLOSED', `the producer is ${this.#state}: make a new one`, {
      facts: { transactionalId: this.#grant.transactionalId },
    });
  }
}
