import { describe, expect, test } from '@jest/globals';
import type { NodeContext } from '../../processors/node.ts';
import {
  filteredView,
  mappedView,
  materialize,
  regroup,
  storeView,
  tableFilter,
  tableMapValues,
  tableSource,
  toStream,
  unkeptTableSource,
  type RowReader,
  type TableView,
} from '../../processors/table.ts';
import { brief, briefChanges, failureOf, MapState, NodeHarness } from '../support/node-harness.ts';

function stateOf(...rows: readonly (readonly [unknown, unknown, number])[]): MapState {
  const state = new MapState();
  for (const [key, value, timestampMs] of rows) state.put(key, value, timestampMs);
  return state;
}

/** What a step that reads `view` sees. */
function readerOf(view: TableView, state: MapState): RowReader {
  const opened: RowReader[] = [];
  const create = (context: NodeContext) => {
    opened.push(view.open(context));
    return { process: () => undefined };
  };
  new NodeHarness(create, { stores: { store: state } });
  return opened[0]!;
}

const always = (): boolean => true;
const never = (): boolean => false;

describe('a table of a topic', () => {
  test('keeps the latest row in the order of the topic: older times replace newer ones', () => {
    const state = new MapState();
    const harness = new NodeHarness(tableSource('store', 'all'), { stores: { store: state } });
    expect(briefChanges(harness.pipe('k', 'a', 10))).toEqual([['k', null, 'a', 10]]);
    expect(briefChanges(harness.pipe('k', 'b', 4))).toEqual([['k', 'a', 'b', 4]]);
    expect(state.list()).toEqual([['k', 'b', 4]]);
  });

  test('a null value deletes, a null key is dropped', () => {
    const state = stateOf(['k', 'a', 1]);
    const harness = new NodeHarness(tableSource('store', 'all'), { stores: { store: state } });
    expect(briefChanges(harness.pipe('k', null, 2))).toEqual([['k', 'a', null, 2]]);
    expect(briefChanges(harness.pipe('other', null, 3))).toEqual([['other', null, null, 3]]);
    expect(harness.pipe(null, 'a')).toEqual([]);
    expect(harness.drops).toEqual(['null-key']);
    expect(state.list()).toEqual([]);
  });

  test('whose rows nobody reads does not tell what they were', () => {
    const harness = new NodeHarness(unkeptTableSource());
    harness.pipe('k', 'a');
    expect(briefChanges(harness.pipe('k', 'b', 2))).toEqual([['k', null, 'b', 2]]);
    expect(harness.pipe(null, 'b')).toEqual([]);
    expect(harness.drops).toEqual(['null-key']);
  });
});

