import { describe, expect, test } from '@jest/globals';
import { joinedView, streamTableJoin, streamTableLeftJoin, tableJoinSide } from '../../processors/joins.ts';
import { storeView } from '../../processors/table.ts';
import { brief, briefChanges, failureOf, MapState, NodeHarness } from '../support/node-harness.ts';

const joiner = (left: unknown, right: unknown): string => `${String(left)}-${String(right)}`;

function tableWith(...rows: readonly (readonly [unknown, unknown, number])[]): {
  readonly stores: { store: MapState };
} {
  const store = new MapState();
  for (const [key, value, timestampMs] of rows) store.put(key, value, timestampMs);
  return { stores: { store } };
}

describe('a stream with a table', () => {
  const inner = streamTableJoin('step', storeView('store'), joiner);
  const left = streamTableLeftJoin('step', storeView('store'), joiner);
  const table = (): { readonly stores: { store: MapState } } => tableWith(['k', 'T', 90]);

  test.each([
    ['inner', inner, 'k', 'S', [['k', 'S-T', 7]], []],
    ['inner', inner, 'other', 'S', [], []],
    ['inner', inner, null, 'S', [], ['null-key']],
    ['inner', inner, 'k', null, [], ['null-value']],
    ['inner', inner, null, null, [], ['null-key']],
    ['left', left, 'k', 'S', [['k', 'S-T', 7]], []],
    ['left', left, 'other', 'S', [['other', 'S-null', 7]], []],
    ['left', left, null, 'S', [[null, 'S-null', 7]], []],
    ['left', left, 'k', null, [], ['null-value']],
    ['left', left, null, null, [], ['null-value']],
  ] as const)('%s: key %#', (_, create, key, value, joined, drops) => {
    const harness = new NodeHarness(create, table());
    expect(brief(harness.pipe(key, value, 7))).toEqual(joined);
    expect(harness.drops).toEqual(drops);
  });

  test('the joiner sees the key, and may answer null but not undefined', () => {
    const keyed = streamTableJoin('step', storeView('store'), (_left, _right, key) => key);
    expect(brief(new NodeHarness(keyed, table()).pipe('k', 'S'))).toEqual([['k', 'k', 0]]);
    const empty = streamTableJoin('step', storeView('store'), () => null);
    expect(brief(new NodeHarness(empty, table()).pipe('k', 'S'))).toEqual([['k', null, 0]]);
    const forgets = streamTableJoin('mine', storeView('store'), () => undefined);
    expect(failureOf(() => new NodeHarness(forgets, table()).pipe('k', 'S')).message).toMatch(
      /mine returned undefined/,
    );
  });
});

const tracksOldValues = (): boolean => true;
const kinds = {
  inner: { joiner, leftRequired: true, rightRequired: true, tracksOldValues },
  left: { joiner, leftRequired: true, rightRequired: false, tracksOldValues },
  outer: { joiner, leftRequired: false, rightRequired: false, tracksOldValues },
};

