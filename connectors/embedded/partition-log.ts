/** One partition: its segments, its offsets, its producers. Knows record batches and markers; transactions are decided elsewhere. */
import type { Clock, Logger } from '../../clock.ts';
import { StreamError } from '../../errors.ts';
import { readControlType } from '../../schemas/record-batch-cursor.ts';
import { encodeControlBatch, type BatchHeader, type ControlType } from '../../schemas/record-batch-header.ts';
import type { PartitionOffsets } from '../log.ts';
import { admitBatch, placeBatch } from './batch-admission.ts';
import { ProducerStates, type OpenTransaction } from './producer-states.ts';
import { corruptSegment, Segment, type StoredBatch } from './segment.ts';
import { baseOffsetOf, finishSwaps, isSegmentName, segmentName } from './segment-files.ts';
import type { Storage } from './storage.ts';
import type { TopicPolicy } from './topic-configs.ts';

export interface PartitionOptions {
  readonly topic: string;
  readonly partition: number;
  readonly policy: TopicPolicy;
  readonly storage: Storage;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Called after the end or the last stable offset has moved. */
  readonly changed: () => void;
  /** Records below it were deleted. */
  readonly start: number;
  /** Whether the last process may have ended in the middle of a write. */
  readonly mayBeTorn: boolean;
}

export class PartitionLog {
  readonly topic: string;
  readonly partition: number;
  /** What becomes of its records from now on. */
  policy: TopicPolicy;
  readonly producers = new ProducerStates();
  readonly #options: PartitionOptions;
  /** In offset order; the last one is appended to. Empty until the first append. */
  readonly #segments: Segment[] = [];
  #start: number;
  #isDirty = false;
  #isClosed = false;

  /** Opens what the storage has of the partition. Throws `LOG_CORRUPT`, `LOG_UNAVAILABLE`. */
  constructor(options: PartitionOptions) {
    this.#options = options;
    this.topic = options.topic;
    this.partition = options.partition;
    this.policy = options.policy;
    this.#start = options.start;
    this.#open();
  }

  get directory(): string {
    return `${this.topic}/${String(this.partition)}`;
  }

  get start(): number {
    return this.#start;
  }

  get end(): number {
    return Math.max(this.#start, this.#segments.at(-1)?.nextOffset ?? 0);
  }

  get stable(): number {
    return this.producers.firstOpenOffset ?? this.end;
  }

  get offsets(): PartitionOffsets {
    return { start: this.start, stable: this.stable, end: this.end };
  }

  get openTransactions(): readonly OpenTransaction[] {
    return this.producers.openTransactions;
  }

  get segments(): readonly Segment[] {
    return this.#segments;
  }

  /** All but the one that is appended to. */
  get closedSegments(): readonly Segment[] {
    return this.#segments.slice(0, -1);
  }

  get sizeBytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.sizeBytes, 0);
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Whether all of these segments are still part of it. */
  holds(segments: readonly Segment[]): boolean {
    return !this.#isClosed && segments.every((segment) => this.#segments.includes(segment));
  }

  /**
   * Appends a batch as a producer encoded it and returns its base offset; the same batch again is not appended twice.
   * Writes the base offset into `batch`. Throws `RECORD_TOO_LARGE`, `RECORD_INVALID`, `PRODUCER_FENCED`, `LOG_UNAVAILABLE`.
   */
  append(batch: Buffer): number {
    const nowMs = this.#options.clock.nowMs();
    const { topic, partition, policy } = this;
    const header = admitBatch(batch, { topic, partition, policy, baseOffset: this.end, nowMs });
    const repeated = this.producers.check(header);
    if (repeated !== undefined) return repeated;
    this.#write(batch, header);
    this.producers.noteData(header, nowMs);
    this.#options.changed();
    return header.baseOffset;
  }

  /** Ends a producer's transaction in this partition; does nothing if none is open. Throws `LOG_UNAVAILABLE`. */
  appendMarker(type: ControlType, producerId: number, producerEpoch: number): void {
    if (this.producers.openTransaction(producerId) === undefined) return;
    const timestampMs = this.#options.clock.nowMs();
    const marker = { type, timestampMs, producerId: BigInt(producerId), producerEpoch, coordinatorEpoch: 0 };
    const batch = encodeControlBatch(marker);
    const header = placeBatch(batch, this.end);
    this.#write(batch, header);
    this.producers.noteMarker(header, type, timestampMs);
    this.#options.changed();
  }

  /** Whether the batch holds records of a transaction that was committed, or of none. Only below the last stable offset. */
  isCommittedData(header: BatchHeader): boolean {
    if (header.isControl || header.count === 0) return false;
    return !header.isTransactional || !this.producers.isAborted(Number(header.producerId), header.baseOffset);
  }

  /** Hides records below `before` and drops segments that hold nothing else. Throws `OFFSET_OUT_OF_RANGE`. */
  deleteBefore(before: number): void {
    if (before > this.end || before < 0) throw this.outOfRange(before);
    this.#start = Math.max(this.#start, before);
    this.#dropBelowStart();
  }

