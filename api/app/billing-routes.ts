/** Billing over HTTP: transactions are asked for and followed. What becomes of a request is decided elsewhere. */
import { createHash } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { canonicalJson, type Header, type Topic } from '../../index.ts';
import { withAmountsAsText } from '../../schemas/app/billing/money.ts';
import { uuid5 } from '../../schemas/app/billing/names.ts';
import type { SagaRequest, TransactionRequest } from '../../schemas/app/billing/request.ts';
import type { Transaction } from '../../schemas/app/billing/transaction.ts';
import { isoFromMicros } from '../../schemas/app/customer/instant.ts';
import { compact } from '../../schemas/app/reader.ts';
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
import type { TypedStore } from '../store-queries.ts';
import {
  bodies,
  changeBody,
  readChange,
  readSubject,
  type BillingBody,
  type CommandName,
  type Subject,
} from './billing-commands.ts';

export interface BillingRouteOptions {
  readonly transactions: TypedStore<string, Transaction>;
  readonly requests: Topic<string, SagaRequest>;
  /** Resolves when the record is in the log; rejects with `LOG_UNAVAILABLE`. */
  readonly write: (record: {
    readonly topic: string;
    readonly key: Uint8Array;
    readonly value: Uint8Array;
    readonly headers: readonly Header[];
    readonly timestampMs: number;
  }) => Promise<void>;
  readonly nowMs: () => number;
}

type StatusRequest = FastifyRequest<{
  Params: { readonly trackingId: string };
  Querystring: { readonly wait?: string };
}>;
type CommandRequest = FastifyRequest<{ Body: BillingBody; Querystring: Record<string, never> }>;
type ChangeRequest = FastifyRequest<{
  Params: { readonly id: string };
  Body: BillingBody;
  Querystring: Record<string, never>;
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
    'idempotency_key_reused',
    'same_account',
    'unbounded_accounts',
  ],
  503: ['store_not_ready', 'position_not_reached', 'peer_unavailable', 'log_unavailable'],
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

/** Keys are unique among all who ask, until there are tenants. */
const actorScope = 'default';

export function billingRoutes(options: BillingRouteOptions): Routes {
  return (scope) => {
    statusRoute(scope, options);
    commandRoute(scope, options, ['topup', '/transactions/topup', 'Puts money from an unbounded account onto another']);
    commandRoute(scope, options, ['withdraw', '/transactions/withdraw', 'Takes money out to an unbounded account']);
    commandRoute(scope, options, ['transfer', '/transactions/transfer', 'Moves money between two accounts']);
    commandRoute(scope, options, ['refund', '/transactions/refund', 'Gives back all or part of a transaction']);
    commandRoute(scope, options, ['open', '/accounts', 'Opens an account']);
    changeRoute(scope, options);
  };
}

function statusRoute({ app, queries }: RouteScope, { transactions }: BillingRouteOptions): void {
  app.get('/transactions/status/:trackingId', {
    schema: { params: statusParams, querystring: queryString(waitParameter) },
    config: {
      description: {
        summary: 'What became of a request, by its idempotency key',
        success: 'processing, completed or failed',
        problems: { ...queryProblems, 404: ['transaction_not_found'] },
        isQuery: true,
      },
    },
    handler: async (request: StatusRequest, reply) => {
      const txId = uuid5(actorScope, request.params.trackingId);
      const answer = await queries.get(transactions, txId, contextOf(request));
      writeProvenance(reply, answer);
      if (answer.value === undefined)
        throw new Problem(404, 'transaction_not_found', 'no request with this key has been taken up yet');
      return sendJson(reply, JSON.stringify(statusOf(answer.value)));
    },
  });
}

const statusParams = {
  type: 'object',
  required: ['trackingId'],
  properties: { trackingId: { type: 'string', minLength: 1, maxLength: 200 } },
};

const outcomes: Readonly<Record<Transaction['phase'], string>> = {
  forward: 'processing',
  undoing: 'processing',
  stuck: 'processing',
  completed: 'completed',
  failed: 'failed',
};

