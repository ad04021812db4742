import { describe, expect, test } from '@jest/globals';
import type { MergeState } from '../../../../schemas/app/customer/merge-state.ts';
import type { CustomerMerged } from '../../../../schemas/app/customer/merged.ts';
import type { StewardOverride } from '../../../../schemas/app/customer/override.ts';
import { defaultPolicy, withFieldPolicy, type CustomerPolicy } from '../../../../schemas/app/customer/policy.ts';
import {
  applyContribution,
  expireGraves,
  refsPerEmailMax,
  remerge,
  type MergeResult,
} from '../../../../processors/app/customer/merge.ts';
import { IdentityFold, MergeFold } from '../../../support/customer/fold.ts';
import { changesOf, decodeWritten, pollerEvent, type RowEvent } from '../../../support/customer/records.ts';

const email = 'ann@x.test';
const second = 1_000_000;
/** Seconds of 2026 in microseconds. */
const at = (seconds: number): number => 1_767_225_600_000_000 + seconds * second;
const iso = (seconds: number): string => new Date(at(seconds) / 1000).toISOString();

/** Both hops, fed with what pollers write. */
class Merge {
  readonly identity = new IdentityFold();
  readonly merge: MergeFold;

  constructor(policy: CustomerPolicy = defaultPolicy) {
    this.merge = new MergeFold(policy);
  }

  /** The result of the last step that the event causes at the merge. */
  row(event: Omit<RowEvent, 'lastUpdated'> & { readonly seconds: number }): MergeResult | undefined {
    const { seconds, source = 'system_a', ...rest } = event;
    const fields = { email, ...event.fields };
    const value = pollerEvent({ source, lastUpdated: iso(seconds), ...rest, fields });
    const sent = changesOf(decodeWritten({ source, value, timestampMs: at(seconds) / 1000 })).flatMap((change) =>
      this.identity.apply(change),
    );
    return sent.map((contribution) => this.merge.apply({ contribution })).at(-1);
  }

  decide(...overrides: readonly Partial<StewardOverride>[]): MergeResult {
    const list = overrides.map(
      (override) => ({ email, action: 'RELEASE', actorId: 's1', reason: '', at: at(50), ...override }) as const,
    );
    return this.merge.apply({ override: { email, overrides: overrides.length === 0 ? null : list } });
  }

  customer(of = email): CustomerMerged {
    const customer = this.merge.latest().get(of);
    if (customer === undefined || customer === null) throw new Error('no such customer');
    return customer;
  }

  state(of = email): MergeState {
    return this.merge.states.get(of)!;
  }
}

/** Ann in both systems; B's address is newer and differs. */
function disputed(policy?: CustomerPolicy): Merge {
  const merge = new Merge(policy);
  merge.row({
    seconds: 1,
    id: 1,
    operation: 'CREATE',
    fields: { name: 'Ann', address: '1 High St', contractType: 'gold' },
  });
  merge.row({
    seconds: 2,
    source: 'system_b',
    id: 'u1',
    operation: 'CREATE',
    fields: { name: 'ann', address: '2 Low Rd', phone: '+44 1' },
  });
  return merge;
}

