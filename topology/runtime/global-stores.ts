/**
 * The global stores of one instance: read to the end of their topics before any task runs, and kept up to date beside the tasks. Their topics are
 * their logs: no changelog, no transaction; how far they are is kept with them.
 */
import { globalDirectory } from './plan-tasks.ts';
import type { Reader } from '../../connectors/log.ts';
import { StreamError, hasCode } from '../../errors.ts';
import { partitionId, topicPartitions } from '../../schemas/record.ts';
import type { KeyValueStore } from '../../state-stores/store.ts';
import type { PlannedStore, SubTopology } from '../plan.ts';
import { GlobalTasks } from './global-tasks.ts';
import { backoffMs } from './options.ts';
import type { ResolvedOptions } from './options.ts';
import type { Prepared } from './prepare.ts';
import { committedAt, committedRows } from './committed-rows.ts';
import { TaskStore } from './task-store.ts';
import type { StoreView } from './view.ts';

/** How long one poll waits. */
const pollWaitMs = 500;
/** Memory for writes not yet flushed, and for decoded rows, of each store. */
const storeBounds = { writeBufferBytes: 16 * 1024 * 1024, cacheBytesMax: 16 * 1024 * 1024 } as const;
/** Attempts to open one store that is damaged or of another topic before it is given up. */
const rebuildAttemptsMax = 3;

export interface GlobalStoresOptions {
  readonly options: ResolvedOptions;
  readonly prepared: Prepared;
  readonly isClosing: () => boolean;
}

interface OpenStore {
  readonly store: TaskStore;
  /** Next offsets by `partitionId`, written after the rows they stand for. */
  readonly positions: KeyValueStore;
}

export class GlobalStores {
  readonly #scope: GlobalStoresOptions;
  readonly #open = new Map<string, OpenStore>();
  #tasks: GlobalTasks | undefined;
  #reader: Reader | undefined;
  #isFilled = false;
  /** What the rows of all stores reflect. */
  #applied: GlobalTasks['positions'] = [];

  constructor(scope: GlobalStoresOptions) {
    this.#scope = scope;
  }

  /** By name; filled once `start` has resolved. */
  get stores(): ReadonlyMap<string, TaskStore> {
    return this.#tasks?.stores ?? new Map<string, TaskStore>();
  }

