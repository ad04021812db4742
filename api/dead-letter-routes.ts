/** Dead letters over HTTP, for administrators. */
import type { FastifyRequest } from 'fastify';
import { deskLimits, type DeadLetterDesk, type ListedDeadLetter } from '../topology/runtime/dead-letter-desk.ts';
import { Problem } from './problem.ts';
import { base64, renderJson } from './render.ts';
import { boundedInteger, queryString, sendJson, type RouteDescription, type RouteScope } from './routes.ts';

const name = { type: 'string', minLength: 1, maxLength: 249, pattern: '^[A-Za-z0-9._-]+$' };
const ofApplication = { type: 'object', required: ['application'], properties: { application: name } };
const ofLetter = {
  type: 'object',
  required: ['application', 'id'],
  properties: { application: name, id: { type: 'string', pattern: '^\\d{1,9}-\\d{1,15}$' } },
};
const by = { type: 'string', minLength: 1, maxLength: deskLimits.byChars };

const listing = queryString({
  cursor: { type: 'string', pattern: '^\\d{1,9}-\\d{1,15}$' },
  limit: { type: 'string', pattern: '^\\d{1,4}$' },
  state: { type: 'string', enum: ['open', 'replayed', 'discarded'] },
  code: { type: 'string', pattern: '^[A-Z_]{1,60}$' },
  reason: { type: 'string', pattern: '^[a-z][a-z0-9_]{0,63}$' },
  topic: name,
  node: { type: 'string', minLength: 1, maxLength: 249 },
});

interface ListQuery {
  readonly cursor?: string;
  readonly limit?: string;
  readonly state?: ListedDeadLetter['state'];
  readonly code?: string;
  readonly reason?: string;
  readonly topic?: string;
  readonly node?: string;
}

type ListRequest = FastifyRequest<{ Params: { readonly application: string }; Querystring: ListQuery }>;
type LetterRequest = FastifyRequest<{ Params: { readonly application: string; readonly id: string } }>;
type DecisionRequest = FastifyRequest<{
  Params: { readonly application: string; readonly id: string };
  Body: { readonly by: string; readonly reason?: string };
}>;

const unknown = { 404: ['application_unknown', 'dead_letter_unknown'], 503: ['log_unavailable'] };
const deciding = {
  ...unknown,
  400: ['request_invalid', 'body_invalid'],
  409: ['dead_letter_decided'],
  413: ['body_too_large'],
  415: ['media_type_unsupported'],
};

function described(summary: string, success: string, problems: RouteDescription['problems']) {
  return {
    access: 'admin' as const,
    description: { summary, success, ...(problems === undefined ? {} : { problems }) },
  };
}

export function deadLetterRoutes({ app }: RouteScope, desks: readonly DeadLetterDesk[]): void {
  const deskOf = (application: string): DeadLetterDesk => {
    const desk = desks.find((candidate) => candidate.applicationId === application);
    if (desk === undefined)
      throw new Problem(404, 'application_unknown', 'no application of this name has dead letters here');
    return desk;
  };

  app.get('/admin/dlq', {
    config: described('Applications of this process with dead letters', 'their ids', undefined),
    handler: (_request, reply) =>
      sendJson(reply, renderJson({ applications: desks.map(({ applicationId }) => applicationId) })),
  });

  app.get('/admin/dlq/:application', {
    schema: { params: ofApplication, querystring: listing },
    config: described('Dead letters of an application, oldest of each partition first', 'a page', {
      400: ['query_invalid'],
      ...unknown,
    }),
    handler: async (request: ListRequest, reply) => {
      const { limit, ...query } = request.query;
      const bounds = { min: 1, max: deskLimits.pageMax, initial: deskLimits.pageDefault };
      const page = await deskOf(request.params.application).list({
        ...query,
        limit: boundedInteger('limit', limit, bounds),
      });
      return sendJson(reply, renderJson({ items: page.items.map(summaryOf), next: page.next ?? null }));
    },
  });

  app.get('/admin/dlq/:application/:id', {
    schema: { params: ofLetter },
    config: described('One dead letter with its bytes', 'the record and why it failed', unknown),
    handler: async ({ params }: LetterRequest, reply) =>
      sendJson(reply, renderJson(detailsOf(await deskOf(params.application).show(params.id)))),
  });

  app.post('/admin/dlq/:application/:id/replay', {
    schema: {
      params: ofLetter,
      body: { type: 'object', additionalProperties: false, required: ['by'], properties: { by } },
    },
    config: described('Lets the application process the record again, once', 'the decision', deciding),
    handler: async ({ params, body }: DecisionRequest, reply) =>
      sendJson(reply, renderJson(await deskOf(params.application).replay(params.id, body.by))),
  });

  const reason = { type: 'string', minLength: 1, maxLength: deskLimits.reasonChars };
  app.post('/admin/dlq/:application/:id/discard', {
    schema: {
      params: ofLetter,
      body: { type: 'object', additionalProperties: false, required: ['by', 'reason'], properties: { by, reason } },
    },
    config: described('Notes that the record will never be processed', 'the decision', deciding),
    handler: async ({ params, body }: DecisionRequest, reply) => {
      const discard = { by: body.by, reason: body.reason ?? '' };
      return sendJson(reply, renderJson(await deskOf(params.application).discard(params.id, discard)));
    },
  });
}

/** Without what the record holds. */
function summaryOf({
  id,
  state,
  node,
  code,
  reason,
  message,
  attempts,
  failedAtMs,
  origin,
  parksKey,
  decision,
}: ListedDeadLetter): object {
  const judged = { state, code, reason: reason ?? null, node, message, attempts, failedAtMs };
  return { id, ...judged, origin, parksKey, decision: decision ?? null };
}

function detailsOf(letter: ListedDeadLetter): object {
  const { key, value, headers, originId, application, task, exception, stack, timestampMs, replayOf } = letter;
  return {
    ...summaryOf(letter),
    originId,
    application,
    task,
    exception,
    stack,
    replayOf: replayOf ?? null,
    record: {
      timestampMs,
      key: bytesOf(key),
      value: bytesOf(value),
      headers: headers.map((header) => ({ key: header.key, value: bytesOf(header.value) })),
    },
  };
}

/** As base64, and as text where the bytes are UTF-8. */
function bytesOf(bytes: Uint8Array | undefined): object | null {
  if (bytes === undefined) return null;
  const text = Buffer.from(bytes).toString('utf8');
  return { base64: base64(bytes), ...(Buffer.from(text, 'utf8').equals(bytes) ? { text } : {}) };
}
