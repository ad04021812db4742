/** Keys of one chunk before it is split; 512 keeps an insertion's shift near 50 ns and the list of chunks short. */
const chunkKeysMax = 512;

interface Chunk {
  readonly keys: string[];
  /** The index's epoch when the chunk was made: an older one is shared with an iteration and copied before it changes. */
  readonly epoch: number;
}

export interface KeyRange {
  /** Inclusive; absent: from the first key. */
  readonly from?: string | undefined;
  /** Exclusive; absent: to the last key. */
  readonly to?: string | undefined;
  readonly reverse?: boolean | undefined;
}

/** Position of the first key that is not below `key`. */
function lowerBound(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] ?? '') < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The chunk in which `key` lies or belongs. */
function chunkFor(chunks: readonly Chunk[], key: string): number {
  let low = 0;
  let high = chunks.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((chunks[middle]?.keys[0] ?? '') <= key) low = middle + 1;
    else high = middle;
  }
  return Math.max(0, low - 1);
}

/**
 * A sorted set of binary keys: insertion, removal and seek in logarithmic time, iteration both ways.
 *
 * An iteration shows the set as it was when `keys` was called, whatever is added or deleted meanwhile: chunks are copied on write.
 */
export class KeyIndex {
  #chunks: Chunk[] = [];
  #epoch = 0;
  #chunksEpoch = 0;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** The lowest key. */
  get first(): string | undefined {
    return this.#chunks[0]?.keys[0];
  }

  has(key: string): boolean {
    const keys = this.#chunks[chunkFor(this.#chunks, key)]?.keys;
    return keys !== undefined && keys[lowerBound(keys, key)] === key;
  }

  /** Whether the key was new. */
  add(key: string): boolean {
    if (this.#chunks.length === 0) {
      this.#ownChunks().push({ keys: [key], epoch: this.#epoch });
      this.#size = 1;
      return true;
    }
    const at = chunkFor(this.#chunks, key);
    const position = lowerBound(this.#chunks[at]?.keys ?? [], key);
    if (this.#chunks[at]?.keys[position] === key) return false;
    const keys = this.#ownKeys(at);
    if (position === keys.length) keys.push(key);
    else keys.splice(position, 0, key);
    this.#size += 1;
    if (keys.length > chunkKeysMax) this.#split(at, position === keys.length - 1);
    return true;
  }

  /** Whether the key was there. */
  delete(key: string): boolean {
    const at = chunkFor(this.#chunks, key);
    const found = this.#chunks[at]?.keys;
    if (found === undefined) return false;
    const position = lowerBound(found, key);
    if (found[position] !== key) return false;
    const keys = this.#ownKeys(at);
    keys.splice(position, 1);
    if (keys.length === 0) this.#ownChunks().splice(at, 1);
    this.#size -= 1;
    return true;
  }

  clear(): void {
    this.#chunks = [];
    this.#chunksEpoch = this.#epoch;
    this.#size = 0;
  }

  /** The keys with `from <= key < to` as of this call, ascending unless `reverse`. */
  keys(range: KeyRange = {}): IterableIterator<string> {
    this.#epoch += 1;
    return range.reverse === true ? descending(this.#chunks, range) : ascending(this.#chunks, range);
  }

  #ownChunks(): Chunk[] {
    if (this.#chunksEpoch !== this.#epoch) {
      this.#chunks = this.#chunks.slice();
      this.#chunksEpoch = this.#epoch;
    }
    return this.#chunks;
  }

  #ownKeys(at: number): string[] {
    const chunk = this.#chunks[at];
    if (chunk === undefined) return [];
    if (chunk.epoch === this.#epoch) return chunk.keys;
    const keys = chunk.keys.slice();
    this.#ownChunks()[at] = { keys, epoch: this.#epoch };
    return keys;
  }

  /** Ascending loads leave full chunks behind instead of half-empty ones. */
  #split(at: number, isAppend: boolean): void {
    const chunks = this.#ownChunks();
    const keys = chunks[at]?.keys ?? [];
    const upper = keys.splice(isAppend ? keys.length - 1 : keys.length >>> 1);
    chunks.splice(at + 1, 0, { keys: upper, epoch: this.#epoch });
  }
}

/** Of a chunk that may be absent. */
function keysOf(chunks: readonly Chunk[], at: number): readonly string[] {
  return chunks[at]?.keys ?? [];
}

function* ascending(chunks: readonly Chunk[], { from = '', to }: KeyRange): IterableIterator<string> {
  const first = chunkFor(chunks, from);
  for (let at = first; at < chunks.length; at += 1) {
    const keys = keysOf(chunks, at);
    for (let position = at === first ? lowerBound(keys, from) : 0; position < keys.length; position += 1) {
      const key = keys[position] ?? '';
      if (to !== undefined && key >= to) return;
      yield key;
    }
  }
}

function* descending(chunks: readonly Chunk[], { from = '', to }: KeyRange): IterableIterator<string> {
  const last = to === undefined ? chunks.length - 1 : chunkFor(chunks, to);
  for (let at = last; at >= 0; at -= 1) {
    const keys = keysOf(chunks, at);
    const end = to === undefined || at < last ? keys.length : lowerBound(keys, to);
    const start = lowerBound(keys, from);
    for (let position = end - 1; position >= start; position -= 1) yield keys[position] ?? '';
    if (start > 0) return;
  }
}
