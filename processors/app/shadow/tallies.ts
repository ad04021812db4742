/** Comparisons counted by day, and whether the counts allow to go on. Pure. */
import { defineTimestampedStore, int64Serde, stringSerde } from '../../../index.ts';
import { isoFromMicros } from '../../../schemas/app/customer/instant.ts';
import { comparisonSubjects, type Comparison, type ComparisonOutcome } from '../../../schemas/app/shadow.ts';

/** Counts by what `talliesOf` calls them. */
export const shadowTallies = defineTimestampedStore('shadow-tallies', { key: stringSerde, value: int64Serde });

/** Stands in no name. */
const separator = '\t';

const dayOf = (micros: number): string => isoFromMicros(micros).slice(0, 10);

/** The day in UTC, `daysBack` before the one of `nowMs`: tallies from there on are later. */
export function firstDay(nowMs: number, daysBack: number): string {
  return dayOf((nowMs - daysBack * 86_400_000) * 1_000);
}

/** What a comparison counts towards: its outcome with the power of two above its delay, and each field that differs. */
export function talliesOf({ subject, pair, outcome, fields, delayMs, at }: Comparison): readonly string[] {
  const delay = delayMs === undefined ? '-' : String(2 ** Math.ceil(Math.log2(Math.max(1, delayMs))));
  const tally = (...parts: readonly string[]): string => [dayOf(at), subject, pair, ...parts].join(separator);
  return [tally('outcome', outcome, delay), ...fields.map((field) => tally('field', field, '-'))];
}

export interface PairTally {
  readonly subject: string;
  readonly pair: string;
  readonly outcomes: Readonly<Record<ComparisonOutcome, number>>;
  /** How often each field differed. */
  readonly fields: Readonly<Record<string, number>>;
  /** Upper bounds, within a factor of two; absent where nothing was compared. */
  readonly delayMsP50?: number;
  readonly delayMsP99?: number;
}

/** The counts by what was compared, in order. */
export function pairTallies(rows: Iterable<readonly [tally: string, count: number]>): readonly PairTally[] {
  const found = new Map<string, Draft>();
  for (const [tally, count] of rows) {
    const [, subject = '', pair = '', kind, name = '', delay = '-'] = tally.split(separator);
    const draft: Draft = found.get(`${subject} ${pair}`) ?? {
      subject,
      pair,
      counts: new Map(),
      fields: new Map(),
      delays: [],
    };
    found.set(`${subject} ${pair}`, draft);
    const counts = kind === 'field' ? draft.fields : draft.counts;
    counts.set(name, (counts.get(name) ?? 0) + count);
    if (delay !== '-') draft.delays.push([Number(delay), count]);
  }
  return [...found.keys()].sort().map((key) => tallyOf(found.get(key)));
}

interface Draft {
  readonly subject: string;
  readonly pair: string;
  readonly counts: Map<string, number>;
  readonly fields: Map<string, number>;
  readonly delays: (readonly [ms: number, count: number])[];
}

function tallyOf(draft: Draft | undefined): PairTally {
  const { subject = '', pair = '', counts, fields, delays = [] } = draft ?? {};
  const count = (outcome: ComparisonOutcome): number => counts?.get(outcome) ?? 0;
  const [delayMsP50, delayMsP99] = [quantile(delays, 0.5), quantile(delays, 0.99)];
  return {
    subject,
    pair,
    outcomes: {
      match: count('match'),
      mismatch: count('mismatch'),
      missing_left: count('missing_left'),
      missing_right: count('missing_right'),
    },
    fields: Object.fromEntries(fields ?? []),
    ...(delayMsP50 === undefined || delayMsP99 === undefined ? {} : { delayMsP50, delayMsP99 }),
  };
}

function quantile(counted: readonly (readonly [value: number, count: number])[], share: number): number | undefined {
  const total = counted.reduce((sum, [, count]) => sum + count, 0);
  let below = 0;
  for (const [value, count] of counted.toSorted(([one], [other]) => one - other)) {
    below += count;
    if (below >= total * share) return value;
  }
  return undefined;
}

export interface GateLimits {
  /** Of all comparisons of a pair, those that must be the same. */
  readonly matchShareMin: number;
  readonly comparisonsMin: number;
  /** For the 99th of a hundred customers compared to be the same on both sides. */
  readonly delayMsMax: number;
}

export interface GateCheck {
  readonly check: string;
  readonly isPassed: boolean;
  readonly value: number;
  /** What the value must not fall below, or exceed. */
  readonly limit: number;
}

/** Every check that decides whether to go on; all must be passed. What was not compared at all is not passed either. */
export function gateChecks(
  { pairs, deadLetters }: { readonly pairs: readonly PairTally[]; readonly deadLetters: number },
  { matchShareMin, comparisonsMin, delayMsMax }: GateLimits,
): readonly GateCheck[] {
  const atLeast = (check: string, value: number, limit: number): GateCheck => ({
    check,
    isPassed: value >= limit,
    value,
    limit,
  });
  const atMost = (check: string, value: number, limit: number): GateCheck => ({
    check,
    isPassed: value <= limit,
    value,
    limit,
  });
  const ofPairs = pairs.flatMap(({ subject, pair, outcomes, delayMsP99: delay }) => {
    const total = Object.values(outcomes).reduce((sum, count) => sum + count, 0);
    return [
      atLeast(`${subject} ${pair}: comparisons`, total, comparisonsMin),
      atLeast(`${subject} ${pair}: share that matches`, total === 0 ? 0 : outcomes.match / total, matchShareMin),
      // Of transactions it is the old system that decides when it tells how they ended.
      ...(subject !== 'customers' || delay === undefined
        ? []
        : [atMost(`${subject} ${pair}: delay p99 in ms`, delay, delayMsMax)]),
    ];
  });
  const missing = comparisonSubjects.filter((subject) => pairs.every((pair) => pair.subject !== subject));
  const isCompared = missing.length < comparisonSubjects.length;
  return [
    ...ofPairs,
    ...(isCompared ? [] : [atLeast('comparisons', 0, comparisonsMin)]),
    atMost('dead letters', deadLetters, 0),
  ];
}
