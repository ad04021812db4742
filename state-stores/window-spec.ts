/** Declares stores of windows and sessions. */
import type { Serde } from '../schemas/serde.ts';
import type { Windowed } from '../schemas/windowed.ts';
import { groupOfHead, headKey, headOf, positionKey, rowOfQueryKey } from './group-key.ts';
import { GroupedStore, type GroupedStoreOptions } from './grouped-store.ts';
import {
  changelogConfigs,
  checkBound,
  plainFormat,
  timestampedFormat,
  type CacheOptions,
  type StoreScope,
  type StoreSpec,
} from './spec.ts';
import { checkName } from '../schemas/topic.ts';
import type { KeyValueStore } from './store.ts';
import { timestampOf, valueOf, withTimestamp } from './timestamped-value.ts';
import {
  TypedSessionStore,
  TypedWindowStore,
  type RowCodec,
  type SessionState,
  type WindowState,
} from './window-state.ts';

/** Rows that are kept by time in memory, per task; at some 100 bytes of heap each. */
export const defaultIndexedRowsMax = 1_000_000;
/** The rows of one key in so many parts: each is read and written as a whole, and expires as a whole. */
const segmentsPerRetention = 32;
/** The changelog keeps rows a day longer than the store, as in Kafka Streams: its brokers remove by their own clocks. */
const changelogSlackMs = 24 * 60 * 60 * 1000;
/** Kafka Streams' segments, by which it refuses old rows. */
const refusalSegmentMinMs = 60_000;

export interface GroupedStoreSettings<K, V> {
  /** Equal keys must give equal bytes. */
  readonly key: Serde<K>;
  readonly value: Serde<V>;
  /** Rows are kept until the latest one is this far ahead of them. */
  readonly retentionMs: number;
  /** `false`: not logged; configurations are added to `cleanup.policy=compact,delete` and a retention of a day more than the store's. */
  readonly changelog?: boolean | Readonly<Record<string, string>>;
  readonly cache?: Pick<CacheOptions, 'keepsPutValues'>;
  /** Lets processors ask for rows of all keys by time; every task then keeps a note of each row in memory. */
  readonly byTime?: boolean;
  /** Bound of that. A put beyond it fails. */
  readonly byTimeRowsMax?: number;
}

export interface WindowStoreOptions<K, V> extends GroupedStoreSettings<K, V> {
  /** Length of a window, which tells its end; at most the retention. */
  readonly sizeMs: number;
  /** A `put` adds a row even where there is one. Store and changelog then hold plain values; the time of a row is its window's start. */
  readonly keepsDuplicates?: boolean;
}

export type WindowStoreSpec<K, V> = StoreSpec<Windowed<K>, V, WindowState<K, V>> & {
  readonly windows: { readonly sizeMs: number; readonly retentionMs: number; readonly byTime: boolean };
};

export type SessionStoreSpec<K, V> = StoreSpec<Windowed<K>, V, SessionState<K, V>> & {
  readonly sessions: { readonly retentionMs: number; readonly byTime: boolean };
};

/** Declares a store of values by key and start of a window. Throws `TOPOLOGY_INVALID` for a bad name or bound. */
export function defineWindowStore<K, V>(name: string, options: WindowStoreOptions<K, V>): WindowStoreSpec<K, V> {
  const { key, value, retentionMs, sizeMs, keepsDuplicates = false, byTime = false } = options;
  checkBound(name, sizeMs);
  const grouped = groupedOptions(name, options, { minorBytes: 4, spanMs: sizeMs });
  const codec = keepsDuplicates ? plainCodec(value) : timestampedCodec(value);
  const typed = {
    key,
    codec,
    keepsDuplicates,
    keepsPutValues: options.cache?.keepsPutValues ?? false,
    // As in Kafka Streams, whose stores by time see the row exactly as old as the retention, and whose others do not.
    visibleMs: byTime ? retentionMs : retentionMs - 1,
  };
  return Object.freeze({
    ...common(name, options),
    kind: keepsDuplicates ? 'window-with-duplicates' : 'window',
    key: windowKeySerde(key, sizeMs, grouped.segmentMs),
    groupKey: key,
    format: keepsDuplicates ? plainFormat : timestampedFormat,
    windows: Object.freeze({ sizeMs, retentionMs, byTime }),
    open: (backing: KeyValueStore, { rowBytesMax, cacheBytesMax, currentTimestampMs }: StoreScope) => {
      const layers = new GroupedStore<V>(backing, { ...grouped, rowBytesMax, cacheBytesMax });
      return { layers, state: new TypedWindowStore<K, V>({ ...typed, store: layers, currentTimestampMs }) };
    },
  });
}

