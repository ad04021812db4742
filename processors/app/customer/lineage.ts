/** Questions about one e-mail, answered from the state of `merge`. Pure; they change nothing. */
import type { Retraction } from '../../../schemas/app/customer/contribution.ts';
import {
  compareText,
  customerFields,
  sourceSystems,
  type CustomerField,
  type SourceSystem,
} from '../../../schemas/app/customer/fields.ts';
import type { MergeState } from '../../../schemas/app/customer/merge-state.ts';
import type { FieldConflict, FieldMetadata, NewerSource } from '../../../schemas/app/customer/merged.ts';
import type { StewardOverride } from '../../../schemas/app/customer/override.ts';
import type { CustomerPolicy } from '../../../schemas/app/customer/policy.ts';
import { compact } from '../../../schemas/app/reader.ts';
import { attachedContributions, detachedRefs, resolveFields } from './merged-record.ts';
import { newerSourceOf, type Resolution } from './resolution.ts';
import type { Candidate, Rule } from './survivorship.ts';

/** A value that did not survive and why: the rule it lost by, or the steward's pin. */
export interface LineageLoser {
  readonly source: SourceSystem;
  readonly ref: string;
  readonly value: string | null;
  /** Microseconds. */
  readonly changedAt: number;
  readonly lostBy: Rule | 'pin_value' | 'pin_source' | 'removed';
}

export interface FieldLineage {
  readonly field: CustomerField;
  /** Absent: the field has no value. */
  readonly value?: string;
  readonly winner?: FieldMetadata;
  readonly losers: readonly LineageLoser[];
  /** The steward's decision in force. */
  readonly decision?: StewardOverride;
}

/** One source record under the e-mail. Instants in microseconds. */
export interface LineageSource {
  readonly ref: string;
  readonly source: SourceSystem;
  readonly ts: number;
  readonly seq: number;
  readonly updatedAt?: number;
  readonly firstSeen: number;
  readonly emailRaw?: string;
  readonly detached: boolean;
}

export interface Lineage {
  readonly email: string;
  readonly version: number;
  readonly fields: readonly FieldLineage[];
  readonly sources: readonly LineageSource[];
  /** Records that contributed once, in order of references. */
  readonly departed: readonly Retraction[];
}

function lossOf(candidate: Candidate, { metadata, survivor, decision }: Resolution): LineageLoser['lostBy'] {
  if (decision?.action === 'PIN_VALUE') return 'pin_value';
  if (metadata?.pinned === true) return 'pin_source';
  const lost = survivor?.losers.find((loser) => loser.candidate.ref === candidate.ref);
  return lost?.lostBy ?? 'removed';
}

function fieldLineage(field: CustomerField, resolution: Resolution): FieldLineage {
  const { value, metadata, candidates, decision } = resolution;
  const losers = candidates
    .filter(({ ref }) => ref !== metadata?.ref)
    .map((candidate) => ({
      source: candidate.source,
      ref: candidate.ref,
      value: candidate.value,
      changedAt: candidate.clock.ts,
      lostBy: lossOf(candidate, resolution),
    }));
  return compact({ field, value, winner: metadata, losers, decision });
}

/** Where every value of the customer comes from, what lost against it and why. */
export function lineage(state: MergeState, policy: CustomerPolicy): Lineage {
  const resolutions = resolveFields(attachedContributions(state), state.overrides, policy);
  const detached = detachedRefs(state.overrides);
  const byRef = (left: { readonly ref: string }, right: { readonly ref: string }): number =>
    compareText(left.ref, right.ref);
  return {
    email: state.email,
    version: state.version,
    fields: [...resolutions].map(([field, resolution]) => fieldLineage(field, resolution)),
    sources: Object.values(state.contributions)
      .sort(byRef)
      .map(({ ref, source, version, updatedAt, firstSeen, emailRaw }) =>
        compact({
          ref,
          source,
          ts: version.ts,
          seq: version.seq,
          updatedAt,
          firstSeen,
          emailRaw,
          detached: detached.has(ref),
        }),
      ),
    departed: Object.values(state.graves).sort(byRef),
  };
}

/** A conflict with the field it is about. */
export interface OpenConflict extends FieldConflict {
  readonly field: CustomerField;
}

/** The open conflicts, in the order of `customerFields`. */
export function openConflicts(state: MergeState, policy: CustomerPolicy): readonly OpenConflict[] {
  const found: OpenConflict[] = [];
  for (const [field, { conflict }] of resolveFields(attachedContributions(state), state.overrides, policy))
    if (conflict !== undefined) found.push({ field, ...conflict });
  return found;
}

/** How the two systems stand to each other on one customer. */
export interface SyncView {
  readonly email: string;
  readonly conflicts: readonly OpenConflict[];
  /** For every field that has a value somewhere: which system changed it last. */
  readonly newerSource: { readonly [F in CustomerField]?: NewerSource };
  /** Systems that do not know the customer. */
  readonly missing: readonly SourceSystem[];
  /** Both systems know the customer and no conflict is open. */
  readonly inSync: boolean;
}

/** Compares the systems field by field; `undefined` if neither knows the customer. Nothing is resolved by asking. */
export function syncView(state: MergeState | undefined, policy: CustomerPolicy): SyncView | undefined {
  const contributions = state === undefined ? [] : attachedContributions(state);
  if (state === undefined || contributions.length === 0) return undefined;
  const resolutions = resolveFields(contributions, state.overrides, policy);
  const conflicts = openConflicts(state, policy);
  const newerSource: { [F in CustomerField]?: NewerSource } = {};
  for (const field of customerFields) {
    const told = resolutions.get(field)?.candidates.filter(({ value }) => value !== null) ?? [];
    if (told.length > 0) newerSource[field] = newerSourceOf(told);
  }
  const missing = sourceSystems.filter((system) => contributions.every(({ source }) => source !== system));
  return {
    email: state.email,
    conflicts,
    newerSource,
    missing,
    inSync: conflicts.length === 0 && missing.length === 0,
  };
}
