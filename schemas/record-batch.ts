/**
 * Kafka's record batch, format v2, as bytes: built record by record without objects, read by a cursor without copies.
 * Layout: Apache Kafka documentation, "Record Batch". Both the Kafka connector and the embedded log store exactly this.
 */
import { StreamError } from '../errors.ts';
import { compress } from './compression.ts';
import { batchHeaderBytes, writeBatchHeader } from './record-batch-header.ts';
import type { Header } from './record.ts';
import { varintSize, varlongSize, writeVarint, writeVarlong } from './varint.ts';

/** A movable view of one record of a batch. Arrays it returns are views into the fetched bytes: valid for as long as they are held, never written to. */
export interface RecordCursor {
  /** Moves to the next record; false at the end. Throws `RECORD_CORRUPT`. */
  next(): boolean;
  /** Of the record the cursor is at. */
  readonly offset: number;
  readonly timestampMs: number;
  key(): Uint8Array | undefined;
  value(): Uint8Array | undefined;
  headers(): readonly Header[];
}

export interface ProducerIdentity {
  /** -1 (as `-1n`) for a batch without idempotence. */
  readonly producerId: bigint;
  readonly producerEpoch: number;
  readonly baseSequence: number;
  readonly isTransactional: boolean;
}

/** A state of a batch in the making to go back to. */
export interface BatchMark {
  readonly count: number;
  readonly position: number;
  readonly baseTimestampMs: number;
  readonly maxTimestampMs: number;
}

const initialBytes = 1024;
const batchBytesMax = 0x7fff_ffff - 1024;
/** Below this a loop copies faster than a call into the runtime does. */
const copyByLoopBytes = 32;

/** A batch in the making. Bytes given to `append` are copied. */
export class BatchBuilder {
  #bytes = Buffer.allocUnsafe(initialBytes);
  #position = batchHeaderBytes;
  #count = 0;
  #baseTimestampMs = 0;
  #maxTimestampMs = 0;

  /** Number of records so far. */
  get count(): number {
    return this.#count;
  }

  /** Encoded size so far, header included, uncompressed. */
  get sizeBytes(): number {
    return this.#position;
  }

  /** Appends one record and returns its index in the batch. Throws `RECORD_INVALID` for a timestamp that is no safe integer, `RECORD_TOO_LARGE` beyond 2 GiB. */
  append(
    timestampMs: number,
    key: Uint8Array | undefined,
    value: Uint8Array | undefined,
    headers: readonly Header[],
  ): number {
    if (!Number.isSafeInteger(timestampMs)) throw invalidTimestamp(timestampMs);
    const index = this.#count;
    if (index === 0) this.#baseTimestampMs = timestampMs;
    const delta = timestampMs - this.#baseTimestampMs;
    const noHeaders = headers.length === 0;
    const bodyBytes =
      1 +
      varlongSize(delta) +
      varintSize(index) +
      sizeOfBytes(key) +
      sizeOfBytes(value) +
      (noHeaders ? 1 : headersSize(headers));

    this.#reserve(bodyBytes + 5);
    const bytes = this.#bytes;
    let at = writeVarint(bytes, this.#position, bodyBytes);
    bytes[at++] = 0;
    at = writeVarlong(bytes, at, delta);
    at = writeVarint(bytes, at, index);
    at = writeBytes(bytes, at, key);
    at = writeBytes(bytes, at, value);
    if (noHeaders) bytes[at++] = 0;
    else at = writeHeaders(bytes, at, headers);

    this.#position = at;
    if (index === 0 || timestampMs > this.#maxTimestampMs) this.#maxTimestampMs = timestampMs;
    this.#count = index + 1;
    return index;
  }

  mark(): BatchMark {
    return {
      count: this.#count,
      position: this.#position,
      baseTimestampMs: this.#baseTimestampMs,
      maxTimestampMs: this.#maxTimestampMs,
    };
  }

  /** Forgets the records appended since `mark`. */
  rewind(mark: BatchMark): void {
    this.#count = mark.count;
    this.#position = mark.position;
    this.#baseTimestampMs = mark.baseTimestampMs;
    this.#maxTimestampMs = mark.maxTimestampMs;
  }

  /** The whole batch with base offset 0 and its CRC-32C, in bytes of its own. May be called again (a retry gives the same bytes). */
  encode(producer: ProducerIdentity, compression: 'none' | 'gzip' | 'snappy' | 'lz4'): Buffer {
    const records = compress(compression, this.#bytes.subarray(batchHeaderBytes, this.#position));
    const batch = Buffer.allocUnsafe(batchHeaderBytes + records.length);
    batch.set(records, batchHeaderBytes);
    writeBatchHeader(batch, {
      compression,
      isTransactional: producer.isTransactional,
      isControl: false,
      lastOffsetDelta: Math.max(0, this.#count - 1),
      baseTimestampMs: this.#baseTimestampMs,
      maxTimestampMs: this.#maxTimestampMs,
      producerId: producer.producerId,
      producerEpoch: producer.producerEpoch,
      baseSequence: producer.baseSequence,
      count: this.#count,
    });
    return batch;
  }

  #reserve(bytes: number): void {
    const needed = this.#position + bytes;
    if (needed <= this.#bytes.length) return;
    if (needed > batchBytesMax) throw tooLarge(needed);
    const grown = Buffer.allocUnsafe(Math.min(batchBytesMax, Math.max(needed, this.#bytes.length * 2)));
    this.#bytes.copy(grown, 0, 0, this.#position);
    this.#bytes = grown;
  }
}

function invalidTimestamp(timestampMs: number): StreamError {
  return new StreamError('RECORD_INVALID', 'timestamp is not a safe integer', { facts: { timestampMs } });
}

function tooLarge(bytes: number): StreamError {
  return new StreamError('RECORD_TOO_LARGE', 'batch exceeds what the format can hold', { facts: { bytes } });
}

function sizeOfBytes(bytes: Uint8Array | undefined): number {
  return bytes === undefined ? 1 : varintSize(bytes.length) + bytes.length;
}

function writeBytes(target: Buffer, position: number, bytes: Uint8Array | undefined): number {
  if (bytes === undefined) return writeVarint(target, position, -1);
  const length = bytes.length;
  const at = writeVarint(target, position, length);
  if (length > copyByLoopBytes) target.set(bytes, at);
  else for (let index = 0; index < length; index++) target[at + index] = bytes[index] ?? 0;
  return at + length;
}

function headersSize(headers: readonly Header[]): number {
  let size = varintSize(headers.length);
  for (const { key, value } of headers) {
    const keyBytes = Buffer.byteLength(key);
    size += varintSize(keyBytes) + keyBytes + sizeOfBytes(value);
  }
  return size;
}

function writeHeaders(target: Buffer, position: number, headers: readonly Header[]): number {
  let at = writeVarint(target, position, headers.length);
  for (const { key, value } of headers) {
    at = writeVarint(target, at, Buffer.byteLength(key));
    at += target.write(key, at);
    at = writeBytes(target, at, value);
  }
  return at;
}
