/** What to tell `customer.conflicts` about a change: the difference between two states. */
import type {
  ConflictEvent,
  DuplicateRecordEvent,
  FieldConflictEvent,
} from '../../../schemas/app/customer/conflict-event.ts';
import {
  customerFields,
  sourceSystems,
  type CustomerField,
  type SourceSystem,
} from '../../../schemas/app/customer/fields.ts';
import type { MergeState } from '../../../schemas/app/customer/merge-state.ts';
import type { ConflictCandidate, FieldConflict } from '../../../schemas/app/customer/merged.ts';
import type { StewardOverride } from '../../../schemas/app/customer/override.ts';

export type ChangeCause = 'put' | 'retract' | 'override' | 'policy';

const resolvedBy: Readonly<Record<ChangeCause, NonNullable<FieldConflictEvent['resolvedBy']>>> = {
  put: 'equality',
  retract: 'retraction',
  override: 'override',
  policy: 'policy',
};

interface Occasion {
  readonly cause: ChangeCause;
  readonly atMicros: number;
}

/** How something that was `before` is told now that it is `after`; `undefined` if it is the same. */
function transition<T>(
  before: T | undefined,
  after: T | undefined,
  isSame: (before: T, after: T) => boolean,
): 'opened' | 'changed' | 'resolved' | undefined {
  if (before === undefined) return after === undefined ? undefined : 'opened';
  if (after === undefined) return 'resolved';
  return isSame(before, after) ? undefined : 'changed';
}

function isSameList<T>(before: readonly T[], after: readonly T[], isSame: (before: T, after: T) => boolean): boolean {
  return (
    before.length === after.length &&
    before.every((entry, index) => {
      const other = after[index];
      return other !== undefined && isSame(entry, other);
    })
  );
}

function isSameCandidate(before: ConflictCandidate, after: ConflictCandidate): boolean {
  return before.ref === after.ref && before.value === after.value && before.changedAt === after.changedAt;
}

function isSameConflict(before: FieldConflict, after: FieldConflict): boolean {
  return (
    before.chosen === after.chosen &&
    before.rule === after.rule &&
    before.newerSource === after.newerSource &&
    before.since === after.since &&
    isSameList(before.candidates, after.candidates, isSameCandidate)
  );
}

const isSameRefs = (before: readonly string[], after: readonly string[]): boolean =>
  isSameList(before, after, (left, right) => left === right);

function fieldEvent(
  field: CustomerField,
  before: MergeState,
  after: MergeState,
  { cause, atMicros }: Occasion,
): FieldConflictEvent | undefined {
  const type = transition(before.conflicts[field], after.conflicts[field], isSameConflict);
  const conflict = after.conflicts[field] ?? before.conflicts[field];
  if (type === undefined || conflict === undefined) return undefined;
  const { email, version } = after;
  const event = { kind: 'field_value', type, email, version, at: atMicros, field, conflict } as const;
  return type === 'resolved' ? { ...event, resolvedBy: resolvedBy[cause] } : event;
}

function duplicateEvent(
  source: SourceSystem,
  before: MergeState,
  after: MergeState,
  { atMicros }: Occasion,
): DuplicateRecordEvent | undefined {
  const type = transition(before.duplicates[source], after.duplicates[source], isSameRefs);
  if (type === undefined) return undefined;
  const { email, version } = after;
  const refs = after.duplicates[source] ?? [];
  return { kind: 'duplicate_source_record', type, email, version, at: atMicros, source, refs };
}

/** Conflicts of fields first, in the order of `customerFields`, then duplicate records. */
export function conflictEvents(before: MergeState, after: MergeState, occasion: Occasion): readonly ConflictEvent[] {
  return [
    ...customerFields.map((field) => fieldEvent(field, before, after, occasion)),
    ...sourceSystems.map((source) => duplicateEvent(source, before, after, occasion)),
  ].filter((event) => event !== undefined);
}

/** The verdicts on a steward's new decisions: with them the log says by itself what was accepted. */
export function overrideEvents(
  before: MergeState,
  version: number,
  judged: {
    readonly fresh: readonly { readonly override: StewardOverride; readonly isAccepted: boolean }[];
    readonly atMicros: number;
  },
): readonly ConflictEvent[] {
  return judged.fresh.map(({ override, isAccepted }) => ({
    kind: 'override',
    type: isAccepted ? 'accepted' : 'refused',
    email: before.email,
    version,
    at: judged.atMicros,
    override,
    versionBefore: before.version,
  }));
}
