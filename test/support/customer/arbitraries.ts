/** Random histories of source records, small enough that versions collide, addresses meet and records come back. */
import fc from 'fast-check';
import type { CustomerChange, PresentField, SourceChange } from '../../../schemas/app/customer/change.ts';
import type { Image, SourceSystem } from '../../../schemas/app/customer/fields.ts';
import type { StewardOverride } from '../../../schemas/app/customer/override.ts';
import { canonicalEmail } from '../../../processors/app/customer/normalise.ts';
import type { OverrideInput } from './reference-fold.ts';

export const rawEmails = [
  'ann@x.test',
  ' Ann@X.test',
  'bob@x.test',
  'bo\u0308b@x.test',
  'b\u00f6b@x.test',
  'no address',
];
export const emails = ['ann@x.test', 'bob@x.test', 'b\u00f6b@x.test'];

const names = fc.constantFrom('Ann', 'ann ', 'Bob', 'Ann  B', null);
const addresses = fc.constantFrom('1 High St', '1  High St', '2 Low Rd', null);
const phones = fc.constantFrom('+44 1', '441', '0049 2', null);
const starts = fc.constantFrom('2024-01-01', '2025-06-30', null);
const types = fc.constantFrom('gold', 'basic', null);
const instant = fc.integer({ min: 1, max: 9 });

const imageOf: Readonly<Record<SourceSystem, fc.Arbitrary<Image>>> = {
  system_a: fc.record(
    { name: names, address: addresses, contractStart: starts, contractType: types },
    { requiredKeys: [] },
  ),
  system_b: fc.record({ name: names, address: addresses, phone: phones }, { requiredKeys: [] }),
};

function changeOf(source: SourceSystem, sourceId: string): fc.Arbitrary<SourceChange> {
  const written = fc
    .record({
      op: fc.constantFrom<('SNAPSHOT' | 'CREATE' | 'UPDATE')[]>('SNAPSHOT', 'CREATE', 'UPDATE', 'UPDATE', 'UPDATE'),
      ts: instant,
      seq: fc.integer({ min: 0, max: 1 }),
      image: imageOf[source],
      emailRaw: fc.option(fc.constantFrom(...rawEmails), { nil: undefined }),
      tellsEmail: fc.boolean(),
      updatedAt: fc.option(instant, { nil: undefined }),
      eventId: fc.constantFrom('e1', 'e2', 'e3'),
    })
    .map(({ op, ts, seq, image, emailRaw, tellsEmail, updatedAt, eventId }): CustomerChange => {
      const email = canonicalEmail(emailRaw);
      const fields = Object.keys(image) as PresentField[];
      return {
        eventId,
        source,
        sourceId,
        op,
        version: { ts, seq, tie: '' },
        ...(tellsEmail && email !== undefined ? { email } : {}),
        ...(tellsEmail && emailRaw !== undefined ? { emailRaw } : {}),
        image,
        present: tellsEmail ? [...fields, 'email'] : fields,
        ...(updatedAt === undefined ? {} : { updatedAt }),
        ingestedAt: ts,
      };
    });
  const deleted = fc
    .record({ ts: instant, seq: fc.integer({ min: 0, max: 1 }), follows: fc.boolean() })
    .map(({ ts, seq, follows }): CustomerChange => ({
      eventId: `d${ts}`,
      source,
      sourceId,
      op: 'DELETE',
      version: { ts, seq, tie: '' },
      image: {},
      present: [],
      ...(follows ? { tombstoneFollows: true as const } : {}),
      ingestedAt: ts,
    }));
  const tombstone = instant.map((ingestedAt): SourceChange => ({ op: 'TOMBSTONE', source, sourceId, ingestedAt }));
  return fc.oneof(
    { weight: 8, arbitrary: written },
    { weight: 2, arbitrary: deleted },
    { weight: 1, arbitrary: tombstone },
  );
}

/** The changes of one source record in order, some delivered again at once or later. */
function historyOf(source: SourceSystem, sourceId: string): fc.Arbitrary<readonly SourceChange[]> {
  return fc
    .tuple(
      fc.array(changeOf(source, sourceId), { maxLength: 8 }),
      fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 3 }),
    )
    .map(([changes, copies]) => {
      const delivered = [...changes];
      for (const [from, to] of copies) {
        const copy = delivered[from % Math.max(1, delivered.length)];
        if (copy !== undefined) delivered.splice(to % (delivered.length + 1), 0, copy);
      }
      return delivered;
    });
}

/** Histories of five source records, one list each. */
export const histories: fc.Arbitrary<readonly (readonly SourceChange[])[]> = fc.tuple(
  historyOf('system_a', '1'),
  historyOf('system_a', '2'),
  historyOf('system_a', '10'),
  historyOf('system_b', 'u1'),
  historyOf('system_b', 'u2'),
);

const refs = ['a:1', 'a:2', 'a:10', 'b:u1', 'b:u2'];

const override = (email: string): fc.Arbitrary<StewardOverride> =>
  fc
    .record({
      action: fc.constantFrom<StewardOverride['action'][]>(
        'PIN_VALUE',
        'PIN_SOURCE',
        'ACCEPT',
        'RELEASE',
        'DETACH_REF',
        'ATTACH_REF',
      ),
      field: fc.constantFrom('name' as const, 'address' as const, 'phone' as const),
      value: fc.option(fc.constantFrom('Pinned', null), { nil: undefined }),
      source: fc.constantFrom('system_a' as const, 'system_b' as const),
      ref: fc.constantFrom(...refs),
      byRef: fc.boolean(),
      at: instant,
    })
    .map(({ action, field, value, source, ref, byRef, at }) => ({
      email,
      action,
      actorId: 'steward-1',
      reason: '',
      at,
      ...(action.endsWith('_REF') ? { ref } : { field }),
      ...(action === 'PIN_VALUE' && value !== undefined ? { value } : {}),
      ...(action === 'PIN_SOURCE' ? (byRef ? { ref } : { source }) : {}),
    }));

/** Successive lists of decisions, in the order of their topic. */
export const overrideLists: fc.Arbitrary<readonly OverrideInput[]> = fc.array(
  fc.constantFrom(...emails).chain((email) =>
    fc.record({
      email: fc.constant(email),
      overrides: fc.option(fc.array(override(email), { maxLength: 3 }), { nil: null }),
    }),
  ),
  { maxLength: 4 },
);

/** Merges queues by a list of arbitrary numbers; each queue keeps its order. */
export function interleaved<T>(queues: readonly (readonly T[])[], choices: readonly number[]): readonly T[] {
  const rest = queues.map((queue) => [...queue]);
  const result: T[] = [];
  for (let step = 0; rest.some((queue) => queue.length > 0); step += 1) {
    const open = rest.filter((queue) => queue.length > 0);
    const next = open[(choices[step % Math.max(1, choices.length)] ?? 0) % open.length]?.shift();
    if (next !== undefined) result.push(next);
  }
  return result;
}

export const choices: fc.Arbitrary<readonly number[]> = fc.array(fc.nat({ max: 1000 }), {
  minLength: 1,
  maxLength: 40,
});
