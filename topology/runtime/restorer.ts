/** Fills stores from their changelogs, outside the processing loop, up to a position fixed beforehand. */
import type { FetchedBatch, Log, ReadFailure, Reader } from '../../connectors/log.ts';
import { StreamError } from '../../errors.ts';
import { partitionId } from '../../schemas/record.ts';
import type { TaskStore } from './task-store.ts';

/** How long one poll of the restore reader waits. */
const pollWaitMs = 500;
/** Bytes per partition and poll: restoring reads ahead more than processing does. */
const partitionBytesMax = 4 * 1024 * 1024;

export interface RestoreTarget {
  readonly store: TaskStore;
  readonly topic: string;
  readonly partition: number;
  readonly from: number;
  /** Done when the reader's position reaches this, whatever the last record was: markers and aborted records count. */
  readonly to: number;
}

export interface RestoreProgress {
  restored: number;
  readonly total: number;
}

interface Running {
  readonly target: RestoreTarget;
  /** Everything below is in the store. */
  position: number;
  readonly progress: RestoreProgress;
  readonly finish: (error?: unknown) => void;
}

export interface RestorerOptions {
  readonly partitionBytesMax?: number;
  /** Awaited after each poll, with what it brought: lets others have their turn. */
  pace(polledBytes: number): Promise<void>;
}

export interface RestoreCounts {
  /** Changelog records read into stores. */
  records: number;
  /** Stores that were read in from the beginning of their changelogs. */
  whole: number;
  /** Stores of which only what had been missed was read. */
  tails: number;
}

/** One reader for all stores of an instance that are restoring, or that follow their changelogs (`to` is `Infinity`). */
export class Restorer {
  readonly counts: RestoreCounts = { records: 0, whole: 0, tails: 0 };
  readonly #log: Log;
  #reader: Reader | undefined;
  readonly #running = new Map<string, Running>();
  #loop: Promise<void> | undefined;
  #isClosed = false;
  readonly #options: RestorerOptions;
  #taking: { readonly id: string; readonly done: Promise<void> } | undefined;

  constructor(log: Log, options: RestorerOptions) {
    this.#log = log;
    this.#options = options;
  }

  /** Resolves when the store holds everything below `target.to`; rejects with `OFFSET_OUT_OF_RANGE`, store errors, or when cancelled. */
  async restore(target: RestoreTarget, progress: RestoreProgress): Promise<void> {
    if (target.from >= target.to) return;
    if (this.#isClosed) throw new StreamError('LOG_CLOSED', 'the restorer is closed');
    const id = partitionId(target.topic, target.partition);
    const done = new Promise<void>((resolve, reject) => {
      const finish = (error?: unknown): void => {
        this.#running.delete(id);
        this.#reader?.remove(target);
        if (error === undefined) resolve();
        else reject(error instanceof Error ? error : new StreamError('STORE_IO', 'restore failed', { cause: error }));
      };
      this.#running.set(id, { target, progress, finish, position: target.from });
    });
    this.#reader ??= this.#log.reader({
      isolation: 'read_committed',
      partitionBytesMax: this.#options.partitionBytesMax ?? partitionBytesMax,
    });
    this.#reader.seek(target, target.from);
    this.#loop ??= this.#run().finally(() => {
      this.#loop = undefined;
    });
    await done;
  }

  /** Gives up on a store; its `restore` rejects with `TASK_MIGRATED`. */
  cancel(topic: string, partition: number): void {
    this.#running
      .get(partitionId(topic, partition))
      ?.finish(new StreamError('TASK_MIGRATED', 'the task moved away while restoring'));
  }

  /** Resolves when nothing more is written to a store that was given up. */
  async settled(topic: string, partition: number): Promise<void> {
    if (this.#taking?.id === partitionId(topic, partition)) await this.#taking.done;
  }

  /** How far a store is, and how much of its changelog is known to be left; `undefined` unless it is being restored. */
  state(topic: string, partition: number): { readonly position: number; readonly lag: number | undefined } | undefined {
    const running = this.#running.get(partitionId(topic, partition));
    if (running === undefined) return undefined;
    const { position, target } = running;
    const end = this.#reader?.position(target)?.end;
    return { position, lag: end === undefined ? undefined : Math.max(0, end - position) };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    for (const running of [...this.#running.values()])
      running.finish(new StreamError('LOG_CLOSED', 'the restorer was closed'));
    this.#reader?.wakeup();
    await this.#loop;
    await this.#reader?.close();
    this.#reader = undefined;
  }

  async #run(): Promise<void> {
    while (this.#running.size > 0 && !this.#isClosed) {
      const reader = this.#reader;
      if (reader === undefined) return;
      const { batches, failures } = await reader.poll(pollWaitMs);
      for (const failure of failures) this.#failed(failure);
      let polledBytes = 0;
      for (const batch of batches) {
        polledBytes += batch.sizeBytes;
        await this.#takeAlone(batch);
      }
      await this.#options.pace(polledBytes);
    }
  }

  async #takeAlone(batch: FetchedBatch): Promise<void> {
    const done = this.#take(batch);
    this.#taking = { id: partitionId(batch.topic, batch.partition), done };
    await done;
    this.#taking = undefined;
  }

  #failed({ topic, partition, error }: ReadFailure): void {
    // Anything but an outage is for whoever opens the task to report and to wait out.
    if (error.code !== 'LOG_UNAVAILABLE') this.#running.get(partitionId(topic, partition))?.finish(error);
  }

  async #take(batch: FetchedBatch): Promise<void> {
    const running = this.#running.get(partitionId(batch.topic, batch.partition));
    if (running === undefined) return;
    try {
      const count = await running.target.store.restore(batch, running.target.to);
      running.progress.restored += count;
      this.counts.records += count;
      running.position = Math.max(running.position, Math.min(batch.nextOffset, running.target.to));
      if (batch.nextOffset >= running.target.to) running.finish();
    } catch (error) {
      running.finish(error);
    }
  }
}
