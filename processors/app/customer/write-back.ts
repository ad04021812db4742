/** Which merged values a system would have to be told, and whether what it holds is still what they were merged from. Pure. */
import {
  contributedFields,
  sourceRef,
  type CustomerField,
  type SourceSystem,
} from '../../../schemas/app/customer/fields.ts';
import type { CustomerMerged } from '../../../schemas/app/customer/merged.ts';
import { defaultPolicy } from '../../../schemas/app/customer/policy.ts';
import { columnOf, readRow } from './columns.ts';
import { canonicalEmail } from './normalise.ts';
import { isRejection } from './rejection.ts';
import { comparableForm } from './survivorship.ts';

/** What became of it. `skipped`: the record has changed meanwhile, and its change will be merged; `kept`: the system lets nothing be changed. */
export const writeBackOutcomes = ['written', 'same', 'skipped', 'missing', 'kept'] as const;
export type WriteBackOutcome = (typeof writeBackOutcomes)[number];

/** A value that came from elsewhere. */
interface WrittenField {
  readonly field: CustomerField;
  readonly value: string;
  /** What it may take the place of: nothing, the value that lost, or for a steward's decision anything. */
  readonly replaces: { readonly value: string | undefined } | 'anything';
}

/** What a record of a system should say. */
export interface WriteBack {
  readonly email: string;
  readonly system: SourceSystem;
  /** The record's id there. */
  readonly id: string;
  readonly fields: readonly WrittenField[];
}

/** `same`: the record says so already; `changed`: it says something that the merged values do not know of. */
export type Comparison =
  | { readonly kind: 'same' | 'changed' }
  | { readonly kind: 'differs'; readonly columns: Readonly<Record<string, string>> };

/**
 * `undefined` if there is nothing to tell. A system that knows the customer by several records is told nothing: which of them is meant, people decide.
 * Values joined from several are never told, they would be joined again; nor is emptiness.
 */
export function writeBackOf(customer: CustomerMerged, system: SourceSystem): WriteBack | undefined {
  const { email, duplicates } = customer;
  const id = system === 'system_a' ? customer.systemAId : customer.systemBUuid;
  if (id === undefined || duplicates?.[system] !== undefined) return undefined;
  const ref = sourceRef(system, id);
  const fields = contributedFields[system].flatMap((field) => writtenField(customer, field, ref) ?? []);
  return fields.length === 0 ? undefined : { email, system, id, fields };
}

function writtenField(customer: CustomerMerged, field: CustomerField, ref: string): WrittenField | undefined {
  const value = customer[field];
  const metadata = customer.fieldMetadata[field];
  if (value === undefined || metadata === undefined || metadata.ref === ref || metadata.rule === 'aggregate')
    return undefined;
  if (metadata.pinned) return { field, value, replaces: 'anything' };
  const own = customer.conflicts[field]?.candidates.find((candidate) => candidate.ref === ref);
  return { field, value, replaces: { value: own?.value } };
}

/** System B may leave out what is empty; a table has all its columns. */
function columnFor(system: SourceSystem, row: object, field: CustomerField): string | undefined {
  return columnOf(row, field) ?? (system === 'system_b' ? field : undefined);
}

/** Systems that write values in their own way (letter case, a number's blanks) are not told again and again. */
function isEquivalent(field: CustomerField, held: string | null | undefined, value: string): boolean {
  const form = (text: string): string => comparableForm(text, defaultPolicy[field].equivalence);
  return typeof held === 'string' && form(held) === form(value);
}

/** Compares with a row as the system has it now. */
export function compareWithRow({ email, system, fields }: WriteBack, row: object): Comparison {
  const read = readRow(row, system, new Map());
  if (isRejection(read) || canonicalEmail(read.emailRaw) !== email) return { kind: 'changed' };
  const columns: Record<string, string> = {};
  const other = fields.filter(({ field, value }) => !isEquivalent(field, read.image[field], value));
  for (const { field, value, replaces } of other) {
    const held = read.image[field] ?? undefined;
    const column = replaces === 'anything' || replaces.value === held ? columnFor(system, row, field) : undefined;
    if (column !== undefined) columns[column] = value;
  }
  if (Object.keys(columns).length > 0) return { kind: 'differs', columns };
  return { kind: other.length === 0 ? 'same' : 'changed' };
}
