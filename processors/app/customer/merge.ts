/** Everything known of one e-mail, moved on by one change. Pure: functions of (state, change, policy). */
import { canonicalJson } from '../../../index.ts';
import type { ConflictEvent } from '../../../schemas/app/customer/conflict-event.ts';
import type { ContributionChange, Contribution, Retraction } from '../../../schemas/app/customer/contribution.ts';
import type { MergeState } from '../../../schemas/app/customer/merge-state.ts';
import type { CustomerMerged, DetachedCustomer } from '../../../schemas/app/customer/merged.ts';
import type { StewardOverride, StewardOverrides } from '../../../schemas/app/customer/override.ts';
import type { CustomerPolicy } from '../../../schemas/app/customer/policy.ts';
import { compareVersions } from '../../../schemas/app/customer/version.ts';
import { conflictEvents, overrideEvents, type ChangeCause } from './conflict-events.ts';
import { attachedContributions, detachedRecord, detachedRefs, mergedRecord } from './merged-record.ts';

/** The most source records, living and gone, that one e-mail may have: a placeholder address must not outgrow the largest message. */
export const refsPerEmailMax = 200;

/** `refused`: an override that expected another version, or a record beyond `refsPerEmailMax`. */
export type MergeOutcome = 'applied' | 'duplicate' | 'refused';

export interface MergeResult {
  readonly outcome: MergeOutcome;
  /** The state from now on; the very object passed in if nothing changed. */
  readonly state: MergeState | undefined;
  /** For `customer.merged`: the record, `null` once it is gone; absent if there is nothing to say. */
  readonly merged?: CustomerMerged | null;
  /** For `customer.conflicts`. */
  readonly events: readonly ConflictEvent[];
  /** For `customer.detached`, by reference; `null` for those that are detached no longer. */
  readonly detached: readonly { readonly ref: string; readonly value: DetachedCustomer | null }[];
}

/** What changes, and what is told about why. */
interface Step {
  readonly before: MergeState;
  readonly after: MergeState;
  readonly cause: ChangeCause;
  readonly atMicros: number;
}

function emptyState(email: string): MergeState {
  return {
    email,
    version: 0,
    contributions: {},
    graves: {},
    overrides: [],
    refusedOverrides: [],
    overridesAt: 0,
    conflicts: {},
    duplicates: {},
  };
}

const unchanged = (outcome: MergeOutcome, state: MergeState | undefined): MergeResult => ({
  outcome,
  state,
  events: [],
  detached: [],
});

/** Counts the change, merges anew and says what is different. */
function settled({ before, after, cause, atMicros }: Step, policy: CustomerPolicy): MergeResult {
  const counted = { ...after, version: before.version + 1 };
  const merged = mergedRecord(counted, policy);
  const state = { ...counted, conflicts: merged?.conflicts ?? {}, duplicates: merged?.duplicates ?? {} };
  const isPublished = merged !== null || attachedContributions(before).length > 0;
  return {
    outcome: 'applied',
    state,
    ...(isPublished ? { merged } : {}),
    events: conflictEvents(before, state, { cause, atMicros }),
    detached: detachedChanges(before, state, policy),
  };
}

function detachedContributions(state: MergeState): ReadonlyMap<string, Contribution> {
  const detached = new Map<string, Contribution>();
  for (const ref of detachedRefs(state.overrides)) {
    const contribution = state.contributions[ref];
    if (contribution !== undefined) detached.set(ref, contribution);
  }
  return detached;
}

function detachedChanges(before: MergeState, after: MergeState, policy: CustomerPolicy): MergeResult['detached'] {
  const old = detachedContributions(before);
  const now = detachedContributions(after);
  const gone = [...old.keys()].filter((ref) => !now.has(ref)).map((ref) => ({ ref, value: null }));
  const changed = [...now]
    .filter(([ref, contribution]) => old.get(ref) !== contribution)
    .map(([ref, contribution]) => ({ ref, value: detachedRecord(after.email, contribution, policy) }));
  return [...gone, ...changed];
}

/** Whether a change of a source record is later than what last happened to it here; the count decides between equal versions. */
function isLater(
  change: Pick<Retraction, 'version' | 'acceptedCount'>,
  last: Pick<Retraction, 'version' | 'acceptedCount'> | undefined,
): boolean {
  if (last === undefined) return true;
  const order = compareVersions(change.version, last.version);
  return order > 0 || (order === 0 && change.acceptedCount > last.acceptedCount);
}

function without<T>(map: Readonly<Record<string, T>>, ref: string): Readonly<Record<string, T>> {
  return Object.fromEntries(Object.entries(map).filter(([key]) => key !== ref));
}

/** Applies what a source record gives to, or takes back from, `change.email`. The same change a second time is a duplicate. */
export function applyContribution(
  state: MergeState | undefined,
  change: ContributionChange,
  policy: CustomerPolicy,
): MergeResult {
  const before = state ?? emptyState(change.email);
  return change.kind === 'put'
    ? put(state, before, change.contribution, policy)
    : retract(state, before, change.retraction, policy);
}