function statusOf({ request, phase, state, failure, updatedAt }: Transaction): object {
  return compact({
    trackingId: request.idempotencyKey,
    transactionId: request.txId,
    correlationId: request.correlationId,
    type: request.type,
    status: outcomes[phase],
    state,
    errorCode: phase === 'failed' ? failure : undefined,
    updatedAt: isoFromMicros(updatedAt),
  });
}

function commandRoute(
  scope: RouteScope,
  options: BillingRouteOptions,
  [name, path, summary]: readonly [CommandName, string, string],
): void {
  scope.app.post(path, {
    schema: { body: bodies[name] },
    config: {
      description: { summary, success: 'accepted: where to follow it', problems: commandProblems },
    },
    handler: (request: CommandRequest, reply) => {
      const subject = readSubject(name, request.body, (key) => uuid5(actorScope, key));
      return accept(scope, options, { subject, request, reply });
    },
  });
}

function changeRoute(scope: RouteScope, options: BillingRouteOptions): void {
  scope.app.patch('/accounts/:id', {
    schema: { params: accountParams, body: changeBody },
    config: {
      description: {
        summary: 'Changes the limits or the status of an account, if it is as the client knows it',
        success: 'accepted: where to follow it',
        problems: changeProblems,
      },
    },
    handler: (request: ChangeRequest, reply) => {
      const subject = readChange(request.params.id, request.body, headerOf(request, 'if-match'));
      return accept(scope, options, { subject, request, reply });
    },
  });
}

const accountParams = {
  type: 'object',
  required: ['id'],
  properties: { id: { type: 'string', minLength: 1, maxLength: 80 } },
};

interface Asked {
  readonly subject: Subject;
  readonly request: CommandRequest;
  readonly reply: FastifyReply;
}

/** Writes the request down, unless its key is known: then it is the same request, or refused. */
async function accept(
  { queries }: RouteScope,
  { requests, transactions, write, nowMs }: BillingRouteOptions,
  { subject, request, reply }: Asked,
): Promise<FastifyReply> {
  const idempotencyKey = keyOf(request);
  const txId = uuid5(actorScope, idempotencyKey);
  const fingerprint = fingerprintOf(subject);
  const { value: known } = await queries.get(transactions, txId, contextOf(request));
  if (known !== undefined && known.request.fingerprint !== fingerprint)
    throw new Problem(422, 'idempotency_key_reused', 'this key belongs to another request, which stays as it was');
  if (known === undefined) {
    const timestampMs = nowMs();
    const about = { txId, idempotencyKey, fingerprint, actorId: actorScope, correlationId: request.id };
    const value: TransactionRequest = { ...about, ...subject, requestedAt: timestampMs * 1_000 };
    const headers = [{ key: 'correlationId', value: Buffer.from(request.id) }];
    const record = { topic: requests.name, key: requests.key.serialize(txId), headers, timestampMs };
    await write({ ...record, value: requests.value.serialize(value) });
  } else void reply.header('idempotency-replayed', 'true');
  const body = {
    status: 'processing',
    trackingId: idempotencyKey,
    correlationId: known?.request.correlationId ?? request.id,
    message: 'Transaction accepted and processing',
  };
  void reply.code(202).header('location', `/transactions/status/${encodeURIComponent(idempotencyKey)}`);
  return sendJson(reply, JSON.stringify(body));
}

/** From the header or the body; if from both, it must be the same. */
function keyOf(request: CommandRequest): string {
  const header = headerOf(request, 'idempotency-key');
  const { idempotencyKey = header } = request.body;
  if (idempotencyKey === undefined || idempotencyKey === '')
    throw new Problem(400, 'idempotency_key_missing', 'send an Idempotency-Key, so that asking twice is asking once');
  if (header !== undefined && header !== idempotencyKey)
    throw new Problem(400, 'idempotency_key_mismatch', 'the keys in header and body are not the same');
  if (idempotencyKey.length > 200 || /[^\x20-\x7e]/.test(idempotencyKey))
    throw new Problem(400, 'request_invalid', 'an idempotency key has up to 200 printable ASCII characters');
  return idempotencyKey;
}

function fingerprintOf(subject: Subject): string {
  return createHash('sha256')
    .update(canonicalJson(withAmountsAsText(subject)) ?? '')
    .digest('hex');
}
