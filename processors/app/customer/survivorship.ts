/** Which of several values of one field survives. Pure; the answer depends on the set of candidates, never on their order. */
import {
  compareText,
  textLengthMax,
  type CustomerField,
  type SourceSystem,
} from '../../../schemas/app/customer/fields.ts';
import type { Equivalence, FieldPolicy, StrategyStep } from '../../../schemas/app/customer/policy.ts';
import type { FieldClock } from '../../../schemas/app/customer/version.ts';

/** One source record's value of a field; `null` is one that was removed. */
export interface Candidate {
  readonly ref: string;
  readonly source: SourceSystem;
  readonly value: string | null;
  readonly clock: FieldClock;
}

/** What decided: the only candidate there was, a strategy, the age of records where that of fields is unknown, or the order of references. */
export type Rule = 'single-source' | StrategyStep | 'record-clock' | 'source-order';

/** A candidate that lost, and the step it lost in. */
export interface Loser {
  readonly candidate: Candidate;
  readonly lostBy: Rule;
}

export interface Survivor {
  readonly winner: Candidate;
  /** The winner's value, or the joined values of an aggregate. */
  readonly value: string | null;
  readonly rule: Rule;
  /** In order of references. */
  readonly losers: readonly Loser[];
}

const foldedBlanks = (text: string): string => text.normalize('NFC').trim().replaceAll(/\s+/gu, ' ');

const forms: Readonly<Record<Equivalence, (value: string) => string>> = {
  exact: (value) => value,
  name: (value) => foldedBlanks(value).toLowerCase(),
  // Letters would vanish: text without a digit is compared as it is.
  digits: (value) => value.replaceAll(/\D/g, '') || foldedBlanks(value),
  whitespace: foldedBlanks,
};

/** Values are equivalent iff they have the same form. */
export function comparableForm(value: string, equivalence: Equivalence): string {
  return forms[equivalence](value);
}

const validForms: { readonly [F in CustomerField]?: (value: string) => boolean } = {
  name: (value) => /\p{L}/u.test(value),
  phone: (value) => {
    const digits = value.replaceAll(/\D/g, '').length;
    return digits >= 5 && digits <= 15;
  },
};

interface Choice {
  readonly field: CustomerField;
  readonly policy: FieldPolicy;
  readonly all: readonly Candidate[];
}

type Scoring = (candidate: Candidate, choice: Choice) => number;

const microsPerDay = 86_400_000_000;

function trustScore({ source, clock }: Candidate, { policy, all }: Choice): number {
  const newest = Math.max(...all.map((candidate) => candidate.clock.ts));
  const days = Math.floor((newest - clock.ts) / microsPerDay);
  return Math.max(0, (policy.trust?.[source] ?? 0) - days * (policy.trustDecayPerDay ?? 0));
}

function frequencyScore({ value }: Candidate, { policy, all }: Choice): number {
  const form = (text: string | null): string | null =>
    text === null ? null : comparableForm(text, policy.equivalence);
  return all.filter((candidate) => form(candidate.value) === form(value)).length;
}

/** Each step keeps the candidates with the highest score. */
const scorings: Readonly<Record<Exclude<StrategyStep, 'pinned' | 'aggregate'>, Scoring>> = {
  valid: ({ value }, { field }) => (value !== null && (validForms[field]?.(value) ?? true) ? 1 : 0),
  priority: ({ source }, { policy }) =>
    policy.priority.includes(source) ? -policy.priority.indexOf(source) : -Infinity,
  trust: trustScore,
  recency: ({ clock }) => clock.ts,
  completeness: ({ value }) => (value === null ? 0 : value.replaceAll(/\s/gu, '').length),
  frequency: frequencyScore,
};

function highest(candidates: readonly Candidate[], choice: Choice, score: Scoring): readonly Candidate[] {
  const scored = candidates.map((candidate) => ({ candidate, points: score(candidate, choice) }));
  const best = scored.reduce((most, { points }) => Math.max(most, points), -Infinity);
  return scored.filter(({ points }) => points === best).map(({ candidate }) => candidate);
}

/** The age of fields decided, unless all that was known of one of them was the age of its record. */
function ruleOf(step: keyof typeof scorings, compared: readonly Candidate[]): Rule {
  return step === 'recency' && compared.some(({ clock }) => clock.record === true) ? 'record-clock' : step;
}

function joined(candidates: readonly Candidate[], equivalence: Equivalence): string | null {
  const byForm = new Map<string, string>();
  for (const { value } of candidates) {
    const form = value === null ? undefined : comparableForm(value, equivalence);
    if (value !== null && form !== undefined && !byForm.has(form)) byForm.set(form, value);
  }
  return byForm.size === 0 ? null : [...byForm.values()].join('; ').slice(0, textLengthMax).toWellFormed();
}

/**
 * Picks the survivor of at least one candidate. The steps of the policy narrow the candidates down one after the other; the reference that
 * comes first decides at last, so there is always exactly one.
 */
export function survivor(
  field: CustomerField,
  candidates: readonly Candidate[],
  policy: FieldPolicy,
): Survivor | undefined {
  const [only] = candidates;
  if (only === undefined) return undefined;
  if (candidates.length === 1) return { winner: only, value: only.value, rule: 'single-source', losers: [] };
  const all = [...candidates].sort((left, right) => compareText(left.ref, right.ref));
  const choice = { field, policy, all };
  let remaining: readonly Candidate[] = all;
  let rule: Rule = 'single-source';
  const losers: Loser[] = [];
  const keep = (kept: readonly Candidate[], by: Rule): void => {
    const lost = remaining.filter((candidate) => !kept.includes(candidate));
    if (lost.length > 0) rule = by;
    losers.push(...lost.map((candidate) => ({ candidate, lostBy: by })));
    remaining = kept;
  };
  let aggregate: string | null | undefined;
  for (const step of policy.strategy) {
    if (step === 'pinned' || remaining.length < 2) continue;
    if (step === 'aggregate') {
      aggregate = joined(remaining, policy.equivalence);
      keep(remaining.slice(0, 1), step);
      break;
    }
    const kept = highest(remaining, choice, scorings[step]);
    keep(kept, ruleOf(step, remaining));
  }
  keep(remaining.slice(0, 1), 'source-order');
  const winner = remaining[0] ?? only;
  losers.sort((left, right) => compareText(left.candidate.ref, right.candidate.ref));
  return { winner, value: aggregate === undefined ? winner.value : aggregate, rule, losers };
}
