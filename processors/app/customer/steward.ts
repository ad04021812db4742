/** What stewards decide, one decision after the other, gathered into the list of their e-mail: this step alone writes `customer.overrides`. */
import { canonicalJson, defineProcessor, defineStore, stringSerde } from '../../../index.ts';
import type { ProcessorContext, StreamRecord } from '../../../index.ts';
import {
  stewardOverridesSerde,
  type StewardOverride,
  type StewardOverrides,
} from '../../../schemas/app/customer/override.ts';

/** The most decisions an e-mail may have: beyond it only those are taken that make others superfluous. */
export const decisionsPerEmailMax = 100;

/** What a decision is about: later ones about the same take its place. */
function subjectOf({ action, ref, field }: StewardOverride): string {
  return action === 'DETACH_REF' || action === 'ATTACH_REF' ? `ref ${ref ?? ''}` : `field ${field ?? ''}`;
}

/**
 * The list with the decision at its end; the very same list if it has that decision, or no room for it. A decision that expects no version is
 * sure to be accepted, so what was decided before about the same is dropped.
 */
export function withDecision(list: StewardOverrides, decision: StewardOverride): StewardOverrides {
  const text = canonicalJson(decision);
  if (list.some((known) => canonicalJson(known) === text)) return list;
  const subject = subjectOf(decision);
  const kept = decision.expectedVersion === undefined ? list.filter((known) => subjectOf(known) !== subject) : list;
  return kept.length < decisionsPerEmailMax ? [...kept, decision] : list;
}

/** The list of each e-mail, as last written. */
const stewardLists = defineStore('steward-decisions', { key: stringSerde, value: stewardOverridesSerde });

const stores = { stewardLists };

export const stewardStep = defineProcessor({
  name: 'steward',
  stores,
  process(
    { key: email, value: decision, timestampMs }: StreamRecord<string, StewardOverride | null>,
    { stores: { stewardLists: lists }, forward, drop }: ProcessorContext<string, StewardOverrides, typeof stores>,
  ) {
    if (decision === null) {
      drop('null-value');
      return;
    }
    const before = lists.get(email) ?? [];
    const after = withDecision(before, decision);
    if (after === before) {
      drop('refused');
      return;
    }
    lists.put(email, after);
    forward({ key: email, value: after, timestampMs });
  },
});
