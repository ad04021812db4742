import { describe, expect, test } from '@jest/globals';
import { aggregateStream, aggregateTable, countStream, countTable } from '../../processors/aggregate.ts';
import type { CreateNode } from '../../processors/node.ts';
import { briefChanges, failureOf, MapState, NodeHarness } from '../support/node-harness.ts';

function harnessOf(create: CreateNode): { readonly harness: NodeHarness; readonly state: MapState } {
  const state = new MapState();
  return { harness: new NodeHarness(create, { stores: { store: state } }), state };
}

const sum = (aggregate: unknown, value: unknown): number => Number(aggregate) + Number(value);

describe('aggregating a stream', () => {
  test('count tells what the count was and is, at the latest time of its records', () => {
    const { harness } = harnessOf(countStream('store'));
    const changes = [5, 9, 7].flatMap((time) => briefChanges(harness.pipe('k', 'v', time)));
    expect(changes).toEqual([
      ['k', null, 1, 5],
      ['k', 1, 2, 9],
      ['k', 2, 3, 9],
    ]);
  });

  test('count looks up once and puts once', () => {
    const { harness, state } = harnessOf(countStream('store'));
    for (let record = 0; record < 10; record += 1) harness.pipe('k', 'v');
    expect([state.gets, state.writes]).toEqual([10, 10]);
  });

  test.each([
    ['count', countStream('store')],
    ['reduce', aggregateStream('step', { store: 'store', initial: undefined, add: sum })],
    ['aggregate', aggregateStream('step', { store: 'store', initial: () => 0, add: sum })],
  ])('%s drops records with a null key or value: null is not a delete', (_, create) => {
    const { harness, state } = harnessOf(create);
    harness.pipe('k', 1);
    expect(harness.pipe(null, 1)).toEqual([]);
    expect(harness.pipe('k', null)).toEqual([]);
    expect(harness.drops).toEqual(['null-key', 'null-value']);
    expect(state.list()).toEqual([['k', 1, 0]]);
  });

  test('reduce takes the first value as it is', () => {
    const seen: unknown[] = [];
    const add = (aggregate: unknown, value: unknown): unknown => {
      seen.push([aggregate, value]);
      return sum(aggregate, value);
    };
    const { harness } = harnessOf(aggregateStream('step', { store: 'store', initial: undefined, add }));
    expect(briefChanges(harness.pipe('k', 3))).toEqual([['k', null, 3, 0]]);
    expect(briefChanges(harness.pipe('k', 4))).toEqual([['k', 3, 7, 0]]);
    expect(seen).toEqual([[3, 4]]);
  });

  test('an aggregate that becomes null is deleted, and the next record starts anew with its own time', () => {
    const add = (aggregate: unknown, value: unknown): unknown =>
      value === 'end' ? null : `${String(aggregate)}${String(value)}`;
    const { harness, state } = harnessOf(aggregateStream('step', { store: 'store', initial: () => '>', add }));
    expect(briefChanges(harness.pipe('k', 'a', 9))).toEqual([['k', null, '>a', 9]]);
    expect(briefChanges(harness.pipe('k', 'end', 4))).toEqual([['k', '>a', null, 9]]);
    expect(state.list()).toEqual([]);
    expect(briefChanges(harness.pipe('k', 'b', 2))).toEqual([['k', null, '>b', 2]]);
  });

  test('an aggregate that its author changes in place was what the store says it was', () => {
    const stored = new Map<unknown, readonly string[]>();
    const state = {
      get: (key: unknown) => {
        const items = stored.get(key);
        return items === undefined ? undefined : { value: new Set(items), timestampMs: 0 };
      },
      put: (key: unknown, value: Set<string>) => stored.set(key, [...value]),
    };
    const add = (aggregate: unknown, value: unknown): unknown => (aggregate as Set<unknown>).add(value);
    const create = aggregateStream('step', { store: 'store', initial: () => new Set(), add });
    const harness = new NodeHarness(create, { stores: { store: state } });
    harness.pipe('k', 'a');
    expect(briefChanges(harness.pipe('k', 'b'))).toEqual([['k', new Set(['a']), new Set(['a', 'b']), 0]]);
  });

  test('undefined from an author is an error, from the initial value too', () => {
    const forgets = aggregateStream('mine', { store: 'store', initial: () => 0, add: () => undefined });
    const starts = aggregateStream('mine', { store: 'store', initial: () => undefined, add: sum });
    for (const create of [forgets, starts])
      expect(failureOf(() => harnessOf(create).harness.pipe('k', 1)).message).toMatch(/step mine returned undefined/);
  });
});

describe('aggregating a table', () => {
  const how = {
    store: 'store',
    initial: () => '0',
    add: (aggregate: unknown, value: unknown) => `${String(aggregate)}+${String(value)}`,
    subtract: (aggregate: unknown, value: unknown) => `${String(aggregate)}-${String(value)}`,
  };

  test('takes the old row out before it puts the new one in, and forwards once', () => {
    const { harness } = harnessOf(aggregateTable('step', how));
    expect(briefChanges(harness.change('g', [null, 'a'], 5))).toEqual([['g', null, '0+a', 5]]);
    expect(briefChanges(harness.change('g', ['a', 'b'], 3))).toEqual([['g', '0+a', '0+a-a+b', 5]]);
    expect(briefChanges(harness.change('g', ['b', null], 8))).toEqual([['g', '0+a-a+b', '0+a-a+b-b', 8]]);
  });

  test('does not subtract from a group that has no aggregate', () => {
    const { harness } = harnessOf(aggregateTable('step', how));
    expect(briefChanges(harness.change('g', ['a', null], 5))).toEqual([['g', null, null, 5]]);
    expect(briefChanges(harness.change('g', ['a', 'b'], 6))).toEqual([['g', null, '0+b', 6]]);
  });

  test('a subtraction that leaves null starts the group anew', () => {
    const { harness, state } = harnessOf(aggregateTable('step', { ...how, subtract: () => null }));
    harness.change('g', [null, 'a'], 5);
    expect(briefChanges(harness.change('g', ['a', 'b'], 2))).toEqual([['g', '0+a', '0+b', 5]]);
    expect(briefChanges(harness.change('g', ['b', null], 3))).toEqual([['g', '0+b', null, 5]]);
    expect(state.list()).toEqual([]);
  });

  test('reduce takes the first row as it is', () => {
    const { harness } = harnessOf(aggregateTable('step', { ...how, initial: undefined }));
    expect(briefChanges(harness.change('g', [null, 'a']))).toEqual([['g', null, 'a', 0]]);
    expect(briefChanges(harness.change('g', [null, 'b']))).toEqual([['g', 'a', 'a+b', 0]]);
  });

  test('count goes down to 0 and stays there', () => {
    const { harness, state } = harnessOf(countTable('store'));
    harness.change('g', [null, 'a'], 1);
    harness.change('g', ['a', 'b'], 2);
    harness.change('g', ['b', null], 3);
    expect(state.list()).toEqual([['g', 0, 3]]);
  });

  test('drops what has no group', () => {
    const { harness } = harnessOf(countTable('store'));
    expect(harness.change(null, [null, 'a'])).toEqual([]);
    expect(harness.drops).toEqual(['null-key']);
  });
});
