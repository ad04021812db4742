import { describe, expect, test } from '@jest/globals';
import type { CustomerChange, SourceChange } from '../../../../schemas/app/customer/change.ts';
import { applyChange, isExpiredGrave, type IdentityResult } from '../../../../processors/app/customer/identity.ts';
import { frozen, IdentityFold } from '../../../support/customer/fold.ts';

type Parts = Omit<Partial<CustomerChange>, 'version'> & { readonly ts: number; readonly seq?: number };

function change({ ts, seq = 0, image = { name: 'Ann' }, ...rest }: Parts): CustomerChange {
  const fields = Object.keys(image) as CustomerChange['present'];
  return {
    eventId: `e${ts}.${seq}`,
    source: 'system_a',
    sourceId: '1',
    op: 'UPDATE',
    version: { ts, seq, tie: '' },
    image,
    present: rest.email === undefined ? fields : [...fields, 'email'],
    ingestedAt: ts,
    ...rest,
  };
}

const email = 'ann@x.test';
const gone = (ts: number, more: Partial<CustomerChange> = {}): CustomerChange =>
  change({ ts, op: 'DELETE', image: {}, ...more });
const tombstone = (ingestedAt: number): SourceChange => ({
  op: 'TOMBSTONE',
  source: 'system_a',
  sourceId: '1',
  ingestedAt,
});

/** The last result after all of them, in order. */
function after(...changes: readonly SourceChange[]): IdentityResult {
  const fold = new IdentityFold();
  for (const next of changes) fold.apply(next);
  return fold.results.at(-1)!;
}

const brief = (result: IdentityResult): string =>
  result.contributions.map((output) => `${output.kind} ${output.email}`).join(', ');

describe('which changes count', () => {
  test('a new record is created, whatever the operation is called', () => {
    const result = after(change({ ts: 5, email }));
    expect(result).toMatchObject({ outcome: 'applied', effect: 'created', isCollision: false, isUnkeyed: false });
    expect(brief(result)).toBe(`put ${email}`);
    expect(result.record).toMatchObject({ ref: 'a:1', email, version: { ts: 5 }, acceptedCount: 1, firstSeen: 5 });
  });

  test('an older version is stale and leaves no trace', () => {
    const fold = new IdentityFold();
    fold.apply(change({ ts: 5, email }));
    const before = fold.records.get('a:1');
    const result = applyChange(before, change({ ts: 4, email, image: { name: 'Old' } }));
    expect(result).toMatchObject({ outcome: 'stale', contributions: [] });
    expect(result.record).toBe(before);
  });

  test('versions order by time, then sequence number, then tie', () => {
    expect(after(change({ ts: 5, seq: 2, email }), change({ ts: 5, seq: 1, email })).outcome).toBe('stale');
    expect(after(change({ ts: 5, seq: 1, email }), change({ ts: 5, seq: 2, email })).outcome).toBe('applied');
    const tied = { ...change({ ts: 5, email }), version: { ts: 5, seq: 0, tie: 'b' } };
    expect(after(tied, { ...tied, version: { ts: 5, seq: 0, tie: 'a' } }).outcome).toBe('stale');
  });

  test('the same version with the same image is a duplicate, with another image a collision that the log order decides', () => {
    const first = change({ ts: 5, email });
    expect(after(first, { ...first, eventId: 'other' })).toMatchObject({ outcome: 'duplicate', contributions: [] });
    const collided = after(first, change({ ts: 5, email, image: { name: 'Anne' } }));
    expect(collided).toMatchObject({ outcome: 'applied', isCollision: true, record: { image: { name: 'Anne' } } });
  });

  test('an event id alone drops nothing: only together with the same image', () => {
    const first = change({ ts: 5, email, eventId: 'constant' });
    expect(after(first, change({ ts: 6, email, eventId: 'constant' })).outcome).toBe('duplicate');
    const other = change({ ts: 6, email, eventId: 'constant', image: { name: 'Anne' } });
    expect(after(first, other)).toMatchObject({ outcome: 'applied', record: { image: { name: 'Anne' } } });
  });

  test('a newer version with the same image is applied: it is newer evidence', () => {
    expect(after(change({ ts: 5, email }), change({ ts: 6, email }))).toMatchObject({
      outcome: 'applied',
      effect: 'updated',
      record: { version: { ts: 6 }, clocks: { name: { ts: 5 } }, acceptedCount: 2 },
    });
  });

  test('nothing that is passed in is written to', () => {
    const record = frozen(after(change({ ts: 5, email })).record);
    expect(() =>
      applyChange(record, frozen(change({ ts: 6, email: 'new@x.test', image: { name: 'B' } }))),
    ).not.toThrow();
  });
});

