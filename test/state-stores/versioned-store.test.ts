import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { stringSerde } from '../../schemas/serde.ts';
import { MemoryStore } from '../../state-stores/memory.ts';
import { defineVersionedStore, type VersionedState } from '../../state-stores/versioned-spec.ts';
import type { StoreLayers } from '../../state-stores/store-layers.ts';
import { failureOf } from '../support/node-harness.ts';

interface Opened {
  readonly state: VersionedState<string, string>;
  readonly layers: StoreLayers;
  readonly backing: MemoryStore;
}

const scope = { rowBytesMax: Infinity, cacheBytesMax: 0, currentTimestampMs: () => 0 };

function opened(
  historyRetentionMs: number,
  backing = new MemoryStore('v', { nowMs: () => 0, released: () => undefined }),
): Opened {
  const spec = defineVersionedStore('v', { key: stringSerde, value: stringSerde, historyRetentionMs });
  return { ...spec.open(backing, scope), backing };
}

describe('a versioned store', () => {
  test('tells what a key was at a time, from the timestamp of a version to that of the next', () => {
    const { state } = opened(100);
    state.put('k', 'a', 10);
    state.put('k', 'c', 30);
    state.put('k', 'b', 20);
    state.delete('k', 40);

    expect([9, 10, 19, 20, 30, 39, 40].map((timeMs) => state.asOf('k', timeMs)?.value)).toEqual([
      ...[undefined, 'a', 'a', 'b', 'c', 'c', undefined],
    ]);
    expect(state.asOf('k', 25)?.timestampMs).toBe(20);
    expect(state.get('k')).toBeUndefined();
  });

  test('says of a put whether it is the latest version, an older one, or beyond retention', () => {
    const { state } = opened(50);

    expect(state.put('k', 'a', 100)).toBe('latest');
    expect(state.put('k', 'b', 100)).toBe('latest');
    expect(state.put('k', 'c', 60)).toBe('older');
    expect(state.delete('k', 50)).toBe('older');
    expect(state.put('k', 'd', 49)).toBe('expired');
    expect(state.get('k')).toEqual({ value: 'b', timestampMs: 100 });
  });

  test('beyond retention knows the latest version only', () => {
    const { state } = opened(50);
    state.put('old', 'a', 10);
    state.put('k', 'a', 60);
    state.put('k', 'b', 100);
    state.put('k', 'c', 111);

    expect(state.asOf('old', 20)?.value).toBe('a');
    expect(state.asOf('k', 60)).toBeUndefined();
    expect(state.asOf('k', 61)?.value).toBe('a');
  });

  test('a failed record leaves nothing behind', () => {
    const { state, layers } = opened(100);
    state.put('k', 'a', 10);
    layers.beginAttempt();
    state.put('k', 'b', 500);
    layers.undoAttempt();

    expect(state.get('k')?.value).toBe('a');
    expect(state.put('k', 'z', 5)).toBe('older');
    expect(layers.seal().map(({ timestampMs }) => timestampMs)).toEqual([10, 5]);
  });

  test('history beyond retention leaves the store, and so do keys that were deleted in it', async () => {
    const { state, layers, backing } = opened(80);
    for (let timeMs = 0; timeMs < 2_000; timeMs += 10) {
      state.put('k', String(timeMs), timeMs);
      if (timeMs === 100) state.put('gone', 'x', timeMs);
      if (timeMs === 110) state.delete('gone', timeMs);
      layers.seal();
      await layers.apply(timeMs);
    }

    expect(backing.approximateCount()).toBeLessThan(20);
    expect(state.asOf('k', 1_915)?.value).toBe('1910');
  });

  test('queries see the latest versions that are committed', async () => {
    const { state, layers } = opened(100);
    state.put('a', 'x', 10);
    state.put('b', 'y', 20);
    state.delete('a', 30);
    expect(layers.committedGet(Buffer.from('b'))).toBeUndefined();
    layers.seal();
    await layers.apply(1);

    const keys: string[] = [];
    for await (const [key] of layers.committedScan({})) keys.push(Buffer.from(key).toString());
    expect(keys).toEqual(['b']);
  });

  test('refuses a retention that is none', () => {
    const options = { key: stringSerde, value: stringSerde, historyRetentionMs: -1 };
    expect(failureOf(() => defineVersionedStore('v', options)).code).toBe('TOPOLOGY_INVALID');
  });

  test('a delete at the very time of the latest version takes it back: an older one put later is the latest then', () => {
    const { state } = opened(100);
    state.put('k', 'a', 18);
    state.delete('k', 18);
    expect(state.put('k', 'b', 17)).toBe('latest');
    expect(state.asOf('k', 18)?.value).toBe('b');
  });

  test('a version that was taken back leaves what came before it: a delete, or a version that has ended', () => {
    const { state } = opened(100);
    state.delete('k', 6);
    state.put('k', 'a', 9);
    state.delete('k', 9);
    expect(state.put('k', 'b', 5)).toBe('older');
    expect(state.put('k', 'c', 8)).toBe('latest');

    state.put('other', 'a', 10);
    state.put('other', 'b', 18);
    state.delete('other', 18);
    expect(state.put('other', 'c', 17)).toBe('older');
    expect(state.asOf('other', 12)?.value).toBe('a');
    expect(state.get('other')).toBeUndefined();
  });

  type Put = readonly [key: string, value: string | null, timeMs: number];
  const puts: fc.Arbitrary<readonly Put[]> = fc.array(
    fc.tuple(fc.constantFrom('a', 'b'), fc.constantFrom('1', '2', null), fc.nat(60)),
    { maxLength: 40 },
  );

  /** Without deletes at the very time of a version: those have a rule of their own. */
  function plain(all: readonly Put[]): readonly Put[] {
    return all.filter(
      ([key, value, timeMs], index) =>
        value !== null || !all.slice(0, index).some(([of, , time]) => of === key && time === timeMs),
    );
  }

  function applyAll({ state }: Opened, all: readonly Put[]): void {
    for (const [key, value, timeMs] of all)
      if (value === null) state.delete(key, timeMs);
      else state.put(key, value, timeMs);
  }

  test('whatever is put in whatever order: as a list of versions would have it, and the same once restored', async () => {
    await fc.assert(
      fc.asyncProperty(puts.map(plain), fc.constantFrom(5, 20, 100), async (all, retentionMs) => {
        const store = opened(retentionMs);
        applyAll(store, all);
        const restored = opened(retentionMs);
        const entries = store.layers.seal().map(({ key, value, timestampMs }) => ({ key, value, timestampMs }));
        await restored.layers.restore(entries, 1);
        const kept: Put[] = [];
        let latestMs = -1;
        for (const put of all) {
          if (put[2] < latestMs - retentionMs) continue;
          latestMs = Math.max(latestMs, put[2]);
          kept.push(put);
        }
        for (const key of ['a', 'b'])
          for (let timeMs = Math.max(0, latestMs - retentionMs); timeMs <= 60; timeMs += 1) {
            const versions = kept.filter(([of, , from]) => of === key && from <= timeMs);
            const from = Math.max(...versions.map(([, , time]) => time));
            const expected = versions.findLast(([, , time]) => time === from)?.[1] ?? undefined;
            expect(store.state.asOf(key, timeMs)?.value).toBe(expected);
            expect(restored.state.asOf(key, timeMs)?.value).toBe(expected);
          }
      }),
      { numRuns: 100 },
    );
  });
});
