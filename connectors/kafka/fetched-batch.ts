/** From a partition's raw bytes to what may be seen: checksums, markers and aborted transactions dealt with, records not yet touched. */
import { StreamError } from '../../errors.ts';
import { readControlType } from '../../schemas/record-batch-cursor.ts';
import { checkCrc, readBatchHeader, type BatchHeader } from '../../schemas/record-batch-header.ts';
import type { FetchedBatch, Isolation } from '../log.ts';
import { RawBatches } from '../raw-batches.ts';
import type { AbortedTransaction, PartitionAnswer } from './fetch-request.ts';

interface Visible {
  readonly positions: number[];
  count: number;
  sizeBytes: number;
  nextOffset: number;
}

/**
 * Which producers' transactions are aborted, while batches are gone through in offset order.
 *
 * The broker lists aborted transactions in the order they ended; they count from their first offset to their producer's next marker.
 */
class AbortedProducers {
  readonly #pending: AbortedTransaction[];
  readonly #active = new Set<bigint>();

  constructor(aborted: readonly AbortedTransaction[]) {
    this.#pending = [...aborted].sort((left, right) => right.firstOffset - left.firstOffset);
  }

  /** Whether the batch belongs to an aborted transaction. */
  hides(buffer: Buffer, batch: BatchHeader): boolean {
    for (let next = this.#pending.at(-1); next !== undefined && next.firstOffset <= batch.lastOffset;) {
      this.#active.add(next.producerId);
      this.#pending.pop();
      next = this.#pending.at(-1);
    }
    if (!batch.isTransactional || !this.#active.has(batch.producerId)) return false;
    if (batch.isControl && readControlType(buffer, batch.position) === 'abort') this.#active.delete(batch.producerId);
    return true;
  }
}

export interface ReadOutcome {
  /** `undefined` if nothing whole came. */
  readonly batch: FetchedBatch | undefined;
  /** What is wrong with the batch after it. */
  readonly error: StreamError | undefined;
}

/** All whole batches of an answer as one. Nothing throws: what is corrupt is reported, and what lies before it delivered. */
export function readAnswer(answer: PartitionAnswer, fromOffset: number, isolation: Isolation): ReadOutcome {
  const visible: Visible = { positions: [], count: 0, sizeBytes: 0, nextOffset: fromOffset };
  let error: StreamError | undefined;
  try {
    collect(answer, fromOffset, isolation, visible);
  } catch (thrown) {
    if (!(thrown instanceof StreamError)) throw thrown;
    const facts = { ...thrown.facts, topic: answer.topic, partition: answer.partition, offset: visible.nextOffset };
    error = new StreamError(thrown.code, thrown.message, { facts, cause: thrown });
  }
  const hasMoved = visible.nextOffset > fromOffset;
  return {
    batch: hasMoved ? new RawBatches(answer, fromOffset, { buffer: answer.records, ...visible }) : undefined,
    error,
  };
}

function collect(answer: PartitionAnswer, fromOffset: number, isolation: Isolation, visible: Visible): void {
  const { records, aborted } = answer;
  const abortedProducers =
    isolation === 'read_committed' && aborted.length > 0 ? new AbortedProducers(aborted) : undefined;
  for (let header = readBatchHeader(records, 0); header !== undefined; header = readBatchHeader(records, header.end)) {
    checkCrc(records, header);
    const isHidden = abortedProducers?.hides(records, header) ?? false;
    if (!isHidden && !header.isControl && header.count > 0 && header.lastOffset >= fromOffset) {
      visible.positions.push(header.position);
      visible.count += header.count;
      visible.sizeBytes += header.end - header.position;
    }
    visible.nextOffset = Math.max(visible.nextOffset, header.lastOffset + 1);
  }
}
