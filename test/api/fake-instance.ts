import { silentLogger, systemClock, type Clock } from '../../clock.ts';
import { createApi, type ApiOptions } from '../../api/server.ts';
import { StreamError } from '../../errors.ts';
import { defineStore, type AnyStoreSpec } from '../../state-stores/spec.ts';
import { stringSerde, jsonSerde } from '../../schemas/serde.ts';
import { rowOfQueryKey } from '../../state-stores/group-key.ts';
import type { TimeBounds } from '../../state-stores/store-layers.ts';
import type { Entry, Range } from '../../state-stores/store.ts';
import type { Plan } from '../../topology/plan.ts';
import type {
  InstanceState,
  InstanceView,
  MetricSample,
  Peer,
  StandbyStoreView,
  StoreLocation,
  StoreView,
  TaskStatus,
} from '../../topology/runtime/view.ts';

/** Rows of one store partition, and what they reflect. */
export interface FakePartition {
  readonly rows: Map<string, Entry>;
  readonly position: Map<string, number>;
}

/** What all instances of a fake group share: the data, and who owns which partition. */
export class FakeCluster {
  readonly applicationId: string;
  readonly partitions: number;
  readonly specs: ReadonlyMap<string, AnyStoreSpec>;
  readonly members: FakeInstance[] = [];
  /** Partition -> instance id. */
  readonly owners = new Map<number, string>();
  /** Partition -> copies that follow, and how far they are behind. */
  readonly standbys = new Map<number, { readonly instanceIds: readonly string[]; readonly lag: number | undefined }>();
  readonly #data = new Map<string, FakePartition>();

  constructor(options: { applicationId?: string; partitions?: number; specs?: readonly AnyStoreSpec[] } = {}) {
    this.applicationId = options.applicationId ?? 'fake';
    this.partitions = options.partitions ?? 4;
    const specs = options.specs ?? [defineStore('words', { key: stringSerde, value: jsonSerde() })];
    this.specs = new Map(specs.map((spec) => [spec.name, spec]));
  }

  partitionOf(key: Uint8Array): number {
    return key.reduce((sum, byte) => (sum * 31 + byte) % 10_007, 7) % this.partitions;
  }

  data(store: string, partition: number): FakePartition {
    const id = `${store}/${String(partition)}`;
    const found = this.#data.get(id) ?? { rows: new Map<string, Entry>(), position: new Map<string, number>() };
    this.#data.set(id, found);
    return found;
  }

  /** Puts a row as a task would: the position of its input moves by one. */
  put(store: string, key: unknown, value: unknown): number {
    const spec = this.spec(store);
    const bytes = spec.key.serialize(key);
    const partition = this.partitionOf(spec.key.partitionKey?.(bytes) ?? bytes);
    this.putBytes(store, partition, bytes, spec.format.fromChangelog(spec.value.serialize(value), 1_000));
    return partition;
  }

  putBytes(store: string, partition: number, key: Uint8Array, value: Uint8Array): void {
    const { rows, position } = this.data(store, partition);
    rows.set(Buffer.from(key).toString('hex'), [key, value]);
    const input = `input/${String(partition)}`;
    position.set(input, (position.get(input) ?? 0) + 1);
  }

  spec(store: string): AnyStoreSpec {
    const spec = this.specs.get(store);
    if (spec === undefined) throw new StreamError('STORE_UNKNOWN', 'no such store');
    return spec;
  }

  peers(self: string): readonly Peer[] {
    return this.members.map(({ instanceId, url }) => ({
      instanceId,
      url,
      activeTasks: [...this.owners]
        .filter(([, owner]) => owner === instanceId)
        .map(([partition]) => `0_${String(partition)}`),
      standbyTasks: [...this.standbys]
        .filter(([, { instanceIds }]) => instanceIds.includes(instanceId))
        .map(([partition]) => `0_${String(partition)}`),
      isSelf: instanceId === self,
    }));
  }
}

export class FakeInstance implements InstanceView {
  readonly applicationId: string;
  readonly instanceId: string;
  readonly cluster: FakeCluster;
  url: string | undefined;
  state: InstanceState = 'running';
  failure: StreamError | undefined;
  isReady = true;
  isPaused = false;
  samples: readonly MetricSample[] = [];
  /** Answers `locate` by this instead of what the cluster knows: a view that is out of date. */
  believes: Map<number, string> | undefined;
  openScans = 0;

  constructor(cluster: FakeCluster, instanceId: string) {
    this.cluster = cluster;
    this.applicationId = cluster.applicationId;
    this.instanceId = instanceId;
    cluster.members.push(this);
    for (let partition = 0; partition < cluster.partitions; partition += 1)
      if (!cluster.owners.has(partition)) cluster.owners.set(partition, instanceId);
  }

  get plan(): Plan {
    const { cluster } = this;
    return {
      applicationId: cluster.applicationId,
      topology: {
        name: 'fake',
        nodes: [],
        stores: [...cluster.specs.values()],
        globals: [],
        sourceChangelogs: [],
        repartitions: [],
        copartitions: [],
        settings: { onError: 'fail', retired: [] },
      },
      subTopologies: [
        {
          id: 0,
          nodes: [],
          sourceTopics: ['input'],
          stores: [...cluster.specs.values()].map((spec) => ({ spec, changelogTopic: undefined })),
          partitions: cluster.partitions,
        },
      ],
      globals: [],
      internalTopics: [],
      partitions: new Map([['input', cluster.partitions]]),
    };
  }

