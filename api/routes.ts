/** What a set of routes gets to work with, and what it says about itself. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { StreamError } from '../errors.ts';
import type { Access } from './access.ts';
import { limits } from './limits.ts';
import type { QueryContext } from './placement.ts';
import { parsePosition } from './position.ts';
import type { Provenance, StoreQueries } from './store-queries.ts';

/** A route as `/openapi.json` describes it, besides its schemas. */
export interface RouteDescription {
  readonly summary: string;
  /** Description of the successful answer. */
  readonly success: string;
  /** Media types of it; JSON by default. */
  readonly produces?: readonly string[];
  /** Codes of the problems that are its own, by status. */
  readonly problems?: Readonly<Record<number, readonly string[]>>;
  /** It answers from stores: takes `X-Min-Position`, gives `X-Position`. */
  readonly isQuery?: boolean;
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /** `reader` by default. */
    access?: Access;
    description?: RouteDescription;
  }

  interface FastifyRequest {
    /** Of a request that may have a body: aborts once its client is gone or answered. `signal` does so when the body has been read. */
    answered: AbortSignal | undefined;
  }
}

export interface RouteScope {
  readonly app: FastifyInstance;
  readonly queries: StoreQueries;
}

/** Adds routes to the API; called once, before it listens. */
export type Routes = (scope: RouteScope) => void;

/** The JSON schema of a query string: text parameters only, unknown ones are refused. */
export function queryString(properties: Readonly<Record<string, object>>): object {
  return { type: 'object', additionalProperties: false, properties };
}

/** Parameters of every route that answers from stores. */
export const waitParameter = {
  wait: {
    type: 'string',
    pattern: '^\\d{1,5}$',
    description: `ms to wait for X-Min-Position, at most ${limits.positionWaitMs}; default ${limits.positionWaitDefaultMs}`,
  },
  stale: {
    type: 'string',
    enum: ['ok', 'no'],
    description:
      'ok: a copy that follows may answer, nearer or while the owner is away; such an answer says X-Stale: true and how many records it is behind, X-Stale-Lag. Not together with X-Min-Position. Default no',
  },
} as const;

/** A decimal number in a query string, already known to consist of digits. Throws `QUERY_INVALID` naming the parameter. */
export function boundedInteger(
  name: string,
  text: string | undefined,
  bounds: { readonly min: number; readonly max: number; readonly initial: number },
): number {
  const value = text === undefined ? bounds.initial : Number(text);
  if (Number.isInteger(value) && value >= bounds.min && value <= bounds.max) return value;
  throw new StreamError('QUERY_INVALID', `${name} must be from ${bounds.min} to ${bounds.max}`);
}

/** What a request asks of the answers of stores. Throws `QUERY_INVALID`. */
export function contextOf(
  request: FastifyRequest<{ Querystring: { readonly wait?: string; readonly stale?: string } }>,
): QueryContext {
  const minPosition = headerOf(request, 'x-min-position');
  return {
    correlationId: request.id,
    signal: request.answered ?? request.signal,
    isForwarded: headerOf(request, 'x-iq-forwarded') !== undefined,
    minPosition: minPosition === undefined ? undefined : parsePosition(minPosition),
    waitMs: boundedInteger('wait', request.query.wait, {
      min: 0,
      max: limits.positionWaitMs,
      initial: limits.positionWaitDefaultMs,
    }),
    allowsStale: request.query.stale === 'ok',
  };
}

/** A header that came once, or not at all. */
export function headerOf(request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name];
  return typeof value === 'string' ? value : undefined;
}

/** Says which partition answered, and how far behind it may be; a vector too long for a header is left out. */
export function writeProvenance(reply: FastifyReply, { position, servedBy, staleness }: Provenance): void {
  if (staleness !== undefined) {
    void reply.header('x-stale', 'true');
    if (staleness.lag !== undefined) void reply.header('x-stale-lag', String(staleness.lag));
  }
  if (position !== '' && position.length <= limits.positionChars) void reply.header('x-position', position);
  if (servedBy !== '' && servedBy.length <= 1_024) void reply.header('x-served-by', servedBy);
}

/** Sends JSON text with its entity tag, or 304 if the client has it. The text may be kept by the client, but asked for again. */
export function sendTagged(request: FastifyRequest, reply: FastifyReply, etag: string, json: string): FastifyReply {
  void reply.header('etag', etag).header('cache-control', 'private, no-cache');
  const known = headerOf(request, 'if-none-match')
    ?.split(',')
    .map((tag) => tag.trim().replace(/^W\//, ''));
  if (known?.some((tag) => tag === etag || tag === '*') === true) return reply.code(304).send();
  return sendJson(reply, json);
}

/** Sends JSON text as it is. */
export function sendJson(reply: FastifyReply, json: string): FastifyReply {
  return reply.type('application/json; charset=utf-8').send(json);
}
