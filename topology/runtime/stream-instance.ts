/** The public face of one instance: starts and stops it, and shows its state, tasks, metrics and committed values. */
import type { Reader } from '../../connectors/log.ts';
import { StreamError } from '../../errors.ts';
import { partitionForKey } from '../../schemas/murmur2.ts';
import { partitionId } from '../../schemas/record.ts';
import type { AnyStoreSpec } from '../../state-stores/spec.ts';
import type { Hold } from './failed-records.ts';
import { Runtime } from './instance.ts';
import { collectMetrics } from './metrics.ts';
import { committedAt, committedRows } from './committed-rows.ts';
import type { InstanceOptions } from './options.ts';
import { globalDirectory, taskId } from './plan-tasks.ts';
import type { Standby } from './standby-set.ts';
import type { Opening } from './take-over.ts';
import type { Task } from './task.ts';
import type { InstanceView, Peer, StandbyStoreView, StoreLocation, StoreView, TaskStatus } from './view.ts';
import { isParkedStore } from '../parked-store.ts';
import type { SubTopology } from '../plan.ts';

export interface CloseOptions {
  readonly timeoutMs?: number;
  readonly leaveGroup?: boolean;
}

export interface StreamInstance extends InstanceView {
  /** Resolves once it takes part in its group; waits for the log and for missing topics. Rejects for what waiting cannot mend (`retry` is `never`). Once. */
  start(): Promise<void>;
  /**
   * Processes nothing from the next slice of records on, and fires no punctuator, until `resume`. What was processed is committed; the instance stays
   * in its group, restores and keeps copies warm, answers queries, and fetches until its buffers are full. Of this instance alone, before its start
   * too, and not remembered. Idempotent.
   */
  pause(): void;
  resume(): void;
  /**
   * Commits, leaves the group, releases everything. Resolves to false when that took longer than `timeoutMs` (10 s). Idempotent. A static member
   * keeps its place in the group unless `leaveGroup` is set.
   */
  close(options?: CloseOptions): Promise<boolean>;
}

/** Makes an instance of a topology; nothing runs before `start`. Throws `CONFIG_INVALID`. */
export function createInstance(options: InstanceOptions): StreamInstance {
  return new Instance(new Runtime(options));
}

class Instance implements StreamInstance {
  readonly #runtime: Runtime;

  constructor(runtime: Runtime) {
    this.#runtime = runtime;
  }

  async start(): Promise<void> {
    await this.#runtime.start();
  }

  async close({ timeoutMs, leaveGroup }: CloseOptions = {}): Promise<boolean> {
    return await this.#runtime.close(timeoutMs, leaveGroup);
  }

  pause(): void {
    this.#runtime.isPaused = true;
  }
  resume(): void {
    this.#runtime.isPaused = false;
  }
  get isPaused(): boolean {
    return this.#runtime.isPaused;
  }
  get applicationId(): string {
    return this.#runtime.options.applicationId;
  }
  get instanceId(): string {
    return this.#runtime.options.instanceId;
  }
  get state(): InstanceView['state'] {
    return this.#runtime.state;
  }
  get failure(): StreamError | undefined {
    const { failure, tasks } = this.#runtime;
    if (failure !== undefined) return failure;
    const stopped = [...(tasks?.running.values() ?? [])].find((task) => task.hold?.dueMs === Infinity);
    return stopped?.hold?.failure;
  }
  get plan(): InstanceView['plan'] {
    return this.#runtime.prepared?.plan;
  }
  get isReady(): boolean {
    return this.state === 'running' && this.failure === undefined;
  }

