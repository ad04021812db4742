/**
 * `node --import ./test/support/typescript-loader.js bench/store.ts [keys]`: what the parts of a store cost, in microseconds per operation (wall, and CPU of
 * all threads), in memory and on disk. Machines are noisy: compare within one session.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger, systemRandom } from '../clock.ts';
import { int64Serde, jsonSerde, stringSerde } from '../schemas/serde.ts';
import { layered, type LayeredStore } from '../state-stores/layered-store.ts';
import { levelStores } from '../state-stores/level.ts';
import { memoryStores } from '../state-stores/memory.ts';
import { defineStore } from '../state-stores/spec.ts';
import type { KeyValueStore, StoreOpenOptions, Stores } from '../state-stores/store.ts';

const keyCount = Number(process.argv[2] ?? 100_000);
/** Records between two commits. */
const pollRecords = 2000;

const options: StoreOpenOptions = {
  identity: { application: 'bench', store: 'bench', taskId: '0_0', format: 1, changelog: 'none' },
  writeBufferBytes: 32 * 1024 * 1024,
  nowMs: () => 0,
};

const keys = Array.from({ length: keyCount }, (_, index) =>
  Buffer.from(`customer-${String((index * 7919) % keyCount).padStart(11, '0')}`),
);
/** Half of each value compresses. */
const values = Array.from({ length: 256 }, (_, seed) =>
  Buffer.alloc(100, 'abcdefghij').map((byte, index) => (index < 50 ? (seed * (index + 7)) & 0xff : byte)),
);
const value = (seed: number): Uint8Array => values[seed & 0xff] ?? Buffer.alloc(0);
/** Visits keys in an order that no cache likes. */
const shuffled = (index: number): number => (index * 40_503) % keyCount;

async function measure(name: string, operations: number, run: () => unknown): Promise<void> {
  const cpu = process.cpuUsage();
  const startMs = performance.now();
  await run();
  const wallUs = (performance.now() - startMs) * 1000;
  const { user, system } = process.cpuUsage(cpu);
  const perOperation = (us: number): string => (us / operations).toFixed(3).padStart(9);
  console.log(`${name.padEnd(46)}${perOperation(wallUs)} µs${perOperation(user + system)} µs CPU`);
}

async function load(store: KeyValueStore): Promise<void> {
  for (let start = 0; start < keyCount; start += 5000) {
    const batch = store.batch();
    for (const key of keys.slice(start, start + 5000)) batch.put(key, value(start));
    await batch.write(start + 1);
  }
}

async function readModifyWrite(store: LayeredStore, records: number): Promise<void> {
  let applied = Promise.resolve();
  let position = store.position ?? 0;
  for (let index = 0; index < records; index += 1) {
    const key = keys[shuffled(index)] ?? Buffer.alloc(0);
    const found = store.get(key);
    store.put(key, value((found?.[0] ?? 0) + 1), index);
    if ((index + 1) % pollRecords === 0) {
      await applied;
      store.seal();
      position += 1;
      applied = store.apply(position);
    }
  }
  await applied;
}

async function benchBytes(name: string, stores: Stores): Promise<void> {
  const path = ['0_0', 'bench'];
  let backing = await stores.open(path, options);
  await measure(`${name}: load, batches of 5,000`, keyCount, () => load(backing));
  if (stores.persistent) {
    await measure(`${name}: compact`, keyCount, () => backing.compact());
    await measure(`${name}: close, per row`, keyCount, () => backing.close());
    await measure(`${name}: open with its check of files, per row`, keyCount, async () => {
      backing = await stores.open(path, options);
    });
  }
  await measure(`${name}: get, all keys`, keyCount, () => {
    for (let index = 0; index < keyCount; index += 1) backing.get(keys[shuffled(index)] ?? Buffer.alloc(0));
  });
  await measure(`${name}: get, absent`, keyCount, () => {
    for (let index = 0; index < keyCount; index += 1) backing.get(Buffer.from(`nobody-${String(index)}`));
  });
  await measure(`${name}: scan`, keyCount, async () => {
    for await (const _ of backing.scan({}));
  });
  const store = await layered(backing, { name: 'bench' });
  await measure(`${name}: get + put, commit per ${String(pollRecords)}`, keyCount, () =>
    readModifyWrite(store, keyCount),
  );
  await measure(`${name}: put`, keyCount, () => {
    for (const key of keys) store.put(key, value(1), 1);
  });
  await measure(`${name}: get what was put`, keyCount, () => {
    for (const key of keys) store.get(key);
  });
  await measure(`${name}: seal`, keyCount, () => store.seal());
  await measure(`${name}: apply`, keyCount, () => store.apply(1e9));
  await store.close();
}

const cacheBytesMax = 16 * 1024 * 1024;

async function benchTyped(): Promise<void> {
  const counts = defineStore('counts', { key: stringSerde, value: int64Serde });
  const scope = { rowBytesMax: Infinity, cacheBytesMax, currentTimestampMs: () => 1 };
  const { state } = counts.open(await memoryStores().open(['a'], options), scope);
  const names = Array.from({ length: 1000 }, (_, index) => `customer-${String(index)}`);
  const count = (): void => {
    for (let index = 0; index < 1_000_000; index += 1) {
      const key = names[index % 1000] ?? '';
      state.put(key, (state.get(key) ?? 0) + 1);
    }
  };
  count();
  await measure('typed: count of a cached key (int64)', 1_000_000, count);

  interface Balance {
    readonly owner: string;
    readonly amount: number;
    readonly tags: readonly string[];
  }
  for (const keepsPutValues of [false, true]) {
    const spec = defineStore('balances', { key: stringSerde, value: jsonSerde<Balance>(), cache: { keepsPutValues } });
    const { state: balances } = spec.open(await memoryStores().open(['b'], options), scope);
    const add = (): void => {
      for (let index = 0; index < 300_000; index += 1) {
        const key = names[index % 1000] ?? '';
        const { owner, amount, tags } = balances.get(key) ?? { owner: key, amount: 0, tags: ['new', 'customer'] };
        balances.put(key, { owner, amount: amount + 1, tags });
      }
    };
    add();
    await measure(`typed: update of a cached JSON row${keepsPutValues ? ', kept as put' : ''}`, 300_000, add);
  }

  const ordered = defineStore('ordered', { key: stringSerde, value: int64Serde, ordered: true });
  const { state: rows } = ordered.open(await memoryStores().open(['c'], options), scope);
  await measure('typed: put of a new key into an ordered store', keyCount, () => {
    for (let index = 0; index < keyCount; index += 1) rows.put(String(shuffled(index)).padStart(9, '0'), index);
  });
  const ranges = Math.min(keyCount, 20_000);
  await measure('typed: range of 16 rows', ranges, () => {
    for (let index = 0; index < ranges; index += 1)
      for (const _ of rows.range({ from: String(shuffled(index)).padStart(9, '0'), limit: 16 }));
  });
}

const directory = await mkdtemp(join(tmpdir(), 'rivulet-bench-'));
try {
  console.log(`${String(keyCount)} keys of 20 bytes, values of 100 bytes`);
  await benchTyped();
  await benchBytes('memory', memoryStores());
  await benchBytes('level', levelStores({ directory, logger: silentLogger, random: systemRandom }));
} finally {
  await rm(directory, { recursive: true, force: true });
}