describe('the merged record', () => {
  test('holds every field with its origin, the conflicts and exactly which inputs it reflects', () => {
    expect(disputed().customer()).toEqual({
      email,
      name: 'ann',
      address: '2 Low Rd',
      phone: '+44 1',
      contractType: 'gold',
      systemAId: '1',
      systemBUuid: 'u1',
      sources: ['system_a', 'system_b'],
      isPartial: false,
      version: 2,
      createdAt: at(1),
      lastMergedAt: at(2),
      systemAUpdated: at(1),
      systemBUpdated: at(2),
      fieldMetadata: {
        name: { source: 'system_b', ref: 'b:u1', changedAt: at(2), rule: 'recency', pinned: false },
        address: { source: 'system_b', ref: 'b:u1', changedAt: at(2), rule: 'recency', pinned: false },
        phone: { source: 'system_b', ref: 'b:u1', changedAt: at(2), rule: 'single-source', pinned: false },
        contractType: { source: 'system_a', ref: 'a:1', changedAt: at(1), rule: 'single-source', pinned: false },
      },
      conflicts: {
        address: {
          candidates: [
            { source: 'system_a', ref: 'a:1', value: '1 High St', changedAt: at(1) },
            { source: 'system_b', ref: 'b:u1', value: '2 Low Rd', changedAt: at(2) },
          ],
          newerSource: 'system_b',
          chosen: 'b:u1',
          rule: 'recency',
          since: at(2),
        },
      },
      vector: { 'a:1': { ts: at(1), seq: 0 }, 'b:u1': { ts: at(2), seq: 0 } },
    });
  });

  test("a change of one field does not make a system's other, older values win", () => {
    const merge = disputed();
    merge.row({ seconds: 3, id: 1, fields: { name: 'Ann', address: '3 New Sq', contractType: 'gold' } });
    merge.row({
      seconds: 4,
      source: 'system_b',
      id: 'u1',
      fields: { name: 'ann', address: '2 Low Rd', phone: '+44 2' },
    });
    expect(merge.customer()).toMatchObject({
      address: '3 New Sq',
      phone: '+44 2',
      conflicts: { address: { newerSource: 'system_a' } },
    });
  });

  test('is partial while one system knows the customer', () => {
    const merge = new Merge();
    merge.row({ seconds: 1, source: 'system_b', id: 'u1', fields: { name: 'Ann' } });
    expect(merge.customer()).toMatchObject({ isPartial: true, sources: ['system_b'] });
    expect(merge.customer().systemAId).toBeUndefined();
  });

  test('null never beats a value, but the single owner of a field may clear it', () => {
    const merge = disputed();
    merge.row({ seconds: 3, source: 'system_b', id: 'u1', fields: { name: null, address: null, phone: null } });
    expect(merge.customer()).toMatchObject({ name: 'Ann', address: '1 High St' });
    expect(merge.customer().conflicts).toEqual({});
    expect(merge.customer().phone).toBeUndefined();
  });

  test('two records of one system are both kept: the latest gives id and values, and both are named', () => {
    const merge = disputed();
    const result = merge.row({ seconds: 3, id: 2, operation: 'CREATE', fields: { name: 'Annie' } });
    expect(merge.customer()).toMatchObject({ systemAId: '2', name: 'Annie', duplicates: { system_a: ['a:1', 'a:2'] } });
    expect(merge.customer().sources).toEqual(['system_a', 'system_b']);
    expect(result?.events).toContainEqual({
      kind: 'duplicate_source_record',
      type: 'opened',
      email,
      version: 3,
      at: at(3),
      source: 'system_a',
      refs: ['a:1', 'a:2'],
    });
    const closed = merge.row({ seconds: 4, id: 1, operation: 'DELETE' });
    expect(closed?.events).toContainEqual(
      expect.objectContaining({ kind: 'duplicate_source_record', type: 'resolved', refs: [] }),
    );
    expect(merge.customer().duplicates).toBeUndefined();
  });

  test('the version and the time of creation outlive a deletion', () => {
    const merge = new Merge();
    merge.row({ seconds: 1, id: 1, fields: { name: 'Ann' } });
    merge.row({ seconds: 2, id: 1, operation: 'DELETE' });
    expect(merge.merge.latest().get(email)).toBeNull();
    merge.row({ seconds: 3, source: 'system_b', id: 'u1', fields: { name: 'Ann' } });
    expect(merge.customer()).toMatchObject({ version: 3, createdAt: at(1), lastMergedAt: at(3) });
  });

  test('what leaves still counts in the time of the last merge', () => {
    const merge = disputed();
    merge.row({ seconds: 9, id: 1, fields: { email: 'new@x.test' } });
    expect(merge.customer()).toMatchObject({ version: 3, lastMergedAt: at(9), sources: ['system_b'] });
    expect(merge.customer('new@x.test')).toMatchObject({ version: 1, createdAt: at(1), systemAId: '1' });
  });
});

