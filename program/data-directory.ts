/** The directory of one process: locked, readable for its owner only, and the place where the instance id is kept. */
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { hasCode, StreamError } from '../errors.ts';

export interface DataDirectory {
  readonly path: string;
  /** Made once, kept over restarts. */
  readonly instanceId: string;
  /** Gives the lock up. */
  release(): void;
}

export interface DataDirectoryOptions {
  /** Takes the lock of a directory that exists; throws `LOG_LOCKED` if a living process has it. */
  readonly lock: (directory: string, nonce: string) => { release(): void };
  readonly uuid: () => string;
  /** Given by the settings: used instead of the kept one. */
  readonly instanceId?: string | undefined;
}

/** Opens or makes the directory. Rejects with `CONFIG_INVALID` naming `DATA_DIR` if it cannot be used, or belongs to another process. */
export async function openDataDirectory(path: string, options: DataDirectoryOptions): Promise<DataDirectory> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
  } catch (cause) {
    throw new StreamError('CONFIG_INVALID', `DATA_DIR ${path} cannot be made`, { cause });
  }
  const lock = takeLock(path, options);
  try {
    const instanceId = options.instanceId ?? (await keptId(join(path, 'instance-id'), options.uuid));
    return { path, instanceId, release: () => lock.release() };
  } catch (error) {
    lock.release();
    throw error;
  }
}

function takeLock(path: string, { lock, uuid }: DataDirectoryOptions): { release(): void } {
  try {
    return lock(path, uuid());
  } catch (cause) {
    if (!hasCode(cause, 'LOG_LOCKED')) throw cause;
    const pid = cause.facts['pid'];
    throw new StreamError(
      'CONFIG_INVALID',
      `DATA_DIR ${path} is in use by process ${typeof pid === 'number' ? String(pid) : 'unknown'}: each process needs its own`,
      { cause },
    );
  }
}

const idPattern = /^[a-zA-Z0-9._-]{1,100}$/;

async function keptId(file: string, uuid: () => string): Promise<string> {
  const kept = await readIfThere(file);
  if (kept !== undefined && idPattern.test(kept)) return kept;
  const id = uuid();
  // Written aside and moved: a crash leaves a whole id or none.
  const handle = await open(`${file}.new`, 'w', 0o600);
  try {
    await handle.writeFile(`${id}\n`);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(`${file}.new`, file);
  return id;
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return (await readFile(file, 'utf8')).trim();
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