describe('clocks of fields', () => {
  test('a field keeps the time of its own last change, not that of the record', () => {
    const { record } = after(
      change({ ts: 1, op: 'CREATE', email, image: { name: 'Ann', address: 'Old' } }),
      change({ ts: 7, email, image: { name: 'Anne', address: 'Old' } }),
    );
    expect(record?.clocks).toEqual({ name: { ts: 7, seq: 0 }, address: { ts: 1, seq: 0 } });
  });

  test('of a first image that is no creation only an upper bound is known: the time of the record', () => {
    expect(after(change({ ts: 9, email, updatedAt: 4 })).record?.clocks).toEqual({
      name: { ts: 4, seq: 0, record: true },
    });
    expect(after(change({ ts: 9, op: 'CREATE', email, updatedAt: 4 })).record?.clocks).toEqual({
      name: { ts: 9, seq: 0 },
    });
    const snapshot = after(
      change({ ts: 1, op: 'CREATE', email }),
      change({ ts: 9, op: 'SNAPSHOT', email, updatedAt: 4, image: { name: 'B' } }),
    );
    expect(snapshot.record?.clocks).toEqual({ name: { ts: 4, seq: 0, record: true } });
  });

  test('a value that was removed has a time, one that never was has none', () => {
    const { record } = after(
      change({ ts: 1, email, image: { contractType: 'gold', contractStart: null } }),
      change({ ts: 2, email, image: { contractType: null, contractStart: null } }),
    );
    expect(record?.clocks).toEqual({ contractType: { ts: 2, seq: 0 } });
    expect(record?.image).toEqual({ contractType: null, contractStart: null });
  });

  test('a partial image leaves the other fields and the address alone', () => {
    const { record } = after(
      change({ ts: 1, email, image: { name: 'Ann', address: 'Here' } }),
      change({ ts: 2, image: { address: 'There' } }),
    );
    expect(record).toMatchObject({ email, image: { name: 'Ann', address: 'There' } });
  });
});

describe('the address', () => {
  test('a new one takes the record from the old e-mail first, then gives it to the new one', () => {
    const result = after(change({ ts: 1, email }), change({ ts: 2, email: 'new@x.test' }));
    expect(brief(result)).toBe(`retract ${email}, put new@x.test`);
    expect(result.contributions[0]).toMatchObject({
      retraction: { ref: 'a:1', cause: 'moved', at: 2, version: { ts: 2 }, acceptedCount: 2, firstSeen: 1 },
    });
  });

  test('without a usable one the record is kept, counted and merged nowhere', () => {
    const result = after(change({ ts: 1, emailRaw: 'none', present: ['name', 'email'] }));
    expect(result).toMatchObject({
      outcome: 'applied',
      isUnkeyed: true,
      contributions: [],
      record: { emailRaw: 'none' },
    });
    const lost = after(change({ ts: 1, email }), change({ ts: 2, present: ['name', 'email'] }));
    expect(brief(lost)).toBe(`retract ${email}`);
    expect(lost.contributions[0]).toMatchObject({ retraction: { cause: 'unkeyed' } });
    expect(brief(after(change({ ts: 1 }), change({ ts: 2, email })))).toBe(`put ${email}`);
  });

  test('the same one in another spelling stays where it is', () => {
    const result = after(
      change({ ts: 1, email, emailRaw: 'ann@x.test' }),
      change({ ts: 2, email, emailRaw: 'ANN@x.test' }),
    );
    expect(brief(result)).toBe(`put ${email}`);
    expect(result.record?.emailRaw).toBe('ANN@x.test');
  });
});

