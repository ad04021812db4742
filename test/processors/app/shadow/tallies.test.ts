import { describe, expect, test } from '@jest/globals';
import { firstDay, gateChecks, pairTallies, talliesOf } from '../../../../processors/app/shadow/tallies.ts';
import type { Comparison } from '../../../../schemas/app/shadow.ts';

const at = Date.UTC(2026, 0, 2, 12) * 1_000;
const base = { subject: 'billing', pair: 'old|new', at } as const;
const match: Comparison = { ...base, outcome: 'match', fields: [], delayMs: 30 };
const mismatch: Comparison = { ...base, outcome: 'mismatch', fields: ['amount', 'outcome'], delayMs: 900 };
const missing: Comparison = { ...base, outcome: 'missing_right', fields: [] };

function pairsOf(comparisons: readonly Comparison[]) {
  return pairTallies(comparisons.flatMap(talliesOf).map((tally) => [tally, 1]));
}

const many = (count: number, one = match): readonly Comparison[] => Array.from({ length: count }, () => one);
const late = (delayMs: number): Comparison => ({ ...match, subject: 'customers', pair: 'merge|view', delayMs });
const limits = { matchShareMin: 0.999, comparisonsMin: 1_000, delayMsMax: 5_000 };

describe('comparisons, counted', () => {
  test('by outcome, by field, and with bounds of the delay', () => {
    expect(pairsOf([...many(99), mismatch, missing])).toEqual([
      {
        subject: 'billing',
        pair: 'old|new',
        outcomes: { match: 99, mismatch: 1, missing_left: 0, missing_right: 1 },
        fields: { amount: 1, outcome: 1 },
        delayMsP50: 32,
        delayMsP99: 32,
      },
    ]);
    expect(pairsOf([mismatch])[0]?.delayMsP99).toBe(1_024);
    expect(pairsOf([missing])[0]).not.toHaveProperty('delayMsP99');
  });

  test('are found from a day on', () => {
    const day = firstDay(Date.UTC(2026, 0, 8, 12), 6);
    expect(day).toBe('2026-01-02');
    expect(talliesOf(match).every((tally) => tally >= day)).toBe(true);
    expect(talliesOf({ ...match, at: at - 86_400_000_000 }).every((tally) => tally < day)).toBe(true);
  });
});

describe('the gate', () => {
  const verdict = (comparisons: readonly Comparison[], deadLetters = 0): readonly string[] =>
    gateChecks({ pairs: pairsOf(comparisons), deadLetters }, limits)
      .filter(({ isPassed }) => !isPassed)
      .map(({ check }) => check);

  test.each([
    ['enough that match', many(1_000), 0, []],
    ['one of a thousand that does not', [...many(999), mismatch], 0, []],
    ['two of a thousand', [...many(998), mismatch, missing], 0, ['billing old|new: share that matches']],
    ['too few', many(999), 0, ['billing old|new: comparisons']],
    ['a dead letter', many(1_000), 1, ['dead letters']],
    ['customers that are late as one of a hundred may be', [...many(990, late(100)), ...many(10, late(9_000))], 0, []],
    ['more of them', [...many(989, late(100)), ...many(11, late(9_000))], 0, ['customers merge|view: delay p99 in ms']],
    ['transactions, which the old system tells of when it likes', many(1_000, { ...match, delayMs: 9_000 }), 0, []],
    ['nothing at all', [], 0, ['comparisons']],
  ])('%s', (_, comparisons, deadLetters, failed) => {
    expect(verdict(comparisons, deadLetters)).toEqual(failed);
  });
});
