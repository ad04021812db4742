/** Fetches input and hands it to the tasks that own it, no more of each partition than may wait. */
import type { FetchedBatch, Reader } from '../../connectors/log.ts';
import { StreamError } from '../../errors.ts';
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

export class Intake {
  readonly #scope: IntakeScope;
  readonly #failures = new Map<string, { readonly error: StreamError; readonly atMs: number }>();

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
      for (const batch of batches) await this.#handOver(batch);
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
      if (queue.isPaused && queue.bufferedBytes < options.bufferedBytesMax / 2) {
        queue.isPaused = false;
        reader.resume(queue);
      }
  }

  async #handOver(batch: FetchedBatch): Promise<void> {
    const { topic, partition } = batch;
    this.#failures.delete(partitionId(topic, partition));
    const task = this.#scope.ownerOf(topic, partition);
    const queue = task?.queues.find((candidate) => candidate.topic === topic);
    if (task === undefined || queue === undefined) return;
    if (needsPreparation(queue.source)) {
      await prepare(batch, queue.source);
      // The task may have moved meanwhile.
      if (this.#scope.ownerOf(topic, partition) !== task) return;
    }
    task.addBatch(batch);
    this.#hold(queue);
  }

  #hold(queue: PartitionQueue): void {
    const { reader, options } = this.#scope;
    if (queue.isPaused || queue.bufferedBytes <= options.bufferedBytesMax) return;
    queue.isPaused = true;
    reader.pause(queue);
  }

  #failed(topic: string, partition: number, error: StreamError): void {
    if (this.#scope.ownerOf(topic, partition) === undefined) return;
    const { clock, logger } = this.#scope.options.host;
    this.#failures.set(partitionId(topic, partition), { error, atMs: clock.monotonicMs() });
    logger.warn('reading failed', { code: error.code, error: error.message, ...error.facts });
    this.#scope.failed(isPurged(error) ? positionGone(error) : error);
  }
}

function isPurged({ code, facts: { offset, start } }: StreamError): boolean {
  return code === 'OFFSET_OUT_OF_RANGE' && typeof offset === 'number' && typeof start === 'number' && offset < start;
}

/** A new owner, of whom this instance has not heard yet, may have purged what it consumed: the committed offsets tell what to make of it. */
function positionGone(cause: StreamError): StreamError {
  return new StreamError('TASK_MIGRATED', 'the log no longer has what was to be read next', {
    facts: cause.facts,
    cause,
  });
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
