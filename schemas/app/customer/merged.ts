import { canonicalJsonSerde, type Serde } from '../../../index.ts';
import { customerFields, sourceSystems, type CustomerField, type SourceSystem } from './fields.ts';
import { compact, readList, readObject, readOneOf, readRef } from '../reader.ts';

/** Where a surviving value comes from. `rule` is the step that decided. */
export interface FieldMetadata {
  /** `steward` for a pinned value. */
  readonly source: SourceSystem | 'steward';
  /** The source record, or `steward:<actor>`. */
  readonly ref: string;
  /** Microseconds. */
  readonly changedAt: number;
  readonly rule: string;
  readonly pinned: boolean;
}

/** One source record's say in a conflict; `changedAt` in microseconds. */
export interface ConflictCandidate {
  readonly source: SourceSystem;
  readonly ref: string;
  readonly value?: string;
  readonly changedAt: number;
}

export const newerSources = [...sourceSystems, 'equal'] as const;
export type NewerSource = (typeof newerSources)[number];

/** Two or more living source records disagree on a field and no steward has settled it. */
export interface FieldConflict {
  /** In order of references. */
  readonly candidates: readonly ConflictCandidate[];
  /** Which system changed the field last. */
  readonly newerSource: NewerSource;
  /** The reference whose value survives. */
  readonly chosen: string;
  readonly rule: string;
  /** Microseconds: the latest change among the candidates. */
  readonly since: number;
}

export type FieldConflicts = { readonly [F in CustomerField]?: FieldConflict };

/** Several living records of one system under one e-mail; references in order. */
export type DuplicateRefs = { readonly [S in SourceSystem]?: readonly string[] };

/** The customer as all sources together describe it: the value of `customer.merged`. Instants are microseconds. */
export interface CustomerMerged {
  readonly email: string;
  readonly name?: string;
  readonly address?: string;
  readonly phone?: string;
  readonly contractStart?: string;
  readonly contractType?: string;
  /** Of the system's most recent record under this e-mail. */
  readonly systemAId?: string;
  readonly systemBUuid?: string;
  readonly sources: readonly SourceSystem[];
  /** Only one system knows the customer. */
  readonly isPartial: boolean;
  /** Accepted changes of this e-mail so far; outlives deletion, so it only grows. */
  readonly version: number;
  readonly createdAt: number;
  readonly lastMergedAt: number;
  readonly systemAUpdated?: number;
  readonly systemBUpdated?: number;
  readonly fieldMetadata: { readonly [F in CustomerField]?: FieldMetadata };
  readonly conflicts: FieldConflicts;
  readonly duplicates?: DuplicateRefs;
  /** The version of every source record this value reflects. */
  readonly vector: Readonly<Record<string, { readonly ts: number; readonly seq: number }>>;
}

/** A source record that a steward took out of its customer: the value of `customer.detached`, keyed by `ref`. `version` counts the record's own changes. */
export interface DetachedCustomer extends CustomerMerged {
  readonly detached: true;
  readonly ref: string;
}

function parseMetadata(value: unknown, where: string): FieldMetadata {
  const reader = readObject(value, where);
  return {
    source: reader.oneOf('source', [...sourceSystems, 'steward']),
    ref: reader.text('ref', 300),
    changedAt: reader.count('changedAt'),
    rule: reader.text('rule', 100),
    pinned: reader.flag('pinned'),
  };
}

/** Throws `DESERIALIZATION_FAILED`. */
export function parseCandidate(value: unknown, where: string): ConflictCandidate {
  const reader = readObject(value, where);
  return compact({
    source: reader.oneOf('source', sourceSystems),
    ref: reader.with('ref', readRef),
    value: reader.optionalText('value'),
    changedAt: reader.count('changedAt'),
  });
}

/** Throws `DESERIALIZATION_FAILED`. */
export function parseFieldConflict(value: unknown, where: string): FieldConflict {
  const reader = readObject(value, where);
  return {
    candidates: reader.list('candidates', parseCandidate),
    newerSource: reader.oneOf('newerSource', newerSources),
    chosen: reader.text('chosen', 300),
    rule: reader.text('rule', 100),
    since: reader.count('since'),
  };
}

function readFields<T>(
  value: unknown,
  where: string,
  parse: (value: unknown, where: string) => T,
): { readonly [F in CustomerField]?: T } {
  const reader = readObject(value, where);
  const found: { [F in CustomerField]?: T } = {};
  for (const field of customerFields) {
    const parsed = reader.optionalWith(field, parse);
    if (parsed !== undefined) found[field] = parsed;
  }
  return found;
}

/** Throws `DESERIALIZATION_FAILED`. */
export function parseFieldConflicts(value: unknown, where: string): FieldConflicts {
  return readFields(value, where, parseFieldConflict);
}

/** Throws `DESERIALIZATION_FAILED`. */
export function parseDuplicates(value: unknown, where: string): DuplicateRefs {
  const reader = readObject(value, where);
  const refs = (list: unknown, place: string): readonly string[] => readList(list, place, readRef);
  return compact({
    system_a: reader.optionalWith('system_a', refs),
    system_b: reader.optionalWith('system_b', refs),
  });
}

function parsePosition(value: unknown, where: string): { readonly ts: number; readonly seq: number } {
  const reader = readObject(value, where);
  return { ts: reader.count('ts'), seq: reader.count('seq') };
}

/** Throws `DESERIALIZATION_FAILED`. */
export function parseCustomerMerged(value: unknown): CustomerMerged {
  const reader = readObject(value, 'customer');
  return compact({
    email: reader.text('email', 254),
    name: reader.optionalText('name'),
    address: reader.optionalText('address'),
    phone: reader.optionalText('phone'),
    contractStart: reader.optionalText('contractStart', 10),
    // An aggregate of several values may be longer than any of them.
    contractType: reader.optionalText('contractType'),
    systemAId: reader.optionalText('systemAId'),
    systemBUuid: reader.optionalText('systemBUuid'),
    sources: reader.list('sources', (system, where) => readOneOf(system, where, sourceSystems)),
    isPartial: reader.flag('isPartial'),
    version: reader.count('version'),
    createdAt: reader.count('createdAt'),
    lastMergedAt: reader.count('lastMergedAt'),
    systemAUpdated: reader.optionalCount('systemAUpdated'),
    systemBUpdated: reader.optionalCount('systemBUpdated'),
    fieldMetadata: reader.with('fieldMetadata', (map, where) => readFields(map, where, parseMetadata)),
    conflicts: reader.with('conflicts', parseFieldConflicts),
    duplicates: reader.optionalWith('duplicates', parseDuplicates),
    vector: reader.map('vector', parsePosition),
  });
}

/** Throws `DESERIALIZATION_FAILED`. */
export function parseDetachedCustomer(value: unknown): DetachedCustomer {
  const ref = readObject(value, 'customer').with('ref', readRef);
  return { ...parseCustomerMerged(value), detached: true, ref };
}

export const customerMergedSerde: Serde<CustomerMerged> = canonicalJsonSerde(parseCustomerMerged);
export const detachedCustomerSerde: Serde<DetachedCustomer> = canonicalJsonSerde(parseDetachedCustomer);
