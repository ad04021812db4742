/** Which merged values a system would have to be told, and whether what it holds is still what they were merged from. Pure. */
import {
  contributedFields,
  parseSourceRef,
  sourceRef,
  type CustomerField,
  type Image,
  type SourceSystem,
} from '../../../schemas/app/customer/fields.ts';
import type { CustomerMerged } from '../../../schemas/app/customer/merged.ts';
import { defaultPolicy } from '../../../schemas/app/customer/policy.ts';
import { columnOf, readRow, type Row } from './columns.ts';
import { canonicalEmail } from './normalise.ts';
import { isRejection } from './rejection.ts';
import { comparableForm } from './survivorship.ts';

/** What became of it. `skipped`: a record has changed meanwhile, here or where a value came from, and its change will be merged; `kept`: the system lets nothing be changed. */
export const writeBackOutcomes = ['written', 'same', 'skipped', 'missing', 'kept'] as const;
export type WriteBackOutcome = (typeof writeBackOutcomes)[number];

/** A record that values come from. */
interface Origin {
  readonly source: SourceSystem;
  readonly sourceId: string;
}

/** A value that came from elsewhere. */
interface WrittenField {
  readonly field: CustomerField;
  readonly value: string;
  /** The record of the other system that says so; absent: a steward does. */
  readonly from?: Origin;
  /** What it may take the place of: nothing, the value that lost, or for a steward's decision anything. */
  readonly replaces: { readonly value: string | undefined } | 'anything';
}

/** What a record of a system should say. */
export interface WriteBack {
  readonly email: string;
  readonly system: SourceSystem;
  /** The record's id there. */
  readonly id: string;
  /** Microseconds: up to which of its updates the merge knows the record, if it says when they were. */
  readonly updatedAt: number | undefined;
  readonly fields: readonly WrittenField[];
}

/** Finds a record of the system that values come from, as it is now; `undefined` if that cannot be asked for. */
export type FindRow = (id: string) => Promise<object | undefined>;

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
  const updatedAt = system === 'system_a' ? customer.systemAUpdated : customer.systemBUpdated;
  return fields.length === 0 ? undefined : { email, system, id, updatedAt, fields };
}

function writtenField(customer: CustomerMerged, field: CustomerField, ref: string): WrittenField | undefined {
  const value = customer[field];
  const metadata = customer.fieldMetadata[field];
  if (value === undefined || metadata === undefined || metadata.ref === ref || metadata.rule === 'aggregate')
    return undefined;
  if (metadata.pinned) return { field, value, replaces: 'anything' };
  const own = customer.conflicts[field]?.candidates.find((candidate) => candidate.ref === ref);
  const from = parseSourceRef(metadata.ref);
  return { field, value, ...(from === undefined ? {} : { from }), replaces: { value: own?.value } };
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

/** What is to be changed in a row as the system has it now, by column; or why nothing is. */
export async function changesOf(
  writeBack: WriteBack,
  row: object,
  find: FindRow,
): Promise<Readonly<Record<string, string>> | 'same' | 'skipped'> {
  const { email, system, fields } = writeBack;
  const read = readRow(row, system, new Map());
  if (isRejection(read) || canonicalEmail(read.emailRaw) !== email) return 'skipped';
  const other = fields.filter(({ field, value }) => !isEquivalent(field, read.image[field], value));
  if (other.length === 0) return 'same';
  const columns = isUpdatedSince(writeBack, read) ? {} : columnsOf(other, system, { row, image: read.image });
  return Object.keys(columns).length > 0 && (await isStillSaid(writeBack, find)) ? columns : 'skipped';
}

/** Equal values prove nothing: they may have been put back after an edit. */
function isUpdatedSince({ updatedAt: seen }: WriteBack, { updatedAt }: Row): boolean {
  return seen !== undefined && updatedAt !== undefined && updatedAt > seen;
}

/** The columns to be changed: those that the record has, and that hold what may be replaced. */
function columnsOf(
  fields: readonly WrittenField[],
  system: SourceSystem,
  { row, image }: { readonly row: object; readonly image: Image },
): Readonly<Record<string, string>> {
  const columns: Record<string, string> = {};
  for (const { field, value, replaces } of fields) {
    const held = image[field] ?? undefined;
    const column = replaces === 'anything' || replaces.value === held ? columnFor(system, row, field) : undefined;
    if (column !== undefined) columns[column] = value;
  }
  return columns;
}

/**
 * Whether the records that the values come from still say so. An edit that is not merged yet is older than what would be written now, and would lose
 * against the value that it took the place of. What cannot be found is taken to be as it was.
 */
async function isStillSaid({ fields }: WriteBack, find: FindRow): Promise<boolean> {
  const origins = new Map(fields.flatMap(({ from }) => (from === undefined ? [] : [[from.sourceId, from] as const])));
  for (const { source, sourceId } of origins.values()) {
    const row = await find(sourceId);
    const read = row === undefined ? undefined : readRow(row, source, new Map());
    if (read === undefined) continue;
    if (isRejection(read)) return false;
    const said = fields.filter(({ from }) => from?.sourceId === sourceId);
    if (said.some(({ field, value }) => read.image[field] !== value)) return false;
  }
  return true;
}
