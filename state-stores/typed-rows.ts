/** The part that all typed stores share: serialisation with named failures, and the object cache above the layered store. */
import { StreamError, assert } from '../errors.ts';
import { noHeaders } from '../schemas/record.ts';
import { bigint64Serde, int16Serde, int32Serde, int64Serde, stringSerde, type Serde } from '../schemas/serde.ts';
import { fromBinaryKey, toBinaryKey } from './binary-key.ts';
import type { LayeredStore } from './layered-store.ts';
import { ObjectCache, freezePlain, type CacheBounds, type CachedRow } from './object-cache.ts';

type SerdeFailure = 'SERIALIZATION_FAILED' | 'DESERIALIZATION_FAILED';

function failure(code: SerdeFailure, store: string, what: string, cause?: unknown): StreamError {
  return new StreamError(code, `store ${store}: ${what}`, { facts: { store }, cause });
}

function encode<T>(store: string, serde: Serde<T>, value: T): Uint8Array {
  let bytes: unknown;
  try {
    bytes = serde.serialize(value);
  } catch (cause) {
    throw failure('SERIALIZATION_FAILED', store, `serde ${serde.name} refused what was put`, cause);
  }
  if (!(bytes instanceof Uint8Array)) throw failure('SERIALIZATION_FAILED', store, `serde ${serde.name} gave no bytes`);
  // A serde of bytes gives back what it was given: the store must own what it keeps.
  return bytes === value ? Buffer.from(bytes) : bytes;
}

/** The value that `bytes` stand for; never the array itself. Throws `DESERIALIZATION_FAILED`. */
export function decode<T>(store: string, serde: Serde<T>, bytes: Uint8Array): T {
  try {
    const value = serde.deserialize(bytes);
    const given: unknown = value;
    return given === bytes ? serde.deserialize(Buffer.from(bytes)) : value;
  } catch (cause) {
    throw failure('DESERIALIZATION_FAILED', store, `serde ${serde.name} refused what is stored`, cause);
  }
}

/** Throws `SERIALIZATION_FAILED`. */
export function encodeKey<K>(store: string, serde: Serde<K>, key: K): Uint8Array {
  if (key === undefined || key === null) throw failure('SERIALIZATION_FAILED', store, 'a key may not be null');
  return encode(store, serde, key);
}

/** Throws `SERIALIZATION_FAILED`. */
export function encodeValue<V>(store: string, serde: Serde<V>, value: V): Uint8Array {
  if (value === undefined || value === null)
    throw failure('SERIALIZATION_FAILED', store, 'a value may not be null; use delete to remove a row');
  return encode(store, serde, value);
}

/** Of these, equal bytes mean equal keys and the other way round: the key itself can name its row in the cache. */
const injective: ReadonlySet<unknown> = new Set([stringSerde, int16Serde, int32Serde, int64Serde, bigint64Serde]);

export interface TypedRowsOptions<K, T> {
  readonly store: LayeredStore;
  readonly key: Serde<K>;
  readonly cache: CacheBounds;
  readonly keepsPutValues: boolean;
  readonly decode: (stored: Uint8Array) => T;
}

export interface TypedWrite<T> {
  /** `undefined` deletes. */
  readonly stored: Uint8Array | undefined;
  readonly timestampMs: number;
  /** What `stored` was made of. */
  readonly value: T | undefined;
}

/** Rows of a layered store under typed keys; values are decoded at most once while they stay in the cache. */
export class TypedRows<K, T> {
  readonly #store: LayeredStore;
  readonly #key: Serde<K>;
  readonly #decode: (stored: Uint8Array) => T;
  readonly #keepsPutValues: boolean;
  readonly #isInjective: boolean;
  readonly #cache: ObjectCache<K | string, T>;
  #generation: number;

  constructor(options: TypedRowsOptions<K, T>) {
    assert(options.cache.entriesMax >= 0 && options.cache.bytesMax >= 0, 'a cache has a size');
    this.#store = options.store;
    this.#key = options.key;
    this.#decode = options.decode;
    this.#keepsPutValues = options.keepsPutValues;
    this.#isInjective = injective.has(options.key);
    this.#cache = new ObjectCache(options.cache);
    this.#generation = options.store.generation;
  }

  get(key: K): T | undefined {
    const row = this.#cached(key);
    if (row === undefined) return this.#load(key);
    if (row.value !== undefined || row.stored === undefined) return row.value;
    return this.#decoded(row, fromBinaryKey(row.stored));
  }

  put(key: K, { stored, timestampMs, value }: TypedWrite<T>): void {
    const known = this.#cached(key);
    const keyBytes = known === undefined ? this.#encodeKey(key) : fromBinaryKey(known.name);
    const row = known ?? newRow(toBinaryKey(keyBytes));
    this.#store.putNamed(row.name, { key: keyBytes, value: stored, timestampMs, headers: noHeaders });
    const grownBytes = (stored?.length ?? 0) - row.valueBytes;
    row.valueBytes += grownBytes;
    row.value = this.#keepsPutValues ? shareable(value) : undefined;
    row.stored = row.value === undefined && stored !== undefined ? toBinaryKey(stored) : undefined;
    if (known === undefined) this.#cache.set(this.#cacheKey(key, row), row);
    else if (grownBytes !== 0) this.#cache.resized(grownBytes);
  }

  #cached(key: K): CachedRow<T> | undefined {
    if (this.#generation !== this.#store.generation) {
      this.#cache.clear();
      this.#generation = this.#store.generation;
    }
    return this.#cache.get(this.#namesItself(key) ? key : toBinaryKey(this.#encodeKey(key)));
  }

  #load(key: K): T | undefined {
    const keyBytes = this.#encodeKey(key);
    const row = newRow<T>(toBinaryKey(keyBytes));
    const bytes = this.#store.getNamed(row.name, keyBytes);
    row.valueBytes = bytes?.length ?? 0;
    const value = bytes === undefined ? undefined : this.#decoded(row, bytes);
    this.#cache.set(this.#cacheKey(key, row), row);
    return value;
  }

  #decoded(row: CachedRow<T>, bytes: Uint8Array): T {
    const value = this.#decode(bytes);
    row.value = shareable(value);
    row.stored = row.value === undefined ? (row.stored ?? toBinaryKey(bytes)) : undefined;
    return value;
  }

  #encodeKey(key: K): Uint8Array {
    return encodeKey(this.#store.name, this.#key, key);
  }

  #cacheKey(key: K, row: CachedRow<T>): K | string {
    return this.#namesItself(key) ? key : row.name;
  }

  /** A map takes 0 and -0 for one key, and `null` must be refused rather than found. */
  #namesItself(key: K): boolean {
    return this.#isInjective && key !== 0;
  }
}

/** The value, frozen, if it can be; `undefined` if each reader needs one of its own. */
function shareable<T>(value: T | undefined): T | undefined {
  return value !== undefined && freezePlain(value) ? value : undefined;
}

function newRow<T>(name: string): CachedRow<T> {
  return { name, stored: undefined, value: undefined, valueBytes: 0 };
}