describe('conflicts', () => {
  test('open once, change, and end by equality, override or retraction', () => {
    const merge = disputed();
    const opened = merge.merge.events.filter((event) => event.kind === 'field_value');
    expect(opened).toMatchObject([{ type: 'opened', field: 'address', version: 2, at: at(2) }]);
    const changed = merge.row({ seconds: 3, id: 1, fields: { name: 'Ann', address: '9 High St' } });
    expect(changed?.events).toMatchObject([
      { type: 'changed', field: 'address', conflict: { since: at(3), newerSource: 'system_a' } },
    ]);
    const equal = merge.row({
      seconds: 4,
      source: 'system_b',
      id: 'u1',
      fields: { name: 'Ann', address: '9  High St' },
    });
    expect(equal?.events).toMatchObject([{ type: 'resolved', resolvedBy: 'equality', conflict: { since: at(3) } }]);

    const pinned = disputed().decide({ action: 'PIN_VALUE', field: 'address', value: 'X' });
    expect(pinned.events).toMatchObject([
      { kind: 'override', type: 'accepted' },
      { type: 'resolved', resolvedBy: 'override' },
    ]);
    const left = disputed().row({ seconds: 5, id: 1, operation: 'DELETE' });
    expect(left?.events).toMatchObject([{ type: 'resolved', resolvedBy: 'retraction' }]);
  });

  test('at equal times neither system is newer and A prevails', () => {
    const merge = new Merge();
    merge.row({ seconds: 1, id: 1, operation: 'CREATE', fields: { name: 'Ann' } });
    merge.row({ seconds: 1, source: 'system_b', id: 'u1', operation: 'CREATE', fields: { name: 'Bo' } });
    expect(merge.customer().conflicts.name).toMatchObject({ newerSource: 'equal', chosen: 'a:1', rule: 'priority' });
  });

  test('when only the age of records is known, the rule says so', () => {
    const merge = new Merge();
    merge.row({ seconds: 1, id: 1, fields: { name: 'Ann' } });
    merge.row({ seconds: 2, source: 'system_b', id: 'u1', fields: { name: 'Bo' } });
    expect(merge.customer().conflicts.name).toMatchObject({ newerSource: 'system_b', rule: 'record-clock' });
  });
});

