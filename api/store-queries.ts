/** What routes ask of stores: typed values of any instance's partitions. */
import { StreamError } from '../errors.ts';
import type { Serde } from '../schemas/serde.ts';
import type { Windowed } from '../schemas/windowed.ts';
import type { AnyStoreSpec } from '../state-stores/spec.ts';
import { queryKey, type KeyAnswer, type KeyQuery, type QueryDependencies } from './key-query.ts';
import type { Staleness } from './staleness.ts';
import { ask, viewsOf, type QueryContext } from './placement.ts';
import { createRangeQueries, type Page, type RangeQuery } from './range-query.ts';
import { endOfPrefix } from './store-codec.ts';
import { queryWindows, type WindowQuery } from './window-query.ts';

/** A store by its name, with the types of what is in it; every store spec is one. */
export interface TypedStore<K, V> {
  readonly name: string;
  readonly key: Serde<K>;
  readonly value: Serde<V>;
}

/** Which partition answered, and as of when. */
export interface Provenance {
  readonly position: string;
  readonly servedBy: string;
  /** Set when a copy answered. */
  readonly staleness?: Staleness | undefined;
}

export interface TypedAnswer<V> extends Provenance {
  /** `undefined`: the owner runs and does not have the key. */
  readonly value: V | undefined;
}

export interface TypedRow<K, V> {
  readonly key: K;
  readonly value: V;
  /** Where to go on after this row. */
  readonly cursor: () => string;
}

export interface TypedPage<K, V> extends Provenance {
  readonly rows: readonly TypedRow<K, V>[];
  /** `undefined` after the last row. */
  readonly cursor: string | undefined;
}

export interface TypedRange {
  /** Serialised keys begin with this. Or: */
  readonly prefix?: Uint8Array;
  /** Serialised keys are not below this, and below `to`. */
  readonly from?: Uint8Array;
  readonly to?: Uint8Array;
  readonly reverse?: boolean;
  readonly limit: number;
  readonly cursor?: string | undefined;
}

/** A store of windows or sessions; every spec of one is one. */
export interface TypedWindowStore<K, V> extends TypedStore<Windowed<K>, V> {
  readonly groupKey?: Serde<unknown>;
}

export interface TypedWindows<K> {
  readonly key: K;
  /** Windows that start, sessions that end, from here on; epoch ms. */
  readonly fromMs?: number;
  /** Windows and sessions that start no later. */
  readonly toMs?: number;
  readonly limit: number;
  readonly cursor?: string | undefined;
}

/**
 * Committed values of all partitions. Every method rejects with `STORE_UNKNOWN`, `STORE_NOT_READY`, `PEER_UNAVAILABLE`, `QUERY_INVALID` or
 * `QUERY_TIMEOUT`, or with a `Problem`.
 */
export interface StoreQueries {
  get<K, V>(store: TypedStore<K, V>, key: K, context: QueryContext): Promise<TypedAnswer<V>>;
  page<K, V>(store: TypedStore<K, V>, range: TypedRange, context: QueryContext): Promise<TypedPage<K, V>>;
  /** Windows or sessions of one key, in order of time, as of one commit. */
  windows<K, V>(
    store: TypedWindowStore<K, V>,
    range: TypedWindows<K>,
    context: QueryContext,
  ): Promise<TypedPage<Windowed<K>, V>>;
  /** By bytes. */
  getBytes(query: KeyQuery, context: QueryContext): Promise<KeyAnswer>;
  pageBytes(query: RangeQuery, context: QueryContext): Promise<Page>;
  /** Windows or sessions of one key, by bytes. */
  windowsBytes(query: WindowQuery, context: QueryContext): Promise<Page>;
  /** Throws `STORE_UNKNOWN`. */
  spec(store: string): AnyStoreSpec;
}

export function createStoreQueries(dependencies: QueryDependencies): StoreQueries {
  const pageBytes = createRangeQueries(dependencies);
  const spec = (store: string): AnyStoreSpec =>
    ask(viewsOf(dependencies.instances, store), (view) => view.storeSpec(store));
  return {
    spec,
    pageBytes,
    windowsBytes: (query, context) => queryWindows(dependencies, query, context),
    getBytes: (query, context) => queryKey(dependencies, query, context),
    get: async (store, key, context) => {
      const { value, ...provenance } = await queryKey(
        dependencies,
        { store: store.name, key: store.key.serialize(key) },
        context,
      );
      return { ...provenance, value: value === undefined ? undefined : typedValue(store, spec(store.name), value) };
    },
    page: async (store, { prefix, from = prefix, to, reverse = false, limit, cursor }, context) => {
      const query = {
        store: store.name,
        from,
        to: prefix === undefined ? to : endOfPrefix(prefix),
        reverse,
        limit,
        cursor,
        partitions: undefined,
      };
      return typedPage(store, spec(store.name), await pageBytes(query, context));
    },
    windows: async (store, { key, fromMs = 0, toMs = Number.MAX_SAFE_INTEGER, limit, cursor }, context) => {
      const { groupKey } = store;
      if (groupKey === undefined) throw new StreamError('QUERY_INVALID', 'the store has no windows');
      const query = { store: store.name, key: groupKey.serialize(key), fromMs, toMs, limit, cursor };
      return typedPage(store, spec(store.name), await queryWindows(dependencies, query, context));
    },
  };
}

function typedPage<K, V>(
  store: TypedStore<K, V>,
  { format }: Pick<AnyStoreSpec, 'format'>,
  { rows, cursorAfter, ...rest }: Page,
): TypedPage<K, V> {
  return {
    ...rest,
    rows: rows.map((row) => ({
      key: store.key.deserialize(row.key),
      value: typedValue(store, { format }, row.value),
      cursor: () => cursorAfter(row),
    })),
  };
}

function typedValue<V>(store: TypedStore<unknown, V>, spec: Pick<AnyStoreSpec, 'format'>, stored: Uint8Array): V {
  return store.value.deserialize(spec.format.toChangelog(stored, 0).value);
}
