/**
 * Checks the files of a closed LevelDB directory before LevelDB sees them. It would open a damaged one without a word: a flipped bit hides rows, a lost
 * piece of the write-ahead log leaves a hole, and without `CURRENT` it deletes everything. Here each of these is `STORE_CORRUPT`.
 */
import { open, readFile, readdir, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { corrupt, isRangeError, storeError } from './level-error.ts';
import { LogScan, logBlockBytes, type LogEnd } from './level-log-format.ts';
import { readManifest, type Manifest } from './level-manifest.ts';
import { verifyTable } from './level-table.ts';

/** Of a log read at once: whole blocks. */
const chunkBytes = 32 * logBlockBytes;

/**
 * Resolves if whatever LevelDB will read is as it was written, save for an end of the newest log that was lost with the process: what is left is then an
 * earlier state with its own position. Rejects with `STORE_CORRUPT` or `STORE_IO`.
 */
export async function verifyDirectory(directory: string): Promise<void> {
  const files = await attempt(directory, () => readdir(directory));
  const manifest = await currentManifest(directory, files);
  for (const [number, size] of manifest.tables) {
    const name = tableName(number, files);
    if (name === undefined) throw corrupt('a table is missing', { directory });
    await withFile(join(directory, name), (file) => verifyTable(file, size));
  }
  let torn: string | undefined;
  for (const name of logNames(files, manifest.logNumber)) {
    const { end, isEmpty } = await withFile(join(directory, name), verifyLog);
    if (torn !== undefined && !isEmpty) throw corrupt('a log that is not the newest has lost its end', { file: torn });
    if (end === 'torn') torn = join(directory, name);
  }
}

async function currentManifest(directory: string, files: readonly string[]): Promise<Manifest> {
  if (!files.includes('CURRENT')) throw corrupt('CURRENT is missing', { directory });
  return attempt(directory, async () => {
    const current = await readFile(join(directory, 'CURRENT'), 'latin1');
    const name = /^(MANIFEST-\d+)\n$/.exec(current)?.[1];
    if (name === undefined || !files.includes(name)) throw corrupt('CURRENT names no manifest', { directory });
    return readManifest(await readFile(join(directory, name)));
  });
}

function tableName(number: number, files: readonly string[]): string | undefined {
  const base = String(number).padStart(6, '0');
  return [`${base}.ldb`, `${base}.sst`].find((name) => files.includes(name));
}

/** Of the logs that LevelDB will replay, oldest first. */
function logNames(files: readonly string[], oldest: number): readonly string[] {
  const numberOf = (name: string): number => Number(/^(\d+)\.log$/.exec(name)?.[1]);
  return files.filter((name) => numberOf(name) >= oldest).sort((a, b) => numberOf(a) - numberOf(b));
}

async function verifyLog(file: FileHandle): Promise<{ readonly end: LogEnd; readonly isEmpty: boolean }> {
  const scan = new LogScan();
  const chunk = Buffer.allocUnsafe(chunkBytes);
  let offset = 0;
  while (true) {
    const { bytesRead } = await file.read(chunk, 0, chunkBytes, offset);
    for (let at = 0; at < bytesRead; at += logBlockBytes)
      if (!scan.add(chunk.subarray(at, Math.min(at + logBlockBytes, bytesRead))))
        throw new RangeError('a log has a hole');
    offset += bytesRead;
    if (bytesRead < chunkBytes) return { end: scan.end, isEmpty: offset === 0 };
  }
}

async function withFile<T>(path: string, action: (file: FileHandle) => Promise<T>): Promise<T> {
  return attempt(path, async () => {
    const file = await open(path, 'r');
    try {
      return await action(file);
    } finally {
      await file.close();
    }
  });
}

async function attempt<T>(file: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    if (isRangeError(error)) throw corrupt('a file does not hold together', { file }, error);
    throw storeError(error, { file });
  }
}
