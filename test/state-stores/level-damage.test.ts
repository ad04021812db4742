import { cp, mkdir, mkdtemp, readFile, readdir, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { silentLogger, systemRandom } from '../../clock.ts';
import { StreamError, hasCode } from '../../errors.ts';
import { levelDatabase, type LevelDatabase } from '../../state-stores/level-database.ts';
import { EntryFramer } from '../../state-stores/level-row.ts';
import { LevelStore } from '../../state-stores/level-store.ts';
import { levelStores } from '../../state-stores/level.ts';
import type { KeyValueStore, Stores } from '../../state-stores/store.ts';
import { codeOf, collect, text, write } from '../contracts/key-value-store-contract.ts';
import { batchOf, contentAt, levelPath, modelKeys, smallStore } from '../support/level-model.ts';

const lastPosition = 500;
/** Everything up to there is in tables, all after it in one log: it does not fill the write buffer. */
const compactedPosition = 420;

let original: string;
let directory = '';
const opened: KeyValueStore[] = [];

const storesIn = (root: string, verify = true): Stores =>
  levelStores({ directory: root, logger: silentLogger, random: systemRandom, verify });

const databaseDirectory = (): string => join(directory, ...levelPath, '@level');

const open = async (verify = true): Promise<KeyValueStore> => {
  const store = await storesIn(directory, verify).open(levelPath, smallStore);
  opened.push(store);
  return store;
};

/** A closed store with several tables, and a log of several blocks that is not yet in one. */
async function makeOriginal(): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'level-'));
  const store = await storesIn(root).open(levelPath, smallStore);
  for (let position = 1; position <= lastPosition; position += 1) {
    await write(store, position, batchOf(position));
    if (position === compactedPosition) await store.compact();
  }
  await store.close();
  return root;
}

beforeAll(async () => {
  original = await makeOriginal();
});

afterAll(() => rm(original, { recursive: true, force: true }));

const reset = async (): Promise<void> => {
  await Promise.all(opened.splice(0).map((store) => store.close()));
  if (directory !== '') await rm(directory, { recursive: true, force: true });
  directory = await mkdtemp(join(tmpdir(), 'level-'));
  await cp(original, directory, { recursive: true });
};

beforeEach(reset);

afterEach(async () => {
  await Promise.all(opened.splice(0).map((store) => store.close()));
  await rm(directory, { recursive: true, force: true });
});

const filesOf = async (pattern: RegExp): Promise<string[]> =>
  (await readdir(databaseDirectory())).filter((name) => pattern.test(name)).sort();

async function change(name: string, edit: (bytes: Buffer) => Buffer): Promise<void> {
  const path = join(databaseDirectory(), name);
  await writeFile(path, edit(await readFile(path)));
}

const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

type Outcome = 'same' | 'earlier' | 'corrupt';

/** Opens and reads everything; fails unless each answer is right for the store's position. */
async function examine(): Promise<Outcome> {
  try {
    const store = await open();
    const { position = 0 } = store;
    const content = contentAt(position);
    for (const key of modelKeys) {
      const value = store.get(key);
      expect(value === undefined ? undefined : hexOf(value)).toBe(content.get(hexOf(key)));
    }
    const entries = await collect(store.scan({}));
    expect(new Map(entries.map(([key, value]) => [hexOf(key), hexOf(value)]))).toEqual(content);
    return position === lastPosition ? 'same' : 'earlier';
  } catch (error) {
    if (hasCode(error, 'STORE_CORRUPT')) return 'corrupt';
    throw error;
  }
}

test('an undamaged directory is what it was', async () => {
  expect(await filesOf(/\.ldb$/)).not.toHaveLength(0);
  expect(await examine()).toBe('same');
});

test('whatever byte is changed in whatever file, no answer is wrong', async () => {
  const outcomes: Record<Outcome, number> = { same: 0, earlier: 0, corrupt: 0 };
  const mutation = fc.record({
    file: fc.nat(),
    at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
    kind: fc.constantFrom('bit', 'byte', 'zeros', 'cut' as const),
    value: fc.integer({ min: 1, max: 255 }),
  });
  await fc.assert(
    fc.asyncProperty(mutation, async ({ file, at, kind, value }) => {
      await reset();
      const names = await filesOf(/\.(ldb|log)$|^CURRENT$|^MANIFEST-/);
      await change(names[file % names.length]!, (bytes) => {
        const offset = Math.floor(at * bytes.length);
        if (kind === 'cut') return bytes.subarray(0, offset);
        if (kind === 'zeros') bytes.fill(0, offset, Math.min(bytes.length, offset + 4 * value));
        else if (offset < bytes.length) bytes[offset]! ^= kind === 'bit' ? 1 << (value % 8) : value;
        return bytes;
      });
      outcomes[await examine()] += 1;
    }),
    { numRuns: 150 },
  );
  expect(outcomes.corrupt).toBeGreaterThan(50);
});

