/** Reading a partition: whole stored batches, without those that the isolation level hides. */
import type { VisibleBatches } from '../raw-batches.ts';
import { hasCode } from '../../errors.ts';
import { BatchCursor } from '../../schemas/record-batch-cursor.ts';
import { checkCrc, readBatchHeader, type BatchHeader } from '../../schemas/record-batch-header.ts';
import type { Isolation } from '../log.ts';
import type { PartitionLog } from './partition-log.ts';
import { corruptSegment, type Segment } from './segment.ts';

export interface ReadRequest {
  readonly offset: number;
  readonly isolation: Isolation;
  /** Of visible batches; the first one is returned whatever its size. */
  readonly bytesMax: number;
}

const nothing = Buffer.alloc(0);

/** `undefined` if there is nothing from `offset` on. Throws `OFFSET_OUT_OF_RANGE`, `LOG_CORRUPT`, `LOG_UNAVAILABLE`. */
export function readPartition(log: PartitionLog, request: ReadRequest): VisibleBatches | undefined {
  const { offset, isolation } = request;
  if (offset < log.start || offset > log.end) throw log.outOfRange(offset);
  const limit = isolation === 'read_committed' ? log.stable : log.end;
  if (offset >= limit) return undefined;
  const { segments } = log;
  for (let index = segmentIndexOf(segments, offset); index < segments.length; index++) {
    const segment = segments[index];
    const found = segment && readSegment(log, segment, request, limit);
    if (segment === undefined || found === undefined) continue;
    const isWhole = found.nextOffset === segment.endOffset;
    return isWhole ? { ...found, nextOffset: Math.min(segment.nextOffset, limit) } : found;
  }
  return { buffer: nothing, positions: [], count: 0, sizeBytes: 0, nextOffset: limit };
}

/** The first offset whose record's timestamp is at least `timestampMs`, else the end. */
export function offsetAt(log: PartitionLog, timestampMs: number): number {
  for (const segment of log.segments) {
    if (segment.maxTimestampMs < timestampMs) continue;
    for (const { buffer, header } of segment.batches()) {
      if (header.isControl || header.maxTimestampMs < timestampMs || header.lastOffset < log.start) continue;
      const cursor = new BatchCursor(buffer, [header.position], log.start);
      while (cursor.next()) if (cursor.timestampMs >= timestampMs) return cursor.offset;
    }
  }
  return log.end;
}

/** Of the segment that holds `offset`, or would. */
function segmentIndexOf(segments: readonly Segment[], offset: number): number {
  let low = 0;
  let high = segments.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((segments[middle]?.baseOffset ?? 0) <= offset) low = middle + 1;
    else high = middle;
  }
  return Math.max(0, low - 1);
}

/** `undefined` if no batch of the segment reaches the offset. */
function readSegment(
  log: PartitionLog,
  segment: Segment,
  { offset, isolation, bytesMax }: ReadRequest,
  limit: number,
): VisibleBatches | undefined {
  if (segment.endOffset <= offset) return undefined;
  const buffer = segment.readAround(offset, bytesMax);
  const positions: number[] = [];
  let count = 0;
  let sizeBytes = 0;
  let nextOffset = offset;
  for (
    let header = headerAt(segment, buffer, 0);
    header !== undefined;
    header = headerAt(segment, buffer, header.end)
  ) {
    const batchBytes = header.end - header.position;
    if (header.baseOffset >= limit || (sizeBytes > 0 && sizeBytes + batchBytes > bytesMax)) break;
    if (header.lastOffset < offset) continue;
    nextOffset = header.lastOffset + 1;
    if (!isVisible(log, header, isolation)) continue;
    positions.push(header.position);
    count += header.count;
    sizeBytes += batchBytes;
  }
  return nextOffset === offset ? undefined : { buffer, positions, count, sizeBytes, nextOffset };
}

function isVisible(log: PartitionLog, header: BatchHeader, isolation: Isolation): boolean {
  return isolation === 'read_committed' ? log.isCommittedData(header) : !header.isControl && header.count > 0;
}

/** The whole batch at a position of the buffer, checked. Damage names the file and the offset. */
function headerAt(segment: Segment, buffer: Buffer, position: number): BatchHeader | undefined {
  try {
    const header = readBatchHeader(buffer, position);
    if (header !== undefined) checkCrc(buffer, header);
    return header;
  } catch (error) {
    if (!hasCode(error, 'RECORD_CORRUPT')) throw error;
    const offset = position + 8 <= buffer.length ? Number(buffer.readBigInt64BE(position)) : segment.baseOffset;
    throw corruptSegment(segment.file.path, offset, { position, reason: error.message });
  }
}
