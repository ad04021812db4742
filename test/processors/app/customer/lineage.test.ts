import { describe, expect, test } from '@jest/globals';
import type { StewardOverride } from '../../../../schemas/app/customer/override.ts';
import { defaultPolicy } from '../../../../schemas/app/customer/policy.ts';
import type { MergeState } from '../../../../schemas/app/customer/merge-state.ts';
import { lineage, openConflicts, syncView } from '../../../../processors/app/customer/lineage.ts';
import { foldAll, frozen } from '../../../support/customer/fold.ts';
import { polled } from '../../../support/customer/records.ts';

const email = 'ann@x.test';
const base = 1_767_225_600_000_000;
const time = (second: number): string => `2026-01-01T00:00:0${second}Z`;

function stateOf(overrides: readonly Partial<StewardOverride>[] = []): MergeState {
  const changes = [
    polled({
      id: 1,
      operation: 'CREATE',
      lastUpdated: time(1),
      fields: { email: 'Ann@x.test', name: 'Ann', address: '1 High St', contractType: 'gold' },
    }),
    polled({
      source: 'system_b',
      id: 'u1',
      operation: 'CREATE',
      lastUpdated: time(2),
      fields: { email, name: 'Ann', address: '2 Low Rd', phone: '1' },
    }),
    polled({ source: 'system_b', id: 'u2', operation: 'CREATE', lastUpdated: time(1), fields: { email, name: 'A' } }),
    polled({ source: 'system_b', id: 'u2', operation: 'DELETE', lastUpdated: time(3) }),
  ];
  const list = overrides.map(
    (override) => ({ email, action: 'RELEASE', actorId: 's1', reason: '', at: base, ...override }) as const,
  );
  return frozen(foldAll(changes, list.length === 0 ? [] : [{ email, overrides: list }]).merge.states.get(email)!);
}

describe('lineage', () => {
  test('names the winner of every field, the losers and why, and every source record, living and gone', () => {
    const answer = lineage(stateOf(), defaultPolicy);
    expect(answer).toMatchObject({ email, version: 4 });
    expect(answer.fields.find(({ field }) => field === 'address')).toEqual({
      field: 'address',
      value: '2 Low Rd',
      winner: { source: 'system_b', ref: 'b:u1', changedAt: base + 2e6, rule: 'recency', pinned: false },
      losers: [{ source: 'system_a', ref: 'a:1', value: '1 High St', changedAt: base + 1e6, lostBy: 'recency' }],
    });
    expect(answer.fields.find(({ field }) => field === 'contractStart')).toEqual({
      field: 'contractStart',
      losers: [],
    });
    expect(answer.sources).toEqual([
      {
        ref: 'a:1',
        source: 'system_a',
        ts: base + 1e6,
        seq: 0,
        updatedAt: base + 1e6,
        firstSeen: base + 1e6,
        emailRaw: 'Ann@x.test',
        detached: false,
      },
      {
        ref: 'b:u1',
        source: 'system_b',
        ts: base + 2e6,
        seq: 0,
        updatedAt: base + 2e6,
        firstSeen: base + 2e6,
        emailRaw: email,
        detached: false,
      },
    ]);
    expect(answer.departed).toMatchObject([{ ref: 'b:u2', cause: 'deleted' }]);
  });

  test('a pin explains why all others lost', () => {
    const pinned = lineage(stateOf([{ action: 'PIN_VALUE', field: 'address', value: 'X' }]), defaultPolicy);
    expect(pinned.fields.find(({ field }) => field === 'address')).toMatchObject({
      value: 'X',
      winner: { source: 'steward' },
      losers: [
        { ref: 'a:1', lostBy: 'pin_value' },
        { ref: 'b:u1', lostBy: 'pin_value' },
      ],
    });
    const source = lineage(stateOf([{ action: 'PIN_SOURCE', field: 'address', ref: 'a:1' }]), defaultPolicy);
    expect(source.fields.find(({ field }) => field === 'address')).toMatchObject({
      winner: { ref: 'a:1', rule: 'pin_source' },
      losers: [{ ref: 'b:u1', lostBy: 'pin_source' }],
    });
    const detached = lineage(stateOf([{ action: 'DETACH_REF', ref: 'b:u1' }]), defaultPolicy);
    expect(detached.sources.map(({ ref, detached: isOut }) => [ref, isOut])).toEqual([
      ['a:1', false],
      ['b:u1', true],
    ]);
  });
});

describe('the conflicts and sync views', () => {
  test('list what is open and which system is newer, field by field', () => {
    expect(openConflicts(stateOf(), defaultPolicy)).toMatchObject([
      { field: 'address', newerSource: 'system_b', chosen: 'b:u1' },
    ]);
    expect(syncView(stateOf(), defaultPolicy)).toMatchObject({
      email,
      conflicts: [{ field: 'address' }],
      newerSource: { name: 'system_b', address: 'system_b', phone: 'system_b', contractType: 'system_a' },
      missing: [],
      inSync: false,
    });
  });

  test('a settled conflict puts the systems in sync; a missing system does not', () => {
    expect(syncView(stateOf([{ action: 'PIN_SOURCE', field: 'address', ref: 'a:1' }]), defaultPolicy)?.inSync).toBe(
      true,
    );
    const alone = syncView(stateOf([{ action: 'DETACH_REF', ref: 'b:u1' }]), defaultPolicy);
    expect(alone).toMatchObject({ conflicts: [], missing: ['system_b'], inSync: false });
  });

  test('there is no view of nobody', () => {
    expect(syncView(undefined, defaultPolicy)).toBeUndefined();
    const left = foldAll([
      polled({ id: 1, fields: { email } }),
      polled({ id: 1, operation: 'DELETE', lastUpdated: time(9) }),
    ]);
    expect(syncView(left.merge.states.get(email), defaultPolicy)).toBeUndefined();
  });
});
