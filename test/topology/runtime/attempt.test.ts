import { describe, expect, test } from '@jest/globals';
import * as fc from 'fast-check';
import { noHeaders } from '../../../schemas/record.ts';
import { batchCursor } from '../../../schemas/record-batch-cursor.ts';
import { layered, type LayeredStore } from '../../../state-stores/layered-store.ts';
import { MemoryStore } from '../../../state-stores/memory.ts';
import { Attempt } from '../../../topology/runtime/attempt.ts';
import { newCounters } from '../../../topology/runtime/counters.ts';
import { Outputs } from '../../../topology/runtime/outputs.ts';

/** One record: what it puts (`undefined` deletes), what it appends, and whether it fails at its end. */
interface Doing {
  readonly puts: readonly { readonly key: string; readonly value: string | undefined }[];
  readonly appends: readonly { readonly partition: number; readonly bytes: number }[];
  readonly fails: boolean;
}

const key = fc.constantFrom('a', 'b', 'c', 'd');
const doing: fc.Arbitrary<Doing> = fc.record({
  puts: fc.array(fc.record({ key, value: fc.option(fc.string({ maxLength: 3 }), { nil: undefined }) }), {
    maxLength: 5,
  }),
  // The larger ones close a batch.
  appends: fc.array(fc.record({ partition: fc.nat(2), bytes: fc.constantFrom(1, 10, 300_000) }), { maxLength: 4 }),
  fails: fc.boolean(),
});

function act(store: LayeredStore, outputs: Outputs, { puts, appends }: Doing, timestampMs: number): void {
  for (const put of puts)
    store.put(Buffer.from(put.key), put.value === undefined ? undefined : Buffer.from(put.value), timestampMs);
  for (const { partition, bytes } of appends)
    outputs.append('t', partition, {
      key: undefined,
      value: Buffer.alloc(bytes, timestampMs % 251),
      timestampMs,
      headers: noHeaders,
    });
}

function visible(store: LayeredStore): unknown {
  const rows = [...store.range({})].map((row) => row.map((bytes) => Buffer.from(bytes).toString()));
  const writes = store.seal().map((write) => [Buffer.from(write.key).toString(), write.value, write.timestampMs]);
  return { rows, writes };
}

function taken(outputs: Outputs): unknown {
  const { sizeBytes, count } = outputs;
  const batches = outputs.take().map(({ partition, records }) => {
    const producer = { producerId: -1n, producerEpoch: -1, baseSequence: -1, isTransactional: false };
    const cursor = batchCursor(records.encode(producer, 'none'), 0);
    const values: unknown[] = [];
    while (cursor.next()) values.push([cursor.timestampMs, cursor.value()?.length, cursor.value()?.[0]]);
    return { partition, values };
  });
  return { sizeBytes, count, batches };
}

async function orderedStore(): Promise<LayeredStore> {
  const backing = new MemoryStore('s', { nowMs: () => 0, released: () => undefined });
  const store = await layered(backing, { name: 's', ordered: true });
  await store.restore([{ key: Buffer.from('a'), value: Buffer.from('restored') }], 1);
  return store;
}

describe('Attempt', () => {
  test('what failed leaves stores, their order of writes and outputs as if it had never been tried', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(doing, { maxLength: 12 }), async (records) => {
        const [store, expectedStore] = [await orderedStore(), await orderedStore()];
        const [outputs, expectedOutputs] = [new Outputs(), new Outputs()];
        const attempt = new Attempt([store, outputs]);
        for (const [index, record] of records.entries()) {
          attempt.begin();
          act(store, outputs, record, index);
          if (record.fails) attempt.undo();
          else {
            attempt.end(newCounters());
            act(expectedStore, expectedOutputs, record, index);
          }
        }
        expect(store.uncommittedBytes).toBe(expectedStore.uncommittedBytes);
        expect(visible(store)).toEqual(visible(expectedStore));
        expect(taken(outputs)).toEqual(taken(expectedOutputs));
      }),
      { numRuns: 200 },
    );
  });
});
