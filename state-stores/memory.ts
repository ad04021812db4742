import { StreamError, assert } from '../errors.ts';
import { checkName } from '../schemas/topic.ts';
import { fromBinaryKey, toBinaryKey } from './binary-key.ts';
import { KeyIndex } from './key-index.ts';
import type { Entry, KeyValueStore, Position, Range, StoreBatch, Stores } from './store.ts';

/** Stores in memory: each is empty when opened and gone when closed. */
export function memoryStores(): Stores {
  const open = new Map<string, readonly string[]>();
  const nameOf = (path: readonly string[]): string => path.map((element) => checkName('store path', element)).join('/');

  return {
    persistent: false,
    open: async (path, { nowMs }) => {
      const name = nameOf(path);
      if (open.has(name)) throw new StreamError('STORE_LOCKED', 'store is open already', { facts: { store: name } });
      open.set(name, [...path]);
      return new MemoryStore(name, { nowMs, released: () => open.delete(name) });
    },
    destroy: async (path) => {
      const name = nameOf(path);
      if (open.has(name)) throw new StreamError('STORE_LOCKED', 'store is open', { facts: { store: name } });
    },
    list: async () => [...open.values()].map((path) => ({ path })),
  };
}

interface MemoryWrite {
  readonly name: string;
  readonly value: Uint8Array | undefined;
}

interface MemoryStoreOptions {
  readonly nowMs: () => number;
  /** Called once, by `close`. */
  readonly released: () => void;
}

/** One store in memory, with or without `Stores` around it; `write` has happened when the call returns, before its promise resolves. */
export class MemoryStore implements KeyValueStore {
  readonly #name: string;
  readonly #options: MemoryStoreOptions;
  readonly #rows = new Map<string, Uint8Array>();
  /** Made by the first scan, kept up to date from then on: most stores are never scanned. */
  #index: KeyIndex | undefined;
  #position: Position | undefined;
  #savedAtMs: number | undefined;
  #batch: MemoryBatch | undefined;
  #isOpen = true;

  constructor(name: string, options: MemoryStoreOptions) {
    this.#name = name;
    this.#options = options;
  }

  get savedAtMs(): number | undefined {
    return this.#savedAtMs;
  }

  get position(): Position | undefined {
    return this.#position;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    this.#assertOpen();
    const value = this.#rows.get(toBinaryKey(key));
    return value === undefined ? undefined : Buffer.from(value);
  }

  scan(range: Range): AsyncIterable<Entry> {
    this.#assertOpen();
    this.#index ??= this.#buildIndex();
    const limit = range.limit ?? Infinity;
    const entries: Entry[] = [];
    if (limit > 0)
      for (const name of this.#index.keys({
        from: range.from === undefined ? undefined : toBinaryKey(range.from),
        to: range.to === undefined ? undefined : toBinaryKey(range.to),
        reverse: range.reverse,
      })) {
        // Values are replaced, never changed: holding them is a consistent view.
        const value = this.#rows.get(name);
        assert(value !== undefined, 'the index holds the keys of the rows');
        if (entries.push([fromBinaryKey(name), value]) >= limit) break;
      }
    return this.#replay(entries);
  }

  batch(): StoreBatch {
    this.#assertOpen();
    this.#batch = new MemoryBatch((batch, writes, position) => {
      this.#write(batch, writes, position);
    });
    return this.#batch;
  }

  approximateCount(): number {
    return this.#rows.size;
  }

  async compact(): Promise<void> {
    this.#assertOpen();
  }

  async close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#rows.clear();
    this.#index = undefined;
    this.#options.released();
  }

  #write(batch: MemoryBatch, writes: readonly MemoryWrite[], position: Position): void {
    this.#assertOpen();
    assert(batch === this.#batch, 'a batch is written once, before the next one is begun');
    this.#batch = undefined;
    for (const { name, value } of writes) {
      if (value === undefined) {
        this.#rows.delete(name);
        this.#index?.delete(name);
      } else {
        this.#rows.set(name, Buffer.from(value));
        this.#index?.add(name);
      }
    }
    this.#position = position;
    this.#savedAtMs = Math.floor(this.#options.nowMs());
  }

  async *#replay(entries: readonly Entry[]): AsyncIterable<Entry> {
    for (const [key, value] of entries) {
      this.#assertOpen();
      yield [key, Buffer.from(value)];
    }
  }

  #buildIndex(): KeyIndex {
    const index = new KeyIndex();
    for (const name of [...this.#rows.keys()].sort()) index.add(name);
    return index;
  }

  #assertOpen(): void {
    if (!this.#isOpen) throw new StreamError('STORE_NOT_OPEN', 'store is closed', { facts: { store: this.#name } });
  }
}

class MemoryBatch implements StoreBatch {
  readonly #writes: MemoryWrite[] = [];
  readonly #writeAll: (batch: MemoryBatch, writes: readonly MemoryWrite[], position: Position) => void;

  constructor(writeAll: (batch: MemoryBatch, writes: readonly MemoryWrite[], position: Position) => void) {
    this.#writeAll = writeAll;
  }

  get count(): number {
    return this.#writes.length;
  }

  put(key: Uint8Array, value: Uint8Array): void {
    this.#writes.push({ name: toBinaryKey(key), value });
  }

  delete(key: Uint8Array): void {
    this.#writes.push({ name: toBinaryKey(key), value: undefined });
  }

  async write(position: Position): Promise<void> {
    this.#writeAll(this, this.#writes, position);
  }
}
