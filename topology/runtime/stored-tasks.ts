/** What lies on this instance's disk of tasks that are not open here: how complete it is, and until when it is kept. */
import type { ResolvedOptions } from './options.ts';
import { globalDirectory } from './plan-tasks.ts';
import type { TaskStore } from './task-store.ts';

/** Longest time between two looks for what is to be removed. */
const cleanUpIntervalMs = 60_000;

interface StoredTask {
  /** Where its stores stand in their changelogs, summed up; `undefined` for what an earlier process left. */
  readonly position: number | undefined;
  /** Since when it has not been open here, on the monotonic clock. */
  readonly sinceMs: number;
}

export class StoredTasks {
  readonly #options: ResolvedOptions;
  readonly #tasks = new Map<string, StoredTask>();

  constructor(options: ResolvedOptions) {
    this.#options = options;
  }

  /** Where tasks stand, those that are open by now as of when they were closed. */
  positions(): ReadonlyMap<string, number> {
    const positions = new Map<string, number>();
    for (const [taskId, { position }] of this.#tasks) if (position !== undefined) positions.set(taskId, position);
    return positions;
  }

  /** Tasks of which an earlier process left something. */
  async find(): Promise<readonly string[]> {
    const found = [...new Set((await this.#list()).map(([, taskId = '']) => taskId))].sort();
    for (const taskId of found) this.#note(taskId, undefined);
    return found;
  }

  /** Closes the stores of a task and remembers where they stand. */
  async close(taskId: string, stores: Iterable<TaskStore>): Promise<void> {
    const closing = [...stores];
    const position = positionOf(closing);
    for (const store of closing) await store.close();
    if (this.#options.host.stores.persistent && closing.length > 0) this.#note(taskId, position);
  }

  /** Its stores are gone. */
  forget(taskId: string): void {
    this.#tasks.delete(taskId);
  }

  /** Removes, until it is told to stop, what has not been open for a while. */
  async cleanUp(signal: AbortSignal, isOpen: (taskId: string) => boolean): Promise<void> {
    const { host, stateCleanupDelayMs } = this.#options;
    const isStopped = (): boolean => signal.aborted;
    while (!isStopped()) {
      await host.clock.sleep(Math.min(stateCleanupDelayMs, cleanUpIntervalMs), signal);
      const nowMs = host.clock.monotonicMs();
      for (const [taskId, { sinceMs }] of [...this.#tasks])
        if (!isStopped() && !isOpen(taskId) && nowMs - sinceMs >= stateCleanupDelayMs) await this.#remove(taskId);
    }
  }

  #note(taskId: string, position: number | undefined): void {
    this.#tasks.set(taskId, { position, sinceMs: this.#options.host.clock.monotonicMs() });
  }

  async #list(): Promise<readonly (readonly string[])[]> {
    const { host, applicationId } = this.#options;
    if (!host.stores.persistent) return [];
    const paths = (await host.stores.list()).map(({ path }) => path);
    return paths.filter(
      ([application, taskId]) => application === applicationId && taskId !== undefined && taskId !== globalDirectory,
    );
  }

  /** Whoever opens the task meanwhile finds the directory locked, and then an empty one: slower, not wrong. */
  async #remove(taskId: string): Promise<void> {
    const { stores, logger } = this.#options.host;
    try {
      for (const path of await this.#list()) if (path[1] === taskId) await stores.destroy(path);
      this.#tasks.delete(taskId);
      logger.info('removed the state of a task that has not been here for a while', { taskId });
    } catch (error) {
      logger.warn('state could not be removed', { taskId, error: error instanceof Error ? error.message : 'unknown' });
    }
  }
}

/** Where logged stores stand, summed up. */
export function positionOf(stores: Iterable<TaskStore>): number {
  let sum = 0;
  for (const store of stores) if (store.planned.changelogTopic !== undefined) sum += store.position ?? 0;
  return sum;
}
