/** Finds customers by what they are like: walks over all of them, page by page, for a bounded time. */
import { sourceSystems, type SourceSystem } from '../../schemas/app/customer/fields.ts';
import { mergedRecord } from '../../processors/app/customer/merged-record.ts';
import type { MergeState } from '../../schemas/app/customer/merge-state.ts';
import type { CustomerPolicy } from '../../schemas/app/customer/policy.ts';
import type { CustomerMerged } from '../../schemas/app/customer/merged.ts';
import type { QueryContext } from '../placement.ts';
import { Problem } from '../problem.ts';
import { boundedInteger } from '../routes.ts';
import type { Provenance, StoreQueries, TypedPage, TypedStore } from '../store-queries.ts';

export interface SearchParameters {
  readonly wait?: string;
  readonly name?: string;
  readonly source?: SourceSystem;
  readonly partial?: 'true' | 'false';
  readonly hasConflicts?: 'true' | 'false';
  readonly updatedSince?: string;
  readonly cursor?: string;
  readonly limit?: string;
}

/** Customers per answer. */
export const searchBounds = { min: 1, max: 500, initial: 50 } as const;

const bounds = {
  /** Customers looked at for one answer: then it ends, with a cursor to go on. */
  rowsScanned: 5_000,
  /** Other work gets its turn in between. */
  rowsPerPage: 500,
} as const;

const boolean = { type: 'string', enum: ['true', 'false'] };

/** The query string of `GET /customers`. */
export const searchParameters = {
  name: { type: 'string', minLength: 1, maxLength: 200, description: 'part of the name, upper and lower case alike' },
  source: { type: 'string', enum: sourceSystems, description: 'this system knows the customer' },
  partial: { ...boolean, description: 'only one system knows the customer' },
  hasConflicts: boolean,
  updatedSince: { type: 'string', maxLength: 40, description: 'merged at or after this instant, ISO 8601' },
  cursor: { type: 'string', pattern: '^[\\w-]{1,8192}$', description: '`next` of the page before' },
  limit: {
    type: 'string',
    pattern: '^\\d{1,3}$',
    description: `1 to ${String(searchBounds.max)}, default ${String(searchBounds.initial)}`,
  },
} as const;

export interface SearchResult {
  readonly items: readonly CustomerMerged[];
  /** Where to go on; `undefined` once all were looked at. A page may have fewer items than asked for, even none, and yet not be the last. */
  readonly next: string | undefined;
  readonly provenance: Provenance;
}

export interface Search {
  readonly queries: StoreQueries;
  readonly states: TypedStore<string, MergeState>;
  readonly policy: CustomerPolicy;
  readonly context: QueryContext;
}

/** Throws `QUERY_INVALID` for a limit or a cursor, 400 `request_invalid` for an instant that is none. */
export async function searchCustomers(search: Search, parameters: SearchParameters): Promise<SearchResult> {
  const { queries, states, context } = search;
  const limit = boundedInteger('limit', parameters.limit, searchBounds);
  const matches = matcherOf(parameters);
  const items: CustomerMerged[] = [];
  let cursor = parameters.cursor;
  let scanned = 0;
  let provenance: Provenance | undefined;
  while (true) {
    const page: Page = await queries.page(states, { limit: bounds.rowsPerPage, cursor }, context);
    // Of the first page: what follows is at least as recent.
    provenance ??= { position: page.position, servedBy: page.servedBy };
    const last = take(page.rows, items, { ...search, limit, matches });
    if (last !== undefined) {
      const isEnd = last === page.rows.at(-1) && page.cursor === undefined;
      return { items, next: isEnd ? undefined : last.cursor(), provenance };
    }
    scanned += page.rows.length;
    cursor = page.cursor;
    if (cursor === undefined || scanned >= bounds.rowsScanned) return { items, next: cursor, provenance };
  }
}

type Page = TypedPage<string, MergeState>;

/** Adds what matches until there are enough; then returns the last row. */
function take(
  rows: Page['rows'],
  items: CustomerMerged[],
  { policy, limit, matches }: Pick<Search, 'policy'> & { readonly limit: number; readonly matches: Matcher },
): Page['rows'][number] | undefined {
  for (const row of rows) {
    const customer = mergedRecord(row.value, policy);
    if (customer === null || !matches(customer)) continue;
    items.push(customer);
    if (items.length === limit) return row;
  }
  return undefined;
}

type Matcher = (customer: CustomerMerged) => boolean;

function matcherOf({
  name,
  source,
  partial,
  hasConflicts,
  updatedSince,
}: SearchParameters): (customer: CustomerMerged) => boolean {
  const part = name === undefined ? undefined : foldCase(name);
  const sinceMicros = updatedSince === undefined ? undefined : readInstant(updatedSince);
  const tests: ((customer: CustomerMerged) => boolean)[] = [];
  if (part !== undefined) tests.push((customer) => foldCase(customer.name ?? '').includes(part));
  if (source !== undefined) tests.push(({ sources }) => sources.includes(source));
  if (partial !== undefined) tests.push(({ isPartial }) => isPartial === (partial === 'true'));
  if (hasConflicts !== undefined)
    tests.push(({ conflicts }) => Object.keys(conflicts).length > 0 === (hasConflicts === 'true'));
  if (sinceMicros !== undefined) tests.push(({ lastMergedAt }) => lastMergedAt >= sinceMicros);
  return (customer) => tests.every((test) => test(customer));
}

function foldCase(text: string): string {
  return text.normalize('NFC').toLowerCase();
}

/** Microseconds. Throws 400 `request_invalid`. */
export function readInstant(text: string): number {
  const isIso = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2}))?$/.test(text);
  const ms = isIso ? Date.parse(text) : Number.NaN;
  if (Number.isNaN(ms))
    throw new Problem(400, 'request_invalid', 'updatedSince must be an instant such as 2025-01-31T12:00:00Z');
  return ms * 1_000;
}
