/** For those who look after billing: which sagas wait, and a push for one that waits too long. */
import type { FastifyRequest } from 'fastify';
import type { Topic } from '../../index.ts';
import { uuid5 } from '../../schemas/app/billing/names.ts';
import type { SagaRequest } from '../../schemas/app/billing/request.ts';
import type { SagaTimer, Transaction } from '../../schemas/app/billing/transaction.ts';
import { isoFromMicros } from '../../schemas/app/customer/instant.ts';
import { Problem } from '../problem.ts';
import {
  boundedInteger,
  contextOf,
  queryString,
  sendJson,
  waitParameter,
  writeProvenance,
  type Routes,
  type RouteScope,
} from '../routes.ts';
import type { TypedStore } from '../store-queries.ts';
import { requestHeaders, type AcceptPorts } from './billing-accept.ts';

export interface BillingAdminOptions extends Pick<AcceptPorts, 'write' | 'clock'> {
  /** Keys begin with the time they are due, in ms. */
  readonly timers: TypedStore<string, SagaTimer>;
  readonly transactions: TypedStore<string, Transaction>;
  readonly requests: Topic<string, SagaRequest>;
}

type SagasRequest = FastifyRequest<{
  Querystring: { readonly wait?: string; readonly limit?: string; readonly cursor?: string };
}>;
type RedriveRequest = FastifyRequest<{
  Params: { readonly txId: string };
  Querystring: { readonly wait?: string };
}>;

const rows = { min: 1, max: 500, initial: 50 };

export function billingAdminRoutes(options: BillingAdminOptions): Routes {
  return (scope) => {
    sagasRoute(scope, options);
    redriveRoute(scope, options);
  };
}

function sagasRoute({ app, queries }: RouteScope, { timers }: BillingAdminOptions): void {
  app.get('/admin/sagas', {
    schema: {
      querystring: queryString({
        ...waitParameter,
        limit: {
          type: 'string',
          pattern: '^\\d{1,4}$',
          description: `sagas, 1 to ${rows.max}; default ${rows.initial}`,
        },
        cursor: { type: 'string', description: '`next` of the page before' },
      }),
    },
    config: {
      access: 'admin',
      description: {
        summary: 'Sagas that wait for an answer, by when it is looked whether they have waited too long',
        success: 'sagas, and the cursor of the next page',
        problems: {
          400: ['request_invalid', 'query_invalid'],
          503: ['store_not_ready', 'position_not_reached', 'peer_unavailable', 'too_many_scans'],
        },
        isQuery: true,
      },
    },
    handler: async (request: SagasRequest, reply) => {
      const limit = boundedInteger('limit', request.query.limit, rows);
      const page = await queries.page(timers, { limit, cursor: request.query.cursor }, contextOf(request));
      writeProvenance(reply, page);
      const items = page.rows.map(({ key, value: { txId } }) => ({
        transactionId: txId,
        wakesAt: isoFromMicros(Number(key.slice(0, key.indexOf('|'))) * 1_000),
      }));
      return sendJson(reply, JSON.stringify({ items, next: page.cursor ?? null }));
    },
  });
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
