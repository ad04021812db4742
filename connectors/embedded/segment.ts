/** One file of a partition: record batches in offset order, found through a sparse index in memory. */
import { hasCode, StreamError } from '../../errors.ts';
import {
  batchHeaderBytes,
  checkCrc,
  lengthFieldEnd,
  readBatchHeader,
  type BatchHeader,
} from '../../schemas/record-batch-header.ts';
import type { StoredFile } from './storage.ts';

/** Distance of index entries: what a read may scan before it meets its offset. */
const indexIntervalBytes = 4096;
/** How much a walk over a whole segment reads at once. */
const walkBytes = 1 << 20;

/** A batch in a buffer that holds it whole: `header.position` counts from the start of `buffer`. */
export interface StoredBatch {
  readonly buffer: Buffer;
  readonly header: BatchHeader;
}

export interface RecoverOptions {
  /** Bytes after the last whole batch are an unfinished write, if no whole batch follows them. */
  readonly mayBeTorn: boolean;
  /** It was never compacted: no offset is missing. */
  readonly isContiguous: boolean;
}

export class Segment {
  readonly baseOffset: number;
  readonly file: StoredFile;
  /** Wall-clock time of its first append, or of opening it. */
  createdMs: number;
  /** After the last batch in it. */
  endOffset: number;
  /** The highest timestamp of a record in it; -1 if it has none. */
  maxTimestampMs = -1;
  readonly #indexOffsets: number[] = [];
  readonly #indexPositions: number[] = [];
  #indexedFrom = -indexIntervalBytes;
  #sealedAt: number | undefined;

  constructor(file: StoredFile, baseOffset: number, createdMs: number) {
    this.file = file;
    this.baseOffset = baseOffset;
    this.endOffset = baseOffset;
    this.createdMs = createdMs;
  }

  get sizeBytes(): number {
    return this.file.sizeBytes;
  }

  /** Where the next segment begins, or would. Beyond `endOffset` if compaction took the last batches. */
  get nextOffset(): number {
    return this.#sealedAt ?? this.endOffset;
  }

  /** Nothing is appended any more; the next segment begins at `nextOffset`. */
  seal(nextOffset: number): void {
    this.#sealedAt = nextOffset;
  }

  /** `header` is that of `batch`, its base offset in place. */
  append(batch: Buffer, header: BatchHeader): void {
    const position = this.file.sizeBytes;
    this.file.append(batch);
    this.#note(header, position);
  }

  /**
   * Bytes that begin with some batch at or before the first one that reaches `offset`, and hold that one whole.
   * Apart from that at most about `bytesMax`.
   */
  readAround(offset: number, bytesMax: number): Buffer {
    let position = this.#positionBefore(offset);
    let bytes = this.file.read(position, bytesMax + indexIntervalBytes);
    for (let isFirst = true; ; isFirst = false) {
      const at = skipBelow(bytes, offset);
      if (at === undefined || position + at >= this.file.sizeBytes) return bytes;
      if (at === 0 && !isFirst) throw corruptSegment(this.file.path, offset, { position, reason: 'batch is cut' });
      position += at;
      bytes = this.file.read(position, Math.max(bytesMax, sizeOfBatch(this.file, position)));
    }
  }

  /** All batches, each checked against its CRC. Throws `LOG_CORRUPT`. */
  *batches(): Generator<StoredBatch, void, void> {
    const damage = yield* walk(this.file);
    if (damage !== undefined) throw corruptSegment(this.file.path, this.endOffset, damage);
  }

  /**
   * Builds the index of a file found on disk and calls `visit` for every batch. Returns how many bytes were cut off its end.
   * Throws `LOG_CORRUPT` for whatever is not a whole batch, but for what a crash can leave.
   */
  recover({ mayBeTorn, isContiguous }: RecoverOptions, visit: (batch: StoredBatch) => void): number {
    let position = 0;
    const walking = walk(this.file);
    for (;;) {
      const step = walking.next();
      if (step.done === true) return step.value === undefined ? 0 : this.#cutTail(step.value, mayBeTorn);
      const { header } = step.value;
      const isNext = isContiguous ? header.baseOffset === this.endOffset : header.baseOffset >= this.endOffset;
      if (!isNext)
        throw corruptSegment(this.file.path, this.endOffset, {
          position,
          reason: `offset ${header.baseOffset} follows`,
        });
      this.#note(header, position);
      visit(step.value);
      position += header.end - header.position;
    }
  }

