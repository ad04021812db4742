/** Balances now and at any time, their history, and totals by day. */
import type { FastifyRequest } from 'fastify';
import { formatAmount } from '../../schemas/app/billing/money.ts';
import { entryKey, type Balance, type BalanceEntry, type DailyTotal } from '../../schemas/app/billing/projection.ts';
import { isoFromMicros, microsFrom } from '../../schemas/app/customer/instant.ts';
import type { QueryContext } from '../placement.ts';
import { Problem } from '../problem.ts';
import {
  boundedInteger,
  contextOf,
  queryString,
  sendJson,
  sendTagged,
  waitParameter,
  writeProvenance,
  type RouteDescription,
  type Routes,
  type RouteScope,
} from '../routes.ts';
import type { Provenance, StoreQueries, TypedStore } from '../store-queries.ts';

export interface BillingProjectionOptions {
  readonly balances: TypedStore<string, Balance>;
  readonly history: TypedStore<string, BalanceEntry>;
  readonly dailyTotals: TypedStore<string, DailyTotal>;
}

interface Paging {
  readonly wait?: string;
  readonly limit?: string;
  readonly cursor?: string;
}
type BalanceRequest = FastifyRequest<{
  Params: { readonly id: string };
  Querystring: { readonly wait?: string; readonly at?: string };
}>;
type HistoryRequest = FastifyRequest<{ Params: { readonly id: string }; Querystring: Paging }>;
type DailyRequest = FastifyRequest<{ Querystring: Paging & { readonly day: string } }>;

const rowsMax = 500;
const rowsInitial = 50;

const idParams = {
  type: 'object',
  required: ['id'],
  properties: { id: { type: 'string', minLength: 1, maxLength: 80 } },
};
const pagingParameters = {
  ...waitParameter,
  limit: { type: 'string', pattern: '^\\d{1,4}$', description: `entries, 1 to ${rowsMax}; default ${rowsInitial}` },
  cursor: { type: 'string', description: '`next` of the page before' },
} as const;

const problems: NonNullable<RouteDescription['problems']> = {
  400: ['request_invalid', 'query_invalid'],
  421: ['misdirected'],
  503: ['store_not_ready', 'position_not_reached', 'peer_unavailable', 'too_many_scans'],
};
const withAccount = { ...problems, 404: ['account_not_found'] };

export function billingProjectionRoutes(options: BillingProjectionOptions): Routes {
  return (scope) => {
    balanceRoute(scope, options);
    historyRoute(scope, options);
    dailyRoute(scope, options);
  };
}

function balanceRoute({ app, queries }: RouteScope, options: BillingProjectionOptions): void {
  app.get('/accounts/:id/balance', {
    schema: {
      params: idParams,
      querystring: queryString({
        ...waitParameter,
        at: { type: 'string', maxLength: 40, description: 'instant, ISO 8601: what the balance was then' },
      }),
    },
    config: {
      description: {
        summary: 'The balance of an account, now or at an instant',
        success: 'the balance; its version is the entity tag',
        problems: withAccount,
        isQuery: true,
      },
    },
    handler: async (request: BalanceRequest, reply) => {
      const { id } = request.params;
      const context = contextOf(request);
      const answer = await queries.get(options.balances, id, context);
      const balance = answer.value ?? accountNotFound();
      writeProvenance(reply, answer);
      if (request.query.at === undefined)
        return sendTagged(request, reply, `"${balance.version}"`, JSON.stringify(shownBalance(balance)));
      const at = microsOf(request.query.at);
      const entry = (await entryAt({ queries, context }, options, { id, at })) ?? accountNotFound();
      // What was recorded up to the latest event cannot change any more.
      return sendJson(reply, JSON.stringify({ ...shownEntry(entry), final: at < balance.recordedAt }));
    },
  });
}

interface Asking {
  readonly queries: StoreQueries;
  readonly context: QueryContext;
}

