/** The customer as a function of the set of its contributions: no order of arrival, no clock, no earlier result enters. */
import type { Contribution } from '../../../schemas/app/customer/contribution.ts';
import {
  compareText,
  customerFields,
  parseSourceRef,
  sourceSystems,
  type CustomerField,
  type SourceSystem,
} from '../../../schemas/app/customer/fields.ts';
import type { MergeState } from '../../../schemas/app/customer/merge-state.ts';
import type {
  CustomerMerged,
  DetachedCustomer,
  DuplicateRefs,
  FieldConflict,
  FieldMetadata,
} from '../../../schemas/app/customer/merged.ts';
import type { StewardOverrides } from '../../../schemas/app/customer/override.ts';
import type { CustomerPolicy } from '../../../schemas/app/customer/policy.ts';
import { compact } from '../../../schemas/app/reader.ts';
import { resolveField, type Resolution } from './resolution.ts';

/** What the merged record is computed from. */
export type MergeInputs = Pick<
  MergeState,
  'email' | 'version' | 'contributions' | 'graves' | 'overrides' | 'overridesAt'
>;

const noRefs: ReadonlySet<string> = new Set();

/** The references a steward has taken out: those whose last decision was to detach them. */
export function detachedRefs(overrides: StewardOverrides): ReadonlySet<string> {
  if (overrides.length === 0) return noRefs;
  const detached = new Set<string>();
  for (const { action, ref } of overrides) {
    if (ref === undefined) continue;
    if (action === 'DETACH_REF') detached.add(ref);
    if (action === 'ATTACH_REF') detached.delete(ref);
  }
  return detached;
}

/** The contributions that count, in order of references. */
export function attachedContributions(
  inputs: Pick<MergeInputs, 'contributions' | 'overrides'>,
): readonly Contribution[] {
  const detached = detachedRefs(inputs.overrides);
  return Object.values(inputs.contributions)
    .filter(({ ref }) => !detached.has(ref))
    .sort((left, right) => compareText(left.ref, right.ref));
}

/** Every field resolved, in the order of `customerFields`. */
export function resolveFields(
  contributions: readonly Contribution[],
  overrides: StewardOverrides,
  policy: CustomerPolicy,
): ReadonlyMap<CustomerField, Resolution> {
  return new Map(
    customerFields.map((field) => [field, resolveField(field, contributions, overrides, policy[field])] as const),
  );
}

/** The instant a source record claims to be from. */
function updatedAtOf({ updatedAt, version }: Contribution): number {
  return updatedAt ?? version.ts;
}

/** The most recently changed record of a system: it gives the customer's id there. */
function latestOf(contributions: readonly Contribution[], source: SourceSystem): Contribution | undefined {
  return contributions
    .filter((contribution) => contribution.source === source)
    .reduce<Contribution | undefined>(
      (best, next) => (best === undefined || next.version.ts > best.version.ts ? next : best),
      undefined,
    );
}

function identities(contributions: readonly Contribution[]): Partial<CustomerMerged> {
  const updated = (source: SourceSystem): number | undefined => {
    const times = contributions.filter((contribution) => contribution.source === source).map(updatedAtOf);
    return times.length === 0 ? undefined : Math.max(...times);
  };
  const a = latestOf(contributions, 'system_a');
  const b = latestOf(contributions, 'system_b');
  return compact({
    systemAId: a === undefined ? undefined : parseSourceRef(a.ref)?.sourceId,
    systemBUuid: b === undefined ? undefined : parseSourceRef(b.ref)?.sourceId,
    systemAUpdated: updated('system_a'),
    systemBUpdated: updated('system_b'),
  });
}

/** Systems that know the customer by several living records. */
function duplicatesOf(contributions: readonly Contribution[]): DuplicateRefs {
  const duplicates: { [S in SourceSystem]?: readonly string[] } = {};
  for (const source of sourceSystems) {
    const refs = contributions.filter((contribution) => contribution.source === source).map(({ ref }) => ref);
    if (refs.length > 1) duplicates[source] = refs;
  }
  return duplicates;
}

function times(
  inputs: MergeInputs,
  contributions: readonly Contribution[],
): { createdAt: number; lastMergedAt: number } {
  const graves = Object.values(inputs.graves);
  return {
    createdAt: Math.min(
      ...contributions.map(({ firstSeen }) => firstSeen),
      ...graves.map(({ firstSeen }) => firstSeen),
    ),
    lastMergedAt: Math.max(
      inputs.overridesAt,
      ...contributions.map(({ version }) => version.ts),
      ...graves.map(({ at }) => at),
    ),
  };
}

/** The merged record, `null` if no contribution counts. */
export function mergedRecord(inputs: MergeInputs, policy: CustomerPolicy): CustomerMerged | null {
  const contributions = attachedContributions(inputs);
  if (contributions.length === 0) return null;
  const values: { [F in CustomerField]?: string } = {};
  const fieldMetadata: { [F in CustomerField]?: FieldMetadata } = {};
  const conflicts: { [F in CustomerField]?: FieldConflict } = {};
  for (const [field, { value, metadata, conflict }] of resolveFields(contributions, inputs.overrides, policy)) {
    if (value !== undefined) values[field] = value;
    if (metadata !== undefined) fieldMetadata[field] = metadata;
    if (conflict !== undefined) conflicts[field] = conflict;
  }
  const sources = sourceSystems.filter((system) => contributions.some(({ source }) => source === system));
  const duplicates = duplicatesOf(contributions);
  return {
    email: inputs.email,
    ...values,
    ...identities(contributions),
    sources,
    isPartial: sources.length < sourceSystems.length,
    version: inputs.version,
    ...times(inputs, contributions),
    fieldMetadata,
    conflicts,
    ...(Object.keys(duplicates).length === 0 ? {} : { duplicates }),
    vector: Object.fromEntries(
      contributions.map(({ ref, version }) => [ref, { ts: version.ts, seq: version.seq }] as const),
    ),
  };
}

/** A contribution that was taken out, as a customer of its own. Its version counts its own changes, whatever else happens to the e-mail. */
export function detachedRecord(
  email: string,
  contribution: Contribution,
  policy: CustomerPolicy,
): DetachedCustomer | null {
  const { ref, acceptedCount } = contribution;
  const alone = { contributions: { [ref]: contribution }, graves: {}, overrides: [], overridesAt: 0 };
  const merged = mergedRecord({ email, version: acceptedCount, ...alone }, policy);
  return merged === null ? null : { ...merged, detached: true, ref };
}
