/** Files in memory: for tests, for the simulated log, and for a log nobody needs to keep. */
import { assert } from '../../errors.ts';
import type { Storage, StoredFile } from './storage.ts';

const initialBytes = 4096;

/** What is written to it outlives a broker: opening the same storage again is a restart. */
export class MemoryStorage implements Storage {
  readonly #files = new Map<string, MemoryFile>();

  list(directory: string): readonly string[] {
    const prefix = directory === '' ? '' : `${directory}/`;
    const names = new Set<string>();
    for (const path of this.#files.keys()) {
      if (!path.startsWith(prefix)) continue;
      const rest = path.slice(prefix.length);
      const slash = rest.indexOf('/');
      names.add(slash < 0 ? rest : rest.slice(0, slash));
    }
    return [...names];
  }

  open(path: string): StoredFile {
    const known = this.#files.get(path);
    if (known !== undefined) return known;
    const file = new MemoryFile(path);
    this.#files.set(path, file);
    return file;
  }

  rename(from: string, to: string): void {
    const file = this.#files.get(from);
    assert(file !== undefined, `no file ${from}`);
    this.#files.delete(from);
    this.#files.set(to, file.renamed(to));
  }

  remove(path: string): void {
    this.#files.delete(path);
  }

  removeDirectory(path: string): void {
    for (const file of [...this.#files.keys()]) if (file.startsWith(`${path}/`)) this.#files.delete(file);
  }

  close(): void {
    // Nothing is held.
  }
}

class MemoryFile implements StoredFile {
  readonly path: string;
  #bytes: Buffer;
  #size: number;

  constructor(path: string, bytes: Buffer = Buffer.alloc(0)) {
    this.path = path;
    this.#bytes = bytes;
    this.#size = bytes.length;
  }

  get sizeBytes(): number {
    return this.#size;
  }

  append(bytes: Uint8Array): void {
    const end = this.#size + bytes.length;
    if (end > this.#bytes.length) this.#resize(Math.max(end, this.#bytes.length * 2, initialBytes));
    this.#bytes.set(bytes, this.#size);
    this.#size = end;
  }

  read(position: number, length: number): Buffer {
    return this.#bytes.subarray(Math.min(position, this.#size), Math.min(position + length, this.#size));
  }

  truncate(sizeBytes: number): void {
    assert(sizeBytes <= this.#size, `truncate ${this.path} to more than its size`);
    this.#size = sizeBytes;
    // What was read stays as it was: later appends go into bytes of their own.
    this.#resize(sizeBytes);
  }

  sync(): void {
    // Memory has no power loss to survive.
  }

  close(): void {
    // Nothing is held.
  }

  renamed(path: string): MemoryFile {
    return new MemoryFile(path, this.#bytes.subarray(0, this.#size));
  }

  #resize(capacity: number): void {
    const grown = Buffer.allocUnsafeSlow(capacity);
    this.#bytes.copy(grown, 0, 0, this.#size);
    this.#bytes = grown;
  }
}
