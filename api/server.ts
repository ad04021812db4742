/** Puts the API together: who may ask, how often, and the routes of engine and application. */
import type { FastifyInstance, FastifyReply, FastifyRequest, RouteOptions } from 'fastify';
import type { Clock, Logger } from '../clock.ts';
import type { DeadLetterDesk } from '../topology/runtime/dead-letter-desk.ts';
import type { InstanceView, MetricSample } from '../topology/runtime/view.ts';
import { checkExposure, createAccessControl, type AccessControl, type Role } from './access.ts';
import { adminRoutes, healthRoutes } from './admin-routes.ts';
import { deadLetterRoutes } from './dead-letter-routes.ts';
import { addElsewhere, type Elsewhere } from './elsewhere.ts';
import { createHttpServer } from './http-server.ts';
import { limits } from './limits.ts';
import { createApiMetrics, type ApiMetrics } from './metrics.ts';
import { describeApi, type DescribedRoute } from './openapi.ts';
import { createPeerHosts } from './peer-hosts.ts';
import { createPeers } from './peers.ts';
import { createPeerSignature } from './peer-signature.ts';
import { checkStoreNames } from './placement.ts';
import { Problem } from './problem.ts';
import { createRateLimiter, type RateLimiter } from './rate-limit.ts';
import { headerOf, queryString, type Routes } from './routes.ts';
import { createStoreQueries } from './store-queries.ts';
import { storeRoutes } from './store-routes.ts';

export interface ApiOptions {
  /** The instances of this process; read anew for each request, so that they may be made once the address is known. */
  readonly instances: readonly InstanceView[];
  readonly clock: Clock;
  readonly logger: Logger;
  /** The address it will listen on: decides whether it may be open. */
  readonly host: string;
  /** Desks of the applications of this process that have dead letters; read anew for each request. */
  readonly deadLetters?: readonly DeadLetterDesk[];
  /** Routes of the application. */
  readonly routes?: readonly Routes[];
  /** Routes of the application that other processes answer. */
  readonly elsewhere?: Elsewhere;
  /** Asked of every request but `/health/live`; the same on all instances. */
  readonly apiToken?: string | undefined;
  /** Asked for `/admin` and `/metrics`; by default the API token opens them. */
  readonly adminToken?: string | undefined;
  /** Allows a public address without a token. */
  readonly allowInsecure?: boolean;
  /** Hosts that queries may be forwarded to, besides loopback. */
  readonly peerHosts?: readonly string[];
  /** Requests a second and client; 0: no limit. */
  readonly rateLimitPerSecond?: number;
  /** What this process waits for before it may get traffic, apart from its instances, in words. Absent: for instances. */
  readonly waitsFor?: () => readonly string[];
  /** Values for `/metrics` that instances do not measure. */
  readonly measures?: () => Promise<readonly MetricSample[]>;
  readonly title?: string;
  readonly version?: string;
}

/**
 * The API, not yet listening: `await api.listen({ host, port })`, later `await api.close()`. It does not own the instances.
 * Throws `CONFIG_INVALID` for settings that would serve the network without a token, or stores that a URL cannot tell apart.
 */
export function createApi(options: ApiOptions): FastifyInstance {
  const { instances, clock, logger, host, apiToken, adminToken, allowInsecure = false } = options;
  checkExposure(host, { apiToken, allowInsecure });
  checkStoreNames(instances);

  const signature = apiToken === undefined ? undefined : createPeerSignature(apiToken);
  const peers = createPeers({ hosts: createPeerHosts(options.peerHosts ?? []), clock, signature });
  const metrics = createApiMetrics(instances, options.measures);
  const app = createHttpServer(logger);
  app.addHook('onClose', async () => peers.close());
  guard(app, {
    clock,
    access: createAccessControl({ apiToken, adminToken, signature }),
    rates: createRateLimiter({ perSecond: options.rateLimitPerSecond ?? 500, clientsMax: limits.rateClients, clock }),
  });
  watchClients(app);
  observe(app, metrics, logger);

  const described = collectRoutes(app);
  const scope = { app, queries: createStoreQueries({ instances, peers, clock }) };
  healthRoutes(scope, instances, options.waitsFor);
  adminRoutes(scope, { instances, metrics });
  storeRoutes(scope, instances);
  deadLetterRoutes(scope, options.deadLetters ?? []);
  for (const routes of options.routes ?? []) routes(scope);
  if (options.elsewhere !== undefined) addElsewhere(scope, options.elsewhere, peers);
  openApiRoute(app, described, options);
  app.setNotFoundHandler((request, reply) => refuseUnknown(request, reply, described));
  return app;
}

