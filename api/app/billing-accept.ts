/** Takes requests of billing in: each is written down once, under its idempotency key, and can be followed. */
import { hash } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import type { Clock, Header, Topic, WrittenRecord } from '../../index.ts';
import { moneyJson } from '../../schemas/app/billing/money.ts';
import { envelopeHeaders, type Envelope } from '../../schemas/app/billing/envelope.ts';
import { uuid5 } from '../../schemas/app/billing/names.ts';
import type { SagaRequest, TransactionRequest } from '../../schemas/app/billing/request.ts';
import type { Transaction } from '../../schemas/app/billing/transaction.ts';
import type { RoutePorts } from './application.ts';
import type { Backlog } from './backlog.ts';
import { limits } from '../limits.ts';
import type { QueryContext } from '../placement.ts';
import { formatPosition } from '../position.ts';
import { Problem, unavailable } from '../problem.ts';
import { boundedInteger, contextOf, sendJson } from '../routes.ts';
import type { RegisteredRequest, RequestRegister } from './request-register.ts';
import type { StoreQueries, TypedStore } from '../store-queries.ts';
import type { BillingBody, Subject } from './billing-commands.ts';
import { awaitOutcome, outcomeOf, shownTransaction } from './transaction-status.ts';

export interface AcceptPorts {
  readonly transactions: TypedStore<string, Transaction>;
  readonly register: RequestRegister;
  readonly backlog: Backlog;
  readonly requests: Topic<string, SagaRequest>;
  readonly write: RoutePorts['write'];
  readonly clock: Clock;
}

export type CommandRequest = FastifyRequest<{ Body: BillingBody; Querystring: { readonly wait?: string } }>;

/** Keys are unique among all who ask, until there are tenants. */
const actorScope = 'default';

/** The transaction that an idempotency key stands for. */
export function txIdOf(trackingId: string): string {
  return uuid5(actorScope, trackingId);
}

export interface Accepted {
  readonly txId: string;
  readonly correlationId: string;
  /** It was asked for before. */
  readonly isReplayed: boolean;
  /** Where it was written just now. */
  readonly written: WrittenRecord | undefined;
}

export interface Asked {
  readonly subject: Subject;
  readonly idempotencyKey: string;
  readonly correlationId: string;
}

/**
 * Writes the request down, unless its key is known. Of several under one key that come at the same moment, anywhere, the first in the log counts: so each
 * is looked up once more after it was written. Rejects with a `Problem` if the key belongs to another request.
 */
export async function accept(
  { requests, register, backlog, write, clock }: AcceptPorts,
  { subject, idempotencyKey, correlationId }: Asked,
): Promise<Accepted> {
  const txId = txIdOf(idempotencyKey);
  const fingerprint = fingerprintOf(subject);
  const known = register.find(txId);
  if (known !== undefined) return replayed(known, { txId, fingerprint });
  if (backlog.isTooLong)
    throw unavailable('backlog_too_long', 'so much waits to be worked off that nothing more is accepted');
  const timestampMs = clock.nowMs();
  const about = { txId, idempotencyKey, fingerprint, actorId: actorScope, correlationId };
  const value: TransactionRequest = { ...about, requestedAt: timestampMs * 1_000, ...subject };
  const headers = requestHeaders({ correlationId, eventType: subject.type, eventId: txId });
  const record = { topic: requests.name, key: requests.key.serialize(txId), headers, timestampMs };
  const written = await write({ ...record, value: requests.value.serialize(value) });
  const { partition, offset } = written;
  const first = await register.first({ txId, fingerprint, correlationId, partition, offset });
  if (first.offset !== offset) return replayed(first, { txId, fingerprint });
  return { txId, correlationId, isReplayed: false, written };
}

function replayed(
  known: RegisteredRequest,
  { txId, fingerprint }: { readonly txId: string; readonly fingerprint: string },
): Accepted {
  if (known.fingerprint !== fingerprint)
    throw new Problem(422, 'idempotency_key_reused', 'this key belongs to another request, which stays as it was');
  return { txId, correlationId: known.correlationId, isReplayed: true, written: undefined };
}

