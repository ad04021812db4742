/**
 * The 61 bytes before the records of a batch (format v2), and batches that are nothing but a transaction marker.
 *
 * ```
 *  0 baseOffset int64      12 partitionLeaderEpoch int32   27 baseTimestamp int64    53 baseSequence int32
 *  8 batchLength int32     16 magic int8                   35 maxTimestamp int64     57 count int32
 *                          17 crc uint32 (from 21 on)      43 producerId int64       61 records
 *                          21 attributes int16             51 producerEpoch int16
 *                          23 lastOffsetDelta int32
 * ```
 */
import { StreamError } from '../errors.ts';
import { compressionNames, type CompressionName } from './compression.ts';
import { crc32c } from './crc32c.ts';

export const batchHeaderBytes = 61;
/** `batchLength` counts from here. */
export const lengthFieldEnd = 12;
const crcPosition = 17;
const attributesPosition = 21;
const magic = 2;

const compressionMask = 0x07;
const logAppendTimeBit = 0x08;
const transactionalBit = 0x10;
const controlBit = 0x20;

const two32 = 4_294_967_296;

export interface BatchHeader {
  /** Where the batch begins in the buffer, and where the next one does. */
  readonly position: number;
  readonly end: number;
  readonly baseOffset: number;
  /** Of the last record the batch was written with; compaction may have removed it. */
  readonly lastOffset: number;
  readonly partitionLeaderEpoch: number;
  readonly crc: number;
  readonly compression: CompressionName;
  readonly timestampType: 'create-time' | 'log-append-time';
  readonly isTransactional: boolean;
  /** A transaction marker: holds no records for users. */
  readonly isControl: boolean;
  readonly baseTimestampMs: number;
  readonly maxTimestampMs: number;
  /** -1 without idempotence. */
  readonly producerId: bigint;
  readonly producerEpoch: number;
  readonly baseSequence: number;
  readonly count: number;
}

/** What a header is written from; `baseOffset` is 0 and `partitionLeaderEpoch` -1 until `withBaseOffset`. */
export interface HeaderFields {
  readonly compression: CompressionName;
  readonly isTransactional: boolean;
  readonly isControl: boolean;
  readonly lastOffsetDelta: number;
  readonly baseTimestampMs: number;
  readonly maxTimestampMs: number;
  readonly producerId: bigint;
  readonly producerEpoch: number;
  readonly baseSequence: number;
  readonly count: number;
}

export function corrupt(message: string, facts: Record<string, number> = {}): StreamError {
  return new StreamError('RECORD_CORRUPT', message, { facts });
}

function readInt64(buffer: Buffer, position: number): number {
  return buffer.readInt32BE(position) * two32 + buffer.readUInt32BE(position + 4);
}

function writeInt64(buffer: Buffer, position: number, value: number): void {
  buffer.writeInt32BE(Math.floor(value / two32), position);
  buffer.writeUInt32BE(value >>> 0, position + 4);
}

/**
 * The header of the batch that begins at `position`; `undefined` if the buffer ends before the batch does (the last one of a fetch may be cut).
 * Throws `RECORD_CORRUPT`. Does not check the CRC.
 */
export function readBatchHeader(buffer: Buffer, position: number): BatchHeader | undefined {
  if (position + lengthFieldEnd > buffer.length) return undefined;
  const length = buffer.readInt32BE(position + 8);
  const end = position + lengthFieldEnd + length;
  if (length < 0) throw corrupt('batch has a negative length', { position, length });
  if (position + magicEnd <= buffer.length) checkMagic(buffer, position);
  if (length < batchHeaderBytes - lengthFieldEnd)
    throw corrupt('batch is shorter than its header', { position, length });
  return end > buffer.length ? undefined : readFields(buffer, position, end);
}

const magicEnd = crcPosition;

function checkMagic(buffer: Buffer, position: number): void {
  const found = buffer.readInt8(position + 16);
  if (found !== magic) throw corrupt('batch is not of record format v2', { position, magic: found });
}