describe('a derived table', () => {
  const even = { step: 'even', predicate: (value: unknown) => Number(value) % 2 === 0, kept: true };

  test.each([
    ['appears', [null, 2], [[null, 2]]],
    ['changes', [2, 4], [[2, 4]]],
    ['stops matching', [2, 3], [[2, null]]],
    ['starts matching', [3, 2], [[null, 2]]],
    ['never matched', [3, 5], []],
    ['is deleted', [2, null], [[2, null]]],
    ['is deleted without having matched', [3, null], []],
  ] as const)('filter: a row that %s', (_, change, expected) => {
    const harness = new NodeHarness(tableFilter(even, always));
    expect(briefChanges(harness.change('k', change)).map(([, from, to]) => [from, to])).toEqual(expected);
  });

  test('filter never shows its predicate a missing row', () => {
    const seen: unknown[] = [];
    const predicate = (value: unknown): boolean => {
      seen.push(value);
      return true;
    };
    new NodeHarness(tableFilter({ ...even, predicate }, always)).change('k', [null, 7]);
    expect(seen).toEqual([7]);
  });

  test('filter deletes what does not match when it cannot know what was there', () => {
    const harness = new NodeHarness(tableFilter(even, never));
    expect(briefChanges(harness.change('k', [null, 3]))).toEqual([['k', null, null, 0]]);
  });

  test('mapValues maps both sides, never a missing one', () => {
    const harness = new NodeHarness(tableMapValues('step', (value) => Number(value) * 10));
    expect(briefChanges(harness.change('k', [1, 2], 5))).toEqual([['k', 10, 20, 5]]);
    expect(briefChanges(harness.change('k', [2, null]))).toEqual([['k', 20, null, 0]]);
  });

  test('is read through its functions, with the time of the row', () => {
    const state = stateOf(['a', 2, 5], ['b', 3, 6]);
    const filtered = readerOf(filteredView(storeView('store'), even), state);
    expect([filtered('a'), filtered('b'), filtered('c')]).toEqual([{ value: 2, timestampMs: 5 }, undefined, undefined]);
    const mapped = readerOf(
      mappedView(storeView('store'), 'step', (value) => (value === 3 ? null : `m${String(value)}`)),
      state,
    );
    expect([mapped('a'), mapped('b'), mapped('c')]).toEqual([{ value: 'm2', timestampMs: 5 }, undefined, undefined]);
  });

  test('materialised, it tells what its own store held', () => {
    const state = stateOf(['k', 'kept', 1]);
    const harness = new NodeHarness(materialize('store', never), { stores: { store: state } });
    expect(briefChanges(harness.change('k', [null, 'new'], 3))).toEqual([['k', 'kept', 'new', 3]]);
    expect(briefChanges(harness.change('k', [null, null], 4))).toEqual([['k', 'new', null, 4]]);
    expect(state.list()).toEqual([]);
  });

  test('materialised, it may leave out what its own store never held, whatever its changes say', () => {
    const state = stateOf(['there', 'kept', 1]);
    const harness = new NodeHarness(materialize('store', always), { stores: { store: state } });
    expect(harness.change('k', ['held back', null], 3)).toEqual([]);
    expect(briefChanges(harness.change('there', [null, null], 4))).toEqual([['there', 'kept', null, 4]]);
  });

  test('as a stream it is its new values, deletes as null', () => {
    const harness = new NodeHarness(toStream());
    expect(brief(harness.change('k', ['a', 'b'], 2))).toEqual([['k', 'b', 2]]);
    expect(brief(harness.change('k', ['b', null], 3))).toEqual([['k', null, 3]]);
  });
});

describe('regrouping rows', () => {
  const same = (a: unknown, b: unknown): boolean => a === b;
  const byFirst = regroup('step', (value) => (value === 'none' ? null : [String(value)[0], value]), same);

  test('one record to an unchanged group, two to different ones, the old one first', () => {
    const harness = new NodeHarness(byFirst);
    expect(briefChanges(harness.change('k', [null, 'a1'], 1))).toEqual([['a', null, 'a1', 1]]);
    expect(briefChanges(harness.change('k', ['a1', 'a2'], 2))).toEqual([['a', 'a1', 'a2', 2]]);
    expect(briefChanges(harness.change('k', ['a2', 'b1'], 3))).toEqual([
      ['a', 'a2', null, 3],
      ['b', null, 'b1', 3],
    ]);
    expect(briefChanges(harness.change('k', ['b1', null], 4))).toEqual([['b', 'b1', null, 4]]);
  });

  test.each([
    ['no pair', () => null],
    ['a null key', () => [null, 1] as const],
    ['a null value', () => ['g', null] as const],
  ])('%s leaves the row out of all groups', (_, mapper) => {
    expect(new NodeHarness(regroup('step', mapper, same)).change('k', ['a', 'b'])).toEqual([]);
  });

  test('a row that enters or leaves by its mapping is only added or only retracted', () => {
    const harness = new NodeHarness(byFirst);
    expect(briefChanges(harness.change('k', ['none', 'a1']))).toEqual([['a', null, 'a1', 0]]);
    expect(briefChanges(harness.change('k', ['a1', 'none']))).toEqual([['a', 'a1', null, 0]]);
    expect(harness.change('k', ['none', null])).toEqual([]);
  });

  test('something else than a pair is refused', () => {
    const create = regroup('mine', () => 'pair' as never, same);
    expect(failureOf(() => new NodeHarness(create).change('k', [null, 1])).message).toMatch(/mine .*pair/);
  });
});
