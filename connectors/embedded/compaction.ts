/** Log compaction: of each key the last value stays, tombstones for a while, offsets as they were. */
import type { Clock } from '../../clock.ts';
import { BatchCursor } from '../../schemas/record-batch-cursor.ts';
import type { PartitionLog } from './partition-log.ts';
import { rewriteBatch } from './rewrite-batch.ts';
import { Segment, type StoredBatch } from './segment.ts';
import { cleanedName, finishSwaps, segmentName, swapName } from './segment-files.ts';
import type { Storage, StoredFile } from './storage.ts';

/** Bounds the memory of one run: a run that meets more keys ends with the segment it is in. Some 100 bytes each. */
const keysMax = 2_000_000;
/** After so many bytes others get to run. */
const sliceBytes = 256 * 1024;
const writeBytes = 1 << 20;

export interface CleanOptions {
  readonly storage: Storage;
  readonly clock: Clock;
  /** Everything below was compacted by an earlier run. */
  readonly cleanedTo: number;
}

/**
 * Compacts the closed, decided segments if enough of them is new (`min.cleanable.dirty.ratio`). Returns up to where the partition
 * is compacted now. Replaces segments in order, each group of them in one step, so that a crash loses nothing but the work.
 */
export async function cleanPartition(log: PartitionLog, options: CleanOptions): Promise<number> {
  const { cleanedTo, clock } = options;
  const nowMs = clock.nowMs();
  const cleanable = cleanableSegments(log, nowMs);
  const dirty = cleanable.filter((segment) => segment.nextOffset > cleanedTo);
  const dirtyBytes = bytesOf(dirty);
  if (dirty.length === 0 || dirtyBytes < log.policy.minDirtyRatio * bytesOf(cleanable)) return cleanedTo;

  const { latest, end } = await latestOffsets(log, dirty, clock);
  const isLatest = (key: Uint8Array, offset: number): boolean => (latest.get(textOf(key)) ?? offset) <= offset;
  const rewrite = { isLatest, nowMs, deleteRetentionMs: log.policy.deleteRetentionMs };
  for (const group of groupsOf(
    cleanable.filter((segment) => segment.nextOffset <= end),
    log.policy.segmentBytes,
  )) {
    const isDone = log.holds(group) && (await cleanGroup(log, group, options, (batch) => rewriteBatch(batch, rewrite)));
    if (!isDone) return cleanedTo;
  }
  log.producers.forgetAbortedBelow(end);
  return end;
}

function cleanableSegments(log: PartitionLog, nowMs: number): readonly Segment[] {
  const youngestMs = nowMs - log.policy.minCompactionLagMs;
  const { closedSegments, stable } = log;
  const first = closedSegments.findIndex(
    (segment) => segment.nextOffset > stable || segment.maxTimestampMs > youngestMs,
  );
  return first < 0 ? closedSegments : closedSegments.slice(0, first);
}

/** Of each key in the segments the offset of its last committed record; `end` is up to where the segments were read. */
async function latestOffsets(
  log: PartitionLog,
  segments: readonly Segment[],
  clock: Clock,
): Promise<{ readonly latest: ReadonlyMap<string, number>; readonly end: number }> {
  const latest = new Map<string, number>();
  let end = 0;
  for (const segment of segments) {
    let budget = sliceBytes;
    for (const batch of segment.batches()) {
      if (log.isCommittedData(batch.header)) noteKeys(latest, batch);
      budget -= batch.header.end - batch.header.position;
      if (budget > 0) continue;
      budget = sliceBytes;
      await clock.yield();
      if (!log.holds(segments)) return { latest, end: 0 };
    }
    end = segment.nextOffset;
    if (latest.size > keysMax) break;
  }
  return { latest, end };
}

function noteKeys(latest: Map<string, number>, { buffer, header }: StoredBatch): void {
  const cursor = new BatchCursor(buffer, [header.position], 0);
  while (cursor.next()) {
    const key = cursor.key();
    if (key !== undefined) latest.set(textOf(key), cursor.offset);
  }
}

