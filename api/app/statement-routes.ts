/** Statements: what an account had at the beginning and at the end of each day, and what moved between. */
import type { FastifyRequest } from 'fastify';
import { formatAmount } from '../../schemas/app/billing/money.ts';
import { entryKey, type Balance, type BalanceEntry } from '../../schemas/app/billing/projection.ts';
import { isoFromMicros } from '../../schemas/app/customer/instant.ts';
import { limits } from '../limits.ts';
import type { QueryContext } from '../placement.ts';
import { Problem } from '../problem.ts';
import { contextOf, queryString, sendJson, waitParameter, writeProvenance, type RouteScope } from '../routes.ts';
import type { StoreQueries, TypedStore } from '../store-queries.ts';
import { dayMs, dayParameters, daysOf, idParams, queryProblems, type Days } from './billing-queries.ts';

type StatementRequest = FastifyRequest<{
  Params: { readonly id: string };
  Querystring: Days & { readonly wait?: string };
}>;

export interface StatementStores {
  readonly balances: TypedStore<string, Balance>;
  readonly history: TypedStore<string, BalanceEntry>;
}

/** Of entries that are read for one answer. */
const pagesMax = 10;

export function statementRoute({ app, queries }: RouteScope, { balances, history }: StatementStores): void {
  app.get('/accounts/:id/daily', {
    schema: {
      params: idParams,
      querystring: { ...queryString({ ...waitParameter, ...dayParameters }), required: ['from'] },
    },
    config: {
      description: {
        summary: 'What an account had at the beginning and at the end of each day, and what moved between',
        success: 'days on which anything was recorded, the latest first',
        problems: { ...queryProblems, 404: ['account_not_found'], 422: ['range_too_long', 'history_too_long'] },
        isQuery: true,
      },
    },
    handler: async (request: StatementRequest, reply) => {
      const { id } = request.params;
      const { first, last } = daysOf(request.query);
      const context = contextOf(request);
      const answer = await queries.get(balances, id, context);
      if (answer.value === undefined) throw new Problem(404, 'account_not_found', 'there is no such account');
      const keyAt = (day: number): Uint8Array => history.key.serialize(entryKey(id, day * dayMs * 1_000, 0));
      const range = { from: keyAt(first), to: keyAt(last + 1) };
      const entries = await entriesOf({ queries, context }, history, range);
      writeProvenance(reply, answer);
      return sendJson(reply, JSON.stringify({ items: statementsOf(entries) }));
    },
  });
}

/** The latest first. */
async function entriesOf(
  { queries, context }: { readonly queries: StoreQueries; readonly context: QueryContext },
  history: TypedStore<string, BalanceEntry>,
  range: { readonly from: Uint8Array; readonly to: Uint8Array },
): Promise<readonly BalanceEntry[]> {
  const entries: BalanceEntry[] = [];
  let cursor: string | undefined;
  for (let page = 0; page < pagesMax; page += 1) {
    const found = await queries.page(history, { ...range, reverse: true, limit: limits.pageRows, cursor }, context);
    for (const { value } of found.rows) entries.push(value);
    cursor = found.cursor;
    if (cursor === undefined) return entries;
  }
  throw new Problem(422, 'history_too_long', 'too much has happened in these days for one answer');
}

interface Statement {
  readonly day: string;
  readonly currency: string;
  opening: bigint;
  readonly closing: bigint;
  credits: bigint;
  debits: bigint;
  count: number;
}

function statementsOf(entries: readonly BalanceEntry[]): readonly object[] {
  const days = new Map<string, Statement>();
  for (const { recordedAt, balance, change, currency } of entries) {
    const day = isoFromMicros(recordedAt).slice(0, 'YYYY-MM-DD'.length);
    const statement = days.get(day) ?? {
      day,
      currency,
      opening: 0n,
      closing: balance,
      credits: 0n,
      debits: 0n,
      count: 0,
    };
    days.set(day, statement);
    statement.opening = balance - change;
    if (change > 0n) statement.credits += change;
    else statement.debits -= change;
    if (change !== 0n) statement.count += 1;
  }
  return [...days.values()].map(({ opening, closing, credits, debits, ...statement }) => ({
    ...statement,
    opening: formatAmount(opening),
    closing: formatAmount(closing),
    credits: formatAmount(credits),
    debits: formatAmount(debits),
  }));
}
