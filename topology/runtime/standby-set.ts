/** Copies of tasks that run elsewhere: their stores follow the changelogs, so that taking over is a matter of the last few records. */
import { StreamError, hasCode } from '../../errors.ts';
import { backoffMs } from './options.ts';
import { subTopologyOfTask } from './plan-tasks.ts';
import type { Restorer, RestoreTarget } from './restorer.ts';
import type { StoredTasks } from './stored-tasks.ts';
import { checkPosition, consumedRange, openStore } from './take-over.ts';
import type { OpenStoreScope, Opening } from './take-over.ts';
import type { TaskStore } from './task-store.ts';

export interface StandbyScope extends OpenStoreScope {
  /** A restorer of its own, which lets processing and restoring go first. */
  readonly restorer: Restorer;
  readonly stored: StoredTasks;
}

/** A standby as it shows to the outside. */
export interface Standby extends Opening {
  /** It is to run here once it has caught up. */
  isWarmUp: boolean;
}

interface FollowingTask extends Standby {
  readonly controller: AbortController;
  /** Its stores are open, or could not be opened at the first attempt. */
  readonly opened: Promise<void>;
  markOpened(): void;
  done: Promise<void>;
  /** Of topics that are only followed as far as they were processed: by how much they are behind that. */
  readonly behind: Map<string, number>;
}

export class StandbySet {
  readonly #scope: StandbyScope;
  readonly #standbys = new Map<string, FollowingTask>();

  constructor(scope: StandbyScope) {
    this.#scope = scope;
  }

  get tasks(): ReadonlyMap<string, Standby> {
    return this.#standbys;
  }

