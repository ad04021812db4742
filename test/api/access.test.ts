import { afterEach, describe, expect, test } from '@jest/globals';
import { createRateLimiter } from '../../api/rate-limit.ts';
import { limits } from '../../api/limits.ts';
import { systemClock } from '../../clock.ts';
import { FakeCluster, FakeInstance, apiOf, type Api } from './fake-instance.ts';
import type { ApiOptions } from '../../api/server.ts';

const apis: Api[] = [];
const apiToken = 'reader-token-reader-token';
const adminToken = 'admin-token-admin-token';

function serve(options: Partial<ApiOptions> = {}): Api {
  const api = apiOf([new FakeInstance(new FakeCluster(), 'one')], { rateLimitPerSecond: 0, ...options });
  apis.push(api);
  return api;
}

afterEach(async () => {
  await Promise.all(apis.splice(0).map((api) => api.close()));
});

interface Operations {
  readonly paths: Readonly<Record<string, Readonly<Record<string, { readonly security?: unknown }>>>>;
}

/** Every route that is registered, found in Fastify's own tree and not in the description made of it. */
async function registered(api: Api): Promise<readonly { readonly method: string; readonly url: string }[]> {
  await api.ready();
  const { paths } = (
    await api.inject({ url: '/openapi.json', headers: { authorization: `Bearer ${apiToken}` } })
  ).json<Operations>();
  return Object.entries(paths).flatMap(([path, operations]) =>
    Object.keys(operations).map((method) => ({ method: method.toUpperCase(), url: path.replace(/\{(\w+)\}/g, 'x') })),
  );
}

async function statusOf(
  api: Api,
  url: string,
  authorization?: string,
  method: 'GET' | 'POST' = 'GET',
): Promise<number> {
  const response = await api.inject({
    method,
    url,
    ...(authorization === undefined ? {} : { headers: { authorization } }),
  });
  return response.statusCode;
}

const admin = ['/admin/tasks', '/admin/topology', '/metrics'];

describe('tokens', () => {
  test('without one every route but /health/live is closed', async () => {
    const api = serve({ apiToken, adminToken });
    const routes = await registered(api);
    expect(routes.length).toBeGreaterThan(8);
    for (const { method, url } of [...routes, { method: 'GET', url: '/unknown' }]) {
      if (url === '/health/live') continue;
      for (const authorization of [
        undefined,
        '',
        'Bearer',
        'Bearer ',
        'Bearer wrong-token-wrong-token',
        `Basic ${apiToken}`,
        apiToken,
        `Bearer ${apiToken} x`,
        `Bearer ${apiToken}x`,
      ]) {
        const response = await api.inject({
          method: method as 'GET',
          url,
          ...(authorization === undefined ? {} : { headers: { authorization } }),
        });
        expect([url, response.statusCode]).toEqual([url, 401]);
        expect(response.headers['www-authenticate']).toBe('Bearer');
        expect(response.json()).toMatchObject({ code: 'unauthenticated' });
      }
    }
    expect(await statusOf(api, '/health/live')).toBe(200);
  });

  test('the API token opens everything but administration, the admin token everything', async () => {
    const api = serve({ apiToken, adminToken });
    for (const { url } of (await registered(api)).filter(({ method }) => method === 'GET')) {
      const asReader = await statusOf(api, url, `Bearer ${apiToken}`);
      const asAdmin = await statusOf(api, url, `bearer ${adminToken}`);
      expect([url, asReader === 403]).toEqual([url, url.startsWith('/admin') || url === '/metrics']);
      expect([401, 403]).not.toContain(asAdmin);
    }
  });

  test('without an admin token the API token opens administration', async () => {
    const api = serve({ apiToken });
    for (const url of admin) expect(await statusOf(api, url, `Bearer ${apiToken}`)).toBe(200);
    for (const url of admin) expect(await statusOf(api, url)).toBe(401);
  });

  test('an admin token alone closes administration only', async () => {
    const api = serve({ adminToken });
    for (const url of admin) expect(await statusOf(api, url)).toBe(401);
    expect(await statusOf(api, '/stores')).toBe(200);
  });

  test('without any token everything is open, on loopback', async () => {
    const api = serve();
    for (const url of [...admin, '/stores', '/openapi.json']) expect(await statusOf(api, url)).toBe(200);
  });

  test('a public address without a token is refused, unless allowed', () => {
    expect(() => serve({ host: '0.0.0.0' })).toThrow(/^HOST /);
    expect(() => serve({ host: '::', adminToken })).toThrow(/^HOST /);
    expect(() => serve({ host: '0.0.0.0', apiToken })).not.toThrow();
    expect(() => serve({ host: '192.168.0.1', allowInsecure: true })).not.toThrow();
  });

  test('the tokens appear nowhere', async () => {
    const api = serve({ apiToken, adminToken });
    for (const url of [...admin, '/openapi.json', '/stores/words/x', '/nothing']) {
      const { body, headers } = await api.inject({ url, headers: { authorization: `Bearer ${adminToken}` } });
      expect(`${body}${JSON.stringify(headers)}`).not.toMatch(/reader-token|admin-token/);
    }
  });
});