  /** What queries see of one; `undefined` until `start` has resolved. */
  view(store: string): StoreView | undefined {
    const open = this.#open.get(store);
    if (open === undefined || !this.#isFilled) return undefined;
    const { layered } = open.store;
    return {
      partition: 0,
      get: (key, asOfMs) => committedAt(layered, key, asOfMs),
      scan: (range) => layered.committedScan(range),
      rowsOf: (group, bounds) => committedRows(layered, group, bounds),
      position: () =>
        new Map(
          this.#applied
            .filter(({ topic }) => this.#isReadBy(open.store, topic))
            .map(({ topic, partition, offset }) => [partitionId(topic, partition), offset]),
        ),
    };
  }

  /** Opens the stores and reads what their topics hold now. May be called again after a failure; nothing to do without global stores. */
  async start(): Promise<void> {
    await this.close();
    const { options, prepared } = this.#scope;
    const { plan } = prepared;
    if (plan.globals.length === 0) return;
    for (const sub of plan.globals)
      for (const planned of sub.stores) this.#open.set(planned.spec.name, await this.#openStore(sub, planned));
    const starts = await this.#starts();
    const tasks = new GlobalTasks({
      plan,
      stores: new Map([...this.#open].map(([name, { store }]) => [name, store])),
      clock: options.host.clock,
      random: options.host.random,
      logger: options.host.logger,
      startOf: ({ topic, partition }) => starts.get(partitionId(topic, partition)) ?? 0,
    });
    this.#tasks = tasks;
    const reader = options.host.log.reader({ isolation: 'read_committed' });
    this.#applied = tasks.positions;
    this.#reader = reader;
    for (const position of tasks.positions) reader.seek(position, position.offset);
    const ends = await options.host.log.admin.offsets(tasks.positions);
    const isBehind = (): boolean => tasks.positions.some(({ offset }, index) => offset < (ends[index]?.stable ?? 0));
    while (isBehind() && !this.#scope.isClosing()) await this.#poll(tasks, reader);
    this.#isFilled = true;
  }

  /** Goes on reading until the instance closes. Rejects for what reading again cannot mend. */
  async run(): Promise<void> {
    while (!this.#scope.isClosing()) {
      const tasks = this.#tasks;
      const reader = this.#reader;
      if (tasks === undefined || reader === undefined) return;
      await this.#poll(tasks, reader);
    }
  }

  wakeup(): void {
    this.#reader?.wakeup();
  }

  async close(): Promise<void> {
    this.#isFilled = false;
    this.#tasks?.close();
    this.#tasks = undefined;
    await this.#reader?.close();
    this.#reader = undefined;
    for (const { store, positions } of this.#open.values()) {
      await store.close();
      await positions.close();
    }
    this.#open.clear();
  }

  async #poll(tasks: GlobalTasks, reader: Reader): Promise<void> {
    const { batches, failures } = await reader.poll(pollWaitMs);
    const [failure] = failures.filter(({ error }) => error.retry === 'never' || error.code === 'TOPIC_UNKNOWN');
    if (failure !== undefined) throw failure.error;
    if (batches.length === 0) {
      if (failures.length > 0) await this.#scope.options.host.clock.sleep(backoffMs(0));
      return;
    }
    for (const batch of batches) {
      tasks.take(batch);
      await this.#scope.options.host.clock.yield();
    }
    await this.#apply(tasks);
  }

  /** Rows first: positions that lag behind them only cause the same rows to be written again. */
  async #apply(tasks: GlobalTasks): Promise<void> {
    for (const { store, positions } of this.#open.values()) {
      store.layered.seal();
      await store.apply((store.position ?? 0) + 1);
      const batch = positions.batch();
      for (const { topic, partition, offset } of tasks.positions)
        if (this.#isReadBy(store, topic)) batch.put(Buffer.from(partitionId(topic, partition)), int64(offset));
      await batch.write((positions.position ?? 0) + 1);
    }
    this.#applied = tasks.positions;
  }

  #isReadBy(store: TaskStore, topic: string): boolean {
    return this.#scope.prepared.plan.globals.some(
      (sub) => sub.sourceTopics.includes(topic) && sub.stores.some(({ spec }) => spec.name === store.name),
    );
  }

  /** Where to go on in each partition: at the start of the topic for a store that does not know. */
  async #starts(): Promise<ReadonlyMap<string, number>> {
    const { options, prepared } = this.#scope;
    const starts = new Map<string, number>();
    for (const sub of prepared.plan.globals) {
      const partitions = sub.sourceTopics.flatMap((topic) => topicPartitions(topic, sub.partitions));
      const ranges = await options.host.log.admin.offsets(partitions);
      const stores = sub.stores.flatMap(({ spec }) => this.#open.get(spec.name) ?? []);
      for (const [index, { topic, partition }] of partitions.entries()) {
        const id = partitionId(topic, partition);
        const known = Math.min(...stores.map(({ store, positions }) => positionOf(store, positions, id)));
        const range = ranges[index];
        const isInside = range !== undefined && known >= range.start && known <= range.end;
        starts.set(id, isInside ? known : (range?.start ?? 0));
      }
    }
    return starts;
  }

  async #openStore(sub: SubTopology, planned: PlannedStore): Promise<OpenStore> {
    const { options, prepared } = this.#scope;
    const { stores, logger } = options.host;
    const { name } = planned.spec;
    const identity = {
      application: options.applicationId,
      store: name,
      taskId: globalDirectory,
      format: planned.spec.format.version,
      changelog: sub.sourceTopics.map((topic) => prepared.changelogIds.get(topic) ?? topic).join(),
    };
    const path = [options.applicationId, globalDirectory, name];
    const positionsPath = [options.applicationId, globalDirectory, `${name}-positions`];
    const { writeBufferBytes, cacheBytesMax } = storeBounds;
    const nowMs = (): number => this.#scope.options.host.clock.nowMs();
    for (let attempt = 0; ; attempt += 1) {
      const opened: KeyValueStore[] = [];
      try {
        for (const each of [path, positionsPath])
          opened.push(await stores.open(each, { identity, writeBufferBytes, nowMs }));
        const [backing, positions] = opened;
        if (backing === undefined || positions === undefined) throw new StreamError('STORE_NOT_OPEN', 'not opened');
        const bounds = { messageBytesMax: Infinity, cacheBytesMax };
        const store = new TaskStore(planned, backing, bounds);
        await store.load();
        return { store, positions };
      } catch (error) {
        for (const store of opened) await store.close();
        if (attempt >= rebuildAttemptsMax) throw error;
        if (hasCode(error, 'STORE_FOREIGN', 'STORE_CORRUPT')) {
          logger.warn('global store is foreign or damaged: reading its topic again', { path, code: error.code });
          for (const each of [path, positionsPath]) await stores.destroy(each);
        } else throw error;
      }
    }
  }
}

/** A store that lost its rows knows no position. */
function positionOf(store: TaskStore, positions: KeyValueStore, id: string): number {
  const bytes = store.position === undefined ? undefined : positions.get(Buffer.from(id));
  return bytes === undefined ? -1 : Number(Buffer.from(bytes).readBigUInt64BE(0));
}

function int64(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigUInt64BE(BigInt(value), 0);
  return bytes;
}
