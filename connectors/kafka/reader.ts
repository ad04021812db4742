/** Fetches ahead: while the engine works on what a poll returned, the next fetches are under way, one answer deep. */
import { hasCode, StreamError } from '../../errors.ts';
import { partitionId, type TopicPartition } from '../../schemas/record.ts';
import type { FetchedBatch, Reader, ReaderOptions, ReaderPosition, ReadFailure, ReadResult } from '../log.ts';
import { Connections, type Cluster } from './cluster.ts';
import { fetchRequest, type PartitionAnswer } from './fetch-request.ts';
import { readAnswer } from './fetched-batch.ts';
import { attemptAgain, kafkaCode, kafkaError } from './kafka-errors.ts';
import {
  fetchBytesMin,
  fetchesPerLeader,
  fetchWaitMs,
  partitionBackoffMs,
  partitionBytesMaxDefault,
  pollBytesMaxDefault,
  unavailableSilenceMs,
} from './limits.ts';
import { FetchedPartition } from './reader-partition.ts';
import { backoff } from './retry.ts';

/** Finds first and last offsets of one partition, for the facts of `OFFSET_OUT_OF_RANGE`. */
export type FindRange = (at: TopicPartition) => Promise<{ readonly start: number; readonly end: number }>;

export class KafkaReader implements Reader {
  readonly #cluster: Cluster;
  readonly #options: Required<ReaderOptions>;
  readonly #findRange: FindRange;
  readonly #partitions = new Map<string, FetchedPartition>();
  /** By leader: a connection for each fetch that may be under way, the number of which is in use. */
  readonly #slots = new Map<string, Slot[]>();
  readonly #running = new Set<Promise<void>>();
  #isClosed = false;
  #isLocating = false;
  #turn = 0;
  #wake: (() => void) | undefined;