  tasks(): readonly TaskStatus[] {
    const { holdings, reader } = this.#runtime;
    if (holdings === undefined) return [];
    const { tasks, standbys } = holdings;
    const statuses = [
      ...[...tasks.running.values()].map((task) => describeTask(task, reader)),
      ...[...tasks.opening.values()].map(describeOpening),
      ...[...standbys.tasks.values()].map((standby) => describeStandby(standby, standbys.lag(standby))),
    ];
    return statuses.sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  peers(): readonly Peer[] {
    const { assignment } = this.#runtime.membership;
    return (assignment?.peers ?? []).map(({ instanceId, url, tasks, standbyTasks }) => ({
      instanceId,
      url,
      activeTasks: tasks,
      standbyTasks,
      isSelf: instanceId === this.instanceId,
    }));
  }

  storeNames(): readonly string[] {
    const { stores, globals } = this.#runtime.options.topology;
    return [...stores.filter((spec) => !isParkedStore(spec)), ...globals.map(({ spec }) => spec)].map(
      ({ name }) => name,
    );
  }

  storeSpec(store: string): AnyStoreSpec {
    const { stores } = this.#runtime.options.topology;
    const spec = stores.find((candidate) => candidate.name === store) ?? this.#globalSpec(store);
    if (spec === undefined) throw new StreamError('STORE_UNKNOWN', 'no store of that name', { facts: { store } });
    return spec;
  }

  locate(store: string, key: Uint8Array): StoreLocation {
    if (this.#globalSpec(store) !== undefined) return this.#globalLocation();
    const sub = this.#subTopologyOf(store);
    const { key: serde } = this.storeSpec(store);
    return this.#location(sub, partitionForKey(serde.partitionKey?.(key) ?? key, sub.partitions));
  }

  locateAll(store: string): readonly StoreLocation[] {
    if (this.#globalSpec(store) !== undefined) return [this.#globalLocation()];
    const sub = this.#subTopologyOf(store);
    return Array.from({ length: sub.partitions }, (_, partition) => this.#location(sub, partition));
  }

  localStore(store: string, partition: number): StoreView {
    if (this.#globalSpec(store) !== undefined) return this.#globalView(store);
    const id = taskId(this.#subTopologyOf(store).id, partition);
    const find = () => {
      const task = this.#runtime.tasks?.running.get(id);
      const opened = task?.stores.get(store);
      if (task === undefined || opened === undefined) throw notReady(store, partition);
      return { task, layered: opened.layered };
    };
    find();
    return {
      partition,
      get: (key, asOfMs) => committedAt(find().layered, key, asOfMs),
      scan: (range) => find().layered.committedScan(range),
      rowsOf: (group, bounds) => committedRows(find().layered, group, bounds),
      position: () => {
        const position = new Map<string, number>();
        for (const queue of find().task.queues) {
          const input = partitionId(queue.topic, queue.partition);
          position.set(input, this.#runtime.commits.offsets.get(input) ?? 0);
        }
        return position;
      },
    };
  }

  standbyStore(store: string, partition: number): StandbyStoreView {
    const id = taskId(this.#subTopologyOf(store).id, partition);
    const find = () => {
      const standbys = this.#runtime.holdings?.standbys;
      const standby = standbys?.tasks.get(id);
      const opened = standby?.stores.get(store);
      if (standbys === undefined || standby === undefined || opened === undefined) throw notReady(store, partition);
      return { lag: standbys.lag(standby), layered: opened.layered };
    };
    find();
    return {
      partition,
      get: (key, asOfMs) => committedAt(find().layered, key, asOfMs),
      scan: (range) => find().layered.committedScan(range),
      lag: () => find().lag,
    };
  }

  metrics(): InstanceView['metrics'] extends () => infer R ? R : never {
    return collectMetrics(this.#runtime);
  }

  #subTopologyOf(store: string): SubTopology {
    this.storeSpec(store);
    const sub = this.plan?.subTopologies.find((candidate) => candidate.stores.some(({ spec }) => spec.name === store));
    if (sub === undefined)
      throw new StreamError('STORE_NOT_READY', 'the instance has not started yet', { facts: { store } });
    return sub;
  }

  #globalSpec(store: string): AnyStoreSpec | undefined {
    return this.#runtime.options.topology.globals.find(({ spec }) => spec.name === store)?.spec;
  }

  #globalView(store: string): StoreView {
    const find = (): StoreView => {
      const view = this.#runtime.globals?.view(store);
      if (view === undefined) throw notReady(store, 0);
      return view;
    };
    find();
    return {
      partition: 0,
      get: (key, asOfMs) => find().get(key, asOfMs),
      scan: (range) => find().scan(range),
      rowsOf: (group, bounds) => find().rowsOf(group, bounds),
      position: () => find().position(),
    };
  }

  /** Nobody else has to be asked. */
  #globalLocation(): StoreLocation {
    const { instanceId } = this;
    const url = this.#runtime.options.advertisedUrl;
    const owner = { instanceId, url, activeTasks: [], standbyTasks: [], isSelf: true };
    return { partition: 0, taskId: globalDirectory, owner, standbys: [] };
  }

  #location(sub: SubTopology, partition: number): StoreLocation {
    const id = taskId(sub.id, partition);
    const peers = this.peers();
    return {
      partition,
      taskId: id,
      owner: peers.find((peer) => peer.activeTasks.includes(id)),
      standbys: peers.filter((peer) => peer.standbyTasks.includes(id)),
    };
  }
}

function describeTask(task: Task, reader: Reader | undefined): TaskStatus {
  return {
    id: task.id,
    state: task.isSuspended ? 'suspended' : 'running',
    stores: [...task.stores.keys()],
    ...(task.hold === undefined ? {} : { hold: describeHold(task.hold, task.retryInMs) }),
    inputs: task.queues.map((queue) => {
      const end = reader?.position(queue)?.end;
      const lag = end === undefined ? undefined : Math.max(0, end - queue.nextOffset);
      return { topic: queue.topic, partition: queue.partition, offset: queue.nextOffset, lag };
    }),
  };
}

function describeOpening({ taskId: id, subTopology, progress }: Opening): TaskStatus {
  const stores = subTopology.stores.map((store) => store.spec.name);
  return { id, state: 'restoring', stores, inputs: [], restore: { ...progress } };
}

function describeStandby({ taskId: id, stores, isWarmUp }: Standby, lag: number | undefined): TaskStatus {
  return { id, state: 'standby', stores: [...stores.keys()], inputs: [], standby: { lag, isWarmUp } };
}

function describeHold({ queue, offset, tries, failure }: Hold, retryInMs: number): NonNullable<TaskStatus['hold']> {
  return {
    topic: queue.topic,
    partition: queue.partition,
    offset,
    tries,
    retryInMs: retryInMs === Infinity ? undefined : Math.max(0, Math.round(retryInMs)),
    code: failure.code,
  };
}

function notReady(store: string, partition: number): StreamError {
  return new StreamError('STORE_NOT_READY', 'the store is not ready here', { facts: { store, partition } });
}