test('without the check of files, a changed row is still never taken for a right one', async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(), fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), async (file, at) => {
      await reset();
      const names = await filesOf(/\.ldb$/);
      await change(names[file % names.length]!, (bytes) => {
        bytes[Math.floor(at * bytes.length)]! ^= 4;
        return bytes;
      });
      try {
        const store = await open(false);
        const content = contentAt(store.position ?? 0);
        for (const key of modelKeys) {
          const value = store.get(key);
          if (value !== undefined) expect(hexOf(value)).toBe(content.get(hexOf(key)));
        }
      } catch (error) {
        if (!hasCode(error, 'STORE_CORRUPT')) throw error;
      }
    }),
    { numRuns: 40 },
  );
});

describe('what LevelDB would open without a word is refused:', () => {
  test.each<[string, () => Promise<unknown>]>([
    ['no CURRENT', () => rm(join(databaseDirectory(), 'CURRENT'))],
    ['an empty CURRENT', () => truncate(join(databaseDirectory(), 'CURRENT'))],
    [
      'an empty database directory',
      async () => {
        await rm(databaseDirectory(), { recursive: true });
        await mkdir(databaseDirectory());
      },
    ],
    ['no manifest', async () => rm(join(databaseDirectory(), (await filesOf(/^MANIFEST/))[0]!))],
    ['a missing table', async () => rm(join(databaseDirectory(), (await filesOf(/\.ldb$/))[0]!))],
    [
      'a shorter table',
      async () => {
        const [name] = await filesOf(/\.ldb$/);
        await change(name!, (bytes) => bytes.subarray(0, bytes.length - 1));
      },
    ],
    [
      'a flipped bit in the first half of the log',
      async () => {
        const [name] = await filesOf(/\.log$/);
        await change(name!, (bytes) => {
          expect(bytes.length).toBeGreaterThan(32 * 1024);
          bytes[1000]! ^= 1;
          return bytes;
        });
      },
    ],
    [
      'a block cut out of the log, at its bounds',
      async () => {
        const [name] = await filesOf(/\.log$/);
        await change(name!, (bytes) => bytes.subarray(32 * 1024));
      },
    ],
  ])('%s', async (_, damage) => {
    await damage();
    expect(await codeOf(open)).toBe('STORE_CORRUPT');
    const stores = storesIn(directory);
    expect(await stores.list()).toEqual([{ path: levelPath }]);
    await stores.destroy(levelPath);
    const fresh = await open();
    expect(fresh.position).toBeUndefined();
    expect(await collect(fresh.scan({}))).toEqual([]);
  });

  test('nothing is deleted by the attempt', async () => {
    await rm(join(databaseDirectory(), 'CURRENT'));
    const before = await filesOf(/./);
    expect(await codeOf(open)).toBe('STORE_CORRUPT');
    expect(await filesOf(/./)).toEqual(before);
  });
});

test('a log that lost its end is an earlier state, with the position of that state', async () => {
  const [name] = await filesOf(/\.log$/);
  await change(name!, (bytes) => bytes.subarray(0, Math.floor(bytes.length * 0.7)));
  expect(await examine()).toBe('earlier');
});

describe('the ring of batch numbers', () => {
  const ringKey = (slot: number): Uint8Array => Buffer.of(0, 0x62, slot >> 8, slot & 0xff);

  async function tamper(edit: (database: LevelDatabase) => Promise<void>): Promise<void> {
    const database = levelDatabase(databaseDirectory(), {
      createIfMissing: false,
      writeBufferBytes: smallStore.writeBufferBytes,
      cacheBytes: 1024 * 1024,
    });
    await database.open();
    await edit(database);
    await database.close();
  }

  test('shows a batch that is missing in the middle', async () => {
    await tamper(async (database) => {
      const batch = database.batch();
      batch.del(ringKey(17));
      await batch.write();
    });
    expect(await codeOf(open)).toBe('STORE_CORRUPT');
  });

  test('shows a slot that still holds its number of a round before', async () => {
    const store = await open();
    for (let position = lastPosition + 1; position <= 4200; position += 1) await write(store, position, []);
    await store.close();
    await (await open()).close();
    await tamper(async (database) => {
      const stale = database.getSync(ringKey(50))!;
      const sealed = new EntryFramer().seal(ringKey(50), Buffer.from('0000000000000032', 'hex'));
      expect(hexOf(sealed.value)).not.toBe(hexOf(stale));
      const batch = database.batch();
      batch.put(sealed.key, sealed.value);
      await batch.write();
    });
    expect(await codeOf(open)).toBe('STORE_CORRUPT');
  });
});

