import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { readAnswer } from '../../../connectors/kafka/fetched-batch.ts';
import type { AbortedTransaction } from '../../../connectors/kafka/fetch-request.ts';
import type { Isolation } from '../../../connectors/log.ts';
import { encodeControlBatch, withBaseOffset } from '../../../schemas/record-batch-header.ts';
import { BatchBuilder } from '../../../schemas/record-batch.ts';

/** A step of the history of one partition. */
type Step =
  | { readonly kind: 'plain' }
  | { readonly kind: 'write'; readonly producer: number; readonly records: number }
  | { readonly kind: 'end'; readonly producer: number; readonly outcome: 'commit' | 'abort' };

interface Written {
  readonly bytes: Buffer;
  readonly firstOffset: number;
  readonly nextOffset: number;
  /** -1 outside transactions. */
  readonly transaction: number;
  readonly isMarker: boolean;
}

/** A partition as a broker keeps it: the batches, and the aborted transactions in the order they ended. */
class Partition {
  readonly batches: Written[] = [];
  readonly outcomes = new Map<number, 'commit' | 'abort'>();
  readonly aborted: (AbortedTransaction & { readonly markerOffset: number })[] = [];
  readonly #open = new Map<number, { id: number; firstOffset: number }>();
  #end = 0;

  apply(step: Step): void {
    if (step.kind === 'plain') this.#append(batch(-1n, 1), 1, -1, false);
    else if (step.kind === 'write') this.#write(step.producer, step.records);
    else this.#finish(step.producer, step.outcome);
  }

  #write(producer: number, records: number): void {
    const open = this.#open.get(producer) ?? { id: this.batches.length, firstOffset: this.#end };
    this.#open.set(producer, open);
    this.#append(batch(BigInt(producer), records), records, open.id, false);
  }

  #finish(producer: number, outcome: 'commit' | 'abort'): void {
    const open = this.#open.get(producer);
    this.#open.delete(producer);
    if (open !== undefined) {
      this.outcomes.set(open.id, outcome);
      if (outcome === 'abort')
        this.aborted.push({ producerId: BigInt(producer), firstOffset: open.firstOffset, markerOffset: this.#end });
    }
    const marker = {
      type: outcome,
      timestampMs: 1,
      producerId: BigInt(producer),
      producerEpoch: 0,
      coordinatorEpoch: 0,
    };
    this.#append(encodeControlBatch(marker), 1, -1, true);
  }

  #append(bytes: Buffer, count: number, transaction: number, isMarker: boolean): void {
    const firstOffset = this.#end;
    this.#end += count;
    this.batches.push({
      bytes: withBaseOffset(bytes, firstOffset, 0),
      firstOffset,
      nextOffset: this.#end,
      transaction,
      isMarker,
    });
  }

  get lastStableOffset(): number {
    return Math.min(this.#end, ...[...this.#open.values()].map(({ firstOffset }) => firstOffset));
  }

  get end(): number {
    return this.#end;
  }
}

function batch(producerId: bigint, records: number): Buffer {
  const builder = new BatchBuilder();
  // Keys of four zero bytes look like a marker's to whoever does not look at the attributes.
  for (let index = 0; index < records; index++) builder.append(1, Buffer.alloc(4), undefined, []);
  const isTransactional = producerId >= 0n;
  return builder.encode({ producerId, producerEpoch: 0, baseSequence: 0, isTransactional }, 'none');
}

const producer = fc.integer({ min: 1, max: 3 });
const step: fc.Arbitrary<Step> = fc.oneof(
  fc.constant<Step>({ kind: 'plain' }),
  fc.record({ kind: fc.constant('write' as const), producer, records: fc.integer({ min: 1, max: 3 }) }),
  fc.record({
    kind: fc.constant('end' as const),
    producer,
    outcome: fc.constantFrom('commit' as const, 'abort' as const),
  }),
);

/** Reads from `from` on as a client would, some batches at a time. */
function readAll(
  partition: Partition,
  isolation: Isolation,
  from: number,
  batchesPerFetch: number,
): { offsets: number[]; next: number } {
  const offsets: number[] = [];
  let next = from;
  const limit = isolation === 'read_committed' ? partition.lastStableOffset : partition.end;
  while (next < limit) {
    const sent = partition.batches
      .filter(({ nextOffset, firstOffset }) => nextOffset > next && firstOffset < limit)
      .slice(0, batchesPerFetch);
    const upTo = sent.at(-1)!.nextOffset;
    const { batch: read, error } = readAnswer(
      {
        topic: 't',
        partition: 0,
        code: 0,
        highWatermark: partition.end,
        lastStableOffset: partition.lastStableOffset,
        aborted: partition.aborted.filter(
          ({ firstOffset, markerOffset }) => firstOffset < upTo && markerOffset >= next,
        ),
        records: Buffer.concat(sent.map(({ bytes }) => bytes)),
      },
      next,
      isolation,
    );
    expect(error).toBeUndefined();
    for (const cursor = read!.cursor(); cursor.next();) offsets.push(cursor.offset);
    next = read!.nextOffset;
  }
  return { offsets, next };
}

describe('what may be seen of a fetched partition', () => {
  test('is everything but markers, aborted records, and what lies before the position', () => {
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 1, maxLength: 40 }),
        fc.constantFrom<Isolation>('read_committed', 'read_uncommitted'),
        fc.nat({ max: 30 }),
        fc.integer({ min: 1, max: 10 }),
        (steps, isolation, start, batchesPerFetch) => {
          const partition = new Partition();
          for (const each of steps) partition.apply(each);
          const limit = isolation === 'read_committed' ? partition.lastStableOffset : partition.end;
          const from = Math.min(start, limit);
          const visible = partition.batches.flatMap(({ firstOffset, nextOffset, transaction, isMarker }) => {
            const isAborted = isolation === 'read_committed' && partition.outcomes.get(transaction) === 'abort';
            if (isMarker || isAborted || firstOffset >= limit) return [];
            return Array.from({ length: nextOffset - firstOffset }, (_, index) => firstOffset + index).filter(
              (offset) => offset >= from,
            );
          });
          const read = readAll(partition, isolation, from, batchesPerFetch);
          expect(read.offsets).toEqual(visible);
          if (from < limit) expect(read.next).toBe(limit);
        },
      ),
      { numRuns: 500 },
    );
  });
});
