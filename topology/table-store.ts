/** The store behind a table: from its author's name and what is known of keys and values, or as the author declared it. */
import type { Serde } from '../schemas/serde.ts';
import { defineTimestampedStore, type StoreSpec } from '../state-stores/spec.ts';
import type { TimestampedState } from '../state-stores/typed-store.ts';
import type { Declaration } from './declaration.ts';
import { requireSerdes } from './repartition.ts';

/** A declared store that can hold a table: made by `defineTimestampedStore` or `defineVersionedStore`. */
export type TableStoreSpec<K, V> = StoreSpec<K, V, TimestampedState<K, V>> & {
  readonly historyRetentionMs?: number;
};

/** The name of a store, or its declaration. */
export type TableStore<K, V> = string | TableStoreSpec<K, V>;

export function storeName(store: string | { readonly name: string }): string {
  return typeof store === 'string' ? store : store.name;
}

interface Known<K, V> {
  readonly declaration: Declaration;
  readonly key: Serde<K> | undefined;
  readonly value: Serde<V> | undefined;
  /** The value serde gives back exactly what it was given, so that values need not be decoded to be read again. */
  readonly isExact?: boolean;
}

/** Throws `TOPOLOGY_INVALID` naming the store if a serde is neither given nor known. */
export function tableStore<K, V>(store: TableStore<K, V>, known: Known<K, V>): TableStoreSpec<K, V> {
  if (typeof store !== 'string') return store;
  const serdes = requireSerdes(store, known);
  return defineTimestampedStore(store, { ...serdes, cache: { keepsPutValues: known.isExact === true } });
}