/** Of a record that a client causes: what follows from it passes on who asked, and under which correlation. */
export function requestHeaders({
  correlationId,
  ...request
}: Omit<Envelope, 'causationId'> & { readonly correlationId: string }): readonly Header[] {
  const asked = Object.entries({ correlationId, actorId: actorScope });
  const inherited = asked.map(([key, value]) => ({ key, value: Buffer.from(value) }));
  return envelopeHeaders(inherited, { ...request, causationId: correlationId });
}

/** 202 and where to follow it; with `?wait=` the outcome, if it comes in time: 200, or the problem that it failed with. */
export async function acceptAndAnswer(
  queries: StoreQueries,
  ports: AcceptPorts,
  { asked, request, reply }: { asked: Omit<Asked, 'correlationId'>; request: CommandRequest; reply: FastifyReply },
): Promise<FastifyReply> {
  const { idempotencyKey } = asked;
  const context = { ...contextOf(request), minPosition: undefined };
  const accepted = await accept(ports, { ...asked, correlationId: context.correlationId });
  if (accepted.isReplayed) void reply.header('idempotency-replayed', 'true');
  if (accepted.written !== undefined) void reply.header('x-position', positionAfter(accepted.written));
  void reply.header('location', locationOf(idempotencyKey));
  const waitMs = boundedInteger('wait', request.query.wait, { min: 0, max: limits.positionWaitMs, initial: 0 });
  const ended = waitMs === 0 ? undefined : await endOf(queries, ports, { ...accepted, waitMs, context });
  if (ended !== undefined) return sendJson(reply, JSON.stringify(shownTransaction(ended)));
  return sendJson(reply.code(202), JSON.stringify(acceptedBody(idempotencyKey, accepted)));
}

/** The transaction if it has completed by then. Throws the problem that it failed with. */
export async function endOf(
  queries: StoreQueries,
  { transactions, clock }: AcceptPorts,
  { txId, waitMs, context }: Accepted & { readonly waitMs: number; readonly context: QueryContext },
): Promise<Transaction | undefined> {
  const { value } = await awaitOutcome({ queries, transactions, clock }, { txId, waitMs, context });
  if (value === undefined) return undefined;
  const outcome = outcomeOf(value);
  if (outcome === 'failed') throw failureOf(value.failure ?? 'rejected');
  return outcome === 'completed' ? value : undefined;
}

const conflicts: readonly string[] = ['account_exists', 'status_conflict'];

function failureOf(code: string): Problem {
  const status = code === 'version_conflict' ? 412 : conflicts.includes(code) ? 409 : 422;
  return new Problem(status, code, 'the transaction has failed, and moved nothing');
}

export function acceptedBody(idempotencyKey: string, { correlationId }: Pick<Accepted, 'correlationId'>): object {
  const message = 'Transaction accepted and processing';
  return { status: 'processing', trackingId: idempotencyKey, correlationId, message };
}

export function locationOf(idempotencyKey: string): string {
  return `/transactions/status/${encodeURIComponent(idempotencyKey)}`;
}

/** What `X-Min-Position` has to say for a status that knows of the record. */
function positionAfter({ topic, partition, offset }: WrittenRecord): string {
  return formatPosition(new Map([[`${topic}/${partition}`, offset + 1]]));
}

/** From the header or the body; if from both, it must be the same. */
export function keyOf(body: BillingBody, header: string | undefined): string {
  const { idempotencyKey = header } = body;
  if (idempotencyKey === undefined || idempotencyKey === '')
    throw new Problem(400, 'idempotency_key_missing', 'send an Idempotency-Key, so that asking twice is asking once');
  if (header !== undefined && header !== idempotencyKey)
    throw new Problem(400, 'idempotency_key_mismatch', 'the keys in header and body are not the same');
  if (idempotencyKey.length > 200 || /[^\x20-\x7e]/.test(idempotencyKey))
    throw new Problem(400, 'request_invalid', 'an idempotency key has up to 200 printable ASCII characters');
  return idempotencyKey;
}

export function fingerprintOf(subject: Subject): string {
  return hash('sha256', moneyJson(subject) ?? '');
}
