/** An idempotent producer, with transactions if it has an id for them. One batch per partition is under way at a time, so order needs no window. */
import { hasCode, StreamError } from '../../errors.ts';
import { partitionId } from '../../schemas/record.ts';
import type { GroupMetadata, OffsetToCommit, OutgoingBatch, Producer, ProducerOptions } from '../log.ts';
import { Connections, type Cluster } from './cluster.ts';
import type { Request } from './connection.ts';
import { isUnanswered } from './kafka-errors.ts';
import { BatchSender } from './batch-sender.ts';
import { initProducerId } from './producer-id.ts';
import {
  addOffsetsRequest,
  addPartitionsRequest,
  endTransactionRequest,
  txnOffsetCommitRequest,
  type ProducerEpoch,
  type Transaction,
} from './transaction-requests.ts';

type State = 'ready' | 'in-transaction' | 'closed';

export class KafkaProducer implements Producer {
  readonly #cluster: Cluster;
  readonly #connections: Connections;
  readonly #epoch: ProducerEpoch;
  readonly #transactionalId: string | undefined;
  readonly #sender: BatchSender;
  #state: State = 'ready';
  /** What the log knows to be part of the open transaction. */
  readonly #partitionsInTransaction = new Set<string>();
  readonly #groupsInTransaction = new Set<string>();
  /** A failure inside the transaction: it can only be aborted. */
  #transactionFailure: StreamError | undefined;
  /** What the log has of this producer is not known: only a successor can go on. */
  #isSpent = false;