interface Guards {
  readonly clock: Clock;
  readonly access: AccessControl;
  readonly rates: RateLimiter;
}

/** Before anything of a request is read: who is it, not too often, and allowed. */
function guard(app: FastifyInstance, { clock, access, rates }: Guards): void {
  app.addHook('onRequest', async (request) => {
    const credentials = {
      authorization: request.headers.authorization,
      peerSignature: headerOf(request, 'x-iq-signature'),
      method: request.method,
      url: request.url,
    };
    const role = access.roleOf(credentials, clock.nowMs());
    const waitSeconds = role === 'peer' ? 0 : rates.take(clientOf(request, role));
    if (waitSeconds > 0)
      throw new Problem(429, 'rate_limited', 'too many requests', { 'retry-after': String(waitSeconds) });
    access.check(role, request.routeOptions.config.access ?? 'reader');
  });
}

function watchClients(app: FastifyInstance): void {
  app.decorateRequest('answered', undefined);
  app.addHook('onRequest', async (request, reply) => {
    if (request.method === 'GET' || request.method === 'HEAD') return;
    const answered = new AbortController();
    // With a reason, or each time an error is made, stack and all.
    reply.raw.once('close', () => answered.abort('answered'));
    request.answered = answered.signal;
  });
}

/** Whoever has a token is counted by it, others by their address; a forwarded-for header is not believed. */
function clientOf(request: FastifyRequest, role: Role): string {
  return role === 'anonymous' ? `address ${request.ip}` : `role ${role}`;
}

function observe(app: FastifyInstance, metrics: ApiMetrics, logger: Logger): void {
  app.addHook('onResponse', async (request, reply) => {
    const { method } = request;
    const route = request.routeOptions.url ?? 'none';
    metrics.observeRequest({ method, route, status: String(reply.statusCode) }, reply.elapsedTime / 1_000);
    // Never the URL: it holds keys.
    logger.debug('request', {
      method,
      route,
      status: reply.statusCode,
      ms: Math.round(reply.elapsedTime),
      correlationId: request.id,
    });
  });
}

/** Collects routes as they are added, and gives those without a query string an empty one: unknown parameters are refused everywhere. */
function collectRoutes(app: FastifyInstance): readonly DescribedRoute[] {
  const described: DescribedRoute[] = [];
  app.addHook('onRoute', (route: RouteOptions) => {
    route.schema = { querystring: queryString({}), ...route.schema };
    const methods = typeof route.method === 'string' ? [route.method] : route.method;
    for (const method of methods)
      described.push({
        method,
        url: route.url,
        access: route.config?.access ?? 'reader',
        description: route.config?.description,
        schema: route.schema,
      });
  });
  return described;
}

function openApiRoute(app: FastifyInstance, described: readonly DescribedRoute[], options: ApiOptions): void {
  const config = { description: { summary: 'This description', success: 'OpenAPI 3.1' } };
  app.get('/openapi.json', { config }, () =>
    describeApi(
      described.filter(({ method }) => method !== 'HEAD'),
      {
        title: options.title ?? 'Rivulet',
        version: options.version ?? '0.0.0',
        hasTokens: options.apiToken !== undefined || options.adminToken !== undefined,
      },
    ),
  );
}

/** 405 if the path exists for other methods, else 404. */
function refuseUnknown(request: FastifyRequest, _reply: FastifyReply, described: readonly DescribedRoute[]): never {
  const path = request.url.split('?', 1)[0] ?? '';
  const methods = described.filter(({ url }) => matches(url, path)).map(({ method }) => method);
  if (methods.length === 0) throw new Problem(404, 'route_unknown', 'there is nothing at this path');
  throw new Problem(405, 'method_not_allowed', 'this path has other methods', {
    allow: [...new Set(methods)].sort().join(', '),
  });
}

function matches(pattern: string, path: string): boolean {
  const [expected, given] = [pattern.split('/'), path.split('/')];
  return (
    expected.length === given.length && expected.every((part, index) => part.startsWith(':') || part === given[index])
  );
}