  constructor(cluster: Cluster, options: ReaderOptions, findRange: FindRange) {
    this.#cluster = cluster;
    this.#findRange = findRange;
    this.#options = {
      isolation: options.isolation,
      pollBytesMax: options.pollBytesMax ?? pollBytesMaxDefault,
      partitionBytesMax: options.partitionBytesMax ?? partitionBytesMaxDefault,
    };
  }

  seek({ topic, partition }: TopicPartition, offset: number): void {
    const id = partitionId(topic, partition);
    const isPaused = this.#partitions.get(id)?.isPaused ?? false;
    this.#turn += 1;
    this.#partitions.set(id, new FetchedPartition({ topic, partition, offset, isPaused, turn: this.#turn }));
    this.#fetchMore();
  }

  remove({ topic, partition }: TopicPartition): void {
    this.#partitions.delete(partitionId(topic, partition));
  }

  pause(at: TopicPartition): void {
    const partition = this.#find(at);
    if (partition !== undefined) partition.isPaused = true;
  }

  resume(at: TopicPartition): void {
    const partition = this.#find(at);
    if (partition === undefined) return;
    partition.isPaused = false;
    if (partition.isReady) this.#wake?.();
    else this.#fetchMore();
  }

  position(at: TopicPartition): ReaderPosition | undefined {
    return this.#find(at)?.position;
  }

  async poll(waitMs: number): Promise<ReadResult> {
    if (this.#isClosed) throw new StreamError('LOG_CLOSED', 'the reader is closed');
    this.#fetchMore();
    if (!this.#hasReady()) await this.#wait(waitMs);
    const result = this.#take();
    this.#fetchMore();
    return result;
  }

  wakeup(): void {
    this.#wake?.();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#partitions.clear();
    this.#wake?.();
    await Promise.all([...this.#slots.values()].flat().map(({ connections }) => connections.close()));
    await Promise.all(this.#running);
  }

  // ---- polling ------------------------------------------------------------------------------------------------------

  #find({ topic, partition }: TopicPartition): FetchedPartition | undefined {
    return this.#partitions.get(partitionId(topic, partition));
  }

  #hasReady(): boolean {
    for (const partition of this.#partitions.values()) if (partition.isReady) return true;
    return false;
  }

  async #wait(waitMs: number): Promise<void> {
    const { clock } = this.#cluster.deps;
    // A caller that never waits must still let the sockets run.
    if (waitMs <= 0) return clock.yield();
    const waiting = new AbortController();
    this.#wake = () => {
      // With a reason, or each time an error is made, stack and all.
      waiting.abort('woken');
    };
    await clock.sleep(waitMs, waiting.signal);
    this.#wake = undefined;
  }

  #take(): ReadResult {
    const batches: FetchedBatch[] = [];
    const failures: ReadFailure[] = [];
    for (const partition of this.#partitions.values()) {
      if (!partition.isReady) continue;
      const { batch, error } = partition.take();
      if (batch !== undefined) batches.push(batch);
      if (error !== undefined) failures.push({ topic: partition.topic, partition: partition.partition, error });
    }
    return { batches, failures };
  }

  // ---- fetching -----------------------------------------------------------------------------------------------------

  #own(work: Promise<void>): void {
    this.#running.add(work);
    void work.finally(() => this.#running.delete(work));
  }

  /** Starts every fetch that can start now. */
  #fetchMore(): void {
    if (this.#isClosed) return;
    const { homeless, byLeader } = this.#wanting();
    if (homeless.length > 0 && !this.#isLocating) this.#own(this.#locate(homeless));
    for (const [leader, partitions] of byLeader) {
      const slot = this.#freeSlot(leader);
      if (slot !== undefined) this.#own(this.#fetch(leader, slot, partitions));
    }
  }

  #wanting(): { readonly homeless: FetchedPartition[]; readonly byLeader: ReadonlyMap<string, FetchedPartition[]> } {
    const byLeader = new Map<string, FetchedPartition[]>();
    const homeless: FetchedPartition[] = [];
    for (const partition of this.#partitions.values()) {
      if (!partition.wantsFetch) continue;
      const leader = this.#cluster.knownLeader(partition);
      const group = leader === undefined ? homeless : (byLeader.get(leader) ?? []);
      group.push(partition);
      if (leader !== undefined) byLeader.set(leader, group);
    }
    return { homeless, byLeader };
  }

  #freeSlot(leader: string): Slot | undefined {
    let slots = this.#slots.get(leader);
    if (slots === undefined) {
      slots = Array.from({ length: fetchesPerLeader }, () => ({
        connections: new Connections(this.#cluster),
        isBusy: false,
      }));
      this.#slots.set(leader, slots);
    }
    return slots.find(({ isBusy }) => !isBusy);
  }

  /** Learns the leaders of partitions that have none. */
  async #locate(partitions: readonly FetchedPartition[]): Promise<void> {
    this.#isLocating = true;
    const names = new Set(partitions.map(({ topic }) => topic));
    for (const partition of partitions) partition.startFetch();
    try {
      await this.#cluster.metadata([...names]);
      for (const partition of partitions) this.#checkLocated(partition);
    } catch (error) {
      for (const partition of partitions) this.#failed(partition, error);
    } finally {
      this.#isLocating = false;
      for (const partition of partitions) partition.endFetch();
      this.#fetchMore();
    }
  }

  #checkLocated(partition: FetchedPartition): void {
    try {
      this.#cluster.leaderNow(partition);
    } catch (error) {
      this.#failed(partition, error);
    }
  }

  async #fetch(leader: string, slot: Slot, partitions: readonly FetchedPartition[]): Promise<void> {
    const { isolation, pollBytesMax, partitionBytesMax } = this.#options;
    const asked = [...partitions].sort((left, right) => left.turn - right.turn);
    const bytesMax = Math.max(fetchBytesMin, Math.floor(pollBytesMax / (this.#slots.size * fetchesPerLeader)));
    slot.isBusy = true;
    for (const partition of asked) partition.startFetch();
    try {
      const connection = await slot.connections.get(leader);
      const answers = await connection.request(
        fetchRequest({
          partitions: asked.map((at) => ({
            topic: at.topic,
            partition: at.partition,
            offset: at.fetchOffset,
            leaderEpoch: this.#cluster.leaderEpoch(at),
          })),
          isolation,
          waitMs: fetchWaitMs,
          bytesMax,
          partitionBytesMax,
          answerMs: this.#cluster.options.requestTimeoutMs,
        }),
      );
      await this.#accept(asked, answers);
    } catch (error) {
      this.#cluster.forgetTopics(new Set(asked.map(({ topic }) => topic)));
      for (const partition of asked) this.#failed(partition, error);
    } finally {
      slot.isBusy = false;
      for (const partition of asked) partition.endFetch();
      this.#fetchMore();
    }
  }

  async #accept(asked: readonly FetchedPartition[], answers: readonly PartitionAnswer[]): Promise<void> {
    const byId = new Map(asked.map((partition) => [partitionId(partition.topic, partition.partition), partition]));
    const totalBytes = answers.reduce((sum, { records }) => sum + records.length, 0);
    for (const answer of answers) {
      const partition = byId.get(partitionId(answer.topic, answer.partition));
      // Moved or removed since: the answer is to a question nobody asks any more.
      if (partition === undefined || this.#find(partition) !== partition) continue;
      if (answer.code === kafkaCode.none) this.#acceptRecords(partition, owned(answer, totalBytes));
      else await this.#acceptError(partition, answer.code);
    }
  }

  #acceptRecords(partition: FetchedPartition, answer: PartitionAnswer): void {
    const { batch, error } = readAnswer(answer, partition.fetchOffset, this.#options.isolation);
    const end = this.#options.isolation === 'read_committed' ? answer.lastStableOffset : answer.highWatermark;
    partition.accept({ batch, end, highWatermark: answer.highWatermark });
    if (batch !== undefined) {
      this.#turn += 1;
      partition.turn = this.#turn;
    } else if (error !== undefined) this.#failed(partition, error);
    if (partition.isReady) this.#wake?.();
  }

  async #acceptError(partition: FetchedPartition, code: number): Promise<void> {
    const { topic, partition: number, fetchOffset: offset } = partition;
    let facts: Record<string, string | number> = { topic, partition: number, offset };
    try {
      if (code === kafkaCode.offsetOutOfRange) {
        // A broker that was frozen and does not know yet that another one leads has less than that one.
        this.#cluster.forgetTopics([topic]);
        const range = await this.#findRange({ topic, partition: number });
        facts = { ...facts, ...range };
        if (offset >= range.start && offset <= range.end)
          throw new StreamError('LOG_UNAVAILABLE', 'a broker that leads no more has answered', { facts });
      }
      this.#failed(partition, kafkaError(code, 'the partition cannot be read', facts));
    } catch (error) {
      this.#failed(partition, error);
    }
  }

  #failed(partition: FetchedPartition, error: unknown): void {
    if (this.#isClosed) return;
    const { clock, random } = this.#cluster.deps;
    if (attemptAgain(error) === 'moved') this.#cluster.forgetTopics([partition.topic]);
    const failure =
      error instanceof StreamError ? error : new StreamError('LOG_UNAVAILABLE', 'the fetch failed', { cause: error });
    const silenceMs = hasCode(failure, 'LOG_UNAVAILABLE') ? unavailableSilenceMs : 0;
    partition.fail({ error: failure, nowMs: clock.monotonicMs(), silenceMs });
    clock.timer(backoff(random, partitionBackoffMs, partition.failureCount), () => {
      partition.endRest();
      this.#fetchMore();
    });
    if (partition.isReady) this.#wake?.();
  }
}

interface Slot {
  readonly connections: Connections;
  isBusy: boolean;
}

/** Records that are a small part of an answer are copied out of it, so that they do not keep all of it in memory. */
function owned(answer: PartitionAnswer, totalBytes: number): PartitionAnswer {
  const { records } = answer;
  if (records.length * 2 >= totalBytes) return answer;
  const copy = Buffer.allocUnsafeSlow(records.length);
  records.copy(copy);
  return { ...answer, records: copy };
}
