import { MemoryStorage } from '../../../connectors/embedded/memory-storage.ts';
import type { Storage, StoredFile } from '../../../connectors/embedded/storage.ts';
import { StreamError } from '../../../errors.ts';

export type Change =
  | { readonly type: 'append'; readonly path: string; readonly bytes: Buffer }
  | { readonly type: 'truncate'; readonly path: string; readonly sizeBytes: number }
  | { readonly type: 'sync'; readonly path: string }
  | { readonly type: 'open'; readonly path: string }
  | { readonly type: 'rename'; readonly path: string; readonly to: string }
  | { readonly type: 'remove'; readonly path: string }
  | { readonly type: 'remove-directory'; readonly path: string };

/** A storage in memory that remembers every change, and can be told to refuse some. */
export class RecordedStorage implements Storage {
  readonly changes: Change[] = [];
  /** Says of each change, before it is made, whether the medium refuses it. */
  refuses: (change: Change, index: number) => boolean = () => false;
  readonly #storage = new MemoryStorage();

  list(directory: string): readonly string[] {
    return this.#storage.list(directory);
  }

  open(path: string): StoredFile {
    const file = this.#storage.open(path);
    this.#record({ type: 'open', path });
    return {
      path,
      get sizeBytes() {
        return file.sizeBytes;
      },
      append: (bytes) => {
        this.#record({ type: 'append', path, bytes: Buffer.from(bytes) });
        file.append(bytes);
      },
      read: (position, length) => file.read(position, length),
      truncate: (sizeBytes) => {
        this.#record({ type: 'truncate', path, sizeBytes });
        file.truncate(sizeBytes);
      },
      sync: () => {
        this.#record({ type: 'sync', path });
      },
      close: () => {
        file.close();
      },
    };
  }

  rename(from: string, to: string): void {
    this.#record({ type: 'rename', path: from, to });
    this.#storage.rename(from, to);
  }

  remove(path: string): void {
    this.#record({ type: 'remove', path });
    this.#storage.remove(path);
  }

  removeDirectory(path: string): void {
    this.#record({ type: 'remove-directory', path });
    this.#storage.removeDirectory(path);
  }

  close(): void {
    // Nothing is held.
  }

  #record(change: Change): void {
    if (this.refuses(change, this.changes.length))
      throw new StreamError('LOG_UNAVAILABLE', 'no space left', { facts: { file: change.path } });
    this.changes.push(change);
  }
}

/**
 * What a medium holds after the first `count` changes and the first `bytes` bytes of the next one, if that is an append.
 * With `unsynced`, as power loss leaves it: of what was appended after the last sync of a file, that fraction is kept.
 */
export function imageAfter(
  changes: readonly Change[],
  count: number,
  { bytes = 0, unsynced = () => 1 }: { bytes?: number; unsynced?: () => number } = {},
): MemoryStorage {
  const files = new Map<string, { bytes: Buffer; syncedBytes: number }>();
  const fileOf = (path: string) => {
    const file = files.get(path) ?? { bytes: Buffer.alloc(0), syncedBytes: 0 };
    files.set(path, file);
    return file;
  };
  for (const change of changes.slice(0, count)) apply(change, files, fileOf);
  const torn = changes[count];
  if (bytes > 0 && torn?.type === 'append') apply({ ...torn, bytes: torn.bytes.subarray(0, bytes) }, files, fileOf);

  const image = new MemoryStorage();
  for (const [path, { bytes: all, syncedBytes }] of files)
    image.open(path).append(all.subarray(0, syncedBytes + Math.round((all.length - syncedBytes) * unsynced())));
  return image;
}

type Files = Map<string, { bytes: Buffer; syncedBytes: number }>;

function apply(change: Change, files: Files, fileOf: (path: string) => { bytes: Buffer; syncedBytes: number }): void {
  const { path } = change;
  switch (change.type) {
    case 'open':
      fileOf(path);
      break;
    case 'append':
      fileOf(path).bytes = Buffer.concat([fileOf(path).bytes, change.bytes]);
      break;
    case 'truncate':
      fileOf(path).bytes = fileOf(path).bytes.subarray(0, change.sizeBytes);
      fileOf(path).syncedBytes = Math.min(fileOf(path).syncedBytes, change.sizeBytes);
      break;
    case 'sync':
      fileOf(path).syncedBytes = fileOf(path).bytes.length;
      break;
    case 'rename':
      files.set(change.to, fileOf(path));
      files.delete(path);
      break;
    case 'remove':
      files.delete(path);
      break;
    case 'remove-directory':
      for (const name of [...files.keys()]) if (name.startsWith(`${path}/`)) files.delete(name);
      break;
  }
}
