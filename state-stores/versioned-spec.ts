/** Declares stores that know what a value was at an earlier time. */
import { StreamError } from '../errors.ts';
import { checkName } from '../schemas/topic.ts';
import type { Serde } from '../schemas/serde.ts';
import { LayeredStore } from './layered-store.ts';
import { changelogConfigs, timestampedFormat, type StoreScope, type StoreSpec } from './spec.ts';
import type { KeyValueStore } from './store.ts';
import { decode, encodeKey, encodeValue } from './typed-rows.ts';
import type { Timestamped, TimestampedState } from './typed-store.ts';
import { VersionedStore, type PutOutcome } from './versioned-store.ts';
import type { Version } from './versioned-row.ts';

/** Compaction of a changelog leaves alone what is not older than the history and a day; as in Kafka Streams. */
const compactionSlackMs = 24 * 60 * 60 * 1000;

/**
 * As `TimestampedState`, with the versions of the last `historyRetentionMs` before the latest timestamp put. A version is valid from its
 * timestamp until that of the next one.
 */
export interface VersionedState<K, V> extends TimestampedState<K, V> {
  /** The version that was valid at a time; `undefined` if there was none, or it is beyond retention and not the latest one. */
  asOf(key: K, timeMs: number): Timestamped<V> | undefined;
  /** Whether it is the latest version of its key; `expired`: it is beyond retention and was not kept. */
  put(key: K, value: V, timestampMs: number): PutOutcome;
  delete(key: K, timestampMs: number): PutOutcome;
}

export interface VersionedStoreOptions<K, V> {
  /** Equal keys must give equal bytes. */
  readonly key: Serde<K>;
  readonly value: Serde<V>;
  /** How far back versions are kept, and how late a put may come; ms. */
  readonly historyRetentionMs: number;
  /** `false`: not logged; configurations are added to compaction that spares the history. */
  readonly changelog?: boolean | Readonly<Record<string, string>>;
}

export type VersionedStoreSpec<K, V> = StoreSpec<K, V, VersionedState<K, V>> & { readonly historyRetentionMs: number };

/** Throws `TOPOLOGY_INVALID` for a bad name or retention. */
export function defineVersionedStore<K, V>(
  name: string,
  options: VersionedStoreOptions<K, V>,
): VersionedStoreSpec<K, V> {
  const { key, value, historyRetentionMs, changelog = true } = options;
  if (!Number.isSafeInteger(historyRetentionMs) || historyRetentionMs < 0)
    throw new StreamError('TOPOLOGY_INVALID', `store ${name}: a retention is a whole number of ms, at least 0`, {
      facts: { store: name },
    });
  const lag = { 'min.compaction.lag.ms': String(historyRetentionMs + compactionSlackMs) };
  return Object.freeze({
    name: checkName('store', name),
    kind: 'versioned-key-value',
    key,
    value,
    historyRetentionMs,
    format: { ...timestampedFormat, version: 3 },
    changelog: changelog === false ? undefined : changelogConfigs({ ...lag, ...(changelog === true ? {} : changelog) }),
    open: (backing: KeyValueStore, scope: StoreScope) => {
      const rows = new LayeredStore(backing, { name, rowBytesMax: scope.rowBytesMax });
      const layers = new VersionedStore(backing, rows, { retentionMs: historyRetentionMs });
      return { layers, state: new TypedVersionedStore(layers, options) };
    },
  });
}

class TypedVersionedStore<K, V> implements VersionedState<K, V> {
  readonly #store: VersionedStore;
  readonly #key: Serde<K>;
  readonly #value: Serde<V>;

  constructor(store: VersionedStore, { key, value }: VersionedStoreOptions<K, V>) {
    this.#store = store;
    this.#key = key;
    this.#value = value;
  }

  get(key: K): Timestamped<V> | undefined {
    return this.#decoded(this.#store.get(this.#encoded(key)));
  }

  asOf(key: K, timeMs: number): Timestamped<V> | undefined {
    return this.#decoded(this.#store.asOf(this.#encoded(key), timeMs));
  }

  put(key: K, value: V, timestampMs: number): PutOutcome {
    return this.#store.put(this.#encoded(key), encodeValue(this.#store.name, this.#value, value), timestampMs);
  }

  delete(key: K, timestampMs: number): PutOutcome {
    return this.#store.put(this.#encoded(key), undefined, timestampMs);
  }

  #encoded(key: K): Uint8Array {
    return encodeKey(this.#store.name, this.#key, key);
  }

  #decoded(version: Version | undefined): Timestamped<V> | undefined {
    if (version?.value === undefined) return undefined;
    return { value: decode(this.#store.name, this.#value, version.value), timestampMs: version.from };
  }
}
