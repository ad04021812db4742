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
  if (hasOnlyExpired(log, expiredBefore)) log.roll();
  let excessBytes = log.sizeBytes - retentionBytes;
  let start = log.start;
  for (const { sizeBytes, nextOffset, maxTimestampMs } of log.closedSegments) {
    const isDue = maxTimestampMs < expiredBefore || excessBytes >= sizeBytes;
    if (!isDue || nextOffset > log.stable) break;
    excessBytes -= sizeBytes;
    start = nextOffset;
  }
  if (start > log.start) log.deleteBefore(start);
}

/** Whether the newest segment holds records, all of them decided and expired. */
function hasOnlyExpired(log: PartitionLog, expiredBefore: number): boolean {
  const newestMs = log.segments.at(-1)?.maxTimestampMs ?? -1;
  return newestMs >= 0 && newestMs < expiredBefore && log.stable === log.end;
}
