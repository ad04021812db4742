/** Balances now and at any time, and their history. */
import type { FastifyRequest } from 'fastify';
import type { Clock } from '../../index.ts';
import { formatAmount } from '../../schemas/app/billing/money.ts';
import { entryKey, type Balance, type BalanceEntry } from '../../schemas/app/billing/projection.ts';
import { isoFromMicros } from '../../schemas/app/customer/instant.ts';
import type { QueryContext } from '../placement.ts';
import { limits } from '../limits.ts';
import { Problem, unavailable } from '../problem.ts';
import {
  contextOf,
  queryString,
  sendJson,
  sendTagged,
  waitParameter,
  writeProvenance,
  type Routes,
  type RouteScope,
} from '../routes.ts';
import type { StoreQueries, TypedAnswer, TypedRange, TypedStore } from '../store-queries.ts';
import {
  endOfTime,
  idParams,
  instantOf,
  pagingParameters,
  periodOf,
  periodParameters,
  queryProblems,
  rowsWanted,
  type Paging,
  type Period,
} from './billing-queries.ts';
import { statementRoute } from './statement-routes.ts';

export interface BillingProjectionOptions {
  readonly balances: TypedStore<string, Balance>;
  readonly history: TypedStore<string, BalanceEntry>;
  readonly effective: TypedStore<string, BalanceEntry>;
  readonly clock: Clock;
}

type BalanceRequest = FastifyRequest<{
  Params: { readonly id: string };
  Querystring: {
    readonly wait?: string;
    readonly at?: string;
    readonly basis?: string;
    readonly after?: string;
  };
}>;
type HistoryRequest = FastifyRequest<{
  Params: { readonly id: string };
  Querystring: Paging & Period;
}>;

/** Of entries after an instant, to add them up. */
const laterPagesMax = 10;

const pagingOfEntries = pagingParameters('entries');
const withAccount = { ...queryProblems, 404: ['account_not_found'] };
const ofBalance = { ...withAccount, 422: ['history_too_long'] };

export function billingProjectionRoutes(options: BillingProjectionOptions): Routes {
  return (scope) => {
    balanceRoute(scope, options);
    historyRoute(scope, options);
    statementRoute(scope, options);
  };
}

function balanceRoute({ app, queries }: RouteScope, options: BillingProjectionOptions): void {
  app.get('/accounts/:id/balance', {
    schema: {
      params: idParams,
      querystring: queryString({
        ...waitParameter,
        at: { type: 'string', maxLength: 40, description: 'instant, ISO 8601: what the balance was then' },
        basis: {
          type: 'string',
          enum: ['recorded', 'effective'],
          description: 'whether `at` is when the ledger recorded it (default), or the business date',
        },
        after: { type: 'string', maxLength: 90, description: '`token` of a transaction that it must reflect' },
      }),
    },
    config: {
      description: {
        summary: 'The balance of an account, now or at an instant',
        success: 'the balance; its version is the entity tag',
        problems: ofBalance,
        isQuery: true,
      },
    },
    handler: async (request: BalanceRequest, reply) => {
      const { id } = request.params;
      const { at, basis, after } = request.query;
      const asking = { queries, context: contextOf(request) };
      const answer = await balanceAfter(asking, options, { id, version: versionOf(id, after) });
      const balance = answer.value ?? accountNotFound();
      writeProvenance(reply, answer);
      if (at === undefined)
        return sendTagged(request, reply, `"${balance.version}"`, JSON.stringify(shownBalance(balance)));
      const instant = instantOf(at, 'at must be an instant');
      const shown =
        basis === 'effective'
          ? await effectiveAt(asking, options.effective, { balance, instant })
          : await recordedAt(asking, options.history, { balance, instant });
      return sendJson(reply, JSON.stringify(shown));
    },
  });
}

interface Asking {
  readonly queries: StoreQueries;
  readonly context: QueryContext;
}

/** The version of a token, which must be one of this account. */
function versionOf(id: string, token: string | undefined): number {
  if (token === undefined) return 0;
  const [, account, version] = /^(.+)@(\d{1,15})$/.exec(token) ?? [];
  if (account === id && version !== undefined) return Number(version);
  throw new Problem(
    400,
    'query_invalid',
    'after must be a token of this account, as the status of a transaction shows it',
  );
}

