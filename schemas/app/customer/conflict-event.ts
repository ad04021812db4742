import { canonicalJsonSerde, type Serde } from '../../../index.ts';
import { customerFields, sourceSystems, type CustomerField, type SourceSystem } from './fields.ts';
import { parseFieldConflict, type FieldConflict } from './merged.ts';
import { parseStewardOverride, type StewardOverride } from './override.ts';
import { compact, readList, readObject, readRef } from '../reader.ts';

const conflictStates = ['opened', 'changed', 'resolved'] as const;
const resolutions = ['equality', 'override', 'retraction', 'policy'] as const;
const verdicts = ['accepted', 'refused'] as const;

interface EventBase {
  readonly email: string;
  /** Of the customer, after the change that caused the event. */
  readonly version: number;
  /** Microseconds: time of the change that caused the event. */
  readonly at: number;
}

/** A field's conflict opened, changed or went away; `conflict` is the one that is open, or was. */
export interface FieldConflictEvent extends EventBase {
  readonly kind: 'field_value';
  readonly type: (typeof conflictStates)[number];
  readonly field: CustomerField;
  readonly conflict: FieldConflict;
  readonly resolvedBy?: (typeof resolutions)[number];
}

/** One system has several living records of this e-mail; `refs` is empty once it no longer has. */
export interface DuplicateRecordEvent extends EventBase {
  readonly kind: 'duplicate_source_record';
  readonly type: (typeof conflictStates)[number];
  readonly source: SourceSystem;
  readonly refs: readonly string[];
}

/** A steward's decision took effect, or did not because the customer had another version than expected. */
export interface OverrideEvent extends EventBase {
  readonly kind: 'override';
  readonly type: (typeof verdicts)[number];
  readonly override: StewardOverride;
  readonly versionBefore: number;
}

/** The value of `customer.conflicts`, keyed by e-mail. */
export type ConflictEvent = FieldConflictEvent | DuplicateRecordEvent | OverrideEvent;

/** Throws `DESERIALIZATION_FAILED`. */
export function parseConflictEvent(value: unknown): ConflictEvent {
  const reader = readObject(value, 'conflict event');
  const base = { email: reader.text('email', 254), version: reader.count('version'), at: reader.count('at') };
  const kind = reader.oneOf('kind', ['field_value', 'duplicate_source_record', 'override']);
  if (kind === 'field_value')
    return compact({
      ...base,
      kind,
      type: reader.oneOf('type', conflictStates),
      field: reader.oneOf('field', customerFields),
      conflict: reader.with('conflict', parseFieldConflict),
      resolvedBy: reader.optionalOneOf('resolvedBy', resolutions),
    });
  if (kind === 'duplicate_source_record')
    return {
      ...base,
      kind,
      type: reader.oneOf('type', conflictStates),
      source: reader.oneOf('source', sourceSystems),
      refs: reader.with('refs', (refs, where) => readList(refs, where, readRef)),
    };
  return {
    ...base,
    kind,
    type: reader.oneOf('type', verdicts),
    override: reader.with('override', parseStewardOverride),
    versionBefore: reader.count('versionBefore'),
  };
}

export const conflictEventSerde: Serde<ConflictEvent> = canonicalJsonSerde(parseConflictEvent);
