/** What to tell `customer.conflicts` about a change: the difference between two states. */
import { canonicalJson } from '../../../index.ts';
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
function transition(before: unknown, after: unknown): 'opened' | 'changed' | 'resolved' | undefined {
  if (before === undefined) return after === undefined ? undefined : 'opened';
  if (after === undefined) return 'resolved';
  return canonicalJson(before) === canonicalJson(after) ? undefined : 'changed';
}

function fieldEvent(
  field: CustomerField,
  before: MergeState,
  after: MergeState,
  { cause, atMicros }: Occasion,
): FieldConflictEvent | undefined {
  const type = transition(before.conflicts[field], after.conflicts[field]);
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
  const type = transition(before.duplicates[source], after.duplicates[source]);
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
