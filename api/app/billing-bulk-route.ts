/** Many commands in one request: each is accepted or refused by itself. */
import type { FastifyRequest } from 'fastify';
import type { QueryContext } from '../placement.ts';
import { Problem, toProblem } from '../problem.ts';
import type { StoreQueries } from '../store-queries.ts';
import { contextOf, sendJson, type RouteDescription, type RouteScope } from '../routes.ts';
import { accept, acceptedBody, fingerprintOf, keyOf, locationOf, txIdOf, type AcceptPorts } from './billing-accept.ts';
import { bodies, readSubject, type BillingBody, type CommandName } from './billing-commands.ts';

const commandsMax = 1_000;
/** A command takes up to about 1 KiB, most a fifth of it. */
const bodyBytesMax = 512 * 1024;
/** Under way at once: each may ask another instance whether its key is known. */
const lanes = 32;

type Item = BillingBody & { readonly type: CommandName };
type BulkRequest = FastifyRequest<{
  Body: { readonly commands: readonly Item[] };
  Querystring: Record<string, never>;
}>;

/** What each command has besides is checked for itself. */
const bulkBody = {
  type: 'object',
  additionalProperties: false,
  required: ['commands'],
  properties: {
    commands: {
      type: 'array',
      minItems: 1,
      maxItems: commandsMax,
      items: {
        type: 'object',
        required: ['type'],
        properties: { type: { type: 'string', enum: Object.keys(bodies) } },
      },
    },
  },
};

export function bulkRoute(
  { app, queries }: RouteScope,
  ports: AcceptPorts,
  problems: RouteDescription['problems'],
): void {
  app.post('/transactions/bulk', {
    schema: { body: bulkBody },
    bodyLimit: bodyBytesMax,
    config: {
      description: {
        summary: `Up to ${commandsMax} commands, each accepted or refused by itself`,
        success: 'an answer for each, in order: 202 and where to follow it, or its problem',
        problems: problems ?? {},
      },
    },
    handler: async (request: BulkRequest, reply) => {
      const { commands } = request.body;
      const items: object[] = [];
      const context = { ...contextOf(request), minPosition: undefined };
      const bulk = { request, context, seen: new Map<string, string>() };
      let next = 0;
      const lane = async (): Promise<void> => {
        for (let index = next++; index < commands.length; index = next++) {
          const command = commands[index];
          if (command !== undefined) items[index] = await answerTo(command, { queries, ports, ...bulk });
        }
      };
      await Promise.all(Array.from({ length: lanes }, lane));
      return sendJson(reply.code(207), JSON.stringify({ items }));
    },
  });
}

interface Bulk {
  readonly queries: StoreQueries;
  readonly ports: AcceptPorts;
  readonly request: BulkRequest;
  readonly context: QueryContext;
  /** Fingerprints of this request, by key. */
  readonly seen: Map<string, string>;
}

async function answerTo({ type, ...body }: Item, { queries, ports, request, context, seen }: Bulk): Promise<object> {
  try {
    checkBody(request, type, body);
    const subject = readSubject(type, body, txIdOf);
    const idempotencyKey = keyOf(body, undefined);
    const fingerprint = fingerprintOf(subject);
    if ((seen.get(idempotencyKey) ?? fingerprint) !== fingerprint)
      throw new Problem(422, 'idempotency_key_reused', 'this key belongs to another command of this request');
    seen.set(idempotencyKey, fingerprint);
    const accepted = await accept(queries, ports, { subject, idempotencyKey, context });
    const answer = { ...acceptedBody(idempotencyKey, accepted), location: locationOf(idempotencyKey) };
    return { code: 'accepted', ...answer, status: 202, isReplayed: accepted.isReplayed };
  } catch (error) {
    const { status, code, message } = toProblem(error);
    const trackingId = typeof body.idempotencyKey === 'string' ? body.idempotencyKey : null;
    return { code, status, trackingId, detail: message };
  }
}

/** As for a request of its own. */
function checkBody(request: BulkRequest, type: CommandName, body: BillingBody): void {
  const validate = request.compileValidationSchema(bodies[type]);
  if (validate(body)) return;
  const [error] = validate.errors ?? [];
  throw new Problem(400, 'request_invalid', `${type}${error?.instancePath ?? ''} ${error?.message ?? 'is invalid'}`);
}
