/** The tasks of one instance: opened in the background, closed clean or dirty, listed for the loop and the views. */
import type { Reader } from '../../connectors/log.ts';
import { StreamError, assert, hasCode } from '../../errors.ts';
import { backoffMs } from './options.ts';
import type { Outputs } from './outputs.ts';
import { subTopologyOfTask } from './plan-tasks.ts';
import { positionOf } from './stored-tasks.ts';
import type { PartitionQueue } from './partition-queue.ts';
import { takeOver } from './take-over.ts';
import type { Opening, TakeOverScope } from './take-over.ts';
import { Task } from './task.ts';
import type { TaskStore } from './task-store.ts';

interface OpeningTask extends Opening {
  readonly controller: AbortController;
  done: Promise<void>;
  /** Why the last attempt failed. */
  failure: StreamError | undefined;
}

export interface TaskSetScope extends TakeOverScope {
  readonly reader: Reader;
  readonly outputs: Outputs;
  /** Called when a task has something to do that no record brings. */
  wake(): void;
  /** Global stores by name, filled. */
  globals(): ReadonlyMap<string, TaskStore>;
  /** Called when a task began to run. */
  opened(task: Task): void;
  /** Called when a task can never be opened; once per task. */
  failed(error: StreamError): void;
}

/** Attempts to open one task before a failure that is not worth waiting out is given up. */
const rebuildAttemptsMax = 3;

export class TaskSet {
  readonly #scope: TaskSetScope;
  readonly #running = new Map<string, Task>();
  readonly #opening = new Map<string, OpeningTask>();

  constructor(scope: TaskSetScope) {
    this.#scope = scope;
  }

  get running(): ReadonlyMap<string, Task> {
    return this.#running;
  }

  get opening(): ReadonlyMap<string, Opening> {
    return this.#opening;
  }

