import { describe, expect, test } from '@jest/globals';
import { systemClock } from '../../../clock.ts';
import { InputChoice } from '../../../topology/runtime/input-choice.ts';
import type { PartitionQueue } from '../../../topology/runtime/partition-queue.ts';

/** Two inputs, each with the timestamp of its next record or none, and a clock that the test moves. */
function choice(maxTaskIdleMs: number, heads: { first?: number; second?: number }) {
  const clock = { ms: 0 };
  const behind = new Set<string>();
  const queues = (['first', 'second'] as const).map((topic) => ({
    topic,
    get isEmpty() {
      return heads[topic] === undefined;
    },
    get headTimestampMs() {
      return heads[topic];
    },
  })) as unknown as readonly PartitionQueue[];
  const inputs = new InputChoice({
    queues,
    clock: { ...systemClock, monotonicMs: () => clock.ms },
    maxTaskIdleMs,
    isCaughtUp: ({ topic }) => !behind.has(topic),
  });
  return { inputs, clock, behind, next: () => inputs.next()?.topic };
}

describe('which input goes next', () => {
  test('the one with the earliest record; of equal ones the first', () => {
    expect(choice(0, { first: 2, second: 1 }).next()).toBe('second');
    expect(choice(0, { first: 1, second: 1 }).next()).toBe('first');
    expect(choice(0, {}).next()).toBeUndefined();
  });

  test('by default what lies in the log is waited for, what may come is not', () => {
    const { next, behind } = choice(0, { first: 1 });
    behind.add('second');
    expect(next()).toBeUndefined();
    behind.delete('second');
    expect(next()).toBe('first');
  });

  test('with -1 nothing is waited for', () => {
    const { next, behind } = choice(-1, { first: 1 });
    behind.add('second');
    expect(next()).toBe('first');
  });

  test('an input that is read to its end holds up the others as long as it is told to', () => {
    const { inputs, next, clock } = choice(100, { first: 1 });
    expect(next()).toBeUndefined();
    expect(inputs.waitMs).toBe(100);
    clock.ms = 99;
    expect(next()).toBeUndefined();
    clock.ms = 100;
    expect(next()).toBe('first');
    expect(inputs.waitMs).toBe(Infinity);
  });

  test('the wait begins anew after each record of that input', () => {
    const heads: { first?: number; second?: number } = { first: 5 };
    const { next, clock } = choice(100, heads);
    expect(next()).toBeUndefined();
    clock.ms = 90;
    heads.second = 3;
    expect(next()).toBe('second');
    delete heads.second;
    expect(next()).toBeUndefined();
    clock.ms = 189;
    expect(next()).toBeUndefined();
    clock.ms = 190;
    expect(next()).toBe('first');
  });

  test('waiting for what lies in the log has no end', () => {
    const { next, behind, clock } = choice(100, { first: 1 });
    behind.add('second');
    clock.ms = 1_000_000;
    expect(next()).toBeUndefined();
  });
});