  /** Begins a new segment unless the newest one is empty. */
  roll(): void {
    const active = this.#segments.at(-1);
    if (active === undefined || active.sizeBytes === 0) return;
    active.file.sync();
    this.#isDirty = false;
    active.seal(active.endOffset);
    this.#addSegment(active.endOffset);
  }

  /** Begins a new segment if the newest one was begun before. */
  rollIfOlderThan(timestampMs: number): void {
    const active = this.#segments.at(-1);
    if (active !== undefined && active.createdMs < timestampMs) this.roll();
  }

  /** Puts `merged` in the place of the adjacent closed segments that it was made from. Their files are gone already. */
  replaceSegments(merged: Segment, replaced: readonly Segment[]): void {
    const [first] = replaced;
    const index = first === undefined ? -1 : this.#segments.indexOf(first);
    if (index >= 0) this.#segments.splice(index, replaced.length, merged);
  }

  /** Makes what was appended survive power loss. */
  sync(): void {
    if (!this.#isDirty) return;
    this.#segments.at(-1)?.file.sync();
    this.#isDirty = false;
  }

  close(): void {
    this.#isClosed = true;
    for (const segment of this.#segments) segment.file.close();
  }

  outOfRange(offset: number): StreamError {
    const { topic, partition, start, end } = this;
    return new StreamError(
      'OFFSET_OUT_OF_RANGE',
      `offset ${offset} of ${topic}/${String(partition)} is outside ${start}..${end}`,
      { facts: { topic, partition, offset, start, end } },
    );
  }

  // ---- opening ------------------------------------------------------------------------------------------------------

  #open(): void {
    const { storage, mayBeTorn } = this.#options;
    finishSwaps(storage, this.directory);
    const bases = storage.list(this.directory).filter(isSegmentName).map(baseOffsetOf);
    bases.sort((a, b) => a - b);
    for (const [index, base] of bases.entries()) {
      const nextBase = bases[index + 1];
      const segment = this.#addSegment(base);
      const isLast = nextBase === undefined;
      // The newest segment is never compacted.
      const isContiguous = isLast || !this.policy.isCompacted;
      const cutBytes = segment.recover({ mayBeTorn: mayBeTorn && isLast, isContiguous }, (batch) => {
        this.#recoverBatch(batch);
      });
      if (cutBytes > 0) this.#warnOfCut(segment, cutBytes);
      if (!isLast) sealBefore(segment, nextBase, isContiguous);
    }
    this.#start = Math.max(this.#start, bases[0] ?? 0);
    this.#dropBelowStart();
  }

  #recoverBatch({ buffer, header }: StoredBatch): void {
    const nowMs = this.#options.clock.nowMs();
    const type = header.isControl ? readControlType(buffer, header.position) : undefined;
    if (type !== undefined) this.producers.noteMarker(header, type, nowMs);
    else if (!header.isControl) this.producers.noteData(header, nowMs);
  }

  #warnOfCut(segment: Segment, cutBytes: number): void {
    const { topic, partition } = this;
    const facts = { topic, partition, file: segment.file.path, offset: segment.endOffset, cutBytes };
    this.#options.logger.warn('cut an unfinished write off a segment', facts);
  }

  // ---- writing ------------------------------------------------------------------------------------------------------

  #write(batch: Buffer, header: BatchHeader): void {
    const active = this.#activeSegment(batch.length);
    const isFirst = active.sizeBytes === 0;
    active.append(batch, header);
    if (isFirst) active.createdMs = this.#options.clock.nowMs();
    this.#isDirty = true;
  }

  #activeSegment(bytes: number): Segment {
    const active = this.#segments.at(-1) ?? this.#addSegment(this.#start);
    const { segmentBytes, segmentMs } = this.policy;
    const isFull = active.sizeBytes + bytes > segmentBytes;
    const isOld = this.#options.clock.nowMs() - active.createdMs > segmentMs;
    if (isFull || isOld) this.roll();
    return this.#segments.at(-1) ?? active;
  }

  #addSegment(baseOffset: number): Segment {
    const file = this.#options.storage.open(`${this.directory}/${segmentName(baseOffset)}`);
    const segment = new Segment(file, baseOffset, this.#options.clock.nowMs());
    this.#segments.push(segment);
    return segment;
  }

  #dropBelowStart(): void {
    for (let next = this.#segments[1]; next !== undefined && next.baseOffset <= this.#start; next = this.#segments[1]) {
      const dropped = this.#segments.shift();
      dropped?.file.close();
      if (dropped !== undefined) this.#options.storage.remove(dropped.file.path);
    }
    this.producers.forgetAbortedBelow(this.#start);
  }
}

function sealBefore(segment: Segment, nextBase: number, isContiguous: boolean): void {
  const isWhole = isContiguous ? segment.endOffset === nextBase : segment.endOffset <= nextBase;
  if (!isWhole)
    throw corruptSegment(segment.file.path, segment.endOffset, {
      position: segment.sizeBytes,
      reason: `the next segment begins at ${nextBase}`,
    });
  segment.seal(nextBase);
}
