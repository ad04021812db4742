/** Declares what a topology remembers: names, types and how the bytes are laid out. */
import { StreamError } from '../errors.ts';
import type { Serde } from '../schemas/serde.ts';
import { checkName } from '../schemas/topic.ts';
import { LayeredStore, defaultOrderedKeysMax } from './layered-store.ts';
import type { StoreLayers } from './store-layers.ts';
import type { KeyValueStore } from './store.ts';
import { timestampOf, valueOf, withTimestamp } from './timestamped-value.ts';
import {
  TypedKeyValueStore,
  TypedTimestampedStore,
  type KeyValueState,
  type OrderedState,
  type TimestampedState,
  type TypedStoreOptions,
} from './typed-store.ts';

/** How a row in the store and its record in the changelog become each other. */
export interface StoreFormat {
  /** Goes into the identity of the store's directory: another layout means to restore. */
  readonly version: number;
  /** Of a stored value that was written with this timestamp. */
  toChangelog(stored: Uint8Array, writtenAtMs: number): { readonly value: Uint8Array; readonly timestampMs: number };
  /** The stored value of a changelog record that is not a tombstone. */
  fromChangelog(value: Uint8Array, timestampMs: number): Uint8Array;
}

/** What an opened store is told by its task. */
export interface StoreScope {
  /** Bound of key plus value of one row: what the changelog topic takes in one record, less its overhead. */
  readonly rowBytesMax: number;
  /** Memory for decoded values. */
  readonly cacheBytesMax: number;
  /** Timestamp of the changelog records of writes that name none. */
  readonly currentTimestampMs: () => number;
}

/** A store of one task: what the runtime handles, and what processors see of it. */
export interface OpenStore<State> {
  readonly layers: StoreLayers;
  readonly state: State;
}

/** A declared store. Frozen. `State` is what processors see of it. */
export interface StoreSpec<K, V, State> {
  readonly name: string;
  /** For descriptions. */
  readonly kind: string;
  readonly key: Serde<K>;
  /** Of the value as the changelog and queries have it. */
  readonly value: Serde<V>;
  readonly format: StoreFormat;
  /** Of windows and sessions: the author's keys, by which queries look for them. */
  readonly groupKey?: Serde<unknown>;
  /** Topic configurations of the changelog, by Kafka's names; `undefined`: the store is not logged, and empty wherever its task opens anew. */
  readonly changelog: Readonly<Record<string, string>> | undefined;
  /** Puts the layers of a task above what is stored, once per opened task. */
  open(backing: KeyValueStore, scope: StoreScope): OpenStore<State>;
}

export type AnyStoreSpec = StoreSpec<unknown, unknown, unknown>;

/** What processors see of a store. */
export type StateOf<S> = S extends { open(backing: KeyValueStore, scope: StoreScope): OpenStore<infer State> }
  ? State
  : never;
export type StoreKey<S> = S extends { readonly key: Serde<infer K> } ? K : never;
export type StoreValue<S> = S extends { readonly value: Serde<infer V> } ? V : never;

export interface StoreOptions<K, V> {
  /** Equal keys must give equal bytes. */
  readonly key: Serde<K>;
  readonly value: Serde<V>;
  /** `false`: not logged; configurations are added to `cleanup.policy=compact`. Logged by default. */
  readonly changelog?: boolean | Readonly<Record<string, string>>;
  readonly cache?: CacheOptions;
}

export interface CacheOptions {
  /** Rows per task whose values are kept decoded; 0: none. By default as many as the instance's `cacheBytesMax` allows. */
  readonly entriesMax?: number;
  /**
   * Lets a read return the very value that was put (which is then deep-frozen) instead of decoding it. Only for a serde that gives back exactly what it
   * was given, or what is read would depend on the cache.
   */
  readonly keepsPutValues?: boolean;
}

export interface OrderedStoreOptions<K, V> extends StoreOptions<K, V> {
  /** Lets processors walk ranges of keys; every task then keeps all its keys in memory. */
  readonly ordered: true;
  /** Bound of that. A put beyond it fails. */
  readonly orderedKeysMax?: number;
}

