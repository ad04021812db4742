/**
 * A lock file that names its holder. LevelDB has a lock of its own, but a process that tries to open a directory twice loses it without noticing, and then
 * others get in; so a second try must not reach LevelDB.
 */
import { link, readFile, rm, writeFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import type { Logger } from '../clock.ts';
import { StreamError } from '../errors.ts';
import { errorCode, storeError } from './level-error.ts';

export interface LockOptions {
  /** Unique to this attempt. */
  readonly nonce: string;
  readonly logger: Logger;
}

export interface LockFile {
  /** Gives the lock up; does nothing if somebody else has it by now. */
  release(): Promise<void>;
}

interface Holder {
  readonly pid: number;
  /** When that process started, as its system tells; tells it from a later one with the same number. */
  readonly startedAt: string;
  readonly nonce: string;
}

/** A stale lock is removed and tried again; a few times, as others may do the same. */
const attemptsMax = 3;

/** Rejects with `STORE_LOCKED` while a living process holds the lock; the lock of a dead one is taken over. */
export async function acquireLock(file: string, { nonce, logger }: LockOptions): Promise<LockFile> {
  const mine: Holder = { pid: process.pid, startedAt: startOf(process.pid), nonce };
  const draft = `${file}.${nonce}`;
  try {
    await writeFile(draft, JSON.stringify(mine), { flag: 'wx', mode: 0o600 });
    for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
      if (await claim(draft, file)) return { release: () => release(file, nonce) };
      const holder = await readHolder(file);
      if (holder !== undefined && isAlive(holder)) break;
      logger.warn('lock of a dead process removed', { file, pid: holder?.pid });
      await rm(file, { force: true });
    }
  } catch (error) {
    throw storeError(error, { file });
  } finally {
    await rm(draft, { force: true });
  }
  throw new StreamError('STORE_LOCKED', 'store directory is in use by another process', { facts: { file } });
}

/** Linking puts a complete file in place or fails: nobody ever reads half a lock. */
async function claim(draft: string, file: string): Promise<boolean> {
  try {
    await link(draft, file);
    return true;
  } catch (error) {
    if (errorCode(error) === 'EEXIST') return false;
    throw error;
  }
}

async function release(file: string, nonce: string): Promise<void> {
  const holder = await readHolder(file);
  if (holder?.nonce === nonce) await rm(file, { force: true });
}

/** `undefined` if there is none, or none that this code wrote. */
async function readHolder(file: string): Promise<Holder | undefined> {
  try {
    const holder: unknown = JSON.parse(await readFile(file, 'utf8'));
    return isHolder(holder) ? holder : undefined;
  } catch {
    return undefined;
  }
}

function isHolder(value: unknown): value is Holder {
  if (typeof value !== 'object' || value === null) return false;
  const { pid, startedAt, nonce } = value as Partial<Record<keyof Holder, unknown>>;
  return Number.isSafeInteger(pid) && typeof startedAt === 'string' && typeof nonce === 'string';
}

function isAlive({ pid, startedAt }: Holder): boolean {
  if (pid <= 0) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    return errorCode(error) === 'EPERM';
  }
  const now = startOf(pid);
  // Where the system does not tell, a lock with this process's number is of an earlier one: what this one has open is known.
  return now === '' || startedAt === '' ? pid !== process.pid : now === startedAt;
}

/** Start of a living process in the clock ticks of its system; empty where there is no such thing as `/proc`. */
function startOf(pid: number): string {
  try {
    const status = readFileSync(`/proc/${String(pid)}/stat`, 'latin1');
    // The second field is a name in parentheses that may hold anything; the start is the 22nd.
    return status.slice(status.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}
