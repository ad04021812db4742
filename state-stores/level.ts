/** Stores in LevelDB: one directory each, below one state directory. */
import { lstat, mkdir, readdir, realpath, rm, rmdir } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { consoleLogger, systemRandom, type Logger, type Random } from '../clock.ts';
import { StreamError, assert, type Facts } from '../errors.ts';
import { checkName } from '../schemas/topic.ts';
import { levelDatabase, type LevelDatabase } from './level-database.ts';
import { errorCode, storeError } from './level-error.ts';
import { acquireLock, type LockFile } from './level-lock.ts';
import { putIdentity, readState, type StoreState } from './level-metadata.ts';
import { EntryFramer } from './level-row.ts';
import { LevelStore } from './level-store.ts';
import { verifyDirectory } from './level-verify.ts';
import type { KeyValueStore, StoreIdentity, StoreOpenOptions, Stores } from './store.ts';

export interface LevelStoresOptions {
  /** The state directory; created, for its owner only, if it does not exist. */
  readonly directory: string;
  readonly logger?: Logger;
  readonly random?: Random;
  /**
   * Reads all files of a store when it is opened and refuses damaged ones, at the speed of the disk. Without it, damage to what is stored may show as missing
   * rows. On by default.
   */
  readonly verify?: boolean;
  /** LevelDB's cache of blocks per store, bytes. A cache smaller than what is hot is worth little. */
  readonly cacheBytes?: number;
}

type Resolved = LevelStoresOptions & Required<Pick<LevelStoresOptions, 'logger' | 'random'>>;

export const defaultCacheBytes = 8 * 1024 * 1024;

/** Names of what lies in a store's directory; no element of a path can have them. */
const databaseName = '@level';
const lockName = '@lock';

/** Elements of a path at most. */
const depthMax = 8;

/** Directories that this process has open, whoever opened them. */
const openDirectories = new Set<string>();

/** Opens stores below `directory`. Every directory on the way belongs to its owner only and may not be a symbolic link (`CONFIG_INVALID`). */
export function levelStores(given: LevelStoresOptions): Stores {
  const options = { logger: consoleLogger, random: systemRandom, ...given };
  return {
    persistent: true,
    open: async (path, openOptions) => {
      const directory = await makeDirectory(options.directory, checkPath(path));
      return withDirectory(options, directory, async (release) =>
        openStore(options, { directory, release, ...openOptions }),
      );
    },
    destroy: async (path) => {
      const directory = await findDirectory(options.directory, checkPath(path));
      if (directory === undefined) return;
      await withDirectory(options, directory, async (release) => {
        await destroyStore(directory);
        await release();
      });
      await removeIfEmpty(directory);
    },
    list: async () => {
      const found: { readonly path: readonly string[] }[] = [];
      await listBelow(options.directory, [], found);
      return found;
    },
  };
}

function checkPath(path: readonly string[]): readonly string[] {
  if (path.length === 0 || path.length > depthMax)
    throw new StreamError('TOPOLOGY_INVALID', 'a store path has between one and a few elements');
  for (const element of path) checkName('store path', element);
  return path;
}

/** Takes the directory for this process, in memory and on disk, until `release`; gives it up if `action` fails. */
async function withDirectory<T>(
  { logger, random }: Resolved,
  directory: string,
  action: (release: () => Promise<void>) => Promise<T>,
): Promise<T> {
  if (openDirectories.has(directory))
    throw new StreamError('STORE_LOCKED', 'store is open in this process', { facts: { directory } });
  openDirectories.add(directory);
  let lock: LockFile | undefined;
  const release = async (): Promise<void> => {
    try {
      await lock?.release();
    } finally {
      openDirectories.delete(directory);
    }
  };
  try {
    lock = await acquireLock(join(directory, lockName), { nonce: random.uuid(), logger });
    return await action(release);
  } catch (error) {
    await release();
    throw storeError(error, { directory });
  }
}