describe('the rate limit', () => {
  let nowMs = 0;
  const clock = { ...systemClock, monotonicMs: () => nowMs };

  test('allows a burst of twice the rate, then the rate', () => {
    nowMs = 0;
    const limiter = createRateLimiter({ perSecond: 5, clientsMax: 10, clock });
    const taken = (): number => Array.from({ length: 20 }, () => limiter.take('a')).filter((wait) => wait === 0).length;
    expect(taken()).toBe(10);
    expect(limiter.take('a')).toBe(1);
    expect(limiter.take('b')).toBe(0);
    nowMs += 1_000;
    expect(taken()).toBe(5);
    nowMs += 1_000_000;
    expect(taken()).toBe(10);
  });

  test('remembers a bounded number of clients, and forgets the one unused for longest', () => {
    nowMs = 0;
    const limiter = createRateLimiter({ perSecond: 1, clientsMax: 3, clock });
    for (let index = 0; index < 2; index += 1) limiter.take('busy');
    for (let index = 0; index < 1_000; index += 1) {
      limiter.take(`c${String(index)}`);
      expect(limiter.take('busy')).toBeGreaterThan(0);
    }
    expect(limiter.take('c0')).toBe(0);
  });

  test('0 switches it off', () => {
    const limiter = createRateLimiter({ perSecond: 0, clientsMax: 3, clock });
    for (let index = 0; index < 1_000; index += 1) expect(limiter.take('a')).toBe(0);
  });

  test('answers 429 with Retry-After; a forwarded-for header is not believed', async () => {
    const api = serve({ rateLimitPerSecond: 5 });
    const statuses: number[] = [];
    for (let index = 0; index < 15; index += 1) {
      const response = await api.inject({
        url: '/health/live',
        headers: { 'x-forwarded-for': `10.0.0.${String(index)}` },
      });
      statuses.push(response.statusCode);
      if (response.statusCode !== 429) continue;
      expect(response.headers['retry-after']).toBe('1');
      expect(response.json()).toMatchObject({ code: 'rate_limited' });
    }
    expect(statuses.filter((status) => status === 200).length).toBeLessThanOrEqual(11);
    expect(statuses.at(-1)).toBe(429);
  });

  test('whoever guesses tokens is limited like everybody', async () => {
    const api = serve({ rateLimitPerSecond: 2, apiToken });
    const statuses: number[] = [];
    for (let index = 0; index < 10; index += 1)
      statuses.push(await statusOf(api, '/stores', `Bearer guess-guess-guess-${String(index)}`));
    expect(statuses).toContain(401);
    expect(statuses.at(-1)).toBe(429);
    expect(await statusOf(api, '/stores', `Bearer ${apiToken}`)).toBe(200);
  });
});

test('the server bounds time and number of connections and requests', () => {
  const { server, initialConfig } = serve();
  expect(server.headersTimeout).toBe(limits.headersTimeoutMs);
  expect(server.requestTimeout).toBe(limits.requestTimeoutMs);
  expect(server.keepAliveTimeout).toBe(limits.keepAliveTimeoutMs);
  expect(server.timeout).toBe(limits.idleSocketMs);
  expect(server.maxConnections).toBe(limits.connections);
  expect(server.maxRequestsPerSocket).toBe(limits.requestsPerSocket);
  expect(initialConfig).toMatchObject({ bodyLimit: limits.bodyBytes, handlerTimeout: limits.handlerTimeoutMs });
});
