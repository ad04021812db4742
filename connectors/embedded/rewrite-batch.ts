/** A batch with some of its records left out, for compaction: offsets and timestamps of the rest stay as they were. */
import { crc32c } from '../../schemas/crc32c.ts';
import { BatchCursor } from '../../schemas/record-batch-cursor.ts';
import {
  batchHeaderBytes,
  withBaseOffset,
  writeBatchHeader,
  type BatchHeader,
} from '../../schemas/record-batch-header.ts';
import { varintSize, varlongSize, writeVarint, writeVarlong } from '../../schemas/varint.ts';
import type { StoredBatch } from './segment.ts';

/** Kafka's "has delete horizon": then the base timestamp says when tombstones of the batch may go. */
const deleteHorizonBit = 0x40;
const crcPosition = 17;
const attributesPosition = 21;

export interface RewriteOptions {
  /** Whether the record is to stay as far as its key is concerned. */
  readonly isLatest: (key: Uint8Array, offset: number) => boolean;
  readonly nowMs: number;
  /** For so long tombstones stay after they were first met here. */
  readonly deleteRetentionMs: number;
}

interface KeptRecord {
  readonly offset: number;
  readonly timestampMs: number;
  readonly isTombstone: boolean;
  /** From the key's length to the end of the record. */
  readonly rest: Buffer;
}

/**
 * The batch as it is to be stored from now on, `undefined` if nothing of it remains. It is no longer marked transactional: it was
 * committed, so that its marker may go. The very same bytes come back if there is nothing to change. Throws `RECORD_CORRUPT`.
 */
export function rewriteBatch({ buffer, header }: StoredBatch, options: RewriteOptions): Buffer | undefined {
  const horizonMs = deleteHorizonOf(buffer, header);
  const kept = keptRecords(new BatchCursor(buffer, [header.position], 0), {
    isLatest: options.isLatest,
    keepsTombstones: horizonMs === undefined || horizonMs > options.nowMs,
  });
  if (kept.length === 0) return undefined;
  const hasTombstone = kept.some(({ isTombstone }) => isTombstone);
  const isUnchanged = kept.length === header.count && !header.isTransactional;
  if (isUnchanged && (!hasTombstone || horizonMs !== undefined)) return buffer.subarray(header.position, header.end);
  return encode(header, kept, hasTombstone ? (horizonMs ?? options.nowMs + options.deleteRetentionMs) : undefined);
}

function keptRecords(
  cursor: BatchCursor,
  { isLatest, keepsTombstones }: Pick<RewriteOptions, 'isLatest'> & { readonly keepsTombstones: boolean },
): readonly KeptRecord[] {
  const kept: KeptRecord[] = [];
  while (cursor.next()) {
    const key = cursor.key();
    const isTombstone = cursor.value() === undefined;
    if (key === undefined || !isLatest(key, cursor.offset) || (isTombstone && !keepsTombstones)) continue;
    const { offset, timestampMs } = cursor;
    kept.push({ offset, timestampMs, isTombstone, rest: encodeRest(cursor, key) });
  }
  return kept;
}

function deleteHorizonOf(buffer: Buffer, header: BatchHeader): number | undefined {
  const attributes = buffer.readInt16BE(header.position + attributesPosition);
  return (attributes & deleteHorizonBit) === 0 ? undefined : header.baseTimestampMs;
}

function encode(header: BatchHeader, kept: readonly KeptRecord[], horizonMs: number | undefined): Buffer {
  const baseTimestampMs = horizonMs ?? kept[0]?.timestampMs ?? 0;
  const batch = Buffer.allocUnsafe(batchHeaderBytes + kept.reduce((sum, { rest }) => sum + rest.length + 25, 0));
  let at = batchHeaderBytes;
  let maxTimestampMs = -1;
  for (const { offset, timestampMs, rest } of kept) {
    const timestampDelta = timestampMs - baseTimestampMs;
    const offsetDelta = offset - header.baseOffset;
    at = writeVarint(batch, at, 1 + varlongSize(timestampDelta) + varintSize(offsetDelta) + rest.length);
    batch[at++] = 0;
    at = writeVarlong(batch, at, timestampDelta);
    at = writeVarint(batch, at, offsetDelta);
    at += rest.copy(batch, at);
    maxTimestampMs = Math.max(maxTimestampMs, timestampMs);
  }
  const result = batch.subarray(0, at);
  writeBatchHeader(result, {
    compression: 'none',
    isTransactional: false,
    isControl: false,
    lastOffsetDelta: header.lastOffset - header.baseOffset,
    baseTimestampMs,
    maxTimestampMs,
    producerId: header.producerId,
    producerEpoch: header.producerEpoch,
    baseSequence: header.baseSequence,
    count: kept.length,
  });
  if (horizonMs !== undefined) markDeleteHorizon(result);
  return withBaseOffset(result, header.baseOffset, header.partitionLeaderEpoch);
}

function markDeleteHorizon(batch: Buffer): void {
  batch.writeInt16BE(batch.readInt16BE(attributesPosition) | deleteHorizonBit, attributesPosition);
  batch.writeUInt32BE(crc32c(batch.subarray(attributesPosition)), crcPosition);
}

function encodeRest(cursor: BatchCursor, key: Uint8Array): Buffer {
  const parts: Uint8Array[] = [varint(key.length), key];
  const value = cursor.value();
  if (value === undefined) parts.push(varint(-1));
  else parts.push(varint(value.length), value);
  const headers = cursor.headers();
  parts.push(varint(headers.length));
  for (const { key: name, value: content } of headers) {
    const nameBytes = Buffer.from(name);
    parts.push(varint(nameBytes.length), nameBytes, varint(content === undefined ? -1 : content.length));
    if (content !== undefined) parts.push(content);
  }
  return Buffer.concat(parts);
}

function varint(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(varintSize(value));
  writeVarint(bytes, 0, value);
  return bytes;
}
