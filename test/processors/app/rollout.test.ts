import { describe, expect, it, test } from '@jest/globals';
import fc from 'fast-check';
import { bucketOf, isWithin, raiseRefusal } from '../../../processors/app/rollout.ts';

describe('a share of the keys', () => {
  it('only gains keys when it grows', () => {
    const percent = fc.integer({ min: 0, max: 10_000 }).map((hundredths) => hundredths / 100);
    fc.assert(
      fc.property(fc.string(), percent, percent, (key, one, other) => {
        if (isWithin(key, Math.min(one, other))) expect(isWithin(key, Math.max(one, other))).toBe(true);
        expect([isWithin(key, 0), isWithin(key, 100)]).toEqual([false, true]);
      }),
    );
  });

  it('is as large as it says, within what chance explains', () => {
    const keys = Array.from({ length: 100_000 }, (_, index) => `user-${String(index)}@x.test`);
    for (const percent of [1, 5, 10, 25, 50]) {
      const count = keys.filter((key) => isWithin(key, percent)).length;
      // Five standard deviations of a binomial draw.
      const deviation = Math.sqrt(keys.length * (percent / 100) * (1 - percent / 100));
      expect(Math.abs(count - (keys.length * percent) / 100)).toBeLessThan(5 * deviation);
    }
  });

  it('decides as Java and Kafka do: murmur2 of the UTF-8 bytes, sign cleared', () => {
    // Utils.murmur2("21".getBytes()) = -973932308, as in Kafka's own tests.
    expect(bucketOf('21')).toBe((-973_932_308 & 0x7fff_ffff) % 10_000);
  });
});

describe('the plan of steps and holds', () => {
  const hour = 3_600_000;
  test.each([
    ['the first step', 0, undefined, 1, 0, undefined],
    ['a step skipped', 0, undefined, 5, 0, 'step_skipped'],
    ['the next step once held', 1, 0, 5, hour, undefined],
    ['the next step too early', 1, 0, 5, hour - 1, 'hold_not_over'],
    ['less than the next step', 10, 0, 12.5, hour, undefined],
    ['from between to the next', 12.5, 0, 25, hour, undefined],
    ['a fall at any time', 50, 0, 0, 1, undefined],
    ['the same again', 50, 0, 50, 1, undefined],
    ['all', 50, 0, 100, hour, undefined],
  ])('%s', (_, percent, changedAt, wanted, nowMs, refusal) => {
    expect(raiseRefusal({ percent, changedAt, holdMs: hour }, wanted, nowMs)).toBe(refusal);
  });
});
