import { describe, expect, it } from '@jest/globals';
import { decisionsPerEmailMax, withDecision } from '../../../../processors/app/customer/steward.ts';
import type { StewardOverride } from '../../../../schemas/app/customer/override.ts';

const pin: StewardOverride = {
  email: 'ann@x.test',
  action: 'PIN_VALUE',
  field: 'address',
  value: 'Elm 1',
  expectedVersion: 2,
  actorId: 'eve',
  reason: 'called them',
  at: 1_000,
};

describe('the list of decisions of an e-mail', () => {
  it('keeps every decision, in order, since only the merge knows which were accepted', () => {
    const later = { ...pin, value: 'Oak 2', at: 2_000 };
    expect(withDecision(withDecision([], pin), later)).toEqual([pin, later]);
  });

  it('is the very same list if it has the decision already', () => {
    const list = [pin];
    expect(withDecision(list, { ...pin })).toBe(list);
  });

  it('drops what a decision makes superfluous that is sure to be accepted, and nothing about other fields or records', () => {
    const { expectedVersion: _expected, ...sure } = { ...pin, action: 'RELEASE' as const, at: 3_000 };
    const others = [
      { ...pin, field: 'name' as const },
      { ...pin, action: 'DETACH_REF' as const, ref: 'a:1' },
    ];
    expect(withDecision([pin, ...others, { ...pin, at: 2_000 }], sure)).toEqual([...others, sure]);
  });

  it('is bounded: when it is full, only what makes room is taken', () => {
    const full = Array.from({ length: decisionsPerEmailMax }, (_, index) => ({ ...pin, at: index }));
    expect(withDecision(full, { ...pin, at: 5_000 })).toBe(full);
    const { expectedVersion: _expected, ...sure } = { ...pin, at: 5_000 };
    expect(withDecision(full, sure)).toEqual([sure]);
  });
});