function readFields(buffer: Buffer, position: number, end: number): BatchHeader {
  const attributes = buffer.readInt16BE(position + attributesPosition);
  const compression = compressionNames[attributes & compressionMask];
  const baseOffset = readInt64(buffer, position);
  const lastOffsetDelta = buffer.readInt32BE(position + 23);
  const count = buffer.readInt32BE(position + 57);
  if (compression === undefined) throw corrupt('batch has an unknown compression', { position, attributes });
  if (count < 0 || lastOffsetDelta < 0)
    throw corrupt('batch has a negative count', { position, count, lastOffsetDelta });
  if (baseOffset < 0 || !Number.isSafeInteger(baseOffset + lastOffsetDelta))
    throw corrupt('batch has an impossible offset', { position });
  return {
    position,
    end,
    baseOffset,
    lastOffset: baseOffset + lastOffsetDelta,
    partitionLeaderEpoch: buffer.readInt32BE(position + 12),
    crc: buffer.readUInt32BE(position + crcPosition),
    compression,
    timestampType: (attributes & logAppendTimeBit) === 0 ? 'create-time' : 'log-append-time',
    isTransactional: (attributes & transactionalBit) !== 0,
    isControl: (attributes & controlBit) !== 0,
    baseTimestampMs: readInt64(buffer, position + 27),
    maxTimestampMs: readInt64(buffer, position + 35),
    producerId: buffer.readBigInt64BE(position + 43),
    producerEpoch: buffer.readInt16BE(position + 51),
    baseSequence: buffer.readInt32BE(position + 53),
    count,
  };
}

/** Throws `RECORD_CORRUPT` unless the bytes are those that were written. */
export function checkCrc(buffer: Buffer, header: BatchHeader): void {
  const computed = crc32c(buffer.subarray(header.position + attributesPosition, header.end));
  if (computed !== header.crc)
    throw corrupt('batch fails its checksum', { offset: header.baseOffset, expected: header.crc, computed });
}

/** Completes a batch whose records are in place: header in the first bytes, CRC over the rest. */
export function writeBatchHeader(batch: Buffer, fields: HeaderFields): void {
  const code = compressionNames.indexOf(fields.compression);
  const attributes = code | (fields.isTransactional ? transactionalBit : 0) | (fields.isControl ? controlBit : 0);
  writeInt64(batch, 0, 0);
  batch.writeInt32BE(batch.length - lengthFieldEnd, 8);
  batch.writeInt32BE(-1, 12);
  batch.writeInt8(magic, 16);
  batch.writeInt16BE(attributes, attributesPosition);
  batch.writeInt32BE(fields.lastOffsetDelta, 23);
  writeInt64(batch, 27, fields.baseTimestampMs);
  writeInt64(batch, 35, fields.maxTimestampMs);
  batch.writeBigInt64BE(fields.producerId, 43);
  batch.writeInt16BE(fields.producerEpoch, 51);
  batch.writeInt32BE(fields.baseSequence, 53);
  batch.writeInt32BE(fields.count, 57);
  batch.writeUInt32BE(crc32c(batch.subarray(attributesPosition)), crcPosition);
}

/** Gives the batch at the start of `batch` its place in the log, in place; the CRC does not cover these fields. Returns `batch`. */
export function withBaseOffset(batch: Buffer, baseOffset: number, leaderEpoch: number): Buffer {
  writeInt64(batch, 0, baseOffset);
  batch.writeInt32BE(leaderEpoch, 12);
  return batch;
}

// ---- transaction markers --------------------------------------------------------------------------------------------

export type ControlType = 'abort' | 'commit';

export interface ControlMarker {
  readonly type: ControlType;
  readonly timestampMs: number;
  readonly producerId: bigint;
  readonly producerEpoch: number;
  readonly coordinatorEpoch: number;
}

// length, attributes, timestamp delta, offset delta, key length 4: version and type, value length 6: version and epoch, no headers.
const controlRecord = [0x20, 0, 0, 0, 0x08, 0, 0, 0, 0, 0x0c, 0, 0, 0, 0, 0, 0, 0];
const controlTypePosition = batchHeaderBytes + 7;
const controlEpochPosition = batchHeaderBytes + 12;

/** A batch of one control record that ends a producer's transaction in a partition. */
export function encodeControlBatch(marker: ControlMarker): Buffer {
  const batch = Buffer.alloc(batchHeaderBytes + controlRecord.length);
  batch.set(controlRecord, batchHeaderBytes);
  batch.writeInt16BE(marker.type === 'commit' ? 1 : 0, controlTypePosition);
  batch.writeInt32BE(marker.coordinatorEpoch, controlEpochPosition);
  writeBatchHeader(batch, {
    compression: 'none',
    isTransactional: true,
    isControl: true,
    lastOffsetDelta: 0,
    baseTimestampMs: marker.timestampMs,
    maxTimestampMs: marker.timestampMs,
    producerId: marker.producerId,
    producerEpoch: marker.producerEpoch,
    baseSequence: -1,
    count: 1,
  });
  return batch;
}
