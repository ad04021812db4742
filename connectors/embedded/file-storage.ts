/** Files on disk. Handles are opened when needed and bounded in number, whatever the number of segments. */
import {
  closeSync,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { StreamError } from '../../errors.ts';
import { errnoOf, lockDirectory, type DirectoryLock } from './directory-lock.ts';
import type { Storage, StoredFile } from './storage.ts';

/** Well below the usual limit of 1024 per process, of which sockets and stores need some. */
const handlesMax = 256;

/**
 * Opens a directory, made if absent, for this process alone. Throws `LOG_LOCKED` naming the pid of the process that has it,
 * `LOG_UNAVAILABLE`. `nonce` is unique to the call.
 */
export function openFileStorage(directory: string, nonce: string): Storage {
  guarded('create', directory, () => mkdirSync(directory, { recursive: true }));
  return new FileStorage(directory, lockDirectory(directory, nonce));
}

class FileStorage implements Storage {
  readonly #root: string;
  readonly #lock: DirectoryLock;
  readonly #handles = new Handles();
  readonly #open = new Map<string, DiskFile>();

  constructor(root: string, lock: DirectoryLock) {
    this.#root = root;
    this.#lock = lock;
  }

  list(directory: string): readonly string[] {
    return guarded('list', directory, () => {
      try {
        return readdirSync(join(this.#root, directory));
      } catch (error) {
        // A file where a directory might be holds nothing either.
        if (hasErrno(error, 'ENOENT') || hasErrno(error, 'ENOTDIR')) return [];
        throw error;
      }
    });
  }

  open(path: string): StoredFile {
    const known = this.#open.get(path);
    if (known !== undefined) return known;
    const fullPath = join(this.#root, path);
    const file = guarded('open', fullPath, () => {
      mkdirSync(dirname(fullPath), { recursive: true });
      closeSync(openSync(fullPath, 'a'));
      return new DiskFile(path, fullPath, this.#handles, statSync(fullPath).size);
    });
    this.#open.set(path, file);
    file.onClose = () => this.#open.delete(path);
    return file;
  }

  rename(from: string, to: string): void {
    const target = join(this.#root, to);
    guarded('rename', target, () => {
      renameSync(join(this.#root, from), target);
      syncDirectory(dirname(target));
    });
  }

  remove(path: string): void {
    guarded('remove', path, () => rmSync(join(this.#root, path), { force: true }));
  }

  removeDirectory(path: string): void {
    guarded('remove', path, () => rmSync(join(this.#root, path), { recursive: true, force: true }));
  }

  close(): void {
    for (const file of [...this.#open.values()]) file.close();
    this.#lock.release();
  }
}

class DiskFile implements StoredFile {
  readonly path: string;
  onClose: () => void = () => undefined;
  readonly #fullPath: string;
  readonly #handles: Handles;
  #size: number;
  /** Bytes beyond the size are left from a write that failed. */
  #hasDebris = false;
  #isNameSynced = false;
  #isClosed = false;

  constructor(path: string, fullPath: string, handles: Handles, size: number) {
    this.path = path;
    this.#fullPath = fullPath;
    this.#handles = handles;
    this.#size = size;
  }

  get sizeBytes(): number {
    return this.#size;
  }

  append(bytes: Uint8Array): void {
    this.#run('write', (handle) => {
      if (this.#hasDebris) ftruncateSync(handle, this.#size);
      this.#hasDebris = true;
      for (let written = 0; written < bytes.length;)
        written += writeSync(handle, bytes, written, bytes.length - written, this.#size + written);
      this.#hasDebris = false;
      this.#size += bytes.length;
    });
  }

  read(position: number, length: number): Buffer {
    const wanted = Math.max(0, Math.min(length, this.#size - position));
    const buffer = Buffer.allocUnsafeSlow(wanted);
    return this.#run('read', (handle) => {
      for (let read = 0; read < wanted;) {
        const count = readSync(handle, buffer, read, wanted - read, position + read);
        if (count === 0) throw new Error(`the file ends at ${String(position + read)}, not at ${String(this.#size)}`);
        read += count;
      }
      return buffer;
    });
  }

  truncate(sizeBytes: number): void {
    this.#run('truncate', (handle) => {
      ftruncateSync(handle, sizeBytes);
      this.#size = sizeBytes;
      this.#hasDebris = false;
    });
  }

  sync(): void {
    this.#run('sync', (handle) => {
      fsyncSync(handle);
      if (!this.#isNameSynced) syncDirectory(dirname(this.#fullPath));
      this.#isNameSynced = true;
    });
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#handles.close(this.#fullPath);
    this.onClose();
  }

  #run<T>(action: string, run: (handle: number) => T): T {
    return guarded(action, this.#fullPath, () => {
      if (this.#isClosed) throw new Error('the file is closed');
      try {
        return run(this.#handles.get(this.#fullPath));
      } finally {
        if (action === 'write') this.#cleanUp();
      }
    });
  }

  /** At once, so that a process that dies before the next append leaves no debris; the next append tries again. */
  #cleanUp(): void {
    if (!this.#hasDebris) return;
    try {
      ftruncateSync(this.#handles.get(this.#fullPath), this.#size);
      this.#hasDebris = false;
    } catch {
      // Recovery cuts off what is no whole batch.
    }
  }
}

/** Open handles, those used last come last. */
class Handles {
  readonly #handles = new Map<string, number>();

  get(path: string): number {
    let handle = this.#handles.get(path);
    if (handle === undefined) {
      const [oldest] = this.#handles.keys();
      if (this.#handles.size >= handlesMax && oldest !== undefined) this.close(oldest);
      handle = openSync(path, 'r+');
    } else this.#handles.delete(path);
    this.#handles.set(path, handle);
    return handle;
  }

  close(path: string): void {
    const handle = this.#handles.get(path);
    if (handle === undefined) return;
    this.#handles.delete(path);
    closeSync(handle);
  }
}

/** Makes names survive power loss; some systems cannot, and need not. */
function syncDirectory(path: string): void {
  let handle: number;
  try {
    handle = openSync(path, 'r');
  } catch {
    return;
  }
  try {
    fsyncSync(handle);
  } catch (error) {
    if (!hasErrno(error, 'EPERM') && !hasErrno(error, 'EINVAL') && !hasErrno(error, 'EBADF')) throw error;
  } finally {
    closeSync(handle);
  }
}

function hasErrno(error: unknown, code: string): boolean {
  return errnoOf(error) === code;
}

function guarded<T>(action: string, file: string, run: () => T): T {
  try {
    return run();
  } catch (cause) {
    if (cause instanceof StreamError) throw cause;
    const reason = errnoOf(cause) ?? String(cause);
    throw new StreamError('LOG_UNAVAILABLE', `cannot ${action} ${file}: ${reason}`, { facts: { file, reason }, cause });
  }
}