  #cutTail(damage: Damage, mayBeTorn: boolean): number {
    const tail = this.file.read(damage.position, this.file.sizeBytes - damage.position);
    if (!mayBeTorn || hasWholeBatch(tail, this.endOffset)) throw corruptSegment(this.file.path, this.endOffset, damage);
    this.file.truncate(damage.position);
    return tail.length;
  }

  #note(header: BatchHeader, position: number): void {
    this.endOffset = header.lastOffset + 1;
    if (!header.isControl) this.maxTimestampMs = Math.max(this.maxTimestampMs, header.maxTimestampMs);
    if (position - this.#indexedFrom < indexIntervalBytes) return;
    this.#indexedFrom = position;
    this.#indexOffsets.push(header.baseOffset);
    this.#indexPositions.push(position);
  }

  #positionBefore(offset: number): number {
    const offsets = this.#indexOffsets;
    let low = 0;
    let high = offsets.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((offsets[middle] ?? 0) <= offset) low = middle + 1;
      else high = middle;
    }
    return low === 0 ? 0 : (this.#indexPositions[low - 1] ?? 0);
  }
}

/** Where the first batch that reaches `offset` begins if the buffer does not hold it whole; `undefined` if it does. */
function skipBelow(bytes: Buffer, offset: number): number | undefined {
  let at = 0;
  for (;;) {
    const header = readBatchHeader(bytes, at);
    if (header === undefined) return at;
    if (header.lastOffset >= offset) return undefined;
    at = header.end;
  }
}

function sizeOfBatch(file: StoredFile, position: number): number {
  const start = file.read(position, lengthFieldEnd);
  return start.length < lengthFieldEnd ? batchHeaderBytes : lengthFieldEnd + start.readInt32BE(8);
}

interface Damage {
  readonly position: number;
  readonly reason: string;
}

/** Every whole batch of the file. Returns where and why it stopped, if before the end. */
function* walk(file: StoredFile): Generator<StoredBatch, Damage | undefined, void> {
  let position = 0;
  let bytesMax = walkBytes;
  while (position < file.sizeBytes) {
    const buffer = file.read(position, bytesMax);
    let at = 0;
    try {
      for (let header = readBatchHeader(buffer, 0); header !== undefined; header = readBatchHeader(buffer, at)) {
        checkCrc(buffer, header);
        yield { buffer, header };
        at = header.end;
      }
    } catch (error) {
      if (!hasCode(error, 'RECORD_CORRUPT')) throw error;
      return { position: position + at, reason: error.message };
    }
    if (at === 0 && position + buffer.length >= file.sizeBytes) return { position, reason: 'batch is cut' };
    position += at;
    bytesMax = Math.max(walkBytes, sizeOfBatch(file, position));
  }
  return undefined;
}

/** Whether some whole batch of a later offset lies in the bytes: then what precedes it was damaged, not torn off by a crash. */
function hasWholeBatch(bytes: Buffer, nextOffset: number): boolean {
  for (let at = 1; at + batchHeaderBytes <= bytes.length; at++) {
    if (bytes[at + 16] !== 2 || bytes.readInt32BE(at + 8) + lengthFieldEnd > bytes.length - at) continue;
    try {
      const header = readBatchHeader(bytes, at);
      if (header === undefined || header.baseOffset < nextOffset) continue;
      checkCrc(bytes, header);
      return true;
    } catch (error) {
      if (!hasCode(error, 'RECORD_CORRUPT')) throw error;
    }
  }
  return false;
}

export function corruptSegment(file: string, offset: number, damage: Damage): StreamError {
  return new StreamError(
    'LOG_CORRUPT',
    `${file} is damaged at offset ${offset} (byte ${damage.position}): ${damage.reason}`,
    {
      facts: { file, offset, position: damage.position, reason: damage.reason },
    },
  );
}