/** The last entry recorded up to then: one step back from there. */
async function entryAt(
  { queries, context }: Asking,
  { history }: BillingProjectionOptions,
  { id, at }: { readonly id: string; readonly at: number },
): Promise<BalanceEntry | undefined> {
  const { rows } = await queries.pageBytes(
    {
      store: history.name,
      from: history.key.serialize(entryKey(id, 0, 0)),
      to: history.key.serialize(entryKey(id, at + 1, 0)),
      reverse: true,
      limit: 1,
      cursor: undefined,
      partitions: undefined,
    },
    context,
  );
  const [row] = rows;
  if (row === undefined) return undefined;
  return history.value.deserialize(queries.spec(history.name).format.toChangelog(row.value, 0).value);
}

function historyRoute({ app, queries }: RouteScope, { history }: BillingProjectionOptions): void {
  app.get('/accounts/:id/history', {
    schema: { params: idParams, querystring: queryString(pagingParameters) },
    config: {
      description: {
        summary: 'Every balance an account ever had, the latest first',
        success: 'entries, and the cursor of the next page',
        problems: withAccount,
        isQuery: true,
      },
    },
    handler: async (request: HistoryRequest, reply) => {
      const prefix = history.key.serialize(`${request.params.id}|`);
      const page = await pageOf({ queries, context: contextOf(request) }, history, { prefix, ...request.query });
      if (page.items.length === 0 && request.query.cursor === undefined) accountNotFound();
      writeProvenance(reply, page.provenance);
      return sendJson(reply, JSON.stringify({ items: page.items.map(shownEntry), next: page.next }));
    },
  });
}

function dailyRoute({ app, queries }: RouteScope, { dailyTotals }: BillingProjectionOptions): void {
  app.get('/analytics/daily', {
    schema: {
      querystring: {
        ...queryString({
          ...pagingParameters,
          day: { type: 'string', pattern: '^\\d{4}-\\d{2}-\\d{2}$', description: 'UTC' },
        }),
        required: ['day'],
      },
    },
    config: {
      description: {
        summary: 'What was moved on a day, by currency and type',
        success: 'totals, and the cursor of the next page',
        problems,
        isQuery: true,
      },
    },
    handler: async (request: DailyRequest, reply) => {
      const prefix = dailyTotals.key.serialize(`${request.query.day}|`);
      const page = await pageOf({ queries, context: contextOf(request) }, dailyTotals, { prefix, ...request.query });
      writeProvenance(reply, page.provenance);
      const items = page.items.map((total) => ({ ...total, amount: formatAmount(total.amount) }));
      return sendJson(reply, JSON.stringify({ items, next: page.next }));
    },
  });
}

interface PageOf<V> {
  readonly items: readonly V[];
  readonly next: string | null;
  readonly provenance: Provenance;
}

async function pageOf<V>(
  { queries, context }: Asking,
  store: TypedStore<string, V>,
  { prefix, limit, cursor }: Paging & { readonly prefix: Uint8Array },
): Promise<PageOf<V>> {
  const count = boundedInteger('limit', limit, { min: 1, max: rowsMax, initial: rowsInitial });
  const page = await queries.page(store, { prefix, reverse: true, limit: count, cursor }, context);
  return { items: page.rows.map(({ value }) => value), next: page.cursor ?? null, provenance: page };
}

function shownBalance({ accountId, balance, available, held, currency, version, recordedAt }: Balance): object {
  return {
    accountId,
    balance: formatAmount(balance),
    available: formatAmount(available),
    held: formatAmount(held),
    currency,
    version,
    asOf: isoFromMicros(recordedAt),
  };
}

function shownEntry({ recordedAt, effectiveAt, balance, change, ...entry }: BalanceEntry): object {
  return {
    ...entry,
    balance: formatAmount(balance),
    change: formatAmount(change),
    asOf: isoFromMicros(recordedAt),
    effectiveAt: isoFromMicros(effectiveAt),
  };
}

function microsOf(text: string): number {
  const micros = microsFrom(text);
  if (micros !== undefined && micros >= 0) return micros;
  throw new Problem(400, 'query_invalid', 'at must be an instant such as 2026-01-31T12:00:00Z');
}

function accountNotFound(): never {
  throw new Problem(404, 'account_not_found', 'there is no such account, or was none at that time');
}
