/** A simulated disk: stores in memory that outlive their process, and what disks do to them. */
import { StreamError, assert } from '../../errors.ts';
import { checkName } from '../../schemas/topic.ts';
import { fromBinaryKey, toBinaryKey } from '../../state-stores/binary-key.ts';
import type {
  Entry,
  KeyValueStore,
  Position,
  Range,
  StoreBatch,
  StoreIdentity,
  StoreOpenOptions,
  Stores,
} from '../../state-stores/store.ts';
import type { Chance } from './chance.ts';
import type { SimProcess } from './process.ts';

type Rows = Map<string, Uint8Array>;
type Write = readonly [name: string, value: Uint8Array | undefined];

interface Batch {
  readonly writes: readonly Write[];
  readonly position: Position;
  readonly savedAtMs: number;
}

/** What lies on the disk for one store. */
export interface Directory {
  readonly path: readonly string[];
  readonly identity: StoreIdentity;
  rows: Rows;
  position: Position | undefined;
  savedAtMs: number | undefined;
  /** What survives a loss of power, and the batches since, in order. */
  synced: Pick<Directory, 'rows' | 'position' | 'savedAtMs'>;
  tail: Batch[];
  isDamaged: boolean;
  owner: SimProcess | undefined;
}

export interface DiskFaults {
  /** Of one access, ms. */
  readonly delayMs: number;
  readonly isFull: boolean;
}

/** Batches that a disk keeps in memory before it writes them through. */
const tailMax = 20;

export class SimDisk {
  readonly directories = new Map<string, Directory>();
  readonly #chance: Chance;
  readonly #faults: () => DiskFaults;

  constructor(chance: Chance, faults: () => DiskFaults) {
    this.#chance = chance;
    this.#faults = faults;
  }

