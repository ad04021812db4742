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
  readonly progress: RestoreProgress;
  readonly finish: (error?: unknown) => void;
}

/** One reader for all stores of an instance that are restoring. */
export class Restorer {
  readonly #log: Log;
  #reader: Reader | undefined;
  readonly #running = new Map<string, Running>();
  #loop: Promise<void> | undefined;
  #isClosed = false;
  readonly #yield: () => Promise<void>;

  constructor(log: Log, yieldNow: () => Promise<void>) {
    this.#log = log;
    this.#yield = yieldNow;
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
      this.#running.set(id, { target, progress, finish });
    });
    this.#reader ??= this.#log.reader({ isolation: 'read_committed', partitionBytesMax });
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
      for (const batch of batches) await this.#take(batch);
      await this.#yield();
    }
  }

  #failed({ topic, partition, error }: ReadFailure): void {
    // Anything but an outage is for whoever opens the task to report and to wait out.
    if (error.code !== 'LOG_UNAVAILABLE') this.#running.get(partitionId(topic, partition))?.finish(error);
  }

  async #take(batch: FetchedBatch): Promise<void> {
    const running = this.#running.get(partitionId(batch.topic, batch.partition));
    if (running === undefined) return;
    try {
      running.progress.restored += await running.target.store.restore(batch);
      if (batch.nextOffset >= running.target.to) running.finish();
    } catch (error) {
      running.finish(error);
    }
  }
}
