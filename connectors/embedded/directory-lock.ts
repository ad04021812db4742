/** One process, one log: a file with the owner's pid, which a dead owner does not hold. */
import { linkSync, readFileSync, realpathSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { StreamError } from '../../errors.ts';
import { lockPath } from './journal.ts';

/** Who holds a lock. A pid alone may have been given to another process since: containers begin at 1 every time. */
interface Owner {
  readonly pid: number;
  /** When the process started, in the system's own measure; empty where that is unknown. */
  readonly startedAt: string;
  readonly nonce: string;
}

/** Directories that this process has open, by real path: the pid in the file cannot tell. */
const held = new Map<string, Owner>();

export interface DirectoryLock {
  release(): void;
}

/**
 * Takes the lock of an existing directory. Throws `LOG_LOCKED` naming the pid if a living process has it, this one included.
 * `nonce` tells this attempt from every other.
 */
export function lockDirectory(directory: string, nonce: string): DirectoryLock {
  const root = realpathSync(directory);
  const path = `${root}/${lockPath}`;
  const self: Owner = { pid: process.pid, startedAt: startOf(process.pid), nonce };
  const inProcess = held.get(root);
  if (inProcess !== undefined) throw locked(directory, inProcess);
  for (let attempt = 0; !tryWrite(path, self); attempt++) {
    const owner = readOwner(path);
    if (owner !== undefined && isAlive(owner)) throw locked(directory, owner);
    if (attempt >= attemptsMax) throw locked(directory, owner ?? self);
    setAside(path, nonce, owner);
  }
  if (readOwner(path)?.nonce !== nonce) throw locked(directory, readOwner(path) ?? self);
  held.set(root, self);
  return {
    release: () => {
      if (held.get(root) !== self) return;
      held.delete(root);
      if (readOwner(path)?.nonce === nonce) unlinkSync(path);
    },
  };
}

/** Others may be taking over the lock of a dead process at the same time. */
const attemptsMax = 10;

/** Under another name first, so that nobody ever sees the lock without its owner. */
function tryWrite(path: string, owner: Owner): boolean {
  const draft = `${path}.${owner.nonce}`;
  const content = JSON.stringify(owner);
  try {
    writeFileSync(draft, content);
    try {
      linkSync(draft, path);
    } catch (error) {
      if (errnoOf(error) === 'EEXIST') return false;
      // No hard links on this file system.
      writeFileSync(path, content, { flag: 'wx' });
    } finally {
      unlinkSync(draft);
    }
    return true;
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false;
    throw new StreamError('LOG_UNAVAILABLE', `cannot write ${path}`, { facts: { file: path }, cause: error });
  }
}

/** `undefined` if there is none, or none that can be read. */
function readOwner(path: string): Owner | undefined {
  try {
    const { pid, startedAt, nonce } = JSON.parse(readFileSync(path, 'utf8')) as Partial<Owner>;
    return typeof pid === 'number' ? { pid, startedAt: startedAt ?? '', nonce: nonce ?? '' } : undefined;
  } catch {
    return undefined;
  }
}

/** Moves the file of a dead owner away, and back again if it turns out to be that of a living one. */
function setAside(path: string, nonce: string, dead: Owner | undefined): void {
  const aside = `${path}.${nonce}`;
  try {
    renameSync(path, aside);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return;
    throw new StreamError('LOG_UNAVAILABLE', `cannot move ${path}`, { facts: { file: path }, cause: error });
  }
  const found = readOwner(aside);
  if (found !== undefined && found.nonce !== dead?.nonce) renameSync(aside, path);
  else unlinkSync(aside);
}

function isAlive({ pid, startedAt }: Owner): boolean {
  if (pid === process.pid) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    return errnoOf(error) === 'EPERM';
  }
  return startedAt === '' || startOf(pid) === startedAt;
}

/** Field 22 of /proc/<pid>/stat, where there is such a file. The name in field 2 may contain anything, but ends with the last `)`. */
function startOf(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${String(pid)}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}

/** `ENOENT` and the like. */
export function errnoOf(error: unknown): string | undefined {
  const isCoded = typeof error === 'object' && error !== null && 'code' in error;
  return isCoded && typeof error.code === 'string' ? error.code : undefined;
}

function locked(directory: string, { pid }: Owner): StreamError {
  const who = pid === process.pid ? 'this process' : `process ${String(pid)}`;
  return new StreamError('LOG_LOCKED', `${directory} is in use by ${who}: one log directory belongs to one process`, {
    facts: { directory, pid },
  });
}
