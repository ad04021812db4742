/** Fetches input and hands it to the tasks that own it, no more of each partition than may wait. */
import type { FetchedBatch, Reader } from '../../connectors/log.ts';
import { type StreamError, asStreamError } from '../../errors.ts';
import { partitionId } from '../../schemas/record.ts';
import type { SourceNode } from '../graph.ts';
import { backoffMs } from './options.ts';
import type { ResolvedOptions } from './options.ts';
import type { PartitionQueue } from './partition-queue.ts';
import type { Task } from './task.ts';

/** How long a poll for input waits. */
const pollWaitMs = 500;
/** A partition that fails says so at least this often; silent for longer, it can be read again. */
const failureLastsMs = 5_000;
/** Waits for what a batch needs double up to here: it is missed for less time than a failure lasts. */
const prepareBackoffAttemptMax = 5;

export interface IntakeScope {
  readonly options: ResolvedOptions;
  readonly reader: Reader;
  /** The running task that reads a partition. */
  ownerOf(topic: string, partition: number): Task | undefined;
  isClosing(): boolean;
  /** Something was handed over. */
  arrived(): void;
  /** A partition could not be read this time. */
  failed(error: StreamError): void;
}

/** A partition as a task here reads it. */
interface Input {
  readonly id: string;
  readonly task: Task;
  readonly queue: PartitionQueue;
}

/** Fetched, but not yet to be decoded: first what its schemas are has to be known. In order. */
interface Unprepared extends Input {
  readonly batches: FetchedBatch[];
}

export class Intake {
  readonly #scope: IntakeScope;
  readonly #failures = new Map<string, { readonly error: StreamError; readonly atMs: number }>();
  readonly #unprepared = new Map<string, Unprepared>();

  constructor(scope: IntakeScope) {
    this.#scope = scope;
  }

  /** Runs until the instance closes. */
  async run(): Promise<void> {
    const { reader, options } = this.#scope;
    const { clock } = options.host;
    while (!this.#scope.isClosing()) {
      const { batches, failures } = await reader.poll(pollWaitMs);
      for (const { topic, partition, error } of failures) this.#failed(topic, partition, error);
      for (const batch of batches) this.#handOver(batch);
      if (batches.length > 0) this.#scope.arrived();
      if (failures.length > 0) await clock.sleep(backoffMs(2));
      else await clock.yield();
    }
  }

  /** Why some input cannot be read now. */
  get failure(): StreamError | undefined {
    const nowMs = this.#scope.options.host.clock.monotonicMs();
    for (const { error, atMs } of this.#failures.values()) if (nowMs - atMs < failureLastsMs) return error;
    return undefined;
  }

  /** Fetches again what was held back and has drained. */
  resume(task: Task): void {
    const { reader, options } = this.#scope;
    for (const queue of task.queues)
      if (queue.isPaused && queue.bufferedBytes < options.bufferedBytesMax / 2 && !this.#isBehind(queue)) {
        queue.isPaused = false;
        reader.resume(queue);
      }
  }

  #isBehind({ topic, partition }: PartitionQueue): boolean {
    return this.#unprepared.has(partitionId(topic, partition));
  }

  #handOver(batch: FetchedBatch): void {
    const { topic, partition } = batch;
    const id = partitionId(topic, partition);
    if (!this.#unprepared.has(id)) this.#failures.delete(id);
    const task = this.#scope.ownerOf(topic, partition);
    const queue = task?.queues.find((candidate) => candidate.topic === topic);
    if (task === undefined || queue === undefined) return;
    if (needsPreparation(queue.source)) this.#prepareThenAdd({ id, task, queue }, batch);
    else this.#add(task, queue, batch);
  }

  #add(task: Task, queue: PartitionQueue, batch: FetchedBatch): void {
    task.addBatch(batch);
    this.#hold(queue);
  }

  /** Batches of a partition are prepared one after the other, while the others go on. */
  #prepareThenAdd(input: Input, batch: FetchedBatch): void {
    const unprepared = this.#unprepared.get(input.id);
    if (unprepared?.task === input.task) {
      unprepared.batches.push(batch);
      this.#pause(input.queue);
      return;
    }
    const started = { ...input, batches: [batch] };
    this.#unprepared.set(input.id, started);
    void this.#prepareAll(started);
  }

  /** Never rejects. Ends when all are handed over, or their task is no longer here. */
  async #prepareAll(unprepared: Unprepared): Promise<void> {
    const { id, task, queue, batches } = unprepared;
    for (let attempt = 0; batches[0] !== undefined;) {
      const isPrepared = await this.#tryToPrepare(batches[0], queue);
      if (this.#scope.isClosing() || this.#unprepared.get(id) !== unprepared) return;
      if (this.#scope.ownerOf(queue.topic, queue.partition) !== task) break;
      if (isPrepared) {
        this.#add(task, queue, batches[0]);
        batches.shift();
        this.#scope.arrived();
        attempt = 0;
        continue;
      }
      await this.#scope.options.host.clock.sleep(backoffMs(Math.min(attempt++, prepareBackoffAttemptMax)));
    }
    this.#unprepared.delete(id);
  }

  /** False if what it needs cannot be had now: nothing is wrong with the records, so they wait, and no more are fetched behind them. */
  async #tryToPrepare(batch: FetchedBatch, queue: PartitionQueue): Promise<boolean> {
    const { topic, partition } = batch;
    try {
      await prepare(batch, queue.source);
      this.#failures.delete(partitionId(topic, partition));
      return true;
    } catch (cause) {
      this.#pause(queue);
      this.#failed(topic, partition, asStreamError(cause));
      return false;
    }
  }

  #pause(queue: PartitionQueue): void {
    if (queue.isPaused) return;
    queue.isPaused = true;
    this.#scope.reader.pause(queue);
  }

  #hold(queue: PartitionQueue): void {
    if (queue.bufferedBytes > this.#scope.options.bufferedBytesMax) this.#pause(queue);
  }

  #failed(topic: string, partition: number, error: StreamError): void {
    if (this.#scope.ownerOf(topic, partition) === undefined) return;
    const { clock, logger } = this.#scope.options.host;
    this.#failures.set(partitionId(topic, partition), { error, atMs: clock.monotonicMs() });
    logger.warn('reading failed', { code: error.code, error: error.message, ...error.facts });
    this.#scope.failed(error);
  }
}

function needsPreparation({ key, value }: SourceNode): boolean {
  return key.prepare !== undefined || value.prepare !== undefined;
}

/** Lets serdes fetch the schemas that a batch names, before its records are decoded one by one. */
async function prepare(batch: FetchedBatch, source: SourceNode): Promise<void> {
  const keys: Uint8Array[] = [];
  const values: Uint8Array[] = [];
  const cursor = batch.cursor();
  while (cursor.next()) {
    const key = cursor.key();
    const value = cursor.value();
    if (key !== undefined) keys.push(key);
    if (value !== undefined) values.push(value);
  }
  await source.key.prepare?.(keys);
  await source.value.prepare?.(values);
}
