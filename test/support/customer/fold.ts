/** Runs the pure cores as the topology does, hop by hop, with the order between keys chosen by the caller. */
import { changeRef, type SourceChange } from '../../../schemas/app/customer/change.ts';
import type { ConflictEvent } from '../../../schemas/app/customer/conflict-event.ts';
import type { ContributionChange } from '../../../schemas/app/customer/contribution.ts';
import type { MergeState } from '../../../schemas/app/customer/merge-state.ts';
import { mergeStateSerde } from '../../../schemas/app/customer/merge-state.ts';
import type { CustomerMerged } from '../../../schemas/app/customer/merged.ts';
import { defaultPolicy, type CustomerPolicy } from '../../../schemas/app/customer/policy.ts';
import { sourceRecordSerde, type SourceRecord } from '../../../schemas/app/customer/source-record.ts';
import { applyChange, type IdentityResult } from '../../../processors/app/customer/identity.ts';
import { applyContribution, applyOverrides, type MergeResult } from '../../../processors/app/customer/merge.ts';
import type { OverrideInput } from './reference-fold.ts';

/** What arrives at one partition of the merge. */
export type MergeInput = { readonly contribution: ContributionChange } | { readonly override: OverrideInput };

/** Freezes all the way down, as the object cache does, so that a core that writes to its input throws. */
export function frozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const part of Object.values(value)) frozen(part);
  }
  return value;
}

/** Identity for all source records. */
export class IdentityFold {
  readonly records = new Map<string, SourceRecord>();
  readonly results: IdentityResult[] = [];

  apply(change: SourceChange): readonly ContributionChange[] {
    const ref = changeRef(change);
    const result = frozen(applyChange(this.records.get(ref), frozen(change)));
    this.results.push(result);
    // Through bytes, as a restart would.
    if (result.record !== undefined)
      this.records.set(ref, sourceRecordSerde.deserialize(sourceRecordSerde.serialize(result.record)));
    return result.contributions;
  }
}

/** Merge for all e-mails, with everything that was published. */
export class MergeFold {
  readonly states = new Map<string, MergeState>();
  readonly published = new Map<string, (CustomerMerged | null)[]>();
  readonly events: ConflictEvent[] = [];
  readonly results: MergeResult[] = [];
  readonly policy: CustomerPolicy;

  constructor(policy: CustomerPolicy = defaultPolicy) {
    this.policy = policy;
  }

  apply(input: MergeInput): MergeResult {
    const email = 'contribution' in input ? input.contribution.email : input.override.email;
    const state = this.states.get(email);
    const result = frozen(
      'contribution' in input
        ? applyContribution(state, frozen(input.contribution), this.policy)
        : applyOverrides(state, { ...input.override, atMicros: 1 }, this.policy),
    );
    this.results.push(result);
    if (result.state !== undefined)
      this.states.set(email, mergeStateSerde.deserialize(mergeStateSerde.serialize(result.state)));
    if (result.merged !== undefined) {
      const list = this.published.get(email) ?? [];
      this.published.set(email, list);
      list.push(result.merged);
    }
    this.events.push(...result.events);
    return result;
  }

  /** The last value per e-mail that was ever published. */
  latest(): Map<string, CustomerMerged | null> {
    return new Map([...this.published].map(([email, values]) => [email, values.at(-1) ?? null]));
  }
}

/** Both hops in one order. */
export function foldAll(
  changes: Iterable<SourceChange>,
  overrides: Iterable<OverrideInput> = [],
): { readonly identity: IdentityFold; readonly merge: MergeFold } {
  const identity = new IdentityFold();
  const merge = new MergeFold();
  for (const change of changes) for (const contribution of identity.apply(change)) merge.apply({ contribution });
  for (const override of overrides) merge.apply({ override });
  return { identity, merge };
}
