/** Decides transactions: who may write under a transactional id, what a commit covers, and when one is aborted. */
import type { Clock, Random, Timer } from '../../clock.ts';
import { StreamError } from '../../errors.ts';
import { partitionId } from '../../schemas/record.ts';
import type { ControlType } from '../../schemas/record-batch-header.ts';
import type { Journal } from './journal.ts';
import type { StoredOffset } from './metadata.ts';
import type { PartitionLog } from './partition-log.ts';

/** Epochs are 16 bits; at this one a new producer id is given out. */
const epochMax = 32_766;
/** Producer ids are reserved in the journal by so many at once. */
const producerIdBlock = 1000;
/** For so long the next transaction waits for the markers of the last one. */
const settleTimeoutMs = 30_000;
/** A marker that could not be written (disk full) is tried again after this. */
const markerRetryMs = 200;

/** What a producer was given; the log refuses it once a newer epoch was given out. */
export interface ProducerGrant {
  readonly transactionalId: string | undefined;
  readonly producerId: number;
  readonly epoch: number;
}

/** `ending`: decided, but not every partition has its marker yet. */
type State = 'empty' | 'ongoing' | 'ending';

interface Transaction {
  readonly id: string;
  producerId: number;
  epoch: number;
  timeoutMs: number;
  state: State;
  timer: Timer | undefined;
  /** By `partitionId`: where it has written and no marker is yet. */
  readonly parts: Map<string, PartitionLog>;
  /** By group, then by `partitionId`. */
  readonly offsets: Map<string, Map<string, StoredOffset>>;
  readonly settled: (() => void)[];
  /** How often it was decided, to tell one transaction of the id from the next. */
  decisions: number;
  lastUsedMs: number;
}

export interface TransactionOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly journal: Journal;
  /** Markers are written at most this long after the decision, partition by partition. 0: at once. */
  readonly markerDelayMs: number;
  /** Whether a commit must have its records on the medium. */
  readonly isSynced: boolean;
}

export class TransactionCoordinator {
  readonly #options: TransactionOptions;
  readonly #transactions = new Map<string, Transaction>();
  #nextProducerId: number;
  #isClosed = false;

  constructor(options: TransactionOptions) {
    this.#options = options;
    this.#nextProducerId = options.journal.metadata.producerIdsBelow;
    for (const { id, producerId, epoch } of options.journal.metadata.transactionalIds.values())
      this.#transactions.set(id, this.#newTransaction(id, producerId, epoch));
  }

