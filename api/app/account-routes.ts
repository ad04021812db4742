/** What takes place on an account: its transactions, and what is held. */
import type { FastifyRequest } from 'fastify';
import type { Hold } from '../../schemas/app/billing/account.ts';
import { formatAmount } from '../../schemas/app/billing/money.ts';
import { accountTransactionKey, type AccountTransaction } from '../../schemas/app/billing/projection.ts';
import { isoFromMicros, microsFrom } from '../../schemas/app/customer/instant.ts';
import { compact } from '../../schemas/app/reader.ts';
import { Problem } from '../problem.ts';
import {
  boundedInteger,
  contextOf,
  queryString,
  sendJson,
  waitParameter,
  writeProvenance,
  type RouteDescription,
  type Routes,
  type RouteScope,
} from '../routes.ts';
import type { TypedStore } from '../store-queries.ts';

interface Paging {
  readonly wait?: string;
  readonly limit?: string;
  readonly cursor?: string;
}
type TransactionsRequest = FastifyRequest<{
  Params: { readonly id: string };
  Querystring: Paging & {
    readonly from?: string;
    readonly to?: string;
    readonly status?: string;
    readonly type?: string;
  };
}>;
type HoldsRequest = FastifyRequest<{ Params: { readonly id: string }; Querystring: Paging }>;

const rows = { min: 1, max: 500, initial: 50 };
/** Later than anything that is written down. */
const endOfTime = Number.MAX_SAFE_INTEGER - 1;

const idParams = {
  type: 'object',
  required: ['id'],
  properties: { id: { type: 'string', minLength: 1, maxLength: 80 } },
};
const pagingParameters = {
  ...waitParameter,
  limit: {
    type: 'string',
    pattern: '^\\d{1,4}$',
    description: `rows to look at, 1 to ${rows.max}; default ${rows.initial}`,
  },
  cursor: { type: 'string', description: '`next` of the page before' },
} as const;
const instant = { type: 'string', maxLength: 40 };

const problems: NonNullable<RouteDescription['problems']> = {
  400: ['request_invalid', 'query_invalid'],
  421: ['misdirected'],
  503: ['store_not_ready', 'position_not_reached', 'peer_unavailable', 'too_many_scans'],
};

export function transactionsOfAccountRoutes(store: TypedStore<string, AccountTransaction>): Routes {
  return ({ app, queries }: RouteScope) => {
    app.get('/accounts/:id/transactions', {
      schema: {
        params: idParams,
        querystring: queryString({
          ...pagingParameters,
          from: { ...instant, description: 'asked for at this instant or later, ISO 8601' },
          to: { ...instant, description: 'asked for before this instant' },
          status: { type: 'string', enum: ['processing', 'completed', 'failed'], description: 'only these' },
          type: { type: 'string', maxLength: 40, description: 'only these: `TRANSFER`, …' },
        }),
      },
      config: {
        description: {
          summary: 'Transactions of an account, the latest first, also those that failed',
          success: 'transactions, and the cursor of the next page; a page of what was left out may be empty',
          problems,
          isQuery: true,
        },
      },
      handler: async (request: TransactionsRequest, reply) => {
        const { limit, cursor, from, to, status, type } = request.query;
        const [first, last] = [microsOf(from) ?? 0, microsOf(to) ?? endOfTime];
        const keyAt = (at: number): Uint8Array => store.key.serialize(accountTransactionKey(request.params.id, at, ''));
        const range = { from: keyAt(first), to: keyAt(last), reverse: true };
        const page = await queries.page(
          store,
          { ...range, limit: boundedInteger('limit', limit, rows), cursor },
          contextOf(request),
        );
        writeProvenance(reply, page);
        const items = page.rows
          .map(({ value }) => value)
          .filter((row) => (status ?? row.status) === row.status && (type ?? row.type) === row.type)
          .map(shownTransaction);
        return sendJson(reply, JSON.stringify({ items, next: page.cursor ?? null }));
      },
    });
  };
}

export function holdsRoutes(store: TypedStore<string, Hold>): Routes {
  return ({ app, queries }: RouteScope) => {
    app.get('/accounts/:id/holds', {
      schema: { params: idParams, querystring: queryString(pagingParameters) },
      config: {
        description: {
          summary: 'What is set aside on an account by transactions under way',
          success: 'holds, and the cursor of the next page',
          problems,
          isQuery: true,
        },
      },
      handler: async (request: HoldsRequest, reply) => {
        const { limit, cursor } = request.query;
        const prefix = store.key.serialize(`${request.params.id}|`);
        const page = await queries.page(
          store,
          { prefix, limit: boundedInteger('limit', limit, rows), cursor },
          contextOf(request),
        );
        writeProvenance(reply, page);
        const items = page.rows.map(({ value: { holdId, txId, side, amount } }) => ({
          holdId,
          transactionId: txId,
          side,
          amount: formatAmount(amount),
        }));
        return sendJson(reply, JSON.stringify({ items, next: page.cursor ?? null }));
      },
    });
  };
}

function shownTransaction({ txId, amount, requestedAt, effectiveAt, endedAt, ...row }: AccountTransaction): object {
  return compact({
    ...row,
    transactionId: txId,
    amount: amount === undefined ? undefined : formatAmount(amount),
    requestedAt: isoFromMicros(requestedAt),
    effectiveAt: isoFromMicros(effectiveAt),
    endedAt: endedAt === undefined ? undefined : isoFromMicros(endedAt),
  });
}

function microsOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const micros = microsFrom(text);
  if (micros !== undefined && micros >= 0) return micros;
  throw new Problem(400, 'query_invalid', 'from and to must be instants such as 2026-01-31T12:00:00Z');
}