/** Declares a store of values by key and session. Throws `TOPOLOGY_INVALID` for a bad name or bound. */
export function defineSessionStore<K, V>(name: string, options: GroupedStoreSettings<K, V>): SessionStoreSpec<K, V> {
  const { key, value, retentionMs, byTime = false } = options;
  const grouped = groupedOptions(name, options, { minorBytes: 8, spanMs: 0 });
  const typed = {
    key,
    codec: plainCodec(value),
    keepsPutValues: options.cache?.keepsPutValues ?? false,
    visibleMs: retentionMs - 1,
  };
  return Object.freeze({
    ...common(name, options),
    kind: 'session',
    key: sessionKeySerde(key, grouped.segmentMs),
    groupKey: key,
    format: plainFormat,
    sessions: Object.freeze({ retentionMs, byTime }),
    open: (backing: KeyValueStore, { rowBytesMax, cacheBytesMax, currentTimestampMs }: StoreScope) => {
      const layers = new GroupedStore<V>(backing, { ...grouped, rowBytesMax, cacheBytesMax });
      return { layers, state: new TypedSessionStore<K, V>({ ...typed, store: layers, currentTimestampMs }) };
    },
  });
}

function common<K, V>(
  name: string,
  { value, changelog = true, retentionMs }: GroupedStoreSettings<K, V>,
): Pick<StoreSpec<K, V, never>, 'name' | 'value' | 'changelog'> {
  const retained = { 'cleanup.policy': 'compact,delete', 'retention.ms': String(retentionMs + changelogSlackMs) };
  const configs = typeof changelog === 'object' ? { ...retained, ...changelog } : retained;
  return { name: checkName('store', name), value, changelog: changelogConfigs(changelog === false ? false : configs) };
}

function groupedOptions<K, V>(
  name: string,
  { retentionMs, byTime, byTimeRowsMax }: GroupedStoreSettings<K, V>,
  { minorBytes, spanMs }: { readonly minorBytes: 4 | 8; readonly spanMs: number },
): Omit<GroupedStoreOptions, 'rowBytesMax' | 'cacheBytesMax'> {
  checkBound(name, retentionMs);
  const rowsMax = checkBound(name, byTimeRowsMax ?? defaultIndexedRowsMax);
  return {
    name,
    minorBytes,
    segmentMs: Math.max(1, spanMs, Math.ceil(retentionMs / segmentsPerRetention)),
    retentionMs,
    refusalSegmentMs: Math.max(Math.floor(retentionMs / 2), refusalSegmentMinMs),
    indexedRowsMax: byTime === true ? rowsMax : undefined,
  };
}

function timestampedCodec<V>(serde: Serde<V>): RowCodec<V> {
  return { serde, encode: withTimestamp, timestampOf, valueOf };
}

function plainCodec<V>(serde: Serde<V>): RowCodec<V> {
  return { serde, encode: (value) => value, timestampOf: (_, startMs) => startMs, valueOf: (stored) => stored };
}

/** Of keys as queries have them. */
function windowKeySerde<K>(inner: Serde<K>, sizeMs: number, segmentMs: number): Serde<Windowed<K>> {
  return {
    name: `window of ${inner.name}`,
    serialize: ({ key, startMs }) =>
      positionKey(headKey(Math.floor(startMs / segmentMs), inner.serialize(key)), { major: startMs, minor: 0 }),
    deserialize: (bytes) => {
      const { group, major } = rowOfQueryKey(bytes);
      return { key: inner.deserialize(group), startMs: major, endMs: major + sizeMs };
    },
    partitionKey,
  };
}

/** Of keys as queries have them. */
function sessionKeySerde<K>(inner: Serde<K>, segmentMs: number): Serde<Windowed<K>> {
  return {
    name: `session of ${inner.name}`,
    serialize: ({ key, startMs, endMs }) =>
      positionKey(headKey(Math.floor(endMs / segmentMs), inner.serialize(key)), { major: endMs, minor: startMs }),
    deserialize: (bytes) => {
      const { group, major, minor } = rowOfQueryKey(bytes);
      return { key: inner.deserialize(group), startMs: minor, endMs: major };
    },
    partitionKey,
  };
}

function partitionKey(bytes: Uint8Array): Uint8Array {
  return groupOfHead(headOf(bytes));
}
