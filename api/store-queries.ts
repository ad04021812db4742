/** What routes ask of stores: typed values of any instance's partitions. */
import type { Serde } from '../schemas/serde.ts';
import type { AnyStoreSpec } from '../state-stores/spec.ts';
import { queryKey, type KeyAnswer, type QueryDependencies } from './key-query.ts';
import type { Staleness } from './staleness.ts';
import { ask, viewsOf, type QueryContext } from './placement.ts';
import { createRangeQueries, type Page, type RangeQuery } from './range-query.ts';
import { endOfPrefix } from './store-codec.ts';

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
  /** Serialised keys begin with this. */
  readonly prefix?: Uint8Array;
  readonly reverse?: boolean;
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
  /** By bytes. */
  getBytes(store: string, key: Uint8Array, context: QueryContext): Promise<KeyAnswer>;
  pageBytes(query: RangeQuery, context: QueryContext): Promise<Page>;
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
    getBytes: (store, key, context) => queryKey(dependencies, store, key, context),
    get: async (store, key, context) => {
      const { value, ...provenance } = await queryKey(dependencies, store.name, store.key.serialize(key), context);
      return { ...provenance, value: value === undefined ? undefined : typedValue(store, spec(store.name), value) };
    },
    page: async (store, { prefix, reverse = false, limit, cursor }, context) => {
      const query = {
        store: store.name,
        from: prefix,
        to: prefix === undefined ? undefined : endOfPrefix(prefix),
        reverse,
        limit,
        cursor,
        partitions: undefined,
      };
      const { rows, cursorAfter, ...rest } = await pageBytes(query, context);
      const { format } = spec(store.name);
      return {
        ...rest,
        rows: rows.map((row) => ({
          key: store.key.deserialize(row.key),
          value: typedValue(store, { format }, row.value),
          cursor: () => cursorAfter(row),
        })),
      };
    },
  };
}

function typedValue<V>(store: TypedStore<unknown, V>, spec: Pick<AnyStoreSpec, 'format'>, stored: Uint8Array): V {
  return store.value.deserialize(spec.format.toChangelog(stored, 0).value);
}
