/** Reading records where they lie: one cursor over the batches of a buffer, nothing copied, nothing decoded before it is asked for. */
import { decompress } from './compression.ts';
import { batchHeaderBytes, checkCrc, corrupt, readBatchHeader } from './record-batch-header.ts';
import type { RecordCursor } from './record-batch.ts';
import { noHeaders, type Header } from './record.ts';
import { zigzagToNumber } from './varint.ts';

const nothing = Buffer.alloc(0);

/**
 * Moves over the records of some batches of a buffer, those below `fromOffset` left out.
 *
 * `positions` say where the batches begin: they must be whole, checked by `checkCrc`, in offset order and without control batches.
 */
export class BatchCursor implements RecordCursor {
  offset = -1;
  timestampMs = -1;

  readonly #buffer: Buffer;
  readonly #positions: readonly number[];
  readonly #fromOffset: number;
  #nextBatch = 0;
  // The batch the cursor is in.
  #data: Buffer = nothing;
  #end = 0;
  #remaining = 0;
  #baseOffset = 0;
  #baseTimestampMs = 0;
  #appendTimestampMs: number | undefined;
  // Where the next thing is read, and the record the cursor is at.
  #at = 0;
  #keyStart = 0;
  #keyLength = -1;
  #valueStart = 0;
  #valueLength = -1;
  #headersStart = 0;
  #recordEnd = 0;

  constructor(buffer: Buffer, positions: readonly number[], fromOffset: number) {
    this.#buffer = buffer;
    this.#positions = positions;
    this.#fromOffset = fromOffset;
  }