  tasks(): readonly TaskStatus[] {
    return [...this.cluster.owners]
      .filter(([, owner]) => owner === this.instanceId)
      .map(([partition]) => ({
        id: `0_${String(partition)}`,
        state: 'running',
        inputs: [{ topic: 'input', partition, offset: 1, lag: undefined }],
        stores: this.storeNames(),
      }));
  }

  peers(): readonly Peer[] {
    return this.cluster.peers(this.instanceId);
  }

  storeSpec(store: string): AnyStoreSpec {
    return this.cluster.spec(store);
  }

  storeNames(): readonly string[] {
    return [...this.cluster.specs.keys()];
  }

  locate(store: string, key: Uint8Array): StoreLocation {
    const { key: serde } = this.cluster.spec(store);
    return this.#location(this.cluster.partitionOf(serde.partitionKey?.(key) ?? key));
  }

  locateAll(store: string): readonly StoreLocation[] {
    this.cluster.spec(store);
    return Array.from({ length: this.cluster.partitions }, (_item, partition) => this.#location(partition));
  }

  localStore(store: string, partition: number): StoreView {
    const checked = (): FakePartition => {
      if (this.cluster.owners.get(partition) !== this.instanceId)
        throw new StreamError('STORE_NOT_READY', 'the task does not run here');
      return this.cluster.data(store, partition);
    };
    checked();
    return {
      partition,
      get: (key) => checked().rows.get(Buffer.from(key).toString('hex'))?.[1],
      scan: (range) => this.#scan(checked(), range),
      rowsOf: (group, bounds) => windowsOf(checked(), group, bounds),
      position: () => new Map(checked().position),
    };
  }

  standbyStore(store: string, partition: number): StandbyStoreView {
    const standby = this.cluster.standbys.get(partition);
    if (standby?.instanceIds.includes(this.instanceId) !== true)
      throw new StreamError('STORE_NOT_READY', 'there is no standby here');
    const { rows } = this.cluster.data(store, partition);
    return {
      partition,
      get: (key) => rows.get(Buffer.from(key).toString('hex'))?.[1],
      scan: (range) => this.#scan(this.cluster.data(store, partition), range),
      lag: () => standby.lag,
    };
  }

  metrics(): readonly MetricSample[] {
    return this.samples;
  }

  #location(partition: number): StoreLocation {
    const owner = (this.believes ?? this.cluster.owners).get(partition);
    return {
      partition,
      taskId: `0_${String(partition)}`,
      owner: this.peers().find(({ instanceId }) => instanceId === owner),
      standbys: this.peers().filter(({ standbyTasks }) => standbyTasks.includes(`0_${String(partition)}`)),
    };
  }

  async *#scan({ rows }: FakePartition, { from, to, reverse, limit }: Range): AsyncIterable<Entry> {
    const entries = [...rows.values()]
      .filter(([key]) => from === undefined || Buffer.compare(key, from) >= 0)
      .filter(([key]) => to === undefined || Buffer.compare(key, to) < 0)
      .sort(([a], [b]) => Buffer.compare(a, b));
    if (reverse === true) entries.reverse();
    this.openScans += 1;
    try {
      for (const entry of entries.slice(0, limit)) {
        await Promise.resolve();
        yield entry;
      }
    } finally {
      this.openScans -= 1;
    }
  }
}

/** Of a store of windows. */
function windowsOf({ rows }: FakePartition, group: Uint8Array, { fromMs, toMs }: TimeBounds): readonly Entry[] {
  return [...rows.values()]
    .filter(([key]) => {
      const row = rowOfQueryKey(key);
      return Buffer.compare(row.group, group) === 0 && row.major >= fromMs && row.major <= toMs;
    })
    .sort(([a], [b]) => Buffer.compare(a, b));
}

export type Api = ReturnType<typeof createApi>;

export function apiOf(instances: readonly InstanceView[], options: Partial<ApiOptions> = {}): Api {
  return createApi({
    instances,
    clock: systemClock,
    logger: silentLogger,
    host: '127.0.0.1',
    ...options,
  });
}

/** Servers to be closed after each test. */
export class Servers {
  readonly #open: Api[] = [];

  /** Listens on a free loopback port; the instance advertises it. */
  async listen(instance: FakeInstance, options: Partial<ApiOptions> = {}): Promise<string> {
    const api = apiOf([instance], options);
    this.#open.push(api);
    instance.url = await api.listen({ host: '127.0.0.1', port: 0 });
    return instance.url;
  }

  async close(): Promise<void> {
    await Promise.all(this.#open.splice(0).map((api) => api.close()));
  }
}

/** Real time, with waits cut short. */
export const hurriedClock: Clock = {
  ...systemClock,
  monotonicMs: () => systemClock.monotonicMs() * 20,
  sleep: (ms, signal) => systemClock.sleep(ms / 20, signal),
};
