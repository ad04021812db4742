import { assert, hasCode, StreamError } from '../../errors.ts';
import { partitionId, type TopicPartition } from '../../schemas/record.ts';
import type {
  FetchedBatch,
  PartitionOffsets,
  Reader,
  ReaderOptions,
  ReaderPosition,
  ReadFailure,
  ReadResult,
} from '../log.ts';
import { RawBatches, type VisibleBatches } from '../raw-batches.ts';
import type { Connection } from './connection.ts';
import { readPartition } from './partition-read.ts';

const pollBytesDefault = 16 * 1024 * 1024;
const partitionBytesDefault = 1024 * 1024;
/** A partition that failed is not tried again sooner. */
const retryMs = 100;

interface Assigned extends TopicPartition {
  offset: number;
  isPaused: boolean;
  end: number | undefined;
  highWatermark: number | undefined;
  retryAtMs: number;
  readonly unwatch: () => void;
}

/** What the broker answered for one partition, asked at `offset`. */
interface Answer {
  readonly assigned: Assigned;
  readonly offset: number;
  readonly offsets?: PartitionOffsets;
  readonly read?: VisibleBatches | undefined;
  readonly error?: StreamError;
}

const nothingRead: ReadResult = { batches: [], failures: [] };

export class EmbeddedReader implements Reader {
  readonly #connection: Connection;
  readonly #options: ReaderOptions;
  /** Those that were served last come last. */
  readonly #partitions = new Map<string, Assigned>();
  #isPolling = false;
  #isClosed = false;
  /** Something happened since the last look at the broker. */
  #hasChanged = false;
  #isWoken = false;
  #waiting: AbortController | undefined;
  readonly #forget: () => void;