  /** For a producer without transactions. */
  grantIdempotent(): ProducerGrant {
    return { transactionalId: undefined, producerId: this.#newProducerId(), epoch: 0 };
  }

  /** Fences the producer that had the id before, aborts what it has open and resolves when that is settled. */
  async grant(id: string, timeoutMs: number): Promise<ProducerGrant> {
    let transaction = this.#transactions.get(id);
    if (transaction === undefined) {
      transaction = this.#newTransaction(id, this.#newProducerId(), -1);
      this.#transactions.set(id, transaction);
    }
    await this.settled(id);
    transaction.timeoutMs = timeoutMs;
    this.#fence(transaction);
    const { producerId, epoch } = transaction;
    await this.settled(id);
    return { transactionalId: id, producerId, epoch };
  }

  /** As `grant`, for nobody. An unknown id has nothing to fence. */
  async fence(id: string): Promise<void> {
    const transaction = this.#transactions.get(id);
    if (transaction === undefined) return;
    await this.settled(id);
    this.#fence(transaction);
    await this.settled(id);
  }

  /** Resolves when no decided transaction of the id lacks a marker. Rejects with `LOG_UNAVAILABLE` if that takes too long. */
  async settled(id: string): Promise<void> {
    const transaction = this.#transactions.get(id);
    if (transaction?.state === 'ending') await this.#untilSettled(transaction);
  }

  async #untilSettled(transaction: Transaction): Promise<void> {
    let timer: Timer | undefined;
    const isSettled = await new Promise<boolean>((resolve) => {
      transaction.settled.push(() => {
        resolve(true);
      });
      timer = this.#options.clock.timer(settleTimeoutMs, () => {
        resolve(false);
      });
    });
    timer?.cancel();
    if (isSettled && !this.#isClosed) return;
    throw new StreamError('LOG_UNAVAILABLE', 'the markers of the last transaction could not be written', {
      facts: { transactionalId: transaction.id },
    });
  }

  /** Before each append inside a transaction. Throws `PRODUCER_FENCED`. */
  enlist(grant: ProducerGrant, log: PartitionLog): void {
    this.#begin(this.#owned(grant)).parts.set(partitionId(log.topic, log.partition), log);
  }

  /** Takes offsets into the transaction. Throws `PRODUCER_FENCED`. */
  addOffsets(grant: ProducerGrant, groupId: string, offsets: readonly StoredOffset[]): void {
    const transaction = this.#begin(this.#owned(grant));
    const pending = transaction.offsets.get(groupId) ?? new Map<string, StoredOffset>();
    transaction.offsets.set(groupId, pending);
    for (const offset of offsets) pending.set(partitionId(offset.topic, offset.partition), offset);
  }

  /** Decides the transaction. Does nothing if none is open. Throws `PRODUCER_FENCED`, and `LOG_UNAVAILABLE` if it is undecided still. */
  end(grant: ProducerGrant, type: ControlType): void {
    const transaction = this.#owned(grant);
    if (transaction.state === 'ongoing') this.#decide(transaction, type);
  }

  /** Whether an undecided transaction holds offsets of the group for the partition. */
  hasPendingOffset(groupId: string, topic: string, partition: number): boolean {
    const id = partitionId(topic, partition);
    for (const { offsets } of this.#transactions.values()) if (offsets.get(groupId)?.has(id) === true) return true;
    return false;
  }

  /** A deleted topic takes no markers. */
  forgetTopic(topic: string): void {
    for (const transaction of this.#transactions.values())
      for (const [id, log] of transaction.parts) if (log.topic === topic) transaction.parts.delete(id);
  }

  /** Forgets transactional ids that were not used since. */
  forgetIdleSince(timestampMs: number): void {
    for (const [id, { state, lastUsedMs }] of this.#transactions) {
      if (state !== 'empty' || lastUsedMs >= timestampMs) continue;
      this.#options.journal.record({ type: 'transactional-id-forgotten', id });
      this.#transactions.delete(id);
    }
  }

  close(): void {
    this.#isClosed = true;
    for (const transaction of this.#transactions.values()) {
      transaction.timer?.cancel();
      release(transaction);
    }
  }

  #newTransaction(id: string, producerId: number, epoch: number): Transaction {
    const lastUsedMs = this.#options.clock.nowMs();
    const maps = { parts: new Map<string, PartitionLog>(), offsets: new Map<string, Map<string, StoredOffset>>() };
    return {
      id,
      producerId,
      epoch,
      timeoutMs: 0,
      state: 'empty',
      timer: undefined,
      ...maps,
      settled: [],
      decisions: 0,
      lastUsedMs,
    };
  }

  #newProducerId(): number {
    const { journal } = this.#options;
    if (this.#nextProducerId >= journal.metadata.producerIdsBelow)
      journal.record({ type: 'producer-ids', below: this.#nextProducerId + producerIdBlock });
    return this.#nextProducerId++;
  }

  #owned(grant: ProducerGrant): Transaction {
    const transaction = this.#transactions.get(grant.transactionalId ?? '');
    if (transaction?.producerId === grant.producerId && transaction.epoch === grant.epoch) return transaction;
    const { transactionalId, producerId, epoch } = grant;
    throw new StreamError('PRODUCER_FENCED', `the producer of ${String(transactionalId)} was replaced or timed out`, {
      facts: { transactionalId, producerId, epoch, currentEpoch: transaction?.epoch },
    });
  }

  #begin(transaction: Transaction): Transaction {
    transaction.lastUsedMs = this.#options.clock.nowMs();
    if (transaction.state === 'ongoing') return transaction;
    if (transaction.state === 'ending')
      throw new StreamError('LOG_UNAVAILABLE', 'the previous transaction is not settled yet', {
        facts: { transactionalId: transaction.id },
      });
    transaction.state = 'ongoing';
    transaction.timer = this.#options.clock.timer(transaction.timeoutMs, () => {
      this.#expire(transaction);
    });
    return transaction;
  }

  #expire(transaction: Transaction): void {
    if (this.#isClosed || transaction.state !== 'ongoing') return;
    try {
      this.#fence(transaction);
    } catch {
      // The journal cannot be written: the transaction stays open until it can.
      transaction.timer = this.#options.clock.timer(markerRetryMs, () => {
        this.#expire(transaction);
      });
    }
  }

  /** Gives out the next epoch, then aborts what the old one has open. */
  #fence(transaction: Transaction): void {
    const isExhausted = transaction.epoch >= epochMax && transaction.state === 'empty';
    const producerId = isExhausted ? this.#newProducerId() : transaction.producerId;
    const epoch = isExhausted ? 0 : transaction.epoch + 1;
    this.#options.journal.record({ type: 'transactional-id', id: transaction.id, producerId, epoch });
    transaction.producerId = producerId;
    transaction.epoch = epoch;
    transaction.lastUsedMs = this.#options.clock.nowMs();
    if (transaction.state === 'ongoing') this.#decide(transaction, 'abort');
  }

  #decide(transaction: Transaction, type: ControlType): void {
    if (type === 'commit') this.#recordCommit(transaction);
    transaction.timer?.cancel();
    transaction.state = 'ending';
    transaction.decisions += 1;
    const { markerDelayMs, random } = this.#options;
    // Offsets have a partition, and a marker, of their own.
    if (type === 'abort') transaction.offsets.clear();
    else this.#releaseOffsetsAfter(markerDelayMs * random.next(), transaction);
    for (const id of [...transaction.parts.keys()])
      this.#writeMarkerAfter(markerDelayMs * random.next(), transaction, id, type);
    this.#settle(transaction);
  }

  #recordCommit({ producerId, epoch, parts, offsets }: Transaction): void {
    if (this.#options.isSynced) for (const log of parts.values()) log.sync();
    this.#options.journal.record({
      type: 'commit',
      producerId,
      epoch,
      parts: [...parts.values()].flatMap(({ topic, partition, producers }) => {
        const open = producers.openTransaction(producerId);
        return open === undefined ? [] : [{ topic, partition, firstOffset: open.firstOffset }];
      }),
      offsets: [...offsets].map(([groupId, pending]) => ({ groupId, offsets: [...pending.values()] })),
    });
  }

  #writeMarkerAfter(delayMs: number, transaction: Transaction, id: string, type: ControlType): void {
    if (delayMs > 0) {
      this.#options.clock.timer(delayMs, () => {
        this.#writeMarkerAfter(0, transaction, id, type);
        this.#settle(transaction);
      });
      return;
    }
    const log = transaction.parts.get(id);
    if (log === undefined || this.#isClosed) return;
    try {
      log.appendMarker(type, transaction.producerId, transaction.epoch);
      transaction.parts.delete(id);
    } catch {
      this.#writeMarkerAfter(markerRetryMs, transaction, id, type);
    }
  }

  #releaseOffsetsAfter(delayMs: number, transaction: Transaction): void {
    const { decisions } = transaction;
    if (delayMs === 0) transaction.offsets.clear();
    else
      this.#options.clock.timer(delayMs, () => {
        if (transaction.decisions === decisions && transaction.state === 'ending') transaction.offsets.clear();
      });
  }

  #settle(transaction: Transaction): void {
    if (transaction.state !== 'ending' || transaction.parts.size > 0) return;
    transaction.state = 'empty';
    transaction.offsets.clear();
    this.#options.journal.metadata.commits.delete(transaction.producerId);
    release(transaction);
  }
}

function release(transaction: Transaction): void {
  for (const resolve of transaction.settled.splice(0)) resolve();
}
