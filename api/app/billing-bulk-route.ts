/** Many commands in one request: each is accepted or refused by itself. */
import { setMaxListeners } from 'node:events';
import type { FastifyRequest } from 'fastify';
import type { Access } from '../access.ts';
import { limits } from '../limits.ts';
import type { QueryContext } from '../placement.ts';
import { Problem, toProblem } from '../problem.ts';
import type { StoreQueries } from '../store-queries.ts';
import { boundedInteger, contextOf, queryString, sendJson, type RouteDescription, type RouteScope } from '../routes.ts';
import {
  accept,
  acceptedBody,
  endOf,
  fingerprintOf,
  keyOf,
  locationOf,
  txIdOf,
  type Accepted,
  type AcceptPorts,
} from './billing-accept.ts';
import { bodies, readSubject, type BillingBody, type CommandName } from './billing-commands.ts';
import { outcomeWait, shownTransaction } from './transaction-status.ts';

const commandsMax = 1_000;
/** A command takes up to about 1 KiB, most a fifth of it. */
const bodyBytesMax = 512 * 1024;
/** Under way at once. */
const lanes = 32;

/** A route that takes many commands of these kinds. */
export interface BulkOptions {
  readonly path: string;
  readonly access: Access;
  readonly names: readonly CommandName[];
  readonly summary: string;
  readonly problems: NonNullable<RouteDescription['problems']>;
}

type Item = BillingBody & { readonly type: CommandName };
type BulkRequest = FastifyRequest<{
  Body: { readonly commands: readonly Item[] };
  Querystring: { readonly wait?: string };
}>;

/** What each command has besides is checked for itself. */
function bulkBody(names: readonly CommandName[]): object {
  const item = { type: 'object', required: ['type'], properties: { type: { type: 'string', enum: names } } };
  return {
    type: 'object',
    additionalProperties: false,
    required: ['commands'],
    properties: { commands: { type: 'array', minItems: 1, maxItems: commandsMax, items: item } },
  };
}

export function bulkRoute({ app, queries }: RouteScope, ports: AcceptPorts, options: BulkOptions): void {
  const { path, access, names, summary, problems } = options;
  app.post(path, {
    schema: { body: bulkBody(names), querystring: queryString({ wait: outcomeWait }) },
    bodyLimit: bodyBytesMax,
    config: {
      access,
      description: {
        summary,
        success: 'an answer for each, in order: where to follow it, what became of it within `wait`, or its problem',
        problems,
      },
    },
    handler: async (request: BulkRequest, reply) => {
      const waitMs = boundedInteger('wait', request.query.wait, { min: 0, max: limits.positionWaitMs, initial: 0 });
      const context = { ...contextOf(request), minPosition: undefined };
      // Every lane waits for the end of the request, some of them in two places.
      setMaxListeners(2 * lanes, context.signal);
      const bulk = { queries, ports, request, context, seen: new Map<string, string>() };
      const taken = await inLanes(request.body.commands, (command) => answerTo(command, bulk));
      const untilMs = ports.clock.monotonicMs() + waitMs;
      const items =
        waitMs === 0 ? taken.map(({ item }) => item) : await inLanes(taken, (one) => endAnswerTo(one, bulk, untilMs));
      return sendJson(reply.code(207), JSON.stringify({ items }));
    },
  });
}

/** The results, in order. */
async function inLanes<T, R>(inputs: readonly T[], work: (input: T) => Promise<R>): Promise<readonly R[]> {
  const results: R[] = [];
  const left = inputs.entries();
  const lane = async (): Promise<void> => {
    for (const [index, input] of left) results[index] = await work(input);
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  return results;
}

interface Bulk {
  readonly queries: StoreQueries;
  readonly ports: AcceptPorts;
  readonly request: BulkRequest;
  readonly context: QueryContext;
  /** Fingerprints of this request, by key. */
  readonly seen: Map<string, string>;
}

interface Taken {
  readonly trackingId: string | null;
  readonly item: object;
  /** Absent: it was refused. */
  readonly accepted?: Accepted;
}

async function answerTo({ type, ...body }: Item, { ports, request, context, seen }: Bulk): Promise<Taken> {
  try {
    checkBody(request, type, body);
    const idempotencyKey = keyOf(body, undefined);
    const subject = readSubject(type, body, txIdOf);
    const fingerprint = fingerprintOf(subject);
    if ((seen.get(idempotencyKey) ?? fingerprint) !== fingerprint)
      throw new Problem(422, 'idempotency_key_reused', 'this key belongs to another command of this request');
    seen.set(idempotencyKey, fingerprint);
    const accepted = await accept(ports, { subject, idempotencyKey, correlationId: context.correlationId });
    const answer = { ...acceptedBody(idempotencyKey, accepted), location: locationOf(idempotencyKey) };
    const item = { code: 'accepted', ...answer, status: 202, isReplayed: accepted.isReplayed };
    return { trackingId: idempotencyKey, item, accepted };
  } catch (error) {
    const trackingId = typeof body.idempotencyKey === 'string' ? body.idempotencyKey : null;
    return { trackingId, item: problemItem(trackingId, error) };
  }
}

/** What became of it, if it ends in time. */
async function endAnswerTo(
  { trackingId, item, accepted }: Taken,
  { queries, ports, context }: Bulk,
  untilMs: number,
): Promise<object> {
  if (accepted === undefined) return item;
  const { isReplayed } = accepted;
  try {
    const waitMs = Math.max(0, untilMs - ports.clock.monotonicMs());
    const ended = await endOf(queries, ports, { ...accepted, waitMs, context });
    return ended === undefined ? item : { ...shownTransaction(ended), code: 'completed', status: 200, isReplayed };
  } catch (error) {
    return { ...problemItem(trackingId, error), isReplayed };
  }
}

function problemItem(trackingId: string | null, error: unknown): object {
  const { status, code, message } = toProblem(error);
  return { code, status, trackingId, detail: message };
}

/** As for a request of its own. */
function checkBody(request: BulkRequest, type: CommandName, body: BillingBody): void {
  const validate = request.compileValidationSchema(bodies[type]);
  if (validate(body)) return;
  const [error] = validate.errors ?? [];
  throw new Problem(400, 'request_invalid', `${type}${error?.instancePath ?? ''} ${error?.message ?? 'is invalid'}`);
}