/** The balance once it is of that version, or a later one. Throws 503 `position_not_reached` when that takes too long. */
async function balanceAfter(
  { queries, context }: Asking,
  { balances, clock }: BillingProjectionOptions,
  { id, version }: { readonly id: string; readonly version: number },
): Promise<TypedAnswer<Balance>> {
  const untilMs = clock.monotonicMs() + context.waitMs;
  while (true) {
    const answer = await queries.get(balances, id, context);
    if ((answer.value?.version ?? 0) >= version) return answer;
    if (clock.monotonicMs() >= untilMs || context.signal.aborted)
      throw unavailable('position_not_reached', 'the balance does not reflect the transaction yet');
    await clock.sleep(limits.positionStepMs, context.signal);
  }
}

interface Instant {
  readonly balance: Balance;
  readonly instant: number;
}

/** The last entry recorded up to then: one step back from there. What was recorded up to the latest event cannot change any more. */
async function recordedAt(
  { queries, context }: Asking,
  history: TypedStore<string, BalanceEntry>,
  { balance, instant }: Instant,
): Promise<object> {
  const range = upTo(history, balance.accountId, instant);
  const { rows } = await queries.page(history, { ...range, limit: 1 }, context);
  const [row] = rows;
  return { ...shownEntry(row?.value ?? accountNotFound()), final: instant < balance.recordedAt };
}

/** Everything whose business date is not later, added up: back-dated entries change it later on, so it is never final. */
async function effectiveAt(
  { queries, context }: Asking,
  effective: TypedStore<string, BalanceEntry>,
  { balance: { accountId, balance, currency, version }, instant }: Instant,
): Promise<object> {
  const { rows } = await queries.page(effective, { ...upTo(effective, accountId, instant), limit: 1 }, context);
  if (rows.length === 0) accountNotFound();
  const later = {
    from: effective.key.serialize(entryKey(accountId, instant + 1, 0)),
    to: effective.key.serialize(`${accountId}}`),
    reverse: true,
    limit: limits.pageRows,
  };
  let sum = balance;
  let cursor: string | undefined;
  for (let page = 0; page === 0 || cursor !== undefined; page += 1) {
    if (page >= laterPagesMax)
      throw new Problem(422, 'history_too_long', 'too much has happened since then for this question');
    const found = await queries.page(effective, { ...later, cursor }, context);
    // What came after the balance was read is not in it.
    for (const { value } of found.rows) if (value.version <= version) sum -= value.change;
    cursor = found.cursor;
  }
  return {
    accountId,
    balance: formatAmount(sum),
    currency,
    version,
    effectiveAt: isoFromMicros(instant),
    final: false,
  };
}

/** The entries of an account up to an instant, the latest first. */
function upTo(store: TypedStore<string, BalanceEntry>, accountId: string, instant: number): Omit<TypedRange, 'limit'> {
  const [from, to] = [entryKey(accountId, 0, 0), entryKey(accountId, instant + 1, 0)];
  return { from: store.key.serialize(from), to: store.key.serialize(to), reverse: true };
}

function historyRoute({ app, queries }: RouteScope, { history }: BillingProjectionOptions): void {
  app.get('/accounts/:id/history', {
    schema: { params: idParams, querystring: queryString({ ...pagingOfEntries, ...periodParameters('recorded') }) },
    config: {
      description: {
        summary: 'Every balance an account ever had, the latest first',
        success: 'entries, and the cursor of the next page',
        problems: withAccount,
        isQuery: true,
      },
    },
    handler: async (request: HistoryRequest, reply) => {
      const { cursor, limit } = request.query;
      const { from, to } = periodOf(request.query);
      const keyAt = (at: number): Uint8Array => history.key.serialize(entryKey(request.params.id, at, 0));
      const range = { from: keyAt(from), to: keyAt(to), reverse: true, limit: rowsWanted(limit), cursor };
      const page = await queries.page(history, range, contextOf(request));
      if (page.rows.length === 0 && from === 0 && to === endOfTime && cursor === undefined) accountNotFound();
      writeProvenance(reply, page);
      const items = page.rows.map(({ value }) => shownEntry(value));
      return sendJson(reply, JSON.stringify({ items, next: page.cursor ?? null }));
    },
  });
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

function accountNotFound(): never {
  throw new Problem(404, 'account_not_found', 'there is no such account, or was none at that time');
}