describe('deletions', () => {
  test('a deletion takes the contribution back and leaves a grave without data', () => {
    const result = after(change({ ts: 1, email }), gone(2));
    expect(result).toMatchObject({ outcome: 'applied', effect: 'deleted' });
    expect(result.record).toEqual({
      ref: 'a:1',
      source: 'system_a',
      version: { ts: 2, seq: 0, tie: '' },
      image: {},
      clocks: {},
      deleted: true,
      deletedAt: 2,
      acceptedCount: 2,
      firstSeen: 1,
      eventId: 'e2.0',
    });
    expect(brief(result)).toBe(`retract ${email}`);
  });

  test('a late update does not bring the record back; a later one does, from nothing', () => {
    expect(after(change({ ts: 1, email }), gone(5), change({ ts: 4, email })).outcome).toBe('stale');
    const back = after(
      change({ ts: 1, email, image: { name: 'Ann', address: 'X' } }),
      gone(5),
      change({ ts: 6, op: 'CREATE', email }),
    );
    expect(back).toMatchObject({ outcome: 'applied', effect: 'recreated' });
    expect(back.record).toMatchObject({
      image: { name: 'Ann' },
      clocks: { name: { ts: 6 } },
      firstSeen: 1,
      acceptedCount: 3,
    });
    expect(back.record?.image.address).toBeUndefined();
  });

  test('the deletion of an unknown record blocks what is older', () => {
    const result = after(gone(5));
    expect(result).toMatchObject({ outcome: 'applied', effect: 'deleted', contributions: [] });
    expect(after(gone(5), change({ ts: 4, email })).outcome).toBe('stale');
    expect(after(gone(5), gone(5)).outcome).toBe('duplicate');
    expect(after(gone(5), { ...gone(6), eventId: 'e6' })).toMatchObject({ outcome: 'applied', contributions: [] });
  });

  test('a tombstone after its deletion means nothing, one that stands alone deletes', () => {
    expect(after(change({ ts: 1, email }), gone(2, { tombstoneFollows: true }), tombstone(3)).outcome).toBe(
      'duplicate',
    );
    expect(after(tombstone(3))).toMatchObject({ outcome: 'duplicate', record: undefined });
    const alone = after(change({ ts: 1, email }), tombstone(3));
    expect(alone).toMatchObject({
      outcome: 'applied',
      effect: 'deleted',
      record: { version: { ts: 1, tie: '~' }, deletedAt: 3 },
    });
    expect(brief(alone)).toBe(`retract ${email}`);
    expect(after(change({ ts: 1, email }), tombstone(3), change({ ts: 1, email })).outcome).toBe('stale');
    expect(after(change({ ts: 1, email }), tombstone(3), change({ ts: 2, email })).effect).toBe('recreated');
  });

  test('a deletion delivered again after the record was re-created does not delete it by way of its tombstone', () => {
    const log = [change({ ts: 1, email }), gone(2, { tombstoneFollows: true }), tombstone(3), change({ ts: 4, email })];
    const result = after(...log, ...log);
    expect(result.outcome).toBe('duplicate');
    expect(result.record).toMatchObject({ deleted: false, version: { ts: 4 } });
    // The next tombstone stands alone again.
    expect(after(...log, ...log, tombstone(9)).effect).toBe('deleted');
  });

  test('a deletion and a creation with one version, as Debezium writes a changed key, concern two records', () => {
    const fold = new IdentityFold();
    fold.apply(change({ ts: 1, email }));
    fold.apply(gone(2));
    const moved = fold.apply(change({ ts: 2, op: 'CREATE', sourceId: '100', email }));
    expect(moved).toMatchObject([{ kind: 'put', contribution: { ref: 'a:100' } }]);
    // The new key names the old one as well: nothing is left to delete.
    fold.apply(gone(2, { eventId: 'other' }));
    expect(fold.results.at(-1)).toMatchObject({ outcome: 'duplicate' });
  });

  test('a grave expires once it has blocked long enough', () => {
    const { record } = after(gone(5));
    expect(isExpiredGrave(record!, 14, 10)).toBe(false);
    expect(isExpiredGrave(record!, 15, 10)).toBe(true);
    expect(isExpiredGrave(after(change({ ts: 1, email })).record!, 1e15, 1)).toBe(false);
  });
});