  private constructor(cluster: Cluster, connections: Connections, epoch: ProducerEpoch, options: ProducerOptions) {
    this.#cluster = cluster;
    this.#connections = connections;
    this.#epoch = epoch;
    this.#transactionalId = options.transactionalId;
    this.#sender = new BatchSender(cluster, connections, {
      ...epoch,
      transactionalId: options.transactionalId,
      compression: options.compression ?? 'none',
    });
  }

  static async open(cluster: Cluster, options: ProducerOptions): Promise<KafkaProducer> {
    const connections = new Connections(cluster);
    try {
      const epoch = await initProducerId(cluster, connections, options);
      return new KafkaProducer(cluster, connections, epoch, options);
    } catch (error) {
      await connections.close();
      throw error;
    }
  }

  begin(): void {
    this.#expect('ready');
    if (this.#transactionalId === undefined) throw refusal('the producer has no transactional id');
    this.#state = 'in-transaction';
  }

  async send(batches: readonly OutgoingBatch[]): Promise<readonly number[]> {
    this.#expect(this.#transactionalId === undefined ? 'ready' : 'in-transaction');
    return this.#failingTogether(async () => {
      await this.#addPartitions(batches.filter(({ records }) => records.count > 0));
      return this.#sender.send(batches);
    });
  }

  async sendOffsets(offsets: readonly OffsetToCommit[], group: GroupMetadata): Promise<void> {
    const transaction = this.#transaction();
    await this.#failingTogether(async () => {
      const isKnown = this.#groupsInTransaction.has(group.groupId);
      // Kept even if the answer is lost: then the transaction is not empty.
      this.#groupsInTransaction.add(group.groupId);
      if (!isKnown) await this.#onTransaction(addOffsetsRequest(transaction, group.groupId));
      if (offsets.length === 0) return;
      const at = { kind: 'group', key: group.groupId, connections: this.#connections } as const;
      const request = txnOffsetCommitRequest(transaction, offsets, group);
      await this.#cluster.onCoordinator(at, (connection) => connection.request(request));
    });
  }

  async commit(): Promise<void> {
    const transaction = this.#transaction();
    if (this.#isEmpty) {
      this.#endLocally();
      return;
    }
    await this.#failingTogether(() => this.#commit(transaction));
    this.#endLocally();
  }

  async abort(): Promise<void> {
    const transaction = this.#openTransaction();
    if (!this.#isEmpty) await this.#spending(() => this.#onTransaction(endTransactionRequest(transaction, 'abort')));
    this.#endLocally();
  }

  async close(): Promise<void> {
    this.#state = 'closed';
    await this.#connections.close();
  }

  // ---- states -------------------------------------------------------------------------------------------------------

  #expect(state: State): void {
    if (this.#state === 'closed') throw new StreamError('LOG_CLOSED', 'the producer is closed');
    if (this.#isSpent) throw refusal('the producer has failed and must be replaced');
    if (this.#state !== state) throw refusal(`the producer is ${this.#state}, not ${state}`);
    if (this.#transactionFailure !== undefined)
      throw new StreamError(this.#transactionFailure.code, 'the transaction has failed and can only be aborted', {
        cause: this.#transactionFailure,
      });
  }

  #transaction(): Transaction {
    this.#expect('in-transaction');
    return this.#openTransaction();
  }

  #openTransaction(): Transaction {
    if (this.#state === 'closed') throw new StreamError('LOG_CLOSED', 'the producer is closed');
    if (this.#isSpent) throw refusal('the producer has failed and must be replaced');
    if (this.#state !== 'in-transaction' || this.#transactionalId === undefined)
      throw refusal('no transaction is open');
    return { ...this.#epoch, transactionalId: this.#transactionalId };
  }

  get #isEmpty(): boolean {
    return this.#partitionsInTransaction.size === 0 && this.#groupsInTransaction.size === 0;
  }

  #endLocally(): void {
    this.#state = 'ready';
    this.#partitionsInTransaction.clear();
    this.#groupsInTransaction.clear();
    this.#transactionFailure = undefined;
  }

  /** After a failure the transaction cannot commit; unless the log refused the records as such, the producer is spent. */
  async #failingTogether<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await this.#spending(work);
    } catch (error) {
      if (this.#state === 'in-transaction' && error instanceof StreamError) this.#transactionFailure = error;
      throw error;
    }
  }

  async #spending<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const isHarmless = hasCode(error, 'RECORD_TOO_LARGE', 'RECORD_INVALID', 'MEMBER_FENCED', 'REBALANCE_IN_PROGRESS');
      if (!isHarmless) this.#isSpent = true;
      throw error;
    }
  }

  // ---- the transaction ----------------------------------------------------------------------------------------------

  #onTransaction(request: Request<void>): Promise<void> {
    const key = this.#transactionalId ?? '';
    const at = { kind: 'transaction', key, connections: this.#connections } as const;
    return this.#cluster.onCoordinator(at, (connection) => connection.request(request));
  }

  /** A broker that was asked and did not answer may have committed; one that was never reached has not. */
  async #commit(transaction: Transaction): Promise<void> {
    const { transactionalId } = transaction;
    let askedCount = 0;
    const at = { kind: 'transaction', key: transactionalId, connections: this.#connections } as const;
    const indefinite = (cause: unknown): StreamError =>
      new StreamError('COMMIT_INDEFINITE', 'the transaction may or may not be committed', {
        facts: { transactionalId },
        cause,
      });
    try {
      await this.#cluster.onCoordinator(at, async (connection) => {
        askedCount += 1;
        try {
          await connection.request(endTransactionRequest(transaction, 'commit'));
        } catch (error) {
          throw isUnanswered(error) ? indefinite(error) : error;
        }
      });
    } catch (error) {
      throw askedCount > 0 && hasCode(error, 'LOG_UNAVAILABLE') ? indefinite(error) : error;
    }
  }

  async #addPartitions(batches: readonly OutgoingBatch[]): Promise<void> {
    if (this.#transactionalId === undefined) return;
    const added = new Map<string, OutgoingBatch>();
    for (const batch of batches) {
      const id = partitionId(batch.topic, batch.partition);
      if (!this.#partitionsInTransaction.has(id)) added.set(id, batch);
    }
    if (added.size === 0) return;
    // Kept even if the answer is lost: then the transaction is not empty.
    for (const id of added.keys()) this.#partitionsInTransaction.add(id);
    await this.#onTransaction(addPartitionsRequest(this.#openTransaction(), [...added.values()]));
  }
}

function refusal(message: string): StreamError {
  return new StreamError('LOG_REFUSED', message);
}