  /** The stores as one process sees them. What it has open is given free when it dies. */
  storesOf(process: SimProcess): Stores {
    const access = async (): Promise<DiskFaults> => {
      process.onStep('disk');
      const faults = this.#faults();
      await process.wait(faults.delayMs * this.#chance.next());
      return faults;
    };
    return {
      persistent: true,
      open: async (path, options) => {
        const name = nameOf(path);
        const { isFull } = await access();
        const directory = this.#open(name, path, options, isFull);
        directory.owner = process;
        return new SimStore(process, directory, { access, chance: this.#chance, nowMs: options.nowMs });
      },
      destroy: async (path) => {
        const name = nameOf(path);
        await access();
        const directory = this.directories.get(name);
        if (directory !== undefined && isOpen(directory))
          throw new StreamError('STORE_LOCKED', 'store is open', { facts: { store: name } });
        this.directories.delete(name);
      },
      list: async () => {
        await access();
        return [...this.directories.values()].map(({ path }) => ({ path }));
      },
    };
  }

  /** The machine lost its power: what was not yet written through is gone, from some batch on. */
  losePower(): void {
    for (const directory of this.directories.values()) {
      const { rows, position, savedAtMs } = directory.synced;
      const kept = directory.tail.slice(0, this.#chance.below(directory.tail.length + 1));
      directory.rows = new Map(rows);
      directory.position = position;
      directory.savedAtMs = savedAtMs;
      directory.tail = [];
      for (const batch of kept) put(directory, batch);
    }
  }

  /** Damages one store, so that whoever reads it notices. Returns its name. */
  damage(): string | undefined {
    const directories = [...this.directories.values()];
    if (directories.length === 0) return undefined;
    const directory = this.#chance.pick(directories);
    directory.isDamaged = true;
    return nameOf(directory.path);
  }

  wipe(): void {
    this.directories.clear();
  }

  #open(name: string, path: readonly string[], { identity }: StoreOpenOptions, isFull: boolean): Directory {
    const known = this.directories.get(name);
    const facts = { store: name };
    if (known !== undefined) {
      if (isOpen(known)) throw new StreamError('STORE_LOCKED', 'store is open already', { facts });
      if (known.isDamaged) throw new StreamError('STORE_CORRUPT', 'store is damaged', { facts });
      if (JSON.stringify(known.identity) !== JSON.stringify(identity))
        throw new StreamError('STORE_FOREIGN', 'store belongs to another', { facts });
      return known;
    }
    if (isFull) throw new StreamError('STORE_IO', 'disk is full', { facts });
    const made: Directory = {
      path,
      identity,
      rows: new Map(),
      position: undefined,
      savedAtMs: undefined,
      synced: { rows: new Map(), position: undefined, savedAtMs: undefined },
      tail: [],
      isDamaged: false,
      owner: undefined,
    };
    this.directories.set(name, made);
    return made;
  }
}

function nameOf(path: readonly string[]): string {
  return path.map((element) => checkName('store path', element)).join('/');
}

function isOpen({ owner }: Directory): boolean {
  return owner !== undefined && !owner.isDead;
}

function put(directory: Directory, batch: Batch): void {
  for (const [name, value] of batch.writes) {
    if (value === undefined) directory.rows.delete(name);
    else directory.rows.set(name, value);
  }
  directory.position = batch.position;
  directory.savedAtMs = batch.savedAtMs;
  directory.tail.push(batch);
}

interface Access {
  access(): Promise<DiskFaults>;
  readonly chance: Chance;
  readonly nowMs: () => number;
}

class SimStore implements KeyValueStore {
  readonly #process: SimProcess;
  readonly #directory: Directory;
  readonly #access: Access;
  /** The batch that is being written: visible here, not yet on the disk. */
  #pending: Map<string, Uint8Array | undefined> | undefined;
  #writing: Promise<void> = Promise.resolve();
  #batch: SimBatch | undefined;
  #isOpen = true;

  constructor(process: SimProcess, directory: Directory, access: Access) {
    this.#process = process;
    this.#directory = directory;
    this.#access = access;
  }

  get position(): Position | undefined {
    return this.#directory.position;
  }

  get savedAtMs(): number | undefined {
    return this.#directory.savedAtMs;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    this.#check();
    const name = toBinaryKey(key);
    const value = this.#pending?.has(name) === true ? this.#pending.get(name) : this.#directory.rows.get(name);
    return value === undefined ? undefined : Buffer.from(value);
  }

  scan(range: Range): AsyncIterable<Entry> {
    this.#check();
    const rows = new Map(this.#directory.rows);
    for (const [name, value] of this.#pending ?? []) {
      if (value === undefined) rows.delete(name);
      else rows.set(name, value);
    }
    const from = range.from === undefined ? '' : toBinaryKey(range.from);
    const to = range.to === undefined ? undefined : toBinaryKey(range.to);
    const names = [...rows.keys()].filter((name) => name >= from && (to === undefined || name < to)).sort();
    if (range.reverse === true) names.reverse();
    return this.#replay(names.slice(0, range.limit), rows);
  }

  batch(): StoreBatch {
    this.#check();
    this.#batch = new SimBatch((batch, position) => {
      this.#check();
      assert(batch === this.#batch, 'a batch is written once, before the next one is begun');
      this.#batch = undefined;
      this.#writing = this.#write({ writes: batch.writes, position, savedAtMs: Math.floor(this.#access.nowMs()) });
      return this.#writing;
    });
    return this.#batch;
  }

  approximateCount(): number {
    return this.#directory.rows.size;
  }

  async compact(): Promise<void> {
    this.#check();
    await this.#access.access();
  }

  async close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    await this.#writing.catch(() => undefined);
    await this.#access.access();
    if (this.#directory.owner === this.#process) this.#directory.owner = undefined;
  }

  async #write(batch: Batch): Promise<void> {
    this.#pending = new Map(batch.writes);
    try {
      // A dead process stops here: what it was writing is not on the disk, or all of it is.
      const { isFull } = await this.#access.access();
      if (isFull) throw new StreamError('STORE_IO', 'disk is full', { facts: { store: nameOf(this.#directory.path) } });
      put(this.#directory, batch);
    } finally {
      this.#pending = undefined;
    }
    const { tail, rows, position, savedAtMs } = this.#directory;
    if (tail.length < tailMax && !this.#access.chance.isTrue(0.2)) return;
    this.#directory.synced = { rows: new Map(rows), position, savedAtMs };
    this.#directory.tail = [];
    await this.#access.access();
  }

  async *#replay(names: readonly string[], rows: Rows): AsyncIterable<Entry> {
    for (const name of names) {
      this.#check();
      const value = rows.get(name);
      if (value !== undefined) yield [fromBinaryKey(name), Buffer.from(value)];
    }
  }

  #check(): void {
    if (this.#isOpen && !this.#directory.isDamaged) return;
    const facts = { store: nameOf(this.#directory.path) };
    if (!this.#isOpen) throw new StreamError('STORE_NOT_OPEN', 'store is closed', { facts });
    throw new StreamError('STORE_CORRUPT', 'store is damaged', { facts });
  }
}

class SimBatch implements StoreBatch {
  readonly writes: Write[] = [];
  readonly #write: (batch: SimBatch, position: Position) => Promise<void>;

  constructor(write: (batch: SimBatch, position: Position) => Promise<void>) {
    this.#write = write;
  }

  get count(): number {
    return this.writes.length;
  }

  put(key: Uint8Array, value: Uint8Array): void {
    this.writes.push([toBinaryKey(key), Buffer.from(value)]);
  }

  delete(key: Uint8Array): void {
    this.writes.push([toBinaryKey(key), undefined]);
  }

  async write(position: Position): Promise<void> {
    await this.#write(this, position);
  }
}