/** Stored as the changelog has it. */
export const plainFormat: StoreFormat = Object.freeze({
  version: 1,
  toChangelog: (stored: Uint8Array, writtenAtMs: number) => ({ value: stored, timestampMs: writtenAtMs }),
  fromChangelog: (value: Uint8Array) => value,
});

/** Stored with its event time in front; the changelog has the plain value, and the time as its timestamp. */
export const timestampedFormat: StoreFormat = Object.freeze({
  version: 2,
  toChangelog: (stored: Uint8Array) => ({ value: valueOf(stored), timestampMs: timestampOf(stored) }),
  fromChangelog: (value: Uint8Array, timestampMs: number) => withTimestamp(value, timestampMs),
});

/** Declares a key-value store; with `ordered: true` one whose keys processors can walk. Throws `TOPOLOGY_INVALID` for a bad name or bound. */
export function defineStore<K, V>(
  name: string,
  options: OrderedStoreOptions<K, V>,
): StoreSpec<K, V, OrderedState<K, V>>;
export function defineStore<K, V>(
  name: string,
  options: StoreOptions<K, V> & { readonly ordered?: false },
): StoreSpec<K, V, KeyValueState<K, V>>;
export function defineStore<K, V>(
  name: string,
  options: StoreOptions<K, V> & { readonly ordered?: boolean; readonly orderedKeysMax?: number },
): StoreSpec<K, V, OrderedState<K, V>> {
  const ordered = options.ordered === true;
  const orderedKeysMax = checkBound(name, options.orderedKeysMax ?? defaultOrderedKeysMax);
  return Object.freeze({
    ...common(name, options),
    kind: ordered ? 'ordered-key-value' : 'key-value',
    format: plainFormat,
    open: (backing: KeyValueStore, scope: StoreScope) => {
      const { rowBytesMax, currentTimestampMs } = scope;
      const store = new LayeredStore(backing, { name, ordered, orderedKeysMax, rowBytesMax });
      return { layers: store, state: new TypedKeyValueStore({ ...typed(scope, options), store, currentTimestampMs }) };
    },
  });
}

/** Declares a key-value store that keeps the event time of each value. Throws `TOPOLOGY_INVALID` for a bad name or bound. */
export function defineTimestampedStore<K, V>(
  name: string,
  options: StoreOptions<K, V>,
): StoreSpec<K, V, TimestampedState<K, V>> {
  return Object.freeze({
    ...common(name, options),
    kind: 'timestamped-key-value',
    format: timestampedFormat,
    open: (backing: KeyValueStore, scope: StoreScope) => {
      const store = new LayeredStore(backing, { name, rowBytesMax: scope.rowBytesMax });
      return { layers: store, state: new TypedTimestampedStore({ ...typed(scope, options), store }) };
    },
  });
}

function common<K, V>(
  name: string,
  options: StoreOptions<K, V>,
): Pick<StoreSpec<K, V, never>, 'name' | 'key' | 'value' | 'changelog'> {
  checkBound(name, options.cache?.entriesMax ?? 0);
  return {
    name: checkName('store', name),
    key: options.key,
    value: options.value,
    changelog: changelogConfigs(options.changelog ?? true),
  };
}

function typed<K, V>(scope: StoreScope, options: StoreOptions<K, V>): Omit<TypedStoreOptions<K, V>, 'store'> {
  const { key, value, cache = {} } = options;
  return {
    key,
    value,
    cache: { entriesMax: cache.entriesMax ?? Infinity, bytesMax: scope.cacheBytesMax },
    keepsPutValues: cache.keepsPutValues ?? false,
  };
}

/** Of a changelog that is compacted, unless they say otherwise; `undefined`: the store is not logged. */
export function changelogConfigs(
  changelog: boolean | Readonly<Record<string, string>>,
): Readonly<Record<string, string>> | undefined {
  if (changelog === false) return undefined;
  return Object.freeze({ 'cleanup.policy': 'compact', ...(changelog === true ? {} : changelog) });
}

/** Throws `TOPOLOGY_INVALID`. */
export function checkBound(name: string, bound: number): number {
  if (Number.isSafeInteger(bound) && bound >= 0) return bound;
  throw new StreamError('TOPOLOGY_INVALID', `store ${name}: a bound is a whole number of at least 0`, {
    facts: { store: name },
  });
}
