import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { changeRef, type SourceChange } from '../../../../schemas/app/customer/change.ts';
import type { ContributionChange } from '../../../../schemas/app/customer/contribution.ts';
import { customerFields } from '../../../../schemas/app/customer/fields.ts';
import type { MergeState } from '../../../../schemas/app/customer/merge-state.ts';
import type { CustomerMerged } from '../../../../schemas/app/customer/merged.ts';
import { canonicalJson } from '../../../../schemas/serde.ts';
import { choices, histories, interleaved, overrideLists } from '../../../support/customer/arbitraries.ts';
import { foldAll, IdentityFold, MergeFold, type MergeInput } from '../../../support/customer/fold.ts';
import { referenceFold, type OverrideInput } from '../../../support/customer/reference-fold.ts';

/** Through both repartition hops: any order between source records, then any order between what different records say to one e-mail. */
function foldShuffled(
  queues: readonly (readonly SourceChange[])[],
  overrides: readonly OverrideInput[],
  [first, second]: readonly [readonly number[], readonly number[]],
): { readonly identity: IdentityFold; readonly merge: MergeFold } {
  const identity = new IdentityFold();
  const lanes = new Map<string, MergeInput[]>();
  const lane = (name: string): MergeInput[] => {
    const found = lanes.get(name) ?? [];
    lanes.set(name, found);
    return found;
  };
  const into = (ref: string, contribution: ContributionChange): void => {
    lane(`${ref}>${contribution.email}`).push({ contribution });
  };
  for (const change of interleaved(queues, first))
    for (const contribution of identity.apply(change)) into(changeRef(change), contribution);
  for (const override of overrides) lane(`overrides>${override.email}`).push({ override });
  const merge = new MergeFold();
  for (const input of interleaved([...lanes.values()], second)) merge.apply(input);
  return { identity, merge };
}

function expectGrounded(customer: CustomerMerged, { contributions, overrides }: MergeState): void {
  const living = Object.values(contributions).filter(({ ref }) => ref in customer.vector);
  const pins = overrides.map(({ value }) => value);
  for (const field of customerFields) {
    const said = living.map(({ image }) => image[field]).filter((value) => typeof value === 'string');
    if (customer[field] !== undefined) expect([...said, ...pins]).toContain(customer[field]);
    if (customer.conflicts[field] !== undefined) expect(new Set(said).size).toBeGreaterThan(1);
    const isDecided = overrides.some((override) => override.field === field);
    const forms = new Set(said.map((text) => text.replaceAll(/[\s+]/g, '').toLowerCase()));
    if (forms.size > 1 && !isDecided) expect(customer.conflicts[field]).toBeDefined();
  }
}

const orders = fc.tuple(choices, choices);
const runs = { numRuns: 200 };

function published(merge: MergeFold): Map<string, string | null> {
  return new Map(
    [...merge.latest()].map(([email, value]) => [email, value === null ? null : (canonicalJson(value) ?? '')]),
  );
}

/** Every published value, per e-mail in order. */
function allPublished(merge: MergeFold): readonly (readonly (CustomerMerged | null)[])[] {
  return [...merge.published.values()];
}