describe('what a steward decides', () => {
  test('PIN_VALUE fixes a value, also to nothing, against everything that comes later; RELEASE ends it', () => {
    const merge = disputed();
    const pin = { action: 'PIN_VALUE', field: 'address', value: '5 Pin Ln' } as const;
    merge.decide(pin);
    merge.row({ seconds: 60, id: 1, fields: { name: 'Ann', address: '6 Newer St' } });
    expect(merge.customer().conflicts).toEqual({});
    expect(merge.customer()).toMatchObject({
      address: '5 Pin Ln',
      version: 4,
      fieldMetadata: {
        address: { source: 'steward', ref: 'steward:s1', changedAt: at(50), rule: 'pin_value', pinned: true },
      },
    });
    merge.decide(pin, { action: 'RELEASE', field: 'address', at: at(70) });
    expect(merge.customer()).toMatchObject({ address: '6 Newer St', lastMergedAt: at(70), version: 5 });
    merge.decide({ action: 'PIN_VALUE', field: 'address', value: null });
    expect(merge.customer().address).toBeUndefined();
    expect(merge.customer().lastMergedAt).toBe(at(70));
  });

  test('PIN_SOURCE follows one system or one record, as long as it says something', () => {
    const merge = disputed();
    merge.decide({ action: 'PIN_SOURCE', field: 'address', source: 'system_a' });
    expect(merge.customer().conflicts).toEqual({});
    expect(merge.customer()).toMatchObject({
      address: '1 High St',
      fieldMetadata: { address: { ref: 'a:1', rule: 'pin_source', pinned: true } },
    });
    merge.row({ seconds: 60, id: 1, fields: { name: 'Ann', address: null } });
    expect(merge.customer().fieldMetadata.address).toMatchObject({ ref: 'b:u1', pinned: false });
    merge.decide({ action: 'PIN_SOURCE', field: 'name', ref: 'a:1' });
    expect(merge.customer().name).toBe('Ann');
    merge.row({ seconds: 61, id: 1, operation: 'DELETE' });
    expect(merge.customer().name).toBe('ann');
  });

  test('ACCEPT closes a conflict without choosing, until a value changes', () => {
    const merge = disputed();
    merge.decide({ action: 'ACCEPT', field: 'address', at: at(2) });
    expect(merge.customer().address).toBe('2 Low Rd');
    expect(merge.customer().conflicts).toEqual({});
    merge.row({ seconds: 3, id: 1, fields: { name: 'Ann', address: '9 High St' } });
    expect(merge.customer().conflicts.address).toMatchObject({ since: at(3) });
  });

  test('DETACH_REF makes a record a customer of its own, ATTACH_REF brings it back', () => {
    const merge = disputed();
    const detach = { action: 'DETACH_REF', ref: 'b:u1' } as const;
    const result = merge.decide(detach);
    expect(merge.customer()).toMatchObject({ sources: ['system_a'], name: 'Ann', version: 3 });
    expect(merge.customer().conflicts).toEqual({});
    expect(result.detached).toMatchObject([
      { ref: 'b:u1', value: { detached: true, ref: 'b:u1', email, phone: '+44 1', version: 1, sources: ['system_b'] } },
    ]);
    const updated = merge.row({ seconds: 60, source: 'system_b', id: 'u1', fields: { name: 'Zoe', phone: '2' } });
    expect(updated?.detached).toMatchObject([{ ref: 'b:u1', value: { name: 'Zoe', version: 2 } }]);
    expect(merge.customer()).toMatchObject({ name: 'Ann', version: 4 });
    const attached = merge.decide(detach, { action: 'ATTACH_REF', ref: 'b:u1' });
    expect(attached.detached).toEqual([{ ref: 'b:u1', value: null }]);
    expect(merge.customer()).toMatchObject({ name: 'Zoe', version: 5 });
  });

  test('detaching the last record leaves no customer; the record may still go for good', () => {
    const merge = new Merge();
    merge.row({ seconds: 1, id: 1, fields: { name: 'Ann' } });
    expect(merge.decide({ action: 'DETACH_REF', ref: 'a:1' }).merged).toBeNull();
    const gone = merge.row({ seconds: 2, id: 1, operation: 'DELETE' });
    expect(gone?.detached).toEqual([{ ref: 'a:1', value: null }]);
    expect(gone?.merged).toBeUndefined();
    expect(merge.state().version).toBe(3);
  });

  test('one that expects another version is refused for good; the verdict is logged and the version stays', () => {
    const merge = disputed();
    const late = { action: 'PIN_VALUE', field: 'address', value: 'X', expectedVersion: 1 } as const;
    const refused = merge.decide(late);
    expect(refused).toMatchObject({
      outcome: 'refused',
      events: [{ kind: 'override', type: 'refused', versionBefore: 2, version: 2 }],
    });
    expect(refused.merged).toBeUndefined();
    const fits = { ...late, value: 'Y', expectedVersion: 2 };
    expect(merge.decide(late, fits)).toMatchObject({
      outcome: 'applied',
      events: [{ kind: 'override', type: 'accepted', versionBefore: 2, version: 3 }, { kind: 'field_value' }],
    });
    expect(merge.customer()).toMatchObject({ address: 'Y', version: 3 });
    // Both stay as they were judged, though neither expects version 3.
    expect(merge.decide(late, fits).outcome).toBe('duplicate');
    expect(merge.decide(fits).outcome).toBe('duplicate');
    expect(merge.state().refusedOverrides).toEqual([]);
  });

  test('one on another e-mail is refused; a list that changes nothing is a duplicate; no list is an empty one', () => {
    const merge = disputed();
    expect(merge.decide({ email: 'other@x.test', action: 'PIN_VALUE', field: 'name', value: 'X' }).outcome).toBe(
      'refused',
    );
    expect(merge.decide().outcome).toBe('duplicate');
    merge.decide({ action: 'PIN_VALUE', field: 'name', value: 'X' });
    expect(merge.decide({ action: 'PIN_VALUE', field: 'name', value: 'X' }).outcome).toBe('duplicate');
    expect(merge.decide().merged).toMatchObject({ name: 'ann', version: 4 });
  });

  test('decisions may come before the customer', () => {
    const merge = new Merge();
    expect(merge.decide({ action: 'PIN_VALUE', field: 'name', value: 'Ann Lee' }).merged).toBeUndefined();
    merge.row({ seconds: 1, id: 1, fields: { name: 'Ann' } });
    expect(merge.customer()).toMatchObject({ name: 'Ann Lee', version: 2 });
  });
});