function put(
  state: MergeState | undefined,
  before: MergeState,
  contribution: Contribution,
  policy: CustomerPolicy,
): MergeResult {
  const { ref } = contribution;
  const last = before.contributions[ref] ?? before.graves[ref];
  if (!isLater(contribution, last)) return unchanged('duplicate', state);
  const refs = Object.keys(before.contributions).length + Object.keys(before.graves).length;
  if (last === undefined && refs >= refsPerEmailMax) return unchanged('refused', state);
  const after = {
    ...before,
    contributions: { ...before.contributions, [ref]: contribution },
    graves: without(before.graves, ref),
  };
  return settled({ before, after, cause: 'put', atMicros: contribution.version.ts }, policy);
}

function retract(
  state: MergeState | undefined,
  before: MergeState,
  retraction: Retraction,
  policy: CustomerPolicy,
): MergeResult {
  const { ref } = retraction;
  const contribution = before.contributions[ref];
  if (contribution === undefined || !isLater(retraction, contribution)) return unchanged('duplicate', state);
  const after = {
    ...before,
    contributions: without(before.contributions, ref),
    graves: { ...before.graves, [ref]: retraction },
  };
  return settled({ before, after, cause: 'retract', atMicros: retraction.at }, policy);
}

interface Judged {
  readonly accepted: StewardOverrides;
  readonly refused: StewardOverrides;
  /** Those of either kind that were decided just now. */
  readonly fresh: readonly { readonly override: StewardOverride; readonly isAccepted: boolean }[];
}

/** A decision is judged once, when it first appears in the list; it then stays accepted or refused for as long as it is listed. */
function judge(before: MergeState, list: StewardOverrides): Judged {
  const known = new Map<string | undefined, boolean>([
    ...before.overrides.map((override) => [canonicalJson(override), true] as const),
    ...before.refusedOverrides.map((override) => [canonicalJson(override), false] as const),
  ]);
  const verdicts = list.map((override) => {
    const earlier = known.get(canonicalJson(override));
    const isExpected = override.expectedVersion === undefined || override.expectedVersion === before.version;
    return {
      override,
      isFresh: earlier === undefined,
      isAccepted: earlier ?? (isExpected && override.email === before.email),
    };
  });
  const overrides = (isAccepted: boolean): StewardOverrides =>
    verdicts.filter((verdict) => verdict.isAccepted === isAccepted).map(({ override }) => override);
  return {
    accepted: overrides(true),
    refused: overrides(false),
    fresh: verdicts.filter(({ isFresh }) => isFresh).map(({ override, isAccepted }) => ({ override, isAccepted })),
  };
}

/**
 * Replaces the list of a steward's decisions on `email`; `null` is the empty list. `atMicros` is the time of the record that brought it and
 * only dates events. A list that changes nothing is a duplicate; one of which nothing was accepted, refused.
 */
export function applyOverrides(
  state: MergeState | undefined,
  change: { readonly email: string; readonly overrides: StewardOverrides | null; readonly atMicros: number },
  policy: CustomerPolicy,
): MergeResult {
  const before = state ?? emptyState(change.email);
  const { accepted, refused, fresh } = judge(before, change.overrides ?? []);
  const isSame = canonicalJson(accepted) === canonicalJson(before.overrides);
  if (isSame) {
    const isKnown = canonicalJson(refused) === canonicalJson(before.refusedOverrides);
    if (isKnown) return unchanged('duplicate', state);
    const events = overrideEvents(before, before.version, { fresh, atMicros: change.atMicros });
    return {
      ...unchanged(fresh.length === 0 ? 'duplicate' : 'refused', { ...before, refusedOverrides: refused }),
      events,
    };
  }
  const after = {
    ...before,
    overrides: accepted,
    refusedOverrides: refused,
    overridesAt: Math.max(before.overridesAt, ...accepted.map(({ at }) => at)),
  };
  const result = settled({ before, after, cause: 'override', atMicros: change.atMicros }, policy);
  const decided = overrideEvents(before, before.version + 1, { fresh, atMicros: change.atMicros });
  return { ...result, events: [...decided, ...result.events] };
}

/**
 * Merges again because the policy changed: counts as one change if it makes a difference, so that the version still grows. A key whose later
 * changes met the new policy already is merged by it either way.
 */
export function remerge(
  state: MergeState,
  policies: { readonly from: CustomerPolicy; readonly to: CustomerPolicy },
  atMicros: number,
): MergeResult {
  const isSame = canonicalJson(mergedRecord(state, policies.from)) === canonicalJson(mergedRecord(state, policies.to));
  if (isSame) return unchanged('duplicate', state);
  const result = settled({ before: state, after: state, cause: 'policy', atMicros }, policies.to);
  const detached = [...detachedContributions(state).values()].map((contribution) => ({
    ref: contribution.ref,
    value: detachedRecord(state.email, contribution, policies.to),
  }));
  return { ...result, detached };
}

/** The state without the graves that blocked late changes for longer than `ttlMicros`; the very same object if there are none. The version stays. */
export function expireGraves(state: MergeState, nowMicros: number, ttlMicros: number): MergeState {
  const kept = Object.entries(state.graves).filter(([, { at }]) => at + ttlMicros > nowMicros);
  return kept.length === Object.keys(state.graves).length ? state : { ...state, graves: Object.fromEntries(kept) };
}
