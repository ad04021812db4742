/** Everything an instance has of tasks: those it runs, those it keeps warm, and what lies on its disk. */
import { taskIds } from './plan-tasks.ts';
import type { Prepared } from './prepare.ts';
import { Restorer } from './restorer.ts';
import { StandbySet } from './standby-set.ts';
import { StoredTasks } from './stored-tasks.ts';
import { TaskSet } from './task-set.ts';
import type { TaskSetScope } from './task-set.ts';

export interface HoldingsScope extends Omit<TaskSetScope, 'restorer' | 'takeStandby' | 'closeStores'> {
  /** A task that is to move here has caught up. */
  warmedUp(): void;
}

/** Standbys come last: they read in small portions, wait for more to come together, and stand back while a task is restored that nobody runs. */
const standbyReading = {
  partitionBytesMax: 1024 * 1024,
  portionBytes: 64 * 1024,
  lingerMs: 100,
  standBackMs: 50,
} as const;
/** For what lies on disk to be opened before the group is joined; more may follow. */
const openStoredMs = 10_000;

export class Holdings {
  readonly prepared: Prepared;
  readonly tasks: TaskSet;
  readonly standbys: StandbySet;
  readonly stored: StoredTasks;
  readonly restorer: Restorer;
  /** Of the standbys. */
  readonly follower: Restorer;
  readonly #scope: HoldingsScope;
  readonly #closing = new AbortController();

  constructor(scope: HoldingsScope) {
    const { options, prepared } = scope;
    const { log, clock } = options.host;
    const stored = new StoredTasks(options);
    this.#scope = scope;
    this.prepared = prepared;
    this.stored = stored;
    this.restorer = new Restorer(log, { pace: () => clock.yield() });
    this.follower = new Restorer(log, {
      partitionBytesMax: standbyReading.partitionBytesMax,
      pace: (polledBytes) => this.#pace(polledBytes),
    });
    const messageBytesMax = (topic: string): number => scope.messageBytesMax(topic);
    this.standbys = new StandbySet({ options, prepared, messageBytesMax, restorer: this.follower, stored });
    this.tasks = new TaskSet({
      ...scope,
      restorer: this.restorer,
      takeStandby: (taskId) => this.standbys.take(taskId),
      closeStores: (taskId, stores) => stored.close(taskId, stores),
    });
  }

  /** Goes on with what an earlier process left as if it were standbys, until it is known what becomes of it. */
  async openStored(): Promise<void> {
    const { clock, logger } = this.#scope.options.host;
    const known = new Set(taskIds(this.prepared.plan));
    const found = await this.stored.find();
    if (found.length === 0) return;
    logger.info('state found on disk', { tasks: found.length });
    for (const taskId of found) if (known.has(taskId)) this.standbys.open(taskId);
    const enough = new AbortController();
    await Promise.race([this.standbys.allOpened(), clock.sleep(openStoredMs, enough.signal)]);
    enough.abort();
  }

  /** Removes state that is not needed any more, until `close`. */
  async cleanUp(): Promise<void> {
    const isOpen = (taskId: string): boolean => this.tasks.ids.includes(taskId) || this.standbys.tasks.has(taskId);
    await this.stored.cleanUp(this.#closing.signal, isOpen);
  }

  /** Ends `cleanUp`. */
  stop(): void {
    this.#closing.abort();
  }

  async close(): Promise<void> {
    this.stop();
    await Promise.all([this.tasks.closeAll(), this.standbys.keepOnly([])]);
    await this.restorer.close();
    await this.follower.close();
  }

  async #pace(polledBytes: number): Promise<void> {
    const { clock } = this.#scope.options.host;
    this.#noticeWarmUps();
    // Always: once it closes, neither the wait below nor the poll of a log that is gone lets anybody else run.
    await clock.yield();
    if (polledBytes < standbyReading.portionBytes) await clock.sleep(standbyReading.lingerMs, this.#closing.signal);
    while (this.tasks.opening.size > 0 && !this.#closing.signal.aborted)
      await clock.sleep(standbyReading.standBackMs, this.#closing.signal);
  }

  #noticeWarmUps(): void {
    const { acceptableRecoveryLag } = this.#scope.options;
    for (const standby of this.standbys.tasks.values())
      if (standby.isWarmUp && (this.standbys.lag(standby) ?? Infinity) <= acceptableRecoveryLag) this.#scope.warmedUp();
  }
}
