import { describe, expect, test } from '@jest/globals';
import { int64Serde, stringSerde } from '../../schemas/serde.ts';
import { rowOfChangelogKey } from '../../state-stores/group-key.ts';
import { memoryStores } from '../../state-stores/memory.ts';
import { defineWindowStore } from '../../state-stores/window-spec.ts';
import { openOptions } from '../contracts/key-value-store-contract.ts';

const timed = defineWindowStore('timed', {
  key: stringSerde,
  value: int64Serde,
  sizeMs: 10,
  retentionMs: 1_000,
  byTime: true,
});

const scope = { rowBytesMax: 1_000_000, cacheBytesMax: 1_000_000, currentTimestampMs: () => 5 };

async function opened(): Promise<ReturnType<typeof timed.open>> {
  return timed.open(await memoryStores().open(['0_0', 'store'], openOptions), scope);
}

describe('what a record does to a store of windows', () => {
  test('can be undone as a whole: rows, their changelog, the time of the store, and what is found by time', async () => {
    const { state, layers } = await opened();
    for (const startMs of [10, 20, 30]) state.put('a', startMs, { startMs, timestampMs: startMs });
    state.delete('a', 30);
    const before = { rows: state.fetchAll(0, 100), bytes: layers.uncommittedBytes, count: layers.uncommittedCount };
    layers.beginAttempt();
    state.put('a', 1, { startMs: 10, timestampMs: 99 });
    state.put('a', 2, { startMs: 30, timestampMs: 30 });
    state.delete('a', 20);
    state.delete('a', 10);
    state.put('b', 3, { startMs: 5_000, timestampMs: 5_000 });
    state.passBy(100);
    layers.undoAttempt();
    expect(state.fetchAll(0, 100)).toEqual(before.rows);
    expect([layers.uncommittedBytes, layers.uncommittedCount]).toEqual([before.bytes, before.count]);
    const writes = layers.seal().map(({ key, value }) => [rowOfChangelogKey(key, 4).major, value?.at(-1)]);
    expect(writes).toEqual([
      [10, 10],
      [20, 20],
      [30, undefined],
    ]);
  });

  test('stays when it ends', async () => {
    const { state, layers } = await opened();
    layers.beginAttempt();
    state.put('a', 1, { startMs: 10, timestampMs: 10 });
    layers.endAttempt();
    expect(state.get('a', 10)?.value).toBe(1);
    expect(layers.seal()).toHaveLength(1);
  });
});
