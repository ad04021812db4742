/** For those who look after billing: which sagas wait or are stuck, and a push for one that waits too long. */
import type { FastifyRequest } from 'fastify';
import type { Topic } from '../../index.ts';
import { isWaiting } from '../../processors/app/billing/saga-engine.ts';
import { uuid5 } from '../../schemas/app/billing/names.ts';
import type { SagaRequest } from '../../schemas/app/billing/request.ts';
import { stuckPrefix, timeOfKey, type SagaTimer } from '../../schemas/app/billing/saga-timer.ts';
import type { Transaction } from '../../schemas/app/billing/transaction.ts';
import { isoFromMicros } from '../../schemas/app/customer/instant.ts';
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
import type { TypedRange, TypedRow, TypedStore } from '../store-queries.ts';
import { requestHeaders, type AcceptPorts } from './billing-accept.ts';
import { pagingParameters, queryProblems, rowsWanted, type Paging } from './billing-queries.ts';

export interface BillingAdminOptions extends Pick<AcceptPorts, 'write' | 'clock'> {
  /** By `timerKey` and `stuckKey`. */
  readonly timers: TypedStore<string, SagaTimer>;
  readonly transactions: TypedStore<string, Transaction>;
  readonly requests: Topic<string, SagaRequest>;
}

type SagasRequest = FastifyRequest<{ Querystring: Paging & { readonly state?: string } }>;
type RedriveRequest = FastifyRequest<{
  Params: { readonly txId: string };
  Querystring: { readonly wait?: string };
}>;

/** The state of those that are stuck, whatever they were about. */
const stuck = 'STUCK';

export function billingAdminRoutes(options: BillingAdminOptions): Routes {
  return (scope) => {
    sagasRoute(scope, options);
    redriveRoute(scope, options);
  };
}

function sagasRoute({ app, queries }: RouteScope, { timers, transactions }: BillingAdminOptions): void {
  app.get('/admin/sagas', {
    schema: {
      querystring: queryString({
        ...pagingParameters('sagas to look at'),
        state: { type: 'string', pattern: '^[A-Z]{1,40}$', description: 'only these: `HOLDING`, `STUCK`, …' },
      }),
    },
    config: {
      access: 'admin',
      description: {
        summary:
          'Sagas that wait for an answer, by when it is looked whether they have waited too long, then those that are stuck',
        success: 'sagas, and the cursor of the next page; a page of what was left out may be empty',
        problems: queryProblems,
        isQuery: true,
      },
    },
    handler: async (request: SagasRequest, reply) => {
      const { limit, cursor, state } = request.query;
      const context = contextOf(request);
      const page = await queries.page(timers, { ...rowsIn(timers, state), limit: rowsWanted(limit), cursor }, context);
      writeProvenance(reply, page);
      const ofTransaction = async (txId: string) => (await queries.get(transactions, txId, context)).value;
      const sagas = await Promise.all(page.rows.map((row) => shownSaga(row, ofTransaction)));
      const items = sagas.filter((saga) => saga !== undefined && (state ?? saga.state) === saga.state);
      return sendJson(reply, JSON.stringify({ items, next: page.cursor ?? null }));
    },
  });
}

/** Where sagas of a state are to be found. */
function rowsIn({ key }: BillingAdminOptions['timers'], state: string | undefined): Omit<TypedRange, 'limit'> {
  const behind = key.serialize(stuckPrefix);
  if (state === stuck) return { prefix: behind };
  return state === undefined ? {} : { to: behind };
}

/** `undefined`: it has gone on since the row was read, and does not wait any more. */
async function shownSaga(
  { key, value: { txId: transactionId } }: TypedRow<string, SagaTimer>,
  ofTransaction: (txId: string) => Promise<Transaction | undefined>,
): Promise<{ transactionId: string; state: string; wakesAt: string | null } | undefined> {
  const atMs = timeOfKey(key);
  if (atMs === undefined) return { transactionId, state: stuck, wakesAt: null };
  const transaction = await ofTransaction(transactionId);
  if (transaction === undefined || !isWaiting(transaction)) return undefined;
  return { transactionId, state: transaction.state, wakesAt: isoFromMicros(atMs * 1_000) };
}

function redriveRoute({ app, queries }: RouteScope, options: BillingAdminOptions): void {
  const { transactions, requests, write, clock } = options;
  app.post('/admin/sagas/:txId/redrive', {
    schema: {
      params: { type: 'object', required: ['txId'], properties: { txId: { type: 'string', maxLength: 64 } } },
      querystring: queryString(waitParameter),
    },
    config: {
      access: 'admin',
      description: {
        summary: 'Has a saga send again what is unanswered; to send twice is to send once',
        success: 'it will',
        problems: {
          400: ['request_invalid', 'query_invalid'],
          404: ['transaction_not_found'],
          421: ['misdirected'],
          503: ['store_not_ready', 'position_not_reached', 'peer_unavailable', 'log_unavailable'],
        },
        isQuery: true,
      },
    },
    handler: async (request: RedriveRequest, reply) => {
      const { txId } = request.params;
      const context = contextOf(request);
      const { value: known } = await queries.get(transactions, txId, context);
      if (known === undefined) throw new Problem(404, 'transaction_not_found', 'there is no transaction of this id');
      const record = {
        topic: requests.name,
        key: requests.key.serialize(txId),
        headers: requestHeaders({
          correlationId: context.correlationId,
          eventType: 'REDRIVE',
          eventId: uuid5(txId, context.correlationId),
        }),
        timestampMs: clock.nowMs(),
      };
      await write({ ...record, value: requests.value.serialize({ type: 'REDRIVE', txId }) });
      return sendJson(reply.code(202), JSON.stringify({ transactionId: txId, state: known.state }));
    },
  });
}