  /** Why some task cannot be opened now. */
  get openingFailure(): StreamError | undefined {
    for (const { failure } of this.#opening.values()) if (failure !== undefined) return failure;
    return undefined;
  }

  /** Everything owned here, running or still restoring. */
  get ids(): readonly string[] {
    return [...this.#running.keys(), ...this.#opening.keys()];
  }

  /** Where the stores of tasks stand that are still restored, summed up. */
  positions(): ReadonlyMap<string, number> {
    return new Map([...this.#opening.values()].map(({ taskId, stores }) => [taskId, positionOf(stores.values())]));
  }

  /** Starts opening a task; returns at once. Retries what is worth waiting for until it is closed. */
  open(taskId: string): void {
    if (this.#running.has(taskId) || this.#opening.has(taskId)) return;
    const { subTopology, partition } = subTopologyOfTask(this.#scope.prepared.plan, taskId);
    const controller = new AbortController();
    const opening: OpeningTask = {
      taskId,
      subTopology,
      partition,
      controller,
      signal: controller.signal,
      progress: { restored: 0, total: 0 },
      stores: new Map(),
      done: Promise.resolve(),
      failure: undefined,
    };
    this.#opening.set(taskId, opening);
    opening.done = this.#open(opening).finally(() => {
      if (this.#opening.get(taskId) === opening) this.#opening.delete(taskId);
    });
  }

  /** These process nothing more, nor begin to; what they did can still be committed. */
  suspend(taskIds: readonly string[]): void {
    for (const taskId of taskIds) {
      this.#opening.get(taskId)?.controller.abort();
      const task = this.#running.get(taskId);
      if (task !== undefined) task.isSuspended = true;
    }
  }

  /** Commit before closing a task that did something. */
  async close(taskId: string): Promise<void> {
    const opening = this.#opening.get(taskId);
    if (opening !== undefined) {
      opening.controller.abort();
      await opening.done;
    }
    const task = this.#stop(taskId);
    if (task !== undefined) await this.#scope.closeStores(taskId, task.stores.values());
  }

  /** As `close`, but leaves the stores open that a standby of the task goes on with. */
  async demote(taskId: string): Promise<ReadonlyMap<string, TaskStore>> {
    if (this.#opening.has(taskId)) await this.close(taskId);
    const kept = new Map<string, TaskStore>();
    for (const [name, store] of this.#stop(taskId)?.stores ?? []) {
      store.discard();
      if (store.planned.changelogTopic === undefined) await store.close();
      else kept.set(name, store);
    }
    return kept;
  }

  #stop(taskId: string): Task | undefined {
    const task = this.#running.get(taskId);
    if (task === undefined) return undefined;
    this.#running.delete(taskId);
    for (const queue of task.queues) this.#scope.reader.remove(queue);
    task.close();
    return task;
  }

  /** Closes all; what was not committed is dropped. Never rejects. */
  async closeAll(): Promise<void> {
    this.#scope.outputs.discard();
    const closing = this.ids.map((taskId) =>
      this.close(taskId).catch((error: unknown) => {
        this.#scope.options.host.logger.warn('closing a task failed', { taskId, error: messageOf(error) });
      }),
    );
    await Promise.all(closing);
    this.#scope.outputs.discard();
  }

  async #open(opening: OpeningTask): Promise<void> {
    const { options } = this.#scope;
    let rebuilds = 0;
    for (let attempt = 0; !opening.signal.aborted; attempt += 1) {
      try {
        await this.#openOnce(opening);
        return;
      } catch (error) {
        if (opening.controller.signal.aborted) break;
        const isDamaged = hasCode(error, 'STORE_FOREIGN', 'STORE_CORRUPT');
        if (isDamaged && rebuilds < rebuildAttemptsMax) {
          rebuilds += 1;
          await this.#destroyStores(opening);
        } else if (error instanceof StreamError && error.retry === 'with-backoff') {
          opening.failure = error;
          options.host.logger.warn('opening a task failed, trying again', {
            taskId: opening.taskId,
            code: error.code,
            error: error.message,
          });
          await options.host.clock.sleep(backoffMs(attempt), opening.signal);
        } else {
          this.#scope.failed(asStreamError(error, opening.taskId));
          return;
        }
      }
    }
  }

  async #openOnce(opening: OpeningTask): Promise<void> {
    const { options, prepared, outputs, reader } = this.#scope;
    const { host } = options;
    const { stores, start } = await takeOver(this.#scope, opening);
    if (opening.signal.aborted) {
      await this.#scope.closeStores(opening.taskId, stores.values());
      return;
    }
    try {
      const task = new Task({
        id: opening.taskId,
        plan: prepared.plan,
        subTopology: opening.subTopology,
        partition: opening.partition,
        stores,
        globals: this.#scope.globals(),
        outputs,
        start,
        clock: host.clock,
        random: host.random,
        logger: host.logger,
        maxTaskIdleMs: options.maxTaskIdleMs,
        isStrict: options.isStrict,
        isCaughtUp: (queue) => isCaughtUp(reader, queue),
        wake: () => this.#scope.wake(),
      });
      task.open();
      for (const queue of task.queues) reader.seek(queue, queue.nextOffset);
      this.#running.set(task.id, task);
      this.#opening.delete(task.id);
      this.#scope.opened(task);
    } catch (error) {
      await this.#scope.closeStores(opening.taskId, stores.values());
      throw error;
    }
  }

  async #destroyStores(opening: Opening): Promise<void> {
    const { options } = this.#scope;
    for (const planned of opening.subTopology.stores)
      await options.host.stores.destroy([options.applicationId, opening.taskId, planned.spec.name]);
  }
}

function isCaughtUp(reader: Reader, queue: PartitionQueue): boolean {
  const position = reader.position(queue);
  return position?.end !== undefined && position.offset >= position.end;
}

function asStreamError(error: unknown, taskId: string): StreamError {
  if (error instanceof StreamError) return error;
  assert(error instanceof Error, 'only errors are thrown');
  return new StreamError('PROCESSING_FAILED', `task ${taskId} could not be opened`, {
    facts: { taskId },
    cause: error,
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : 'unknown';
}
