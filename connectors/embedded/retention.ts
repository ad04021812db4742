import type { PartitionLog } from './partition-log.ts';

/**
 * Deletes the oldest segments beyond `retention.ms` and `retention.bytes`, whole segments only, as Kafka does, and none that
 * reaches beyond the last stable offset. The newest segment is closed first if all of it has expired.
 */
export function applyRetention(log: PartitionLog, nowMs: number): void {
  const { isDeleted, retentionMs, retentionBytes, segmentMs } = log.policy;
  log.rollIfOlderThan(nowMs - segmentMs);
  if (!isDeleted) return;
  const expiredBefore = nowMs - retentionMs;
  const newestMs = log.segments.at(-1)?.maxTimestampMs ?? -1;
  if (newestMs >= 0 && newestMs < expiredBefore && log.stable === log.end) log.roll();
  let excessBytes = log.sizeBytes - retentionBytes;
  let start = log.start;
  for (const segment of log.closedSegments) {
    const isTooMuch = excessBytes >= segment.sizeBytes;
    if (segment.nextOffset > log.stable || !(segment.maxTimestampMs < expiredBefore || isTooMuch)) break;
    excessBytes -= segment.sizeBytes;
    start = segment.nextOffset;
  }
  if (start > log.start) log.deleteBefore(start);
}
