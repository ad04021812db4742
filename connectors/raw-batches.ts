/** Record batches as they lie in a buffer, some of which may be seen. */
import { BatchCursor } from '../schemas/record-batch-cursor.ts';
import type { RecordCursor } from '../schemas/record-batch.ts';
import type { TopicPartition } from '../schemas/record.ts';
import type { FetchedBatch } from './log.ts';

export interface VisibleBatches {
  readonly buffer: Buffer;
  /** Where those that may be seen begin. */
  readonly positions: readonly number[];
  readonly count: number;
  readonly sizeBytes: number;
  readonly nextOffset: number;
}

/** Their records from an offset on, decoded while a cursor moves over them. */
export class RawBatches implements FetchedBatch {
  readonly topic: string;
  readonly partition: number;
  readonly count: number;
  readonly nextOffset: number;
  readonly sizeBytes: number;
  readonly #buffer: Buffer;
  readonly #positions: readonly number[];
  readonly #fromOffset: number;

  constructor({ topic, partition }: TopicPartition, fromOffset: number, visible: VisibleBatches) {
    this.topic = topic;
    this.partition = partition;
    this.count = visible.count;
    this.nextOffset = visible.nextOffset;
    this.sizeBytes = visible.sizeBytes;
    this.#buffer = visible.buffer;
    this.#positions = visible.positions;
    this.#fromOffset = fromOffset;
  }

  cursor(): RecordCursor {
    return new BatchCursor(this.#buffer, this.#positions, this.#fromOffset);
  }
}