interface OpenRequest extends StoreOpenOptions {
  readonly directory: string;
  readonly release: () => Promise<void>;
}

async function openStore(options: Resolved, request: OpenRequest): Promise<KeyValueStore> {
  const { directory, identity, writeBufferBytes, nowMs, release } = request;
  const location = join(directory, databaseName);
  const isNew = await makeNew(location);
  // A directory without a database is what is left of one, or of making one: never a fresh store.
  if (!isNew && (options.verify ?? true)) await verifyDirectory(location);
  const cacheBytes = options.cacheBytes ?? defaultCacheBytes;
  const database = levelDatabase(location, { createIfMissing: isNew, writeBufferBytes, cacheBytes });
  const facts: Facts = { store: identity.store, taskId: identity.taskId, directory };
  try {
    await database.open();
    const framer = new EntryFramer();
    const state = isNew ? await create(database, framer, identity) : await readState(database, framer, identity);
    const store = new LevelStore({ database, framer, state, facts, writeBufferBytes, nowMs, release });
    await store.measure();
    options.logger.debug('store opened', { ...facts, isNew, position: state.position });
    return store;
  } catch (error) {
    await database.close();
    throw storeError(error, facts);
  }
}

async function create(database: LevelDatabase, framer: EntryFramer, identity: StoreIdentity): Promise<StoreState> {
  const batch = database.batch();
  putIdentity(framer, identity, ({ key, value }) => batch.put(key, value));
  await batch.write();
  return { sequence: 0, position: undefined, savedAtMs: undefined };
}

/** Without `CURRENT` what is left is not a database, should this be interrupted. */
async function destroyStore(directory: string): Promise<void> {
  const location = join(directory, databaseName);
  await rm(join(location, 'CURRENT'), { force: true });
  await rm(location, { recursive: true, force: true });
}

async function removeIfEmpty(directory: string): Promise<void> {
  try {
    await rmdir(directory);
  } catch {
    // Something else lies there, or somebody else was quicker.
  }
}

/** Whether the directory did not exist; it does now. Refuses anything but a directory. */
async function makeNew(directory: string): Promise<boolean> {
  try {
    await mkdir(directory, { mode: 0o700 });
    return true;
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') throw storeError(error, { directory });
  }
  await refuseUnlessDirectory(directory);
  return false;
}

async function makeDirectory(root: string, path: readonly string[]): Promise<string> {
  try {
    await mkdir(root, { recursive: true, mode: 0o700 });
    let directory = await realpath(root);
    for (const element of path) {
      directory = below(directory, element);
      await makeNew(directory);
    }
    return directory;
  } catch (error) {
    throw storeError(error, { directory: root });
  }
}

async function findDirectory(root: string, path: readonly string[]): Promise<string | undefined> {
  try {
    let directory = await realpath(root);
    for (const element of path) {
      directory = below(directory, element);
      await refuseUnlessDirectory(directory);
    }
    return directory;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw storeError(error, { directory: root });
  }
}

function below(directory: string, element: string): string {
  const path = join(directory, element);
  assert(
    path.startsWith(directory.endsWith(sep) ? directory : directory + sep),
    'a checked name stays in its directory',
  );
  return path;
}

async function refuseUnlessDirectory(directory: string): Promise<void> {
  // Of a symbolic link this tells of the link.
  if ((await lstat(directory)).isDirectory()) return;
  throw new StreamError('CONFIG_INVALID', 'the state directory holds something that is not a directory', {
    facts: { directory },
  });
}

async function listBelow(
  directory: string,
  path: readonly string[],
  found: { readonly path: readonly string[] }[],
): Promise<void> {
  const names = await directoriesIn(directory);
  if (path.length > 0 && names.includes(databaseName)) found.push({ path });
  if (path.length === depthMax) return;
  for (const name of names) if (!name.startsWith('@')) await listBelow(join(directory, name), [...path, name], found);
}

async function directoriesIn(directory: string): Promise<readonly string[]> {
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return [];
    throw storeError(error, { directory });
  }
}
