/**
 * The journal: one file of entries, `length uint32 · CRC-32C uint32 · JSON`, each written at once and valid or not there.
 *
 * What a transaction commits is one entry of it; that is what makes a commit atomic across files and crashes.
 */
import type { Logger } from '../../clock.ts';
import { StreamError } from '../../errors.ts';
import { crc32c } from '../../schemas/crc32c.ts';
import { durableTypes, formatVersion, Metadata, type Entry } from './metadata.ts';
import type { Storage, StoredFile } from './storage.ts';

/** Names at the root that no topic can have. */
export const lockPath = '~lock';
export const journalPath = '~journal';
const nextPath = '~journal.next';
const frameBytes = 8;

export interface JournalOptions {
  readonly storage: Storage;
  readonly logger: Logger;
  /** For a log that is made now. */
  readonly newClusterId: () => string;
  /** Whether every entry survives power loss when `record` returns, not only those that always do. */
  readonly isSynced: boolean;
  /** The journal is rewritten as a snapshot when it has grown by this, and to twice its last snapshot. */
  readonly snapshotBytes: number;
}

export class Journal {
  readonly metadata = new Metadata();
  readonly #options: JournalOptions;
  #file: StoredFile;
  #snapshotSize = 0;
  /** Set when it is unknown what the file holds: nothing is recorded any more. */
  #failure: StreamError | undefined;

  /** Opens the journal, or makes one if the storage is empty. An unfinished last entry is cut off. Throws `LOG_CORRUPT`, `LOG_UNAVAILABLE`. */
  constructor(options: JournalOptions) {
    this.#options = options;
    const { storage } = options;
    storage.remove(nextPath);
    if (storage.list('').includes(journalPath)) {
      this.#file = storage.open(journalPath);
      this.#replay();
    } else {
      this.metadata.clusterId = options.newClusterId();
      this.#file = this.#writeSnapshot();
    }
  }

  /** Writes the entry, then applies it. Throws `LOG_UNAVAILABLE`, and then nothing has happened. */
  record(entry: Entry): void {
    if (this.#failure !== undefined) throw this.#failure;
    const sizeBytes = this.#file.sizeBytes;
    this.#file.append(frame(entry));
    try {
      if (this.#options.isSynced || durableTypes.has(entry.type)) this.#file.sync();
    } catch (error) {
      this.#takeBack(sizeBytes);
      throw error;
    }
    this.metadata.apply(entry);
  }

  /**
   * Replaces the journal by a snapshot of the state if it has grown enough. A failure is logged: the old one goes on.
   * A snapshot no longer holds decisions whose markers are written, so `syncMarkers` must make those survive power loss first.
   */
  shrink(syncMarkers: () => void): void {
    const { snapshotBytes, logger } = this.#options;
    if (this.#file.sizeBytes < Math.max(snapshotBytes, this.#snapshotSize * 2)) return;
    try {
      syncMarkers();
      this.#file = this.#writeSnapshot();
    } catch (error) {
      this.#file = this.#options.storage.open(journalPath);
      logger.warn('the journal could not be shortened', { error });
    }
  }

  close(): void {
    this.record({ type: 'closed' });
    this.#file.sync();
    this.#file.close();
  }

  /** An entry that was reported as failed must not be found at the next opening. */
  #takeBack(sizeBytes: number): void {
    try {
      this.#file.truncate(sizeBytes);
    } catch (cause) {
      this.#failure = new StreamError('LOG_UNAVAILABLE', 'the journal failed: reopen the log', {
        facts: { file: journalPath },
        cause,
      });
    }
  }

  #writeSnapshot(): StoredFile {
    const { storage } = this.#options;
    storage.remove(nextPath);
    const next = storage.open(nextPath);
    next.append(Buffer.concat([...this.metadata.entries()].map(frame)));
    next.sync();
    next.close();
    if (storage.list('').includes(journalPath)) this.#file.close();
    storage.rename(nextPath, journalPath);
    const file = storage.open(journalPath);
    this.#snapshotSize = file.sizeBytes;
    return file;
  }

  #replay(): void {
    const bytes = this.#file.read(0, this.#file.sizeBytes);
    let position = 0;
    for (let entry = readEntry(bytes, position); entry !== undefined; entry = readEntry(bytes, position)) {
      if (position === 0) checkFormat(entry);
      this.metadata.apply(entry);
      position += frameBytes + bytes.readUInt32LE(position);
    }
    if (position === bytes.length) return;
    if (position === 0 || this.metadata.isClosed || hasEntryAfter(bytes, position)) throw corruptJournal(position);
    this.#file.truncate(position);
    this.#options.logger.warn('cut an unfinished write off the journal', { cutBytes: bytes.length - position });
  }
}

function frame(entry: Entry): Buffer {
  const json = Buffer.from(JSON.stringify(entry));
  const framed = Buffer.allocUnsafe(frameBytes + json.length);
  framed.writeUInt32LE(json.length, 0);
  framed.writeUInt32LE(crc32c(json), 4);
  framed.set(json, frameBytes);
  return framed;
}

function readEntry(bytes: Buffer, position: number): Entry | undefined {
  if (position + frameBytes > bytes.length) return undefined;
  const end = position + frameBytes + bytes.readUInt32LE(position);
  if (end > bytes.length || end === position + frameBytes) return undefined;
  const json = bytes.subarray(position + frameBytes, end);
  if (crc32c(json) !== bytes.readUInt32LE(position + 4)) return undefined;
  return JSON.parse(json.toString()) as Entry;
}

/** Then what lies at `position` was damaged, not torn off by a crash. */
function hasEntryAfter(bytes: Buffer, position: number): boolean {
  for (let at = position + 1; at + frameBytes < bytes.length; at++) {
    if (bytes[at + frameBytes] === 0x7b && readEntry(bytes, at) !== undefined) return true;
  }
  return false;
}

function checkFormat(entry: Entry): void {
  if (entry.type === 'format' && entry.version === formatVersion) return;
  throw new StreamError('LOG_CORRUPT', `the journal is not of format ${formatVersion}`, {
    facts: { file: journalPath },
  });
}

function corruptJournal(position: number): StreamError {
  return new StreamError('LOG_CORRUPT', `the journal is damaged at byte ${position}`, {
    facts: { file: journalPath, position },
  });
}