describe('a table with a table', () => {
  type Row = readonly [side: 'left' | 'right', other: string | null, change: readonly [string | null, string | null]];
  type Result = readonly [string | null, string | null] | undefined;

  const cases: readonly (readonly [keyof typeof kinds, ...Row, Result])[] = [
    ['inner', 'left', null, [null, 'l'], undefined],
    ['inner', 'left', 'R', [null, 'l'], [null, 'l-R']],
    ['inner', 'left', 'R', ['l', 'm'], ['l-R', 'm-R']],
    ['inner', 'left', 'R', ['l', null], ['l-R', null]],
    ['inner', 'left', 'R', [null, null], [null, null]],
    ['inner', 'right', 'L', [null, 'r'], [null, 'L-r']],
    ['inner', 'right', 'L', ['r', null], ['L-r', null]],
    ['inner', 'right', null, ['r', 's'], undefined],
    ['left', 'left', null, [null, 'l'], [null, 'l-null']],
    ['left', 'left', null, ['l', null], ['l-null', null]],
    ['left', 'left', null, [null, null], undefined],
    ['left', 'left', 'R', ['l', 'm'], ['l-R', 'm-R']],
    ['left', 'right', null, [null, 'r'], undefined],
    ['left', 'right', 'L', [null, 'r'], ['L-null', 'L-r']],
    ['left', 'right', 'L', ['r', null], ['L-r', 'L-null']],
    ['outer', 'left', null, [null, 'l'], [null, 'l-null']],
    ['outer', 'left', null, [null, null], undefined],
    ['outer', 'left', 'R', ['l', null], ['l-R', 'null-R']],
    ['outer', 'right', null, [null, 'r'], [null, 'null-r']],
    ['outer', 'right', null, ['r', null], ['null-r', null]],
    ['outer', 'right', 'L', ['r', 's'], ['L-r', 'L-s']],
  ];

  test.each(cases)(
    '%s join, a change on the %s, the other row %j: %j gives %j',
    (kind, side, other, change, result) => {
      const table = other === null ? tableWith() : tableWith(['k', other, 5]);
      const harness = new NodeHarness(tableJoinSide('step', kinds[kind], side, storeView('store')), table);
      const got = briefChanges(harness.change('k', change, 3)).map(([, from, to]) => [from, to]);
      expect(got).toEqual(result === undefined ? [] : [result]);
    },
  );

  test('the result has the later time of both rows', () => {
    const side = tableJoinSide('step', kinds.outer, 'left', storeView('store'));
    const timeOf = (timestampMs: number): unknown =>
      new NodeHarness(side, tableWith(['k', 'R', 5])).change('k', [null, 'l'], timestampMs)[0]?.timestampMs;
    expect([timeOf(3), timeOf(8)]).toEqual([5, 8]);
    expect(new NodeHarness(side, tableWith()).change('k', [null, 'l'], 3)[0]?.timestampMs).toBe(3);
  });

  test('what a row was is not computed where nobody asks', () => {
    const calls: unknown[] = [];
    const joiner = (...values: readonly unknown[]): unknown => calls.push(values);
    const join = { ...kinds.outer, joiner, tracksOldValues: () => false };
    const harness = new NodeHarness(tableJoinSide('step', join, 'left', storeView('store')), tableWith(['k', 'R', 5]));
    expect(briefChanges(harness.change('k', ['l', 'm'], 3))).toEqual([['k', null, 1, 5]]);
    expect(calls).toEqual([['m', 'R', 'k']]);
  });

  test('a change without a key is dropped', () => {
    const harness = new NodeHarness(tableJoinSide('step', kinds.outer, 'left', storeView('store')), tableWith());
    expect(harness.change(null, [null, 'l'])).toEqual([]);
    expect(harness.drops).toEqual(['null-key']);
  });

  test.each([
    ['inner', [undefined, undefined, { value: 'l-r', timestampMs: 9 }]],
    ['left', [{ value: 'l-null', timestampMs: 4 }, undefined, { value: 'l-r', timestampMs: 9 }]],
    [
      'outer',
      [
        { value: 'l-null', timestampMs: 4 },
        { value: 'null-r', timestampMs: 6 },
        { value: 'l-r', timestampMs: 9 },
      ],
    ],
  ] as const)('the rows of an %s join can be read', (kind, expected) => {
    const { store: left } = tableWith(['only-left', 'l', 4], ['both', 'l', 9]).stores;
    const { store: right } = tableWith(['only-right', 'r', 6], ['both', 'r', 2]).stores;
    const view = joinedView('step', kinds[kind], storeView('left'), storeView('right'));
    expect(view.stores).toEqual(['left', 'right']);
    const rows: unknown[] = [];
    const create = (context: Parameters<typeof view.open>[0]) => {
      const read = view.open(context);
      rows.push(...['only-left', 'only-right', 'both', 'neither'].map((key) => read(key)));
      return { process: () => undefined };
    };
    new NodeHarness(create, { stores: { left, right } });
    expect(rows).toEqual([...expected, undefined]);
  });
});
