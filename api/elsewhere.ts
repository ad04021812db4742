/** Routes of topologies that run in other processes: their requests are passed on to one of those, or refused. */
import type { FastifyReply, FastifyRequest } from 'fastify';
import { limits } from './limits.ts';
import type { PassedAnswer, Peers } from './peers.ts';
import { Problem } from './problem.ts';
import { headerOf, type RouteScope, type Routes } from './routes.ts';

export interface RoutesElsewhere {
  readonly routes: Routes;
  /** Which of their requests cannot be answered here; absent: none can. */
  readonly isMeant?: (request: FastifyRequest) => boolean;
}

export interface Elsewhere {
  /** Of a process that runs those topologies; absent: there is none to ask. */
  readonly url: string | undefined;
  readonly routes: readonly RoutesElsewhere[];
}

/** Says that a request was passed on: that happens once. */
const passedHeader = 'x-passed-on';
/** Of a request. Credentials go along only where a signature does not do. */
const asked = ['accept', 'if-match', 'if-none-match', 'idempotency-key', 'x-min-position'] as const;
/** Of an answer; everything else is said here. */
const answered = [
  'content-type',
  'cache-control',
  'etag',
  'idempotency-replayed',
  'location',
  'retry-after',
  'x-position',
  'x-served-by',
  'x-stale',
  'x-stale-lag',
] as const;

export function addElsewhere(scope: RouteScope, { url, routes: all }: Elsewhere, peers: Peers): void {
  for (const { routes, isMeant } of all)
    scope.app.register((child, _options, done) => {
      child.addHook('preHandler', async (request, reply) => {
        if (isMeant?.(request) === false) return;
        if (url === undefined || headerOf(request, passedHeader) !== undefined)
          throw new Problem(421, 'topology_elsewhere', 'the topology that answers this does not run in this process');
        return send(reply, await passOn(request, url, peers));
      });
      routes({ ...scope, app: child });
      done();
    });
}

function passOn(request: FastifyRequest, url: string, peers: Peers): Promise<PassedAnswer> {
  const isAdmin = request.routeOptions.config.access === 'admin';
  const names = isAdmin ? [...asked, 'authorization'] : asked;
  return peers.pass(url, {
    method: request.method,
    path: request.url,
    headers: { [passedHeader]: '1', 'x-correlation-id': request.id, ...headersOf(request.headers, names) },
    isSigned: !isAdmin,
    // It was parsed and found right: written anew it says the same.
    body: request.body === undefined ? undefined : JSON.stringify(request.body),
    deadlineMs: limits.passedDeadlineMs,
    signal: request.answered ?? request.signal,
  });
}

function send(reply: FastifyReply, { status, headers, body }: PassedAnswer): FastifyReply {
  return reply.code(status).headers(headersOf(headers, answered)).send(body);
}

function headersOf(
  headers: Readonly<Record<string, string | readonly string[] | undefined>>,
  names: readonly string[],
): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of names) {
    const value = headers[name];
    if (typeof value === 'string') found[name] = value;
  }
  return found;
}