  constructor(connection: Connection, options: ReaderOptions) {
    this.#connection = connection;
    this.#options = options;
    this.#forget = connection.onClose(() => {
      this.#shut();
    });
  }

  seek({ topic, partition }: TopicPartition, offset: number): void {
    const id = partitionId(topic, partition);
    const isPaused = this.#partitions.get(id)?.isPaused ?? false;
    this.remove({ topic, partition });
    const changed = (): void => {
      this.#change();
    };
    const unwatch = this.#connection.broker.watch(topic, partition, changed);
    const unknown = { end: undefined, highWatermark: undefined, retryAtMs: 0 };
    this.#partitions.set(id, { topic, partition, offset, isPaused, ...unknown, unwatch });
    this.#change();
  }

  remove({ topic, partition }: TopicPartition): void {
    const id = partitionId(topic, partition);
    this.#partitions.get(id)?.unwatch();
    this.#partitions.delete(id);
  }

  pause({ topic, partition }: TopicPartition): void {
    const assigned = this.#partitions.get(partitionId(topic, partition));
    if (assigned !== undefined) assigned.isPaused = true;
  }

  resume({ topic, partition }: TopicPartition): void {
    const assigned = this.#partitions.get(partitionId(topic, partition));
    if (assigned === undefined) return;
    assigned.isPaused = false;
    this.#change();
  }

  position({ topic, partition }: TopicPartition): ReaderPosition | undefined {
    const assigned = this.#partitions.get(partitionId(topic, partition));
    if (assigned === undefined) return undefined;
    const { offset, end, highWatermark } = assigned;
    return { offset, end, highWatermark };
  }

  async poll(waitMs: number): Promise<ReadResult> {
    assert(!this.#isPolling, 'one poll at a time');
    this.#isPolling = true;
    this.#isWoken = false;
    try {
      return await this.#poll(waitMs);
    } finally {
      this.#isPolling = false;
    }
  }

  wakeup(): void {
    this.#isWoken = true;
    this.#waiting?.abort();
  }

  async close(): Promise<void> {
    this.#forget();
    this.#shut();
  }

  async #poll(waitMs: number): Promise<ReadResult> {
    const { clock } = this.#connection;
    const deadlineMs = clock.monotonicMs() + waitMs;
    while (!this.#isClosed) {
      this.#hasChanged = false;
      const result = this.#accept(await this.#fetch());
      const remainingMs = deadlineMs - clock.monotonicMs();
      const isSomething = result.batches.length > 0 || result.failures.length > 0;
      if (isSomething || this.#isWoken || remainingMs <= 0) return result;
      await this.#wait(Math.min(remainingMs, this.#untilRetryMs()));
    }
    return nothingRead;
  }

  async #fetch(): Promise<readonly Answer[]> {
    try {
      return await this.#connection.request('fetch', () => this.#ask());
    } catch (error) {
      // The client was closed, or the request was lost: there is a next time.
      if (!(error instanceof StreamError) || hasCode(error, 'LOG_CLOSED')) {
        if (this.#isClosed) return [];
        throw error;
      }
      return this.#due().map((assigned) => ({ assigned, offset: assigned.offset, error }));
    }
  }

  /** Runs at the broker. */
  #ask(): readonly Answer[] {
    const { pollBytesMax = pollBytesDefault, partitionBytesMax = partitionBytesDefault, isolation } = this.#options;
    this.#connection.broker.checkOpen();
    let remainingBytes = pollBytesMax;
    const answers: Answer[] = [];
    for (const assigned of this.#due()) {
      if (remainingBytes <= 0) break;
      const { topic, partition, offset } = assigned;
      try {
        const log = this.#connection.broker.partition(topic, partition);
        const bytesMax = Math.min(partitionBytesMax, remainingBytes);
        const read = readPartition(log, { offset, isolation, bytesMax });
        remainingBytes -= read?.sizeBytes ?? 0;
        answers.push({ assigned, offset, read, offsets: log.offsets });
      } catch (error) {
        if (!(error instanceof StreamError)) throw error;
        answers.push({ assigned, offset, error });
      }
    }
    return answers;
  }

  #due(): readonly Assigned[] {
    const nowMs = this.#connection.clock.monotonicMs();
    return [...this.#partitions.values()].filter((assigned) => !assigned.isPaused && assigned.retryAtMs <= nowMs);
  }

  /** Takes what still concerns us: a partition may have been moved, paused or removed while the request was under way. */
  #accept(answers: readonly Answer[]): ReadResult {
    const batches: FetchedBatch[] = [];
    const failures: ReadFailure[] = [];
    for (const { assigned, offset, read, offsets, error } of answers) {
      const id = partitionId(assigned.topic, assigned.partition);
      const isCurrent = this.#partitions.get(id) === assigned && assigned.offset === offset && !assigned.isPaused;
      if (!isCurrent) continue;
      const { topic, partition } = assigned;
      if (error !== undefined) {
        assigned.retryAtMs = this.#connection.clock.monotonicMs() + retryMs;
        failures.push({ topic, partition, error });
      }
      if (offsets !== undefined) {
        assigned.end = this.#options.isolation === 'read_committed' ? offsets.stable : offsets.end;
        assigned.highWatermark = offsets.end;
      }
      if (read === undefined) continue;
      assigned.offset = read.nextOffset;
      batches.push(new RawBatches(assigned, offset, read));
      this.#partitions.delete(id);
      this.#partitions.set(id, assigned);
    }
    return { batches, failures };
  }

  #untilRetryMs(): number {
    const nowMs = this.#connection.clock.monotonicMs();
    const waits = [...this.#partitions.values()].map(({ isPaused, retryAtMs }) =>
      isPaused || retryAtMs <= nowMs ? Infinity : retryAtMs - nowMs,
    );
    return Math.min(Infinity, ...waits);
  }

  async #wait(ms: number): Promise<void> {
    if (this.#hasChanged || this.#isWoken || this.#isClosed) return;
    this.#waiting = new AbortController();
    await this.#connection.clock.sleep(ms, this.#waiting.signal);
    this.#waiting = undefined;
  }

  #change(): void {
    this.#hasChanged = true;
    // With a reason, or each time an error is made, stack and all.
    this.#waiting?.abort('changed');
  }

  #shut(): void {
    this.#isClosed = true;
    for (const { unwatch } of this.#partitions.values()) unwatch();
    this.#partitions.clear();
    this.#waiting?.abort();
  }
}