describe('bounds and upkeep', () => {
  test('an e-mail has at most so many source records; one more is refused, those it has go on', () => {
    const merge = new Merge();
    for (let id = 1; id <= refsPerEmailMax; id += 1) {
      const sent = merge.identity.apply(
        changesOf(decodeWritten({ value: pollerEvent({ id, fields: { email, name: 'Ann' } }) }))[0]!,
      );
      const state = merge.merge.states.get(email);
      for (const change of sent) {
        const result = applyContribution(state, change, withFieldPolicy(defaultPolicy, 'name', defaultPolicy.name));
        merge.merge.states.set(email, result.state!);
      }
    }
    const before = merge.state();
    const extra = merge.row({ seconds: 9, id: 5000, fields: { name: 'Ann' } });
    expect(extra).toMatchObject({ outcome: 'refused' });
    expect(merge.state()).toEqual(before);
    expect(merge.row({ seconds: 10, id: 1, fields: { name: 'Anne' } })?.outcome).toBe('applied');
  });

  test('a retraction of what is not there, or older than what is, is a duplicate', () => {
    const merge = disputed();
    const [put] = Object.values(merge.state().contributions);
    const retraction = {
      ref: 'a:9',
      source: 'system_a',
      version: put!.version,
      acceptedCount: 1,
      firstSeen: 1,
      at: 1,
      cause: 'deleted',
    } as const;
    expect(applyContribution(undefined, { kind: 'retract', email, retraction }, defaultPolicy)).toMatchObject({
      outcome: 'duplicate',
      state: undefined,
    });
    expect(
      applyContribution(
        merge.state(),
        { kind: 'retract', email, retraction: { ...retraction, ref: 'a:1' } },
        defaultPolicy,
      ).outcome,
    ).toBe('duplicate');
  });

  test('a record that comes back leaves no grave behind', () => {
    const merge = new Merge();
    merge.row({ seconds: 1, id: 1, fields: { name: 'Ann' } });
    merge.row({ seconds: 2, id: 1, operation: 'DELETE' });
    expect(Object.keys(merge.state().graves)).toEqual(['a:1']);
    merge.row({ seconds: 3, id: 1, fields: { name: 'Ann' } });
    expect(merge.state().graves).toEqual({});
  });

  test('graves expire, the version stays', () => {
    const merge = new Merge();
    merge.row({ seconds: 1, id: 1, fields: { name: 'Ann' } });
    merge.row({ seconds: 2, id: 1, operation: 'DELETE' });
    const state = merge.state();
    expect(expireGraves(state, at(2) + 9, 10)).toBe(state);
    expect(expireGraves(state, at(2) + 10, 10)).toEqual({ ...state, graves: {} });
  });

  test('a changed policy merges again: one more version if it makes a difference, else nothing', () => {
    const merge = disputed();
    const to = withFieldPolicy(defaultPolicy, 'address', { ...defaultPolicy.address, strategy: ['priority'] });
    const result = remerge(merge.state(), { from: defaultPolicy, to }, at(99));
    expect(result).toMatchObject({
      outcome: 'applied',
      merged: { address: '1 High St', version: 3 },
      events: [{ type: 'changed', field: 'address', at: at(99) }],
    });
    const wide = withFieldPolicy(defaultPolicy, 'phone', { ...defaultPolicy.phone, trust: { system_b: 1 } });
    expect(remerge(merge.state(), { from: defaultPolicy, to: wide }, 1)).toMatchObject({ outcome: 'duplicate' });
    const closed = remerge(
      merge.state(),
      {
        from: defaultPolicy,
        to: withFieldPolicy(defaultPolicy, 'address', { ...defaultPolicy.address, strategy: ['aggregate'] }),
      },
      1,
    );
    expect(closed.merged).toMatchObject({
      address: '1 High St; 2 Low Rd',
      fieldMetadata: { address: { rule: 'aggregate' } },
    });
  });
});
