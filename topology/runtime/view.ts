/** What a running instance shows to the outside: its state, its tasks, where keys live, and committed values. The API serves exactly this. */
import type { Entry, Range } from '../../state-stores/store.ts';
import type { TimeBounds } from '../../state-stores/store-layers.ts';
import type { AnyStoreSpec } from '../../state-stores/spec.ts';
import type { StreamError } from '../../errors.ts';
import type { Plan } from '../plan.ts';

export type InstanceState = 'created' | 'rebalancing' | 'running' | 'closing' | 'closed' | 'failed';

export type TaskState = 'created' | 'restoring' | 'running' | 'suspended' | 'standby' | 'closed';

export interface TaskStatus {
  /** `<sub-topology>_<partition>`. */
  readonly id: string;
  readonly state: TaskState;
  readonly inputs: readonly {
    readonly topic: string;
    readonly partition: number;
    readonly offset: number;
    readonly lag: number | undefined;
  }[];
  /** Present while restoring. */
  readonly restore?: { readonly restored: number; readonly total: number };
  /** Present for a standby: changelog records it has not read yet, and whether the task is to run here once it has. */
  readonly standby?: { readonly lag: number | undefined; readonly isWarmUp: boolean };
  readonly stores: readonly string[];
  /** Present while a record that failed holds the task back. */
  readonly hold?: {
    readonly topic: string;
    readonly partition: number;
    readonly offset: number;
    /** How often it was tried. */
    readonly tries: number;
    /** Until it is tried again; `undefined`: not while the task stays open here. */
    readonly retryInMs: number | undefined;
    readonly code: string;
  };
}

/** A member of the group as the last assignment describes it. */
export interface Peer {
  readonly instanceId: string;
  /** Where its API listens, `http://host:port`; `undefined` when it advertises none. */
  readonly url: string | undefined;
  readonly activeTasks: readonly string[];
  /** Tasks whose state it keeps warm. */
  readonly standbyTasks: readonly string[];
  readonly isSelf: boolean;
}

export interface StoreLocation {
  readonly partition: number;
  readonly taskId: string;
  /** `undefined` while the assignment is not known or names nobody. */
  readonly owner: Peer | undefined;
  /** Who has a copy that follows. */
  readonly standbys: readonly Peer[];
}

/** Committed values of a copy that follows, which may be behind. Reads throw `STORE_NOT_READY` once it is none any more. */
export interface StandbyStoreView {
  readonly partition: number;
  get(key: Uint8Array, asOfMs?: number): Uint8Array | undefined;
  scan(range: Range): AsyncIterable<Entry>;
  /** Changelog records of its task that are not read yet; `undefined` while that is not known. */
  lag(): number | undefined;
}

/** Committed values of one store partition on this instance, by stored bytes. Reads throw `STORE_NOT_READY` once the task moves away. */
export interface StoreView {
  readonly partition: number;
  /** With `asOfMs` (epoch ms) the version that was valid then; throws `QUERY_INVALID` for a store that keeps no versions. */
  get(key: Uint8Array, asOfMs?: number): Uint8Array | undefined;
  scan(range: Range): AsyncIterable<Entry>;
  /** The windows or sessions of a key (as the author serialised it), in order of time. Throws `QUERY_INVALID` for a store without them. */
  rowsOf(group: Uint8Array, bounds: TimeBounds): Iterable<Entry>;
  /** Input offsets (topic/partition -> next offset) that what is visible reflects, for read-your-writes tokens. */
  position(): ReadonlyMap<string, number>;
}

export interface InstanceView {
  readonly applicationId: string;
  readonly instanceId: string;
  readonly state: InstanceState;
  /** Why it failed or is degraded, if so. */
  readonly failure: StreamError | undefined;
  readonly plan: Plan | undefined;
  /** True when all assigned tasks run and the group is stable: safe to send traffic to. */
  readonly isReady: boolean;
  /** It was told to process nothing for now. */
  readonly isPaused: boolean;
  tasks(): readonly TaskStatus[];
  peers(): readonly Peer[];
  /** Throws `STORE_UNKNOWN`. */
  storeSpec(store: string): AnyStoreSpec;
  /** Names of all queryable stores of the topology, global ones among them. */
  storeNames(): readonly string[];
  /** Where a key (already serialised) of a store lives; a global store lives whole in every instance, and is found here. Throws `STORE_UNKNOWN`, `STORE_NOT_READY` while the plan is not known. */
  locate(store: string, key: Uint8Array): StoreLocation;
  /** All partitions of a store. */
  locateAll(store: string): readonly StoreLocation[];
  /** A local partition. Throws `STORE_NOT_READY` unless its task runs here. */
  localStore(store: string, partition: number): StoreView;
  /** A local copy of a partition that runs elsewhere. Throws `STORE_NOT_READY` unless there is one. */
  standbyStore(store: string, partition: number): StandbyStoreView;
  metrics(): readonly MetricSample[];
}

/** One measured value, ready for Prometheus. */
export interface MetricSample {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge';
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}
