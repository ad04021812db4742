/** LevelDB's log format, in which it keeps its write-ahead log and its manifest: blocks of 32 KiB with checksummed fragments of records. */
import { crc32c } from '../schemas/crc32c.ts';

export const logBlockBytes = 32 * 1024;
const headerBytes = 7;

const fragmentTypes = { full: 1, first: 2, middle: 3, last: 4 } as const;

export interface LogFragment {
  readonly type: number;
  readonly payload: Buffer;
}

export interface LogBlock {
  readonly fragments: readonly LogFragment[];
  /** False if something after these fragments cannot be read: torn while it was written, or damaged. LevelDB skips the rest of such a block. */
  readonly isWhole: boolean;
}

const maskDelta = 0xa282ead8;

/** LevelDB stores checksums rotated and shifted, so that a checksum of checksums means something. */
export function unmaskChecksum(masked: number): number {
  const rotated = (masked - maskDelta) >>> 0;
  return ((rotated >>> 17) | (rotated << 15)) >>> 0;
}

/** The fragments of one block; the last block of a file may be shorter. */
export function readLogBlock(block: Buffer): LogBlock {
  const fragments: LogFragment[] = [];
  let at = 0;
  while (block.length - at >= headerBytes) {
    const length = block.readUInt16LE(at + 4);
    const end = at + headerBytes + length;
    const type = block.readUInt8(at + 6);
    if (end > block.length || type < fragmentTypes.full || type > fragmentTypes.last)
      return { fragments, isWhole: false };
    if (crc32c(block.subarray(at + 6, end)) !== unmaskChecksum(block.readUInt32LE(at)))
      return { fragments, isWhole: false };
    fragments.push({ type, payload: block.subarray(at + headerBytes, end) });
    at = end;
  }
  // A full block may end in a trailer too short for a header.
  return { fragments, isWhole: at === block.length || block.length === logBlockBytes };
}

export type LogEnd = 'whole' | 'torn';

/** Reads the blocks of one log in order; a log that goes on after a fault has lost something in its middle. */
export class LogScan {
  #isTorn = false;
  #isInsideRecord = false;
  #parts: Buffer[] = [];
  readonly #record: ((record: Buffer) => void) | undefined;

  /** `record` gets each complete record; without it, records are checked but not put together. */
  constructor(record?: (record: Buffer) => void) {
    this.#record = record;
  }

  /** False if the log has a hole. */
  add(block: Buffer): boolean {
    if (this.#isTorn) return false;
    const { fragments, isWhole } = readLogBlock(block);
    this.#isTorn = !isWhole;
    return fragments.every((fragment) => this.#accept(fragment));
  }

  /** After the last block. */
  get end(): LogEnd {
    return this.#isTorn || this.#isInsideRecord ? 'torn' : 'whole';
  }

  #accept({ type, payload }: LogFragment): boolean {
    const continues = type === fragmentTypes.middle || type === fragmentTypes.last;
    if (continues !== this.#isInsideRecord) return false;
    const isComplete = type === fragmentTypes.full || type === fragmentTypes.last;
    this.#isInsideRecord = !isComplete;
    if (this.#record !== undefined) {
      this.#parts.push(payload);
      if (isComplete) this.#record(Buffer.concat(this.#parts.splice(0)));
    }
    return true;
  }
}
