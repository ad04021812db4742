/** What one partition knows of its producers: sequence numbers, open transactions and the ranges of aborted ones. */
import { StreamError } from '../../errors.ts';
import type { BatchHeader, ControlType } from '../../schemas/record-batch-header.ts';

/** As many batches of a producer as are remembered to recognise a repeated one. */
const rememberedBatches = 5;
const sequenceCount = 2 ** 31;

interface WrittenBatch {
  readonly baseSequence: number;
  readonly lastSequence: number;
  readonly baseOffset: number;
}

interface ProducerState {
  epoch: number;
  /** Newest last. */
  batches: WrittenBatch[];
  lastUsedMs: number;
}

interface Range {
  readonly first: number;
  /** Of the abort marker. */
  readonly last: number;
}

export interface OpenTransaction {
  readonly producerId: number;
  readonly epoch: number;
  readonly firstOffset: number;
}

export class ProducerStates {
  readonly #producers = new Map<number, ProducerState>();
  /** In the order in which the transactions began. */
  readonly #open = new Map<number, OpenTransaction>();
  /** By producer, in offset order. */
  readonly #aborted = new Map<number, Range[]>();

  /** Where the oldest open transaction begins. */
  get firstOpenOffset(): number | undefined {
    for (const { firstOffset } of this.#open.values()) return firstOffset;
    return undefined;
  }

  get openTransactions(): readonly OpenTransaction[] {
    return [...this.#open.values()];
  }

  openTransaction(producerId: number): OpenTransaction | undefined {
    return this.#open.get(producerId);
  }

  /**
   * Before an append: the base offset of the very same batch if it was appended already.
   * Throws `PRODUCER_FENCED` for an older epoch and for a gap in the sequence.
   */
  check(header: BatchHeader): number | undefined {
    const state = this.#producers.get(Number(header.producerId));
    if (state === undefined || header.baseSequence < 0) return undefined;
    if (header.producerEpoch < state.epoch) throw fenced('producer epoch is stale', header, { epoch: state.epoch });
    const isNewEpoch = header.producerEpoch > state.epoch;
    if (!isNewEpoch) {
      const repeated = state.batches.find(
        (batch) => batch.baseSequence === header.baseSequence && batch.lastSequence === lastSequenceOf(header),
      );
      if (repeated !== undefined) return repeated.baseOffset;
    }
    const expected = isNewEpoch ? 0 : nextSequence(state);
    if (expected !== undefined && header.baseSequence !== expected)
      throw fenced('sequence number is out of order', header, { expected });
    return undefined;
  }

  /** After an append, and for each batch met at recovery. */
  noteData(header: BatchHeader, nowMs: number): void {
    const producerId = Number(header.producerId);
    if (producerId < 0) return;
    const state = this.#state(producerId, header.producerEpoch, nowMs);
    if (header.baseSequence >= 0) {
      state.batches.push({
        baseSequence: header.baseSequence,
        lastSequence: lastSequenceOf(header),
        baseOffset: header.baseOffset,
      });
      if (state.batches.length > rememberedBatches) state.batches.shift();
    }
    if (!header.isTransactional || this.#open.has(producerId)) return;
    this.#open.set(producerId, { producerId, epoch: header.producerEpoch, firstOffset: header.baseOffset });
  }

  noteMarker(header: BatchHeader, type: ControlType, nowMs: number): void {
    const producerId = Number(header.producerId);
    this.#state(producerId, header.producerEpoch, nowMs);
    const open = this.#open.get(producerId);
    if (open === undefined) return;
    this.#open.delete(producerId);
    if (type === 'commit') return;
    const ranges = this.#aborted.get(producerId) ?? [];
    ranges.push({ first: open.firstOffset, last: header.baseOffset });
    this.#aborted.set(producerId, ranges);
  }

  isAborted(producerId: number, offset: number): boolean {
    const ranges = this.#aborted.get(producerId);
    if (ranges === undefined) return false;
    let low = 0;
    let high = ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((ranges[middle]?.last ?? 0) < offset) low = middle + 1;
      else high = middle;
    }
    const range = ranges[low];
    return range !== undefined && range.first <= offset;
  }

  /** Forgets aborted ranges that end below `offset`: their records are gone. */
  forgetAbortedBelow(offset: number): void {
    for (const [producerId, ranges] of this.#aborted) {
      const rest = ranges.filter((range) => range.last >= offset);
      if (rest.length === 0) this.#aborted.delete(producerId);
      else if (rest.length < ranges.length) this.#aborted.set(producerId, rest);
    }
  }

  /** Forgets producers without an open transaction that have not written since. */
  forgetIdleSince(timestampMs: number): void {
    for (const [producerId, state] of this.#producers)
      if (state.lastUsedMs < timestampMs && !this.#open.has(producerId)) this.#producers.delete(producerId);
  }

  #state(producerId: number, epoch: number, nowMs: number): ProducerState {
    let state = this.#producers.get(producerId);
    if (state === undefined) {
      state = { epoch, batches: [], lastUsedMs: nowMs };
      this.#producers.set(producerId, state);
    } else if (epoch > state.epoch) {
      state.epoch = epoch;
      state.batches = [];
    }
    state.lastUsedMs = nowMs;
    return state;
  }
}

function lastSequenceOf(header: BatchHeader): number {
  return (header.baseSequence + header.lastOffset - header.baseOffset) % sequenceCount;
}

/** `undefined` if any will do: the producer is known by a marker only. */
function nextSequence(state: ProducerState): number | undefined {
  const newest = state.batches.at(-1);
  return newest === undefined ? undefined : (newest.lastSequence + 1) % sequenceCount;
}

function fenced(message: string, header: BatchHeader, facts: Record<string, number>): StreamError {
  return new StreamError('PRODUCER_FENCED', message, {
    facts: {
      producerId: header.producerId,
      producerEpoch: header.producerEpoch,
      baseSequence: header.baseSequence,
      ...facts,
    },
  });
}
