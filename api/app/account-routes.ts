/** What takes place on an account: its transactions, and what is held. */
import type { FastifyRequest } from 'fastify';
import type { Hold } from '../../schemas/app/billing/account.ts';
import { formatAmount } from '../../schemas/app/billing/money.ts';
import { isStriped } from '../../schemas/app/billing/names.ts';
import { accountTransactionKey, type AccountTransaction } from '../../schemas/app/billing/projection.ts';
import { isoFromMicros } from '../../schemas/app/customer/instant.ts';
import { compact } from '../../schemas/app/reader.ts';
import { limits } from '../limits.ts';
import { Problem } from '../problem.ts';
import {
  contextOf,
  queryString,
  sendJson,
  waitParameter,
  writeProvenance,
  type Routes,
  type RouteScope,
} from '../routes.ts';
import type { TypedStore } from '../store-queries.ts';
import {
  idParams,
  pagingParameters,
  periodOf,
  periodParameters,
  queryProblems,
  rowsWanted,
  type Paging,
  type Period,
} from './billing-queries.ts';

type TransactionsRequest = FastifyRequest<{
  Params: { readonly id: string };
  Querystring: Paging &
    Period & {
      readonly status?: string;
      readonly type?: string;
    };
}>;
type StripesRequest = FastifyRequest<{ Params: { readonly id: string }; Querystring: { readonly wait?: string } }>;
type HoldsRequest = FastifyRequest<{ Params: { readonly id: string }; Querystring: Paging }>;

const pagingOfRows = pagingParameters('rows to look at');

export function transactionsOfAccountRoutes(store: TypedStore<string, AccountTransaction>): Routes {
  return ({ app, queries }: RouteScope) => {
    app.get('/accounts/:id/transactions', {
      schema: {
        params: idParams,
        querystring: queryString({
          ...pagingOfRows,
          ...periodParameters('asked for'),
          status: { type: 'string', enum: ['processing', 'completed', 'failed'], description: 'only these' },
          type: { type: 'string', maxLength: 40, description: 'only these: `TRANSFER`, …' },
        }),
      },
      config: {
        description: {
          summary: 'Transactions of an account, the latest first, also those that failed',
          success: 'transactions, and the cursor of the next page; a page of what was left out may be empty',
          problems: queryProblems,
          isQuery: true,
        },
      },
      handler: async (request: TransactionsRequest, reply) => {
        const { limit, cursor, status, type } = request.query;
        const { from, to } = periodOf(request.query);
        const keyAt = (at: number): Uint8Array => store.key.serialize(accountTransactionKey(request.params.id, at, ''));
        const range = { from: keyAt(from), to: keyAt(to), reverse: true };
        const page = await queries.page(store, { ...range, limit: rowsWanted(limit), cursor }, contextOf(request));
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
      schema: { params: idParams, querystring: queryString(pagingOfRows) },
      config: {
        description: {
          summary: 'What is set aside on an account by transactions under way',
          success: 'holds, and the cursor of the next page',
          problems: queryProblems,
          isQuery: true,
        },
      },
      handler: async (request: HoldsRequest, reply) => {
        const { limit, cursor } = request.query;
        const prefix = store.key.serialize(`${request.params.id}|`);
        const page = await queries.page(store, { prefix, limit: rowsWanted(limit), cursor }, contextOf(request));
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

/** Of an unbounded account: what its stripes add up to. `stripes`: keys are stripe names. */
export function stripesRoutes(stripes: TypedStore<string, bigint>): Routes {
  return ({ app, queries }: RouteScope) => {
    app.get('/accounts/:id/stripes', {
      schema: { params: idParams, querystring: queryString(waitParameter) },
      config: {
        description: {
          summary: 'The balance of an unbounded account: the sum of its stripes, by currency',
          success: 'balances; none before any money was moved',
          problems: { ...queryProblems, 404: ['account_not_found'] },
          isQuery: true,
        },
      },
      handler: async (request: StripesRequest, reply) => {
        const { id } = request.params;
        if (!isStriped(id)) throw new Problem(404, 'account_not_found', 'this is no unbounded account');
        const prefix = stripes.key.serialize(`${id}:`);
        // A stripe for each partition and currency.
        const page = await queries.page(stripes, { prefix, limit: limits.pageRows }, contextOf(request));
        writeProvenance(reply, page);
        const sums = new Map<string, bigint>();
        for (const { key, value } of page.rows) {
          const currency = key.slice(id.length + 1, key.lastIndexOf('#'));
          sums.set(currency, (sums.get(currency) ?? 0n) + value);
        }
        const balances = [...sums].sort().map(([currency, sum]) => ({ currency, balance: formatAmount(sum) }));
        return sendJson(reply, JSON.stringify({ accountId: id, balances }));
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
