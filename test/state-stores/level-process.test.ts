import { spawn, type ChildProcess } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { silentLogger, systemRandom } from '../../clock.ts';
import { levelStores } from '../../state-stores/level.ts';
import type { KeyValueStore, Stores } from '../../state-stores/store.ts';
import { codeOf, collect, write } from '../contracts/key-value-store-contract.ts';
import { batchOf, contentAt, levelPath, smallStore } from '../support/level-model.ts';

const script = fileURLToPath(new URL('../support/level-child.ts', import.meta.url));
const loader = new URL('../support/typescript-loader.js', import.meta.url).href;

let directory: string;
let stores: Stores;
const children: Child[] = [];
const opened: KeyValueStore[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'level-'));
  stores = levelStores({ directory, logger: silentLogger, random: systemRandom });
});

afterEach(async () => {
  await Promise.all(children.splice(0).map((child) => child.kill()));
  await Promise.all(opened.splice(0).map((store) => store.close()));
  await rm(directory, { recursive: true, force: true });
});

const open = async (): Promise<KeyValueStore> => {
  const store = await stores.open(levelPath, smallStore);
  opened.push(store);
  return store;
};

/** A process that holds or writes the store. */
class Child {
  readonly #process: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #exit: Promise<unknown>;

  constructor(mode: 'write' | 'hold', first = 1) {
    this.#process = spawn(process.execPath, ['--import', loader, script, directory, mode, String(first)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.#exit = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#lines = createInterface(this.#process.stdout!)[Symbol.asyncIterator]();
    children.push(this);
  }

  /** The next line it says; `undefined` when it is gone. */
  async line(): Promise<string | undefined> {
    const next = await this.#lines.next();
    return next.done === true ? undefined : next.value;
  }

  async kill(): Promise<void> {
    this.#process.kill('SIGKILL');
    await this.#exit;
  }
}

async function expectContentOf(store: KeyValueStore): Promise<void> {
  const content = contentAt(store.position ?? 0);
  const entries = await collect(store.scan({}));
  const found = entries.map(([key, value]) => [Buffer.from(key).toString('hex'), Buffer.from(value).toString('hex')]);
  expect(new Map(found as [string, string][])).toEqual(content);
  for (const [key, value] of content)
    expect(Buffer.from(store.get(Buffer.from(key, 'hex'))!).toString('hex')).toBe(value);
}

describe('a process that is killed', () => {
  test('loses no acknowledged batch, and leaves rows and position of the same batch', async () => {
    let position = 0;
    for (const acknowledgements of [1, 40, 700, 2500]) {
      const child = new Child('write', position + 1);
      expect(await child.line()).toBe('open');
      let acknowledged = 0;
      for (let count = 0; count < acknowledgements; count += 1) acknowledged = Number(await child.line());
      await child.kill();
      for (let line = await child.line(); line !== undefined; line = await child.line()) acknowledged = Number(line);

      const store = await open();
      expect(store.position).toBeGreaterThanOrEqual(acknowledged);
      await expectContentOf(store);
      position = store.position ?? 0;
      await store.close();
    }
  });

  test('does not block the next one', async () => {
    const child = new Child('hold');
    expect(await child.line()).toBe('open');
    await child.kill();
    await open();
  });
});

describe('a directory that is open', () => {
  test('is refused to another process, and to this one again, however often it is tried', async () => {
    const store = await open();
    expect(await new Child('hold').line()).toBe('STORE_LOCKED');
    // A second open that reached LevelDB would silently drop the lock of the first.
    for (let attempt = 0; attempt < 3; attempt += 1) expect(await codeOf(open)).toBe('STORE_LOCKED');
    const another = levelStores({ directory, logger: silentLogger, random: systemRandom });
    expect(await codeOf(() => another.open(levelPath, smallStore))).toBe('STORE_LOCKED');
    expect(await new Child('hold').line()).toBe('STORE_LOCKED');
    await write(store, 1, batchOf(1));
    await expectContentOf(store);
    await store.close();
    expect(await new Child('hold').line()).toBe('open');
  });

  test('in another process is refused to open and to destroy until that one is gone', async () => {
    const child = new Child('hold');
    expect(await child.line()).toBe('open');
    expect(await codeOf(open)).toBe('STORE_LOCKED');
    expect(await codeOf(() => stores.destroy(levelPath))).toBe('STORE_LOCKED');
    await child.kill();
    await stores.destroy(levelPath);
    await open();
  });
});

describe('a lock file', () => {
  const lockFile = (): string => join(directory, ...levelPath, '@lock');

  const writeLock = async (content: string): Promise<void> => {
    await mkdir(dirname(lockFile()), { recursive: true });
    await writeFile(lockFile(), content);
  };

  test('is there while the store is open, names its process, and goes with it', async () => {
    const store = await open();
    expect(JSON.parse(await readFile(lockFile(), 'utf8'))).toMatchObject({ pid: process.pid });
    await store.close();
    await expect(readFile(lockFile())).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test.each([
    ['of a process that is gone', JSON.stringify({ pid: 2 ** 30, startedAt: '1', nonce: 'x' })],
    ['of an earlier process with the same number', JSON.stringify({ pid: process.pid, startedAt: '1', nonce: 'x' })],
    ['that is empty', ''],
    ['that is something else', '[1]'],
    ['of no process', JSON.stringify({ pid: 0, startedAt: '', nonce: 'x' })],
  ])('%s does not block', async (_, content) => {
    await writeLock(content);
    const store = await open();
    await store.close();
  });

  test('of a living process blocks', async () => {
    await writeLock(JSON.stringify({ pid: process.ppid, startedAt: '', nonce: 'x' }));
    expect(await codeOf(open)).toBe('STORE_LOCKED');
  });

  test('that another process put there meanwhile is left alone', async () => {
    const store = await open();
    const other = JSON.stringify({ pid: process.ppid, startedAt: '', nonce: 'other' });
    await writeLock(other);
    await store.close();
    expect(await readFile(lockFile(), 'utf8')).toBe(other);
  });
});
