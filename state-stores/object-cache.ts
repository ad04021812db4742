/**
 * What is known of one key: its value encoded or decoded. What is encoded stands here as binary strings, which are cheap to make and hold nothing else:
 * bytes are often a slice of a pool of many KiB, all of which lives as long as any of its slices.
 */
export interface CachedRow<T> {
  /** The key as the layers below know it. */
  readonly name: string;
  /** `undefined` for an absent row, and once `value` is there. */
  stored: string | undefined;
  /** The decoded value if it may be shared. */
  value: T | undefined;
  /** Length of the value as stored. */
  valueBytes: number;
}

export interface CacheBounds {
  /** 0 keeps nothing. */
  readonly entriesMax: number;
  /** Of memory, estimated from what rows take as stored. */
  readonly bytesMax: number;
}

/** What a row costs besides its value: the row, its key twice over and its place in the map. */
const rowBytes = 256;
/** A decoded value takes about this many times what it takes as stored. */
const decodedFactor = 2;

function weightOf(row: CachedRow<unknown>): number {
  return rowBytes + decodedFactor * row.valueBytes;
}

/**
 * A bounded cache in two generations: a hit costs one map look-up, and whatever was not used for half a cache's worth of new keys goes.
 */
export class ObjectCache<K, T> {
  readonly #generationMax: number;
  readonly #generationBytesMax: number;
  #young = new Map<K, CachedRow<T>>();
  #old = new Map<K, CachedRow<T>>();
  #youngBytes = 0;

  constructor({ entriesMax, bytesMax }: CacheBounds) {
    this.#generationMax = Math.floor(entriesMax / 2);
    this.#generationBytesMax = Math.floor(bytesMax / 2);
  }

  get(key: K): CachedRow<T> | undefined {
    const row = this.#young.get(key);
    if (row !== undefined) return row;
    const older = this.#old.get(key);
    if (older !== undefined) this.set(key, older);
    return older;
  }

  set(key: K, row: CachedRow<T>): void {
    const weight = weightOf(row);
    if (this.#generationMax === 0 || weight > this.#generationBytesMax) return;
    this.#young.set(key, row);
    this.#youngBytes += weight;
    if (this.#young.size >= this.#generationMax || this.#youngBytes >= this.#generationBytesMax) this.#age();
  }

  /** To be told after the value of a row that `get` returned has become larger or smaller by so many bytes. */
  resized(byBytes: number): void {
    this.#youngBytes += decodedFactor * byBytes;
    if (this.#youngBytes >= this.#generationBytesMax) this.#age();
  }

  clear(): void {
    this.#young.clear();
    this.#old.clear();
    this.#youngBytes = 0;
  }

  #age(): void {
    this.#old = this.#young;
    this.#young = new Map();
    this.#youngBytes = 0;
  }
}

/** Bounds of what is examined before a value is shared: larger, deeper or cyclic ones are decoded per read. */
const nodesMax = 100_000;
const depthMax = 64;

/**
 * Deep-freezes `value` if it consists of primitives, plain objects and arrays only, and tells whether it does; anything with a class instance, a map,
 * a buffer or a function in it is left as it is.
 */
export function freezePlain(value: unknown): boolean {
  if (!isPlain(value, depthMax, { left: nodesMax })) return false;
  freezeAll(value);
  return true;
}

function isPlain(value: unknown, depthLeft: number, nodes: { left: number }): boolean {
  if (typeof value !== 'object' || value === null) return typeof value !== 'function';
  nodes.left -= 1;
  if (depthLeft === 0 || nodes.left < 0 || !hasPlainPrototype(value)) return false;
  if (Array.isArray(value)) return value.every((item) => isPlain(item, depthLeft - 1, nodes));
  for (const key in value) if (!isPlain((value as Record<string, unknown>)[key], depthLeft - 1, nodes)) return false;
  return true;
}

function hasPlainPrototype(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return Array.isArray(value) ? prototype === Array.prototype : prototype === Object.prototype || prototype === null;
}

/** Of what is plain. */
function freezeAll(value: unknown): void {
  if (typeof value !== 'object' || value === null) return;
  Object.freeze(value);
  if (Array.isArray(value)) value.forEach(freezeAll);
  else for (const key in value) freezeAll((value as Record<string, unknown>)[key]);
}