describe('a directory of another', () => {
  test.each(['application', 'store', 'taskId', 'format', 'changelog'] as const)('%s is refused', async (field) => {
    const identity = { ...smallStore.identity, [field]: field === 'format' ? 2 : 'other' };
    const attempt = storesIn(directory).open(levelPath, { ...smallStore, identity });
    await expect(attempt).rejects.toMatchObject({ code: 'STORE_FOREIGN', facts: { differing: [field] } });
    expect(await examine()).toBe('same');
  });
});

describe('directories', () => {
  test('belong to their owner only', async () => {
    const root = join(directory, 'new', 'state');
    opened.push(await storesIn(root).open(['0_0', 'totals'], smallStore));
    for (const path of ['', '0_0', '0_0/totals', '0_0/totals/@level'])
      expect((await stat(join(root, path))).mode & 0o777).toBe(0o700);
  });

  test('may not be symbolic links', async () => {
    const elsewhere = join(directory, 'elsewhere');
    await mkdir(elsewhere);
    await symlink(elsewhere, join(directory, 'linked'));
    const stores = storesIn(directory);
    for (const action of [
      () => stores.open(['linked'], smallStore),
      () => stores.open(['linked', 'totals'], smallStore),
      () => stores.destroy(['linked']),
    ])
      await expect(action()).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
    await symlink(join(directory, ...levelPath), join(directory, 'again'));
    expect(await stores.list()).toEqual([{ path: levelPath }]);
    expect(await readdir(elsewhere)).toEqual([]);
  });

  test('are listed only if they hold a store', async () => {
    await mkdir(join(directory, 'empty', 'x'), { recursive: true });
    await writeFile(join(directory, 'file'), '');
    opened.push(await storesIn(directory).open(['0_1', 'totals'], smallStore));
    const paths = (await storesIn(directory).list()).map(({ path }) => path.join('/')).sort();
    expect(paths).toEqual(['0_0/totals', '0_1/totals']);
    expect(await storesIn(join(directory, 'absent')).list()).toEqual([]);
  });

  test('that cannot be made are STORE_IO', async () => {
    await writeFile(join(directory, 'file'), '');
    expect(await codeOf(() => storesIn(join(directory, 'file', 'x')).open(levelPath, smallStore))).toBe('STORE_IO');
  });
});

describe('a medium that fails', () => {
  const facts = { store: 'totals' };

  function failing(error: Error): KeyValueStore {
    const database: LevelDatabase = {
      open: async () => undefined,
      close: async () => undefined,
      getSync: () => undefined,
      batch: () => ({
        put: () => undefined,
        del: () => undefined,
        write: () => Promise.reject(error),
        close: async () => undefined,
      }),
      iterator: () => ({ nextv: () => Promise.reject(error), close: async () => undefined }),
      approximateSize: () => Promise.reject(error),
      compactRange: () => Promise.reject(error),
    };
    return new LevelStore({
      database,
      framer: new EntryFramer(),
      state: { sequence: 0, position: 7, savedAtMs: 0 },
      facts,
      writeBufferBytes: 1,
      nowMs: () => 0,
      release: async () => undefined,
    });
  }

  const levelError = (code: string, message: string): Error =>
    Object.assign(new Error('wrapped'), { cause: Object.assign(new Error(message), { code }) });

  test('fails the write, keeps the position, and is not written to again', async () => {
    const store = failing(levelError('LEVEL_IO_ERROR', 'IO error: 000003.log: No space left on device'));
    await expect(write(store, 8, [[text('a'), text('1')]])).rejects.toMatchObject({ code: 'STORE_IO', facts });
    expect(store.position).toBe(7);
    expect(store.get(text('a'))).toBeUndefined();
    expect(() => store.batch()).toThrow(StreamError);
    expect(await codeOf(() => store.batch())).toBe('STORE_IO');
    await store.close();
  });

  test.each([
    ['LEVEL_IO_ERROR', 'IO error: 000005.ldb: Input/output error', 'STORE_IO'],
    ['LEVEL_IO_ERROR', 'IO error: 000005.ldb: Too many open files', 'STORE_IO'],
    ['LEVEL_IO_ERROR', 'IO error: 000005.ldb: No such file or directory', 'STORE_CORRUPT'],
    ['LEVEL_CORRUPTION', 'Corruption: block checksum mismatch', 'STORE_CORRUPT'],
    ['LEVEL_ITERATOR_NOT_OPEN', 'Iterator is not open', 'STORE_NOT_OPEN'],
  ])('is told apart: %s %s', async (code, message, expected) => {
    const store = failing(levelError(code, message));
    expect(await codeOf(() => collect(store.scan({})))).toBe(expected);
    expect(await codeOf(() => store.compact())).toBe(expected);
  });
});

test('the count on disk is near the truth', async () => {
  const store = await open();
  await store.compact();
  const { size } = contentAt(lastPosition);
  expect(store.approximateCount()).toBeGreaterThan(size / 2);
  expect(store.approximateCount()).toBeLessThan(size * 2);
});
