/** Finds customers in the table of them: by index rather than by walking over all. */
import { hasCode, type Sql, type Statement } from '../../index.ts';
import type { CustomerMerged } from '../../schemas/app/customer/merged.ts';
import { compact } from '../../schemas/app/reader.ts';
import { unavailable } from '../problem.ts';
import { boundedInteger } from '../routes.ts';
import { readInstant, searchBounds, type SearchParameters } from './customer-search.ts';

/** A customer as the table has it. */
export type ViewedCustomer = Omit<CustomerMerged, 'vector' | 'duplicates'>;

export interface ViewResult {
  readonly items: readonly ViewedCustomer[];
  readonly next: string | undefined;
}

/** Cursors of the table; those of the stores are others. */
const cursorPrefix = 'view-';

/** Whether a search may, or must, be answered from the table: its cursor tells. */
export function isForView({ cursor }: SearchParameters): boolean {
  return cursor === undefined || cursor.startsWith(cursorPrefix);
}

/**
 * `undefined` if the database does not answer and the stores can instead. Throws 503 `view_unavailable` in the middle of a list, `QUERY_INVALID` or
 * 400 `request_invalid` for parameters that make no sense.
 */
export async function searchView(sql: Sql, parameters: SearchParameters): Promise<ViewResult | undefined> {
  const limit = boundedInteger('limit', parameters.limit, searchBounds);
  const statement = searchStatement(parameters, limit + 1);
  try {
    const { rows } = await sql.run(statement);
    const items = rows.slice(0, limit).map(customerOf);
    const last = items.at(-1);
    const hasMore = rows.length > limit && last !== undefined;
    return { items, next: hasMore ? cursorPrefix + Buffer.from(last.email).toString('base64url') : undefined };
  } catch (error) {
    if (!hasCode(error, 'DEPENDENCY_UNAVAILABLE', 'DEPENDENCY_REFUSED')) throw error;
    if (parameters.cursor === undefined) return undefined;
    throw unavailable('view_unavailable', 'the table of customers cannot be read; begin the list again');
  }
}

const micros = (column: string, name: string): string =>
  `(extract(epoch FROM ${column}) * 1000000)::bigint::text AS "${name}"`;

const selected = `SELECT email, name, address, phone, contract_start::text AS contract_start, contract_type, system_a_id,
  system_b_uuid, sources, is_partial, conflicts, field_metadata, version::text AS version,
  ${micros('last_merged_at', 'last_merged_at')}, ${micros('system_a_updated', 'system_a_updated')},
  ${micros('system_b_updated', 'system_b_updated')}, ${micros('created_at', 'created_at')}
  FROM unified_customers`;

/** Rejects as the database does. */
export async function findInView(sql: Sql, email: string): Promise<ViewedCustomer | undefined> {
  const { rows } = await sql.run({ text: `${selected} WHERE email = $1`, values: [email] });
  return rows[0] === undefined ? undefined : customerOf(rows[0]);
}

/** Pure: conditions as text, every value as a parameter. */
export function searchStatement(parameters: SearchParameters, limit: number): Statement {
  const { name, source, partial, hasConflicts, updatedSince, cursor } = parameters;
  const values: unknown[] = [];
  const conditions: string[] = [];
  const add = (condition: (parameter: string) => string, value: unknown): void => {
    values.push(value);
    conditions.push(condition(`$${values.length}`));
  };
  if (name !== undefined) add((p) => `name ILIKE ${p}`, `%${name.normalize('NFC').replace(/[\\%_]/g, '\\$&')}%`);
  if (source !== undefined) add((p) => `sources @> ARRAY[${p}::text]`, source);
  if (partial !== undefined) add((p) => `is_partial = ${p}`, partial === 'true');
  if (hasConflicts !== undefined) add((p) => `(conflicts <> '{}'::jsonb) = ${p}`, hasConflicts === 'true');
  if (updatedSince !== undefined)
    add((p) => `last_merged_at >= to_timestamp(${p}::float8)`, readInstant(updatedSince) / 1_000_000);
  if (cursor !== undefined)
    add((p) => `email > ${p}`, Buffer.from(cursor.slice(cursorPrefix.length), 'base64url').toString('utf8'));
  values.push(limit);
  const where = conditions.length === 0 ? '' : ` WHERE ${conditions.join(' AND ')}`;
  return { text: `${selected}${where} ORDER BY email LIMIT $${values.length}`, values };
}

/** The table holds what was merged, and nothing else. */
function customerOf(row: Readonly<Record<string, unknown>>): ViewedCustomer {
  const text = (column: string): string | undefined => (row[column] ?? undefined) as string | undefined;
  const number = (column: string): number | undefined =>
    text(column) === undefined ? undefined : Number(text(column));
  return compact({
    email: text('email') ?? '',
    name: text('name') === '' ? undefined : text('name'),
    address: text('address'),
    phone: text('phone'),
    contractStart: text('contract_start'),
    contractType: text('contract_type'),
    systemAId: text('system_a_id'),
    systemBUuid: text('system_b_uuid'),
    sources: row['sources'] as CustomerMerged['sources'],
    isPartial: row['is_partial'] === true,
    version: number('version') ?? 0,
    createdAt: number('created_at') ?? 0,
    lastMergedAt: number('last_merged_at') ?? 0,
    systemAUpdated: number('system_a_updated'),
    systemBUpdated: number('system_b_updated'),
    fieldMetadata: row['field_metadata'] as CustomerMerged['fieldMetadata'],
    conflicts: row['conflicts'] as CustomerMerged['conflicts'],
  });
}
