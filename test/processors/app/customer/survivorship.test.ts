import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { CustomerField, SourceSystem } from '../../../../schemas/app/customer/fields.ts';
import { defaultPolicy, withFieldPolicy, type FieldPolicy } from '../../../../schemas/app/customer/policy.ts';
import { comparableForm, survivor, type Candidate } from '../../../../processors/app/customer/survivorship.ts';

const system = (ref: string): SourceSystem => (ref.startsWith('a') ? 'system_a' : 'system_b');
const says = (ref: string, value: string | null, ts: number, record = false): Candidate => ({
  ref,
  source: system(ref),
  value,
  clock: record ? { ts, seq: 0, record: true } : { ts, seq: 0 },
});

const policy = (parts: Partial<FieldPolicy>): FieldPolicy => ({ ...defaultPolicy.name, ...parts });
const day = 86_400_000_000;

function chosen(
  candidates: readonly Candidate[],
  rules: Partial<FieldPolicy> = {},
  field: CustomerField = 'name',
): string {
  const result = survivor(field, candidates, policy(rules));
  return result === undefined ? 'none' : `${result.value ?? 'null'} by ${result.rule}`;
}

describe('the survivor of a field', () => {
  test('is none without candidates and the only one there is', () => {
    expect(chosen([])).toBe('none');
    expect(chosen([says('b:1', 'Bo', 1)])).toBe('Bo by single-source');
  });

  test('by default is the latest; at the same time system A before B', () => {
    expect(chosen([says('a:1', 'Ann', 1), says('b:1', 'Bo', 2)])).toBe('Bo by recency');
    expect(chosen([says('b:1', 'Bo', 2), says('a:1', 'Ann', 2)])).toBe('Ann by priority');
    expect(chosen([says('a:2', 'Ann', 2), says('a:1', 'Al', 2)])).toBe('Al by source-order');
  });

  test('names the age of records where that of a field is not known', () => {
    expect(chosen([says('a:1', 'Ann', 1, true), says('b:1', 'Bo', 2)])).toBe('Bo by record-clock');
  });

  test.each<[string, readonly Candidate[], Partial<FieldPolicy>, string]>([
    ['priority', [says('a:1', 'Ann', 1), says('b:1', 'Bo', 9)], { strategy: ['priority'] }, 'Ann by priority'],
    [
      'priority, B first',
      [says('a:1', 'Ann', 9), says('b:1', 'Bo', 1)],
      { strategy: ['priority'], priority: ['system_b'] },
      'Bo by priority',
    ],
    ['valid', [says('a:1', '???', 9), says('b:1', 'Bo', 1)], { strategy: ['valid', 'recency'] }, 'Bo by valid'],
    [
      'completeness',
      [says('a:1', 'Ann', 9), says('b:1', 'Ann Lee', 1)],
      { strategy: ['completeness'] },
      'Ann Lee by completeness',
    ],
    [
      'frequency',
      [says('a:1', 'Ann', 9), says('b:1', 'bo', 1), says('b:2', 'Bo', 2)],
      { strategy: ['frequency', 'recency'] },
      'Bo by recency',
    ],
    [
      'trust',
      [says('a:1', 'Ann', 10 * day), says('b:1', 'Bo', 10 * day)],
      { strategy: ['trust'], trust: { system_a: 60, system_b: 80 } },
      'Bo by trust',
    ],
    [
      'trust that decays with age',
      [says('a:1', 'Ann', 10 * day), says('b:1', 'Bo', 5 * day)],
      { strategy: ['trust'], trust: { system_a: 60, system_b: 80 }, trustDecayPerDay: 5 },
      'Ann by trust',
    ],
    [
      'aggregate',
      [says('b:1', 'Bo', 9), says('a:1', 'Ann', 1), says('a:2', 'ANN', 3)],
      { strategy: ['pinned', 'aggregate', 'recency'] },
      'Ann; Bo by aggregate',
    ],
    [
      'the order of references at last',
      [says('b:1', 'Bo', 9), says('a:1', 'Ann', 1)],
      { strategy: [] },
      'Ann by source-order',
    ],
  ])('by %s', (_name, candidates, rules, expected) => {
    expect(chosen(candidates, rules)).toBe(expected);
    expect(chosen([...candidates].reverse(), rules)).toBe(expected);
  });

  test('may be a removed value, if the policy lets it take part', () => {
    expect(chosen([says('b:1', null, 9), says('b:2', '123', 1)], { strategy: ['recency'] }, 'phone')).toBe(
      'null by recency',
    );
    expect(chosen([says('b:1', null, 9), says('b:2', '+44 12345', 1)], { strategy: ['valid'] }, 'phone')).toBe(
      '+44 12345 by valid',
    );
  });

  test('says what every other candidate lost by', () => {
    const result = survivor('name', [says('b:1', 'Bo', 1), says('a:1', 'Ann', 2), says('a:2', 'Al', 2)], policy({}));
    expect(result?.losers.map(({ candidate, lostBy }) => `${candidate.ref} ${lostBy}`)).toEqual([
      'a:2 source-order',
      'b:1 recency',
    ]);
  });

  test('does not depend on the order of the candidates', () => {
    const candidate = fc
      .tuple(
        fc.constantFrom('a:1', 'a:2', 'b:1', 'b:2'),
        fc.constantFrom('Ann', 'ann', 'Bo', null),
        fc.integer({ min: 0, max: 3 }),
        fc.boolean(),
      )
      .map(([ref, value, ts, record]) => says(ref, value, ts * day, record));
    const step = fc.constantFrom(
      'pinned',
      'valid',
      'priority',
      'trust',
      'recency',
      'completeness',
      'frequency',
      'aggregate',
    );
    fc.assert(
      fc.property(
        fc
          .uniqueArray(candidate, { selector: ({ ref }) => ref, minLength: 1 })
          .chain((candidates) =>
            fc.tuple(fc.constant(candidates), fc.shuffledSubarray(candidates, { minLength: candidates.length })),
          ),
        fc.array(step, { maxLength: 4 }),
        ([candidates, shuffled], strategy) => {
          const rules = policy({
            strategy,
            trust: { system_a: 3, system_b: 4 },
            trustDecayPerDay: 1,
          });
          expect(survivor('name', shuffled, rules)).toEqual(survivor('name', candidates, rules));
        },
      ),
    );
  });
});

describe('equivalence', () => {
  test.each([
    ['name', ' Ann  LEE ', 'ann lee', true],
    ['name', 'bo\u0308', 'B\u00d6', true],
    ['digits', '+44 (0)1', '4401', true],
    ['digits', 'none', 'unknown', false],
    ['whitespace', '1  High\nSt', '1 High St', true],
    ['whitespace', '1 High St', '1 high st', false],
    ['exact', 'a', 'a ', false],
  ] as const)('%s: %p and %p', (equivalence, left, right, same) => {
    expect(comparableForm(left, equivalence) === comparableForm(right, equivalence)).toBe(same);
  });
});

test('a policy row can be replaced and taken back', () => {
  const row = policy({ strategy: ['priority'] });
  const changed = withFieldPolicy(defaultPolicy, 'address', row);
  expect(changed.address).toBe(row);
  expect(changed.name).toBe(defaultPolicy.name);
  expect(withFieldPolicy(changed, 'address', null)).toEqual(defaultPolicy);
});