  next(): boolean {
    do {
      while (this.#remaining === 0) if (!this.#enterBatch()) return this.#finish();
      this.#readRecord();
    } while (this.offset < this.#fromOffset);
    return true;
  }

  key(): Uint8Array | undefined {
    return this.#keyLength < 0 ? undefined : this.#data.subarray(this.#keyStart, this.#keyStart + this.#keyLength);
  }

  value(): Uint8Array | undefined {
    return this.#valueLength < 0
      ? undefined
      : this.#data.subarray(this.#valueStart, this.#valueStart + this.#valueLength);
  }

  headers(): readonly Header[] {
    this.#at = this.#headersStart;
    const count = this.#varint();
    const resumeAt = this.#recordEnd;
    if (count === 0) {
      this.#at = resumeAt;
      return noHeaders;
    }
    // Each header takes at least two bytes: a count beyond that is not believed.
    if (count < 0 || count * 2 > resumeAt - this.#at) throw this.#broken('header count');
    const headers: Header[] = [];
    for (let index = 0; index < count; index++) headers.push(this.#readHeader());
    if (this.#at !== resumeAt) throw this.#broken('headers');
    return headers;
  }

  #readHeader(): Header {
    const keyLength = this.#varint();
    if (keyLength < 0 || this.#at + keyLength > this.#recordEnd) throw this.#broken('header key');
    const key = this.#data.toString('utf8', this.#at, this.#at + keyLength);
    this.#at += keyLength;
    const valueLength = this.#varint();
    if (valueLength < -1 || this.#at + valueLength > this.#recordEnd) throw this.#broken('header value');
    const value = valueLength < 0 ? undefined : this.#data.subarray(this.#at, this.#at + valueLength);
    this.#at += Math.max(0, valueLength);
    return { key, value };
  }

  #readRecord(): void {
    this.#at = this.#recordEnd;
    const length = this.#varint();
    const recordEnd = this.#at + length;
    if (length < 0 || recordEnd > this.#end) throw this.#broken('record length');
    this.#recordEnd = recordEnd;
    this.#at += 1;
    const timestampDelta = this.#varlong();
    this.offset = this.#baseOffset + this.#varint();
    this.timestampMs = this.#appendTimestampMs ?? this.#baseTimestampMs + timestampDelta;

    const keyLength = this.#varint();
    this.#keyLength = keyLength;
    this.#keyStart = this.#at;
    if (keyLength > 0) this.#at += keyLength;
    if (keyLength < -1 || this.#at > recordEnd) throw this.#broken('key length');

    const valueLength = this.#varint();
    this.#valueLength = valueLength;
    this.#valueStart = this.#at;
    if (valueLength > 0) this.#at += valueLength;
    if (valueLength < -1 || this.#at >= recordEnd) throw this.#broken('value length');

    this.#headersStart = this.#at;
    this.#remaining -= 1;
  }

  #enterBatch(): boolean {
    const position = this.#positions[this.#nextBatch];
    if (position === undefined) return false;
    this.#nextBatch += 1;
    const header = readBatchHeader(this.#buffer, position);
    if (header === undefined) throw corrupt('batch is cut', { position });
    if (header.lastOffset < this.#fromOffset) return true;
    const isPlain = header.compression === 'none';
    this.#data = isPlain
      ? this.#buffer
      : decompress(header.compression, this.#buffer.subarray(position + batchHeaderBytes, header.end));
    this.#end = isPlain ? header.end : this.#data.length;
    this.#recordEnd = isPlain ? position + batchHeaderBytes : 0;
    this.#remaining = header.count;
    this.#baseOffset = header.baseOffset;
    this.#baseTimestampMs = header.baseTimestampMs;
    this.#appendTimestampMs = header.timestampType === 'log-append-time' ? header.maxTimestampMs : undefined;
    return true;
  }

  #finish(): false {
    this.#keyLength = -1;
    this.#valueLength = -1;
    return false;
  }

  #varint(): number {
    const data = this.#data;
    let at = this.#at;
    let byte = data[at++] ?? 0;
    let zigzag = byte & 0x7f;
    for (let shift = 7; byte >= 0x80; shift += 7) {
      if (shift > 28) throw this.#broken('integer');
      byte = data[at++] ?? 0;
      zigzag |= (byte & 0x7f) << shift;
    }
    this.#at = at;
    return (zigzag >>> 1) ^ -(zigzag & 1);
  }

  #varlong(): number {
    const byte = this.#data[this.#at] ?? 0;
    if (byte < 0x80) {
      this.#at += 1;
      return (byte >>> 1) ^ -(byte & 1);
    }
    return this.#longVarlong();
  }

  #longVarlong(): number {
    let low = 0;
    let high = 0;
    for (let shift = 0; shift <= 63; shift += 7) {
      const byte = this.#data[this.#at++] ?? 0;
      const bits = byte & 0x7f;
      if (shift < 32) low |= bits << shift;
      if (shift === 28) high |= bits >>> 4;
      else if (shift > 28) high |= bits << (shift - 32);
      if (byte < 0x80) return zigzagToNumber(low, high);
    }
    throw this.#broken('timestamp');
  }

  #broken(what: string): Error {
    this.#remaining = 0;
    this.#nextBatch = this.#positions.length;
    return corrupt(`record has an impossible ${what}`, { baseOffset: this.#baseOffset });
  }
}

/** Where the whole batches with records for users begin: control batches and a cut last one are left out. Throws `RECORD_CORRUPT`, also for a failing CRC. */
export function dataBatchPositions(buffer: Buffer): readonly number[] {
  const positions: number[] = [];
  for (let header = readBatchHeader(buffer, 0); header !== undefined; header = readBatchHeader(buffer, header.end)) {
    checkCrc(buffer, header);
    if (!header.isControl) positions.push(header.position);
  }
  return positions;
}

/** A cursor over all batches of `buffer` that are whole, from `fromOffset` on. Throws `RECORD_CORRUPT`, also for a failing CRC. */
export function batchCursor(buffer: Buffer, fromOffset: number): BatchCursor {
  return new BatchCursor(buffer, dataBatchPositions(buffer), fromOffset);
}

/** What the only record of a control batch says; `undefined` for a marker of a kind this version does not know. Throws `RECORD_CORRUPT`. */
export function readControlType(buffer: Buffer, position: number): 'abort' | 'commit' | undefined {
  const cursor = new BatchCursor(buffer, [position], 0);
  const key = cursor.next() ? cursor.key() : undefined;
  if (key === undefined || key.length < 4) throw corrupt('control record has no type', { position });
  const type = ((key[2] ?? 0) << 8) | (key[3] ?? 0);
  if (type === 0) return 'abort';
  return type === 1 ? 'commit' : undefined;
}
