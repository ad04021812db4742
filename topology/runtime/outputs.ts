/** What a slice of processing wants to append, encoded at once and grouped by partition, until the next commit takes it. */
import { StreamError } from '../../errors.ts';
import type { OutgoingBatch } from '../../connectors/log.ts';
import type { Header } from '../../schemas/record.ts';
import { BatchBuilder, type BatchMark } from '../../schemas/record-batch.ts';

/** Kafka's default of `max.message.bytes`, assumed where the topic's own is not known. */
const defaultMessageBytesMax = 1_048_588;
/** A batch is closed at this size, so that several partitions share a request evenly; a single larger record still goes alone. */
const batchBytesTarget = 512 * 1024;
/** Room for the batch header and per-record framing when judging a single record. */
const recordOverheadBytes = 128;

interface OpenBatch {
  builder: BatchBuilder;
}

/** What an append met: which batch was open for its partition, and how far that one was. */
interface MetBatch {
  readonly partitions: (OpenBatch | undefined)[];
  readonly partition: number;
  readonly open: OpenBatch | undefined;
  readonly mark: BatchMark | undefined;
}

interface Attempt {
  readonly met: MetBatch[];
  readonly closedCount: number;
  readonly sizeBytes: number;
  readonly count: number;
}

/** Collects records per topic partition in order. One per instance: all its tasks commit together. */
export class Outputs {
  #closed: OutgoingBatch[] = [];
  readonly #open = new Map<string, (OpenBatch | undefined)[]>();
  readonly #bytesMax = new Map<string, number>();
  #sizeBytes = 0;
  #count = 0;
  #attempt: Attempt | undefined;

  /** Tells the topic's own limit, so that a record too large fails when it is forwarded, not at the commit. */
  setMessageBytesMax(topic: string, bytesMax: number): void {
    this.#bytesMax.set(topic, bytesMax);
  }

  messageBytesMax(topic: string): number {
    return this.#bytesMax.get(topic) ?? defaultMessageBytesMax;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  get count(): number {
    return this.#count;
  }

  /** Throws `RECORD_TOO_LARGE`; then nothing was added. */
  append(
    topic: string,
    partition: number,
    record: {
      key: Uint8Array | undefined;
      value: Uint8Array | undefined;
      timestampMs: number;
      headers: readonly Header[];
    },
  ): void {
    const bytes = (record.key?.byteLength ?? 0) + (record.value?.byteLength ?? 0) + headerBytes(record.headers);
    const bytesMax = this.messageBytesMax(topic);
    if (bytes + recordOverheadBytes > bytesMax)
      throw new StreamError('RECORD_TOO_LARGE', `record for ${topic} exceeds its max.message.bytes`, {
        facts: { topic, bytes, bytesMax },
      });
    const builder = this.#builder(topic, partition, bytes, Math.min(batchBytesTarget, bytesMax));
    const before = builder.sizeBytes;
    builder.append(record.timestampMs, record.key, record.value, record.headers);
    this.#sizeBytes += builder.sizeBytes - before;
    this.#count += 1;
  }

  /** From here on what is appended can be undone, until `endAttempt`. */
  beginAttempt(): void {
    this.#attempt = { met: [], closedCount: this.#closed.length, sizeBytes: this.#sizeBytes, count: this.#count };
  }

  endAttempt(): void {
    this.#attempt = undefined;
  }

  /** Takes back everything appended since `beginAttempt`. */
  undoAttempt(): void {
    const attempt = this.#attempt;
    this.#attempt = undefined;
    if (attempt === undefined) return;
    for (const { partitions, partition, open, mark } of attempt.met.toReversed()) {
      partitions[partition] = open;
      if (mark !== undefined) open?.builder.rewind(mark);
    }
    this.#closed.length = attempt.closedCount;
    this.#sizeBytes = attempt.sizeBytes;
    this.#count = attempt.count;
  }

  /** Hands over everything so far, in order per partition, and starts anew. */
  take(): readonly OutgoingBatch[] {
    for (const [topic, partitions] of this.#open)
      for (const [partition, open] of partitions.entries())
        if (open !== undefined) this.#closed.push({ topic, partition, records: open.builder });
    const taken = this.#closed;
    this.discard();
    return taken;
  }

  discard(): void {
    this.#closed = [];
    this.#open.clear();
    this.#sizeBytes = 0;
    this.#count = 0;
  }

  #builder(topic: string, partition: number, bytes: number, limit: number): BatchBuilder {
    let partitions = this.#open.get(topic);
    if (partitions === undefined) {
      partitions = [];
      this.#open.set(topic, partitions);
    }
    // Arrays stay dense enough: partitions are small numbers of a topic that exists.
    while (partitions.length <= partition) partitions.push(undefined);
    const open = partitions[partition];
    this.#attempt?.met.push({ partitions, partition, open, mark: open?.builder.mark() });
    if (open !== undefined) {
      if (open.builder.sizeBytes + bytes + recordOverheadBytes <= limit) return open.builder;
      this.#closed.push({ topic, partition, records: open.builder });
    }
    const builder = new BatchBuilder();
    partitions[partition] = { builder };
    return builder;
  }
}

function headerBytes(headers: readonly Header[]): number {
  let bytes = 0;
  for (const header of headers) bytes += header.key.length * 3 + (header.value?.byteLength ?? 0) + 8;
  return bytes;
}