  /** Closes what is not wanted any more. Resolves when that is done. */
  async keepOnly(wanted: readonly string[]): Promise<void> {
    const closing = [...this.#standbys.values()].filter(({ taskId }) => !wanted.includes(taskId));
    for (const { taskId } of closing) this.#standbys.delete(taskId);
    await Promise.all(closing.map((standby) => this.#close(standby)));
  }

  /** Starts following; returns at once. `stores` are what is open of the task already, with nothing uncommitted. */
  open(taskId: string, stores: ReadonlyMap<string, TaskStore> = new Map()): void {
    if (this.#standbys.has(taskId)) return;
    const { subTopology, partition } = subTopologyOfTask(this.#scope.prepared.plan, taskId);
    // Without a changelog there is nothing to follow.
    if (subTopology.stores.every(({ changelogTopic }) => changelogTopic === undefined)) return;
    const controller = new AbortController();
    let markOpened = (): void => undefined;
    const standby: FollowingTask = {
      taskId,
      subTopology,
      partition,
      controller,
      signal: controller.signal,
      progress: { restored: 0, total: 0 },
      stores: new Map(stores),
      isWarmUp: false,
      opened: new Promise((resolve) => {
        markOpened = resolve;
      }),
      markOpened: () => {
        markOpened();
      },
      done: Promise.resolve(),
      behind: new Map(),
    };
    this.#standbys.set(taskId, standby);
    standby.done = this.#run(standby);
  }

  markWarmUps(taskIds: readonly string[]): void {
    for (const standby of this.#standbys.values()) standby.isWarmUp = taskIds.includes(standby.taskId);
  }

  /** Resolves when what can be opened at once is open. */
  async allOpened(): Promise<void> {
    await Promise.all([...this.#standbys.values()].map(({ opened }) => opened));
  }

  /** Hands the stores of a standby over, as complete as they are; it follows no more. */
  async take(taskId: string): Promise<ReadonlyMap<string, TaskStore>> {
    const standby = this.#standbys.get(taskId);
    if (standby === undefined) return new Map();
    this.#standbys.delete(taskId);
    await this.#stop(standby);
    return new Map([...standby.stores].map(([name, store]) => [name, store.renewed()]));
  }

  /** Where the standbys stand, summed up over the stores of each. */
  positions(): ReadonlyMap<string, number> {
    const positions = new Map<string, number>();
    for (const { taskId, partition, stores } of this.#standbys.values()) {
      let sum = 0;
      for (const { planned, position = 0 } of stores.values())
        sum += this.#scope.restorer.state(planned.changelogTopic ?? '', partition)?.position ?? position;
      positions.set(taskId, sum);
    }
    return positions;
  }

  /** Changelog records that a standby has not read yet; `undefined` while that is not known. */
  lag({ taskId, subTopology, partition }: Standby): number | undefined {
    let sum = 0;
    for (const { changelogTopic, source } of subTopology.stores) {
      if (changelogTopic === undefined) continue;
      const lag =
        source === undefined
          ? this.#scope.restorer.state(changelogTopic, partition)?.lag
          : this.#standbys.get(taskId)?.behind.get(changelogTopic);
      if (lag === undefined) return undefined;
      sum += lag;
    }
    return sum;
  }

  async #run(standby: FollowingTask): Promise<void> {
    const { clock, logger } = this.#scope.options.host;
    for (let attempt = 0; !standby.signal.aborted; attempt += 1) {
      try {
        await this.#follow(standby);
      } catch (error) {
        if (standby.controller.signal.aborted) break;
        logger.warn('a standby cannot follow, trying again', { taskId: standby.taskId, ...describe(error) });
        await this.#giveUp(standby, error);
        await clock.sleep(backoffMs(attempt), standby.signal);
      } finally {
        standby.markOpened();
      }
    }
  }

  /** Until it is stopped or fails. */
  async #follow(standby: FollowingTask): Promise<void> {
    for (const planned of standby.subTopology.stores) {
      const { name } = planned.spec;
      if (planned.changelogTopic !== undefined && !standby.stores.has(name))
        standby.stores.set(name, await openStore(this.#scope, { opening: standby, planned }));
    }
    standby.markOpened();
    try {
      await Promise.all(
        [...standby.stores.values()].map((store) =>
          store.planned.source === undefined ? this.#tail(standby, store) : this.#trail(standby, store),
        ),
      );
    } finally {
      await this.#stopTailing(standby);
    }
  }

  async #tail(standby: FollowingTask, store: TaskStore): Promise<void> {
    const { options } = this.#scope;
    const { partition, signal } = standby;
    const topic = store.planned.changelogTopic ?? '';
    const [range] = await options.host.log.admin.offsets([{ topic, partition }]);
    if (range === undefined || signal.aborted) return;
    const from = checkPosition(this.#scope, store, { ...range, topic });
    await this.#restore(standby, { store, topic, partition, from, to: Infinity });
  }

  /** Follows the topic of a table, no further than the task that runs has committed. */
  async #trail(standby: FollowingTask, store: TaskStore): Promise<void> {
    const { options } = this.#scope;
    const { applicationId, commitIntervalMs, host } = options;
    const { partition, signal, behind } = standby;
    const topic = store.planned.changelogTopic ?? '';
    for (let from: number | undefined; !signal.aborted;) {
      const [committed] = await host.log.admin.committed(applicationId, [{ topic, partition }], {
        requireStable: false,
      });
      const range = await consumedRange(options, { topic, partition, consumedTo: committed?.offset ?? 0 });
      from ??= checkPosition(this.#scope, store, { ...range, topic });
      behind.set(topic, Math.max(0, range.end - from));
      await this.#restore(standby, { store, topic, partition, from, to: range.end });
      from = Math.max(from, range.end);
      behind.set(topic, 0);
      await host.clock.sleep(commitIntervalMs, signal);
    }
  }

  async #restore({ progress, signal }: FollowingTask, target: RestoreTarget): Promise<void> {
    const { restorer } = this.#scope;
    const { topic, partition } = target;
    if (signal.aborted) return;
    const cancel = (): void => {
      restorer.cancel(topic, partition);
    };
    signal.addEventListener('abort', cancel, { once: true });
    try {
      await restorer.restore(target, progress);
    } finally {
      signal.removeEventListener('abort', cancel);
    }
  }

  async #stopTailing({ stores, partition }: FollowingTask): Promise<void> {
    const { restorer } = this.#scope;
    for (const { planned } of stores.values()) {
      restorer.cancel(planned.changelogTopic ?? '', partition);
      await restorer.settled(planned.changelogTopic ?? '', partition);
    }
  }

  /** Closes the stores; what is damaged, or not of this changelog, is removed. */
  async #giveUp({ taskId, subTopology, stores }: FollowingTask, error: unknown): Promise<void> {
    const { options, stored } = this.#scope;
    await this.#closeStores(taskId, stores);
    if (!hasCode(error, 'STORE_FOREIGN', 'STORE_CORRUPT', 'OFFSET_OUT_OF_RANGE')) return;
    stored.forget(taskId);
    for (const { spec } of subTopology.stores)
      await options.host.stores.destroy([options.applicationId, taskId, spec.name]).catch((failure: unknown) => {
        options.host.logger.warn('a store could not be removed', { taskId, ...describe(failure) });
      });
  }

  async #stop(standby: FollowingTask): Promise<void> {
    standby.controller.abort();
    await standby.done;
  }

  async #close(standby: FollowingTask): Promise<void> {
    await this.#stop(standby);
    await this.#closeStores(standby.taskId, standby.stores);
  }

  async #closeStores(taskId: string, stores: Map<string, TaskStore>): Promise<void> {
    const closing = [...stores.values()];
    stores.clear();
    try {
      await this.#scope.stored.close(taskId, closing);
    } catch (error) {
      this.#scope.options.host.logger.warn('closing a standby failed', { taskId, ...describe(error) });
    }
  }
}

function describe(error: unknown): Readonly<Record<string, string>> {
  return {
    code: error instanceof StreamError ? error.code : 'unknown',
    error: error instanceof Error ? error.message : 'unknown',
  };
}