describe('the merge of random histories', () => {
  test('I-C1, I-C3: in every interleaving customer.merged equals the reference fold byte for byte, version included', () => {
    fc.assert(
      fc.property(histories, overrideLists, orders, (queues, overrides, order) => {
        const { merge } = foldShuffled(queues, overrides, order);
        const expected = referenceFold(queues.flat(), overrides);
        for (const [email, { json, version }] of expected) {
          expect(published(merge).get(email) ?? null).toBe(json);
          expect(merge.states.get(email)?.version).toBe(version);
        }
        for (const email of merge.states.keys()) expect(expected.has(email)).toBe(true);
      }),
      runs,
    );
  });

  test('I-C2: exactly the e-mails with a living, attached contribution have a record, all others were deleted or never published', () => {
    fc.assert(
      fc.property(histories, orders, (queues, order) => {
        const { identity, merge } = foldShuffled(queues, [], order);
        const living = new Set<string>();
        for (const { email } of identity.records.values()) if (email !== undefined) living.add(email);
        for (const [email, value] of merge.latest()) expect(value !== null).toBe(living.has(email));
        for (const email of living) expect(merge.latest().has(email)).toBe(true);
      }),
      runs,
    );
  });

  test('I-C3: delivering any change a second time, right away or at the end, changes nothing', () => {
    fc.assert(
      fc.property(histories, orders, fc.boolean(), (queues, order, atOnce) => {
        // A tombstone, a collision or an event id given twice is told apart from a copy by nothing but order: those are left alone.
        const calm = queues.map((queue) =>
          queue.filter(
            (change, index) =>
              change.op !== 'TOMBSTONE' &&
              !queue
                .slice(0, index)
                .some(
                  (other) =>
                    other.op !== 'TOMBSTONE' &&
                    (other.version.ts === change.version.ts || other.eventId === change.eventId),
                ),
          ),
        );
        const again = calm.map((queue) =>
          atOnce ? queue.flatMap((change) => [change, change]) : [...queue, ...queue],
        );
        expect(published(foldShuffled(again, [], order).merge)).toEqual(published(foldShuffled(calm, [], order).merge));
      }),
      runs,
    );
  });

  test('I-C3: what identity sends may arrive twice at the merge', () => {
    fc.assert(
      fc.property(histories, (queues) => {
        const identity = new IdentityFold();
        const once = new MergeFold();
        const twice = new MergeFold();
        const sent = queues.flat().flatMap((change) => identity.apply(change));
        for (const contribution of sent) once.apply({ contribution });
        for (const contribution of [...sent.flatMap((entry) => [entry, entry]), ...sent]) twice.apply({ contribution });
        expect(published(twice)).toEqual(published(once));
      }),
      runs,
    );
  });

  test('I-C4: every value comes from a living contribution or a pin, and a conflict is open iff two living ones differ unpinned', () => {
    fc.assert(
      fc.property(histories, overrideLists, orders, (queues, overrides, order) => {
        const { merge } = foldShuffled(queues, overrides, order);
        for (const [email, customer] of merge.latest())
          if (customer !== null) expectGrounded(customer, merge.states.get(email)!);
      }),
      runs,
    );
  });

  test('I-C5: the version of an e-mail strictly grows, over its deletion too, and never is a deletion published twice', () => {
    fc.assert(
      fc.property(histories, overrideLists, orders, (queues, overrides, order) => {
        const { merge } = foldShuffled(queues, overrides, order);
        for (const values of allPublished(merge)) {
          const versions = values.filter((value) => value !== null).map(({ version }) => version);
          expect(versions).toEqual([...new Set(versions)].sort((left, right) => left - right));
          values.forEach((value, index) => {
            if (value === null) expect(values[index - 1] ?? null).not.toBeNull();
          });
        }
      }),
      runs,
    );
  });

  test('I-C6: without a deletion, a tombstone or a new address no e-mail ever loses its customer', () => {
    fc.assert(
      fc.property(histories, orders, (queues, order) => {
        const seen = new Map<string, string | undefined>();
        const kept = queues.map((queue) =>
          queue.filter((change) => {
            if (change.op === 'TOMBSTONE' || change.op === 'DELETE' || !change.present.includes('email')) return false;
            const ref = changeRef(change);
            if (seen.has(ref)) return seen.get(ref) === change.email;
            seen.set(ref, change.email);
            return true;
          }),
        );
        for (const values of allPublished(foldShuffled(kept, [], order).merge)) expect(values).not.toContain(null);
      }),
      runs,
    );
  });

  test('conflict events tell what is open: opened and resolved alternate, and replaying them gives the conflicts of the record', () => {
    fc.assert(
      fc.property(histories, overrideLists, orders, (queues, overrides, order) => {
        const { merge } = foldShuffled(queues, overrides, order);
        const open = new Map<string, string | undefined>();
        for (const event of merge.events) {
          if (event.kind !== 'field_value') continue;
          const key = `${event.email} ${event.field}`;
          expect(open.has(key)).toBe(event.type !== 'opened');
          if (event.type === 'resolved') open.delete(key);
          else open.set(key, canonicalJson(event.conflict));
        }
        const expected = new Map<string, string | undefined>();
        for (const [email, customer] of merge.latest())
          for (const field of customerFields) {
            const conflict = customer?.conflicts[field];
            if (conflict !== undefined) expected.set(`${email} ${field}`, canonicalJson(conflict));
          }
        expect(open).toEqual(expected);
      }),
      runs,
    );
  });

  test('every change is counted exactly once: applied, duplicate or stale', () => {
    fc.assert(
      fc.property(histories, (queues) => {
        const { identity } = foldAll(queues.flat());
        expect(identity.results).toHaveLength(queues.flat().length);
        for (const result of identity.results) expect(result.outcome === 'applied').toBe(result.effect !== undefined);
      }),
    );
  });
});
