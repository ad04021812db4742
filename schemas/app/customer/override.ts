import { canonicalJsonSerde, type Serde } from '../../../index.ts';
import { customerFields, sourceSystems, type CustomerField, type SourceSystem } from './fields.ts';
import { microsFrom } from './instant.ts';
import { compact, readList, readObject, readRef } from '../reader.ts';

export const overrideActions = ['PIN_VALUE', 'PIN_SOURCE', 'ACCEPT', 'RELEASE', 'DETACH_REF', 'ATTACH_REF'] as const;

/**
 * One decision of a steward on an e-mail. The last decision on a field, or on a reference, counts.
 *
 * PIN_VALUE fixes a field to `value` (`null` or absent: to nothing). PIN_SOURCE fixes it to what `ref`, or else `source`, says, as long as that
 * says something. ACCEPT closes the field's conflict until a value changes after `at`. RELEASE ends these. DETACH_REF takes one source
 * record out of the customer, ATTACH_REF puts it back.
 */
export interface StewardOverride {
  readonly email: string;
  readonly action: (typeof overrideActions)[number];
  readonly field?: CustomerField;
  readonly value?: string | null;
  readonly source?: SourceSystem;
  readonly ref?: string;
  /** Only to be accepted if the customer's version is this one when the decision arrives. */
  readonly expectedVersion?: number;
  readonly actorId: string;
  readonly reason: string;
  /** Microseconds. */
  readonly at: number;
}

/** All decisions on one e-mail, in the order they were made: the value of `customer.overrides`. */
export type StewardOverrides = readonly StewardOverride[];

/** Throws `DESERIALIZATION_FAILED`. `at` may be ISO 8601 text. */
export function parseStewardOverride(value: unknown, where = 'override'): StewardOverride {
  const reader = readObject(value, where);
  const action = reader.oneOf('action', overrideActions);
  const needsRef = action === 'DETACH_REF' || action === 'ATTACH_REF';
  const given = reader.raw('value');
  return compact({
    email: reader.text('email', 254),
    action,
    field: needsRef ? reader.optionalOneOf('field', customerFields) : reader.oneOf('field', customerFields),
    value: given === null ? null : reader.optionalText('value'),
    source: reader.optionalOneOf('source', sourceSystems),
    ref: needsRef ? reader.with('ref', readRef) : reader.optionalWith('ref', readRef),
    expectedVersion: reader.optionalCount('expectedVersion'),
    actorId: reader.text('actorId', 200),
    reason: reader.optionalText('reason') ?? '',
    at: reader.with('at', parseAt),
  });
}

function parseAt(value: unknown, where: string): number {
  const micros = typeof value === 'string' ? microsFrom(value) : value;
  return readObject({ at: micros }, where).count('at');
}

/** Throws `DESERIALIZATION_FAILED`. */
export function parseStewardOverrides(value: unknown): StewardOverrides {
  return readList(value, 'overrides', parseStewardOverride);
}

export const stewardOverrideSerde: Serde<StewardOverride> = canonicalJsonSerde((value) => parseStewardOverride(value));
export const stewardOverridesSerde: Serde<StewardOverrides> = canonicalJsonSerde(parseStewardOverrides);
