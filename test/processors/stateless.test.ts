import { describe, expect, test } from '@jest/globals';
import type { CreateNode } from '../../processors/node.ts';
import {
  branch,
  filter,
  flatMap,
  flatMapValues,
  foreach,
  map,
  mapValues,
  peek,
  requireKey,
  selectKey,
  type Branch,
} from '../../processors/stateless.ts';
import { brief, failureOf, NodeHarness } from '../support/node-harness.ts';

const header = { key: 'h', value: Buffer.of(1) };

describe('stateless steps', () => {
  test('filter keeps what its predicate says, null values included', () => {
    const harness = new NodeHarness(filter('step', (value) => value !== 'no', true));
    expect(brief(harness.pipe('k', 'yes', 3))).toEqual([['k', 'yes', 3]]);
    expect(harness.pipe('k', 'no')).toEqual([]);
    expect(brief(harness.pipe(null, null, 4))).toEqual([[null, null, 4]]);
    expect(harness.drops).toEqual([]);
  });

  test('filterNot is its complement', () => {
    const harness = new NodeHarness(filter('step', (value) => value === 'no', false));
    expect(harness.pipe('k', 'no')).toEqual([]);
    expect(harness.pipe('k', 'yes')).toHaveLength(1);
  });

  test('key, value, time and headers travel unless a step says otherwise', () => {
    const forwarded = (create: CreateNode): unknown => new NodeHarness(create).pipe('k', 'v', 7, [header])[0];
    const base = { timestampMs: 7, headers: [header] };
    expect(forwarded(map('step', () => ['k2', 'v2']))).toEqual({ ...base, key: 'k2', value: 'v2' });
    expect(forwarded(mapValues('step', (value, key) => [value, key]))).toEqual({
      ...base,
      key: 'k',
      value: ['v', 'k'],
    });
    expect(forwarded(selectKey('step', (value) => value))).toEqual({ ...base, key: 'v', value: 'v' });
    expect(forwarded(peek('step', () => undefined))).toEqual({ ...base, key: 'k', value: 'v' });
  });

  test('a flat map forwards any number of records, in order, each before the next is made', () => {
    const log: string[] = [];
    const values = function* (): Generator<string> {
      for (const value of ['a', 'b']) {
        log.push(`made ${value}`);
        yield value;
      }
    };
    const harness = new NodeHarness((context) => {
      const node = flatMapValues(
        'step',
        values,
      )({
        ...context,
        forward: (record) => {
          log.push(`forwarded ${String(record.value)}`);
        },
      });
      return node;
    });
    harness.pipe('k', 'v');
    expect(log).toEqual(['made a', 'forwarded a', 'made b', 'forwarded b']);
    const pairs = new NodeHarness(
      flatMap('step', () => [
        ['x', 1],
        ['y', 2],
      ]),
    );
    expect(brief(pairs.pipe('k', 'v', 5))).toEqual([
      ['x', 1, 5],
      ['y', 2, 5],
    ]);
    expect(new NodeHarness(flatMap('step', () => [])).pipe('k', 'v')).toEqual([]);
  });

  test('a record goes to the first branch that wants it, else to the default, else nowhere', () => {
    const branches = [
      { node: 'big', predicate: (value: unknown) => Number(value) > 10 },
      { node: 'positive', predicate: (value: unknown) => Number(value) > 0 },
    ];
    const goal = (value: number, rest: readonly Branch[] = []): unknown => {
      const harness = new NodeHarness(branch('step', [...branches, ...rest]));
      harness.send('k', value);
      return harness.takeAddressed()[0]?.to ?? harness.drops[0];
    };
    expect([50, 5, -5].map((value) => goal(value))).toEqual(['big', 'positive', 'no-branch']);
    expect(goal(-5, [{ node: 'rest', predicate: undefined }])).toBe('rest');
  });

  test('records without a key stop before a repartition for grouping', () => {
    const harness = new NodeHarness(requireKey());
    expect(harness.pipe(null, 'v')).toEqual([]);
    expect(harness.pipe('k', null)).toHaveLength(1);
    expect(harness.drops).toEqual(['unkeyed']);
  });

  /** What an async function gives where its type would not do. */
  const later = (): never => Promise.reject(new Error('never seen')) as never;

  const promising: readonly (readonly [string, CreateNode])[] = [
    ['filter', filter('mine', later, true)],
    ['map', map('mine', later)],
    ['mapValues', mapValues('mine', later)],
    ['flatMap', flatMap('mine', later)],
    ['flatMapValues', flatMapValues('mine', later)],
    ['selectKey', selectKey('mine', later)],
    ['peek', peek('mine', later)],
    ['foreach', foreach('mine', later)],
    ['branch', branch('mine', [{ node: 'a', predicate: later }])],
  ];

  test.each(promising)('a promise from %s fails the record and names the step', (_, create) => {
    const failure = failureOf(() => new NodeHarness(create).pipe('k', 'v'));
    expect(failure.code).toBe('PROCESSING_FAILED');
    expect(failure.message).toMatch(/step mine returned a promise/);
  });

  const forgetting: readonly (readonly [string, CreateNode])[] = [
    ['map', map('mine', () => undefined as never)],
    ['map (value)', map('mine', () => ['k', undefined])],
    ['mapValues', mapValues('mine', () => undefined)],
    ['flatMapValues', flatMapValues('mine', () => [undefined])],
    ['selectKey', selectKey('mine', () => undefined)],
    ['filter', filter('mine', () => undefined as never, true)],
  ];

  test.each(forgetting)('undefined from %s fails the record and says what to return', (_, create) => {
    const failure = failureOf(() => new NodeHarness(create).pipe('k', 'v'));
    expect(failure.code).toBe('PROCESSING_FAILED');
    expect(failure.message).toMatch(/step mine returned undefined: return (null|true)/);
  });

  test('null is a value', () => {
    expect(brief(new NodeHarness(mapValues('step', () => null)).pipe('k', 'v'))).toEqual([['k', null, 0]]);
    expect(brief(new NodeHarness(selectKey('step', () => null)).pipe('k', 'v'))).toEqual([[null, 'v', 0]]);
  });

  test('a flat map that returns no list is told so', () => {
    for (const result of ['text', null, 3, {}])
      expect(
        failureOf(() => new NodeHarness(flatMapValues('mine', () => result as never)).pipe('k', 'v')).message,
      ).toMatch(/something else than a list/);
    expect(failureOf(() => new NodeHarness(map('mine', () => 'kv' as never)).pipe('k', 'v')).message).toMatch(
      /something else than a pair/,
    );
  });
});
