/** Billing over HTTP: transactions are asked for and followed. What becomes of a request is decided elsewhere. */
import type { FastifyRequest } from 'fastify';
import { Problem } from '../problem.ts';
import {
  contextOf,
  headerOf,
  queryString,
  sendJson,
  waitParameter,
  writeProvenance,
  type RouteDescription,
  type Routes,
  type RouteScope,
} from '../routes.ts';
import { acceptAndAnswer, keyOf, txIdOf, type AcceptPorts, type CommandRequest } from './billing-accept.ts';
import { bulkRoute } from './billing-bulk-route.ts';
import { bodies, changeBody, readChange, readSubject, type BillingBody, type CommandName } from './billing-commands.ts';
import { awaitOutcome, outcomeWait, shownRequest, shownTransaction } from './transaction-status.ts';

type StatusRequest = FastifyRequest<{
  Params: { readonly trackingId: string };
  Querystring: { readonly wait?: string };
}>;
type ChangeRequest = FastifyRequest<{
  Params: { readonly id: string };
  Body: BillingBody;
  Querystring: { readonly wait?: string };
}>;
type Problems = NonNullable<RouteDescription['problems']>;

const queryProblems: Problems = {
  400: ['request_invalid', 'query_invalid'],
  421: ['misdirected'],
  503: ['store_not_ready', 'position_not_reached', 'peer_unavailable'],
};

const commandProblems: Problems = {
  400: ['request_invalid', 'body_invalid', 'query_invalid', 'idempotency_key_missing', 'idempotency_key_mismatch'],
  413: ['body_too_large'],
  415: ['media_type_unsupported'],
  421: ['misdirected'],
  422: [
    'account_invalid',
    'amount_invalid',
    'amount_negative',
    'amount_overflow',
    'amount_precision',
    'amount_zero',
    'currency_invalid',
    'effective_at_invalid',
    'idempotency_key_reused',
    'same_account',
    'unbounded_accounts',
  ],
  503: ['store_not_ready', 'position_not_reached', 'peer_unavailable', 'log_unavailable', 'backlog_too_long'],
};

const changeProblems: Problems = {
  ...commandProblems,
  422: [
    'account_invalid',
    'amount_invalid',
    'amount_overflow',
    'amount_precision',
    'change_invalid',
    'idempotency_key_reused',
  ],
  428: ['if_match_missing'],
};

const bulkProblems: Problems = {
  400: ['request_invalid', 'body_invalid', 'query_invalid'],
  413: ['body_too_large'],
  415: ['media_type_unsupported'],
};

/** Commands: taken in wherever they are asked for. */
export function billingCommandRoutes(options: AcceptPorts): Routes {
  return (scope) => {
    commandRoute(scope, options, ['topup', '/transactions/topup', 'Puts money from an unbounded account onto another']);
    commandRoute(scope, options, ['withdraw', '/transactions/withdraw', 'Takes money out to an unbounded account']);
    commandRoute(scope, options, ['transfer', '/transactions/transfer', 'Moves money between two accounts']);
    commandRoute(scope, options, ['refund', '/transactions/refund', 'Gives back all or part of a transaction']);
    commandRoute(scope, options, ['open', '/accounts', 'Opens an account']);
    changeRoute(scope, options);
    bulkRoute(scope, options, {
      path: '/transactions/bulk',
      access: 'reader',
      names: ['topup', 'withdraw', 'transfer', 'refund', 'open'],
      summary: 'Up to 1000 commands, each accepted or refused by itself',
      problems: bulkProblems,
    });
    bulkRoute(scope, options, {
      path: '/admin/history',
      access: 'admin',
      names: ['open', 'import'],
      summary: 'Takes over up to 1000 accounts and transactions that began elsewhere, beyond limits and status',
      problems: bulkProblems,
    });
  };
}

export function transactionStatusRoutes({
  transactions,
  register,
  clock,
}: Pick<AcceptPorts, 'transactions' | 'register' | 'clock'>): Routes {
  return ({ app, queries }) => {
    app.get('/transactions/status/:trackingId', {
      schema: {
        params: statusParams,
        querystring: queryString({
          ...waitParameter,
          wait: { ...outcomeWait, description: `${outcomeWait.description}; also for X-Min-Position, then 1000` },
        }),
      },
      config: {
        description: {
          summary: 'What became of a request, by its idempotency key',
          success: 'processing, completed or failed',
          problems: {
            ...queryProblems,
            404: ['transaction_not_found'],
            503: ['store_not_ready', 'position_not_reached', 'peer_unavailable', 'log_unavailable'],
          },
          isQuery: true,
        },
      },
      handler: async (request: StatusRequest, reply) => {
        const context = contextOf(request);
        const waitMs = request.query.wait === undefined ? 0 : context.waitMs;
        const txId = txIdOf(request.params.trackingId);
        const answer = await awaitOutcome({ queries, transactions, clock }, { txId, waitMs, context });
        writeProvenance(reply, answer);
        if (answer.value !== undefined) return sendJson(reply, JSON.stringify(shownTransaction(answer.value)));
        // What was accepted is never unknown, also before the saga has read it.
        const accepted = await register.current(txId);
        if (accepted === undefined)
          throw new Problem(404, 'transaction_not_found', 'there was no request with this key');
        const { trackingId } = request.params;
        return sendJson(reply, JSON.stringify(shownRequest(trackingId, { txId, ...accepted })));
      },
    });
  };
}

const statusParams = {
  type: 'object',
  required: ['trackingId'],
  properties: { trackingId: { type: 'string', minLength: 1, maxLength: 200 } },
};

function commandRoute(
  scope: RouteScope,
  options: AcceptPorts,
  [name, path, summary]: readonly [CommandName, string, string],
): void {
  scope.app.post(path, {
    schema: { body: bodies[name], querystring: queryString({ wait: outcomeWait }) },
    config: {
      description: {
        summary,
        success: 'accepted: where to follow it; with `wait` what became of it, if that comes in time',
        problems: commandProblems,
      },
    },
    handler: (request: CommandRequest, reply) => {
      const idempotencyKey = keyOf(request.body, headerOf(request, 'idempotency-key'));
      const subject = readSubject(name, { ...request.body, idempotencyKey }, txIdOf);
      return acceptAndAnswer(scope.queries, options, { asked: { subject, idempotencyKey }, request, reply });
    },
  });
}

function changeRoute(scope: RouteScope, options: AcceptPorts): void {
  scope.app.patch('/accounts/:id', {
    schema: { params: accountParams, body: changeBody, querystring: queryString({ wait: outcomeWait }) },
    config: {
      description: {
        summary: 'Changes the limits or the status of an account, if it is as the client knows it',
        success: 'accepted: where to follow it; with `wait` what became of it, if that comes in time',
        problems: changeProblems,
      },
    },
    handler: (request: ChangeRequest, reply) => {
      const subject = readChange(request.params.id, request.body, headerOf(request, 'if-match'));
      const idempotencyKey = keyOf(request.body, headerOf(request, 'idempotency-key'));
      return acceptAndAnswer(scope.queries, options, { asked: { subject, idempotencyKey }, request, reply });
    },
  });
}

const accountParams = {
  type: 'object',
  required: ['id'],
  properties: { id: { type: 'string', minLength: 1, maxLength: 80 } },
};
