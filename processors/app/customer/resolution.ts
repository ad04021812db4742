/** One field of a customer: what every source says, what a steward said, what survives and whether that is disputed. */
import type { Contribution } from '../../../schemas/app/customer/contribution.ts';
import type { CustomerField, SourceSystem } from '../../../schemas/app/customer/fields.ts';
import type { FieldConflict, FieldMetadata, NewerSource } from '../../../schemas/app/customer/merged.ts';
import type { StewardOverride, StewardOverrides } from '../../../schemas/app/customer/override.ts';
import type { FieldPolicy } from '../../../schemas/app/customer/policy.ts';
import { comparableForm, survivor, type Candidate, type Survivor } from './survivorship.ts';

export interface Resolution {
  /** `undefined`: the field has no value. */
  readonly value: string | undefined;
  readonly metadata: FieldMetadata | undefined;
  readonly conflict: FieldConflict | undefined;
  /** What the policy chose, or would choose without the pin; `undefined` if no source says anything. */
  readonly survivor: Survivor | undefined;
  /** The steward's decision in force. */
  readonly decision: StewardOverride | undefined;
  /** All that sources say, in order of references; removed values are `null`. */
  readonly candidates: readonly Candidate[];
}

/** A value and where it comes from. */
type Answer = Pick<Resolution, 'value' | 'metadata'>;

const noAnswer: Answer = { value: undefined, metadata: undefined };

const fieldActions = new Set<StewardOverride['action']>(['PIN_VALUE', 'PIN_SOURCE', 'ACCEPT', 'RELEASE']);

/** The last decision on a field, unless it was to decide no longer. */
function decisionOn(field: CustomerField, overrides: StewardOverrides): StewardOverride | undefined {
  const last = overrides.findLast((override) => override.field === field && fieldActions.has(override.action));
  return last?.action === 'RELEASE' ? undefined : last;
}

/** What each contribution says of a field. A value that was always missing says nothing; one that was removed says so. */
function candidatesFor(field: CustomerField, contributions: readonly Contribution[]): readonly Candidate[] {
  const candidates: Candidate[] = [];
  for (const { ref, source, version, image, clocks } of contributions) {
    const value = image[field];
    const clock = clocks[field];
    if (value === undefined || (value === null && clock === undefined)) continue;
    candidates.push({ ref, source, value, clock: clock ?? { ts: version.ts, seq: version.seq, record: true } });
  }
  return candidates;
}

const hasValue = (candidate: Candidate): boolean => candidate.value !== null;

/** Which system changed a field last; sequence numbers of different systems do not compare. */
export function newerSourceOf(candidates: readonly Candidate[]): NewerSource {
  const latest = (source: SourceSystem): number =>
    Math.max(-1, ...candidates.filter((candidate) => candidate.source === source).map(({ clock }) => clock.ts));
  const [a, b] = [latest('system_a'), latest('system_b')];
  return a === b ? 'equal' : a > b ? 'system_a' : 'system_b';
}

function disputeOf(candidates: readonly Candidate[], chosen: Survivor, policy: FieldPolicy): FieldConflict | undefined {
  const told = candidates.filter(hasValue);
  if (told.length < 2) return undefined;
  const forms = new Set(told.map(({ value }) => comparableForm(value ?? '', policy.equivalence)));
  if (forms.size < 2) return undefined;
  return {
    candidates: told.map(({ ref, source, value, clock }) => ({ ref, source, value: value ?? '', changedAt: clock.ts })),
    newerSource: newerSourceOf(told),
    chosen: chosen.winner.ref,
    rule: chosen.rule,
    since: Math.max(...told.map(({ clock }) => clock.ts)),
  };
}

function pinnedValue(pin: StewardOverride): Answer {
  const value = pin.value ?? undefined;
  if (value === undefined) return noAnswer;
  const ref = `steward:${pin.actorId}`;
  return { value, metadata: { source: 'steward', ref, changedAt: pin.at, rule: 'pin_value', pinned: true } };
}

function chosenValue({ winner, value, rule }: Survivor, pinned: boolean): Answer {
  if (value === null) return noAnswer;
  const { source, ref, clock } = winner;
  return { value, metadata: { source, ref, changedAt: clock.ts, rule: pinned ? 'pin_source' : rule, pinned } };
}

/** What the pinned source says; `undefined` if none is pinned or it says nothing. */
function pinnedSource(
  pin: StewardOverride | undefined,
  field: CustomerField,
  candidates: readonly Candidate[],
  policy: FieldPolicy,
): Answer | undefined {
  if (pin?.action !== 'PIN_SOURCE') return undefined;
  const wanted = candidates.filter(
    (candidate) =>
      hasValue(candidate) && (pin.ref === undefined ? candidate.source === pin.source : candidate.ref === pin.ref),
  );
  const chosen = survivor(field, wanted, policy);
  return chosen === undefined ? undefined : chosenValue(chosen, true);
}

/** Resolves a field from the contributions of one customer, given in order of references. */
export function resolveField(
  field: CustomerField,
  contributions: readonly Contribution[],
  overrides: StewardOverrides,
  policy: FieldPolicy,
): Resolution {
  const candidates = candidatesFor(field, contributions);
  const decision = decisionOn(field, overrides);
  const chosen = survivor(field, policy.nullPolicy === 'clear' ? candidates : candidates.filter(hasValue), policy);
  const resolved = ({ value, metadata }: Answer, conflict?: FieldConflict): Resolution => ({
    value,
    metadata,
    conflict,
    survivor: chosen,
    decision,
    candidates,
  });
  if (decision?.action === 'PIN_VALUE') return resolved(pinnedValue(decision));
  const pinned = pinnedSource(decision, field, candidates, policy);
  if (pinned !== undefined) return resolved(pinned);
  if (chosen === undefined) return resolved(noAnswer);
  return resolved(chosenValue(chosen, false), undecided(disputeOf(candidates, chosen, policy), decision));
}

/** A dispute that a steward accepted is none until a value changes after that. */
function undecided(
  dispute: FieldConflict | undefined,
  decision: StewardOverride | undefined,
): FieldConflict | undefined {
  return dispute !== undefined && decision?.action === 'ACCEPT' && dispute.since <= decision.at ? undefined : dispute;
}