/** Adjacent segments that together are no larger than one. */
function groupsOf(segments: readonly Segment[], bytesMax: number): readonly (readonly Segment[])[] {
  const groups: Segment[][] = [];
  let bytes = Infinity;
  for (const segment of segments) {
    bytes += segment.sizeBytes;
    if (bytes > bytesMax) {
      groups.push([segment]);
      bytes = segment.sizeBytes;
    } else groups.at(-1)?.push(segment);
  }
  return groups;
}

/** Writes the group's remaining batches into one segment and puts that in its place. False if they are gone meanwhile. */
async function cleanGroup(
  log: PartitionLog,
  group: readonly Segment[],
  { storage, clock }: CleanOptions,
  rewrite: (batch: StoredBatch) => Buffer | undefined,
): Promise<boolean> {
  const [first] = group;
  if (first === undefined) return true;
  const path = `${log.directory}/${cleanedName(first.baseOffset)}`;
  storage.remove(path);
  const writer = new BatchWriter(storage.open(path));
  for (const segment of group) {
    for (const batch of segment.batches()) {
      if (log.isCommittedData(batch.header)) writer.write(rewrite(batch));
      if (!writer.isSliceDone(batch.header.end - batch.header.position)) continue;
      await clock.yield();
      if (!log.holds(group)) return false;
    }
  }
  writer.finish();
  if (group.length === 1 && sameBytes(storage, path, first)) storage.remove(path);
  else swapIn(log, storage, { path, first, last: group.at(-1) ?? first, group });
  return true;
}

function sameBytes(storage: Storage, path: string, segment: Segment): boolean {
  const file = storage.open(path);
  const isSame = file.read(0, file.sizeBytes).equals(segment.file.read(0, segment.sizeBytes));
  file.close();
  return isSame;
}

interface Swap {
  readonly path: string;
  readonly first: Segment;
  readonly last: Segment;
  readonly group: readonly Segment[];
}

function swapIn(log: PartitionLog, storage: Storage, { path, first, last, group }: Swap): void {
  for (const segment of group) segment.file.close();
  storage.rename(path, `${log.directory}/${swapName(first.baseOffset, last.nextOffset)}`);
  finishSwaps(storage, log.directory);
  const file = storage.open(`${log.directory}/${segmentName(first.baseOffset)}`);
  const merged = new Segment(file, first.baseOffset, first.createdMs);
  merged.recover({ mayBeTorn: false, isContiguous: false }, () => undefined);
  merged.seal(last.nextOffset);
  log.replaceSegments(merged, group);
}

class BatchWriter {
  readonly #file: StoredFile;
  #parts: Buffer[] = [];
  #bufferedBytes = 0;
  #sliceBytes = 0;

  constructor(file: StoredFile) {
    this.#file = file;
  }

  write(batch: Buffer | undefined): void {
    if (batch === undefined) return;
    this.#parts.push(batch);
    this.#bufferedBytes += batch.length;
    if (this.#bufferedBytes >= writeBytes) this.#flush();
  }

  /** Whether it is time to let others run, after `bytes` more were gone through. */
  isSliceDone(bytes: number): boolean {
    this.#sliceBytes += bytes;
    if (this.#sliceBytes < sliceBytes) return false;
    this.#sliceBytes = 0;
    return true;
  }

  finish(): void {
    this.#flush();
    this.#file.sync();
    this.#file.close();
  }

  #flush(): void {
    if (this.#parts.length > 0) this.#file.append(Buffer.concat(this.#parts));
    this.#parts = [];
    this.#bufferedBytes = 0;
  }
}

function bytesOf(segments: readonly Segment[]): number {
  return segments.reduce((sum, segment) => sum + segment.sizeBytes, 0);
}

function textOf(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1');
}
