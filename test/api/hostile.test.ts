import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { limits } from '../../api/limits.ts';
import { problemBody, toProblem } from '../../api/problem.ts';
import { StreamError } from '../../errors.ts';
import { createJsonLogger } from '../../json-logger.ts';
import { systemClock } from '../../clock.ts';
import { FakeCluster, FakeInstance, Servers } from './fake-instance.ts';
import type { RouteScope } from '../../api/routes.ts';

const servers = new Servers();
let cluster: FakeCluster;
let port: number;
let logged: string[];

/** A route with a body, as applications have. */
function bodyRoute({ app }: RouteScope): void {
  app.post('/echo', {
    schema: {
      body: {
        type: 'object',
        additionalProperties: false,
        required: ['n'],
        properties: { n: { type: 'integer' }, s: { type: 'string' } },
      },
    },
    handler: (request) => request.body,
  });
  app.get('/broken', () => {
    throw new Error('canary: /etc/secret at SELECT *');
  });
  app.get('/broken-engine', () => {
    throw new StreamError('STORE_CORRUPT', 'canary in /var/lib/x', { facts: { path: 'canary' } });
  });
}

beforeEach(async () => {
  cluster = new FakeCluster();
  logged = [];
  const logger = createJsonLogger({ level: 'debug', clock: systemClock, write: (line) => logged.push(line) });
  const url = await servers.listen(new FakeInstance(cluster, 'one'), { routes: [bodyRoute], logger });
  port = Number(new URL(url).port);
});

afterEach(() => servers.close());

interface RawAnswer {
  readonly status: number;
  readonly head: string;
  readonly body: string;
}

/** Sends bytes as they are and reads until the server closes or `isEnough`. */
function send(bytes: string | Buffer): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    let text = '';
    const finish = (): void => {
      socket.destroy();
      const [head = '', ...rest] = text.split('\r\n\r\n');
      resolve({ status: Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1] ?? 0), head, body: rest.join('\r\n\r\n') });
    };
    socket.setTimeout(5_000, () => {
      socket.destroy();
      reject(new Error(`no whole answer: ${text.slice(0, 200)}`));
    });
    socket.on('data', (chunk) => {
      text += chunk.toString('utf8');
      const length = Number(/content-length: (\d+)/i.exec(text)?.[1] ?? Number.NaN);
      const start = text.indexOf('\r\n\r\n');
      if (start >= 0 && Buffer.byteLength(text.slice(start + 4)) >= length) finish();
    });
    socket.on('error', () => finish());
    socket.on('close', () => finish());
    socket.write(bytes);
  });
}

const ask = (target: string, method = 'GET', headers = ''): Promise<RawAnswer> =>
  send(`${method} ${target} HTTP/1.1\r\nHost: x\r\n${headers}Connection: close\r\n\r\n`);

function post(body: string, type = 'application/json'): Promise<RawAnswer> {
  return send(
    `POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: ${type}\r\nContent-Length: ${String(Buffer.byteLength(body))}\r\nConnection: close\r\n\r\n${body}`,
  );
}

function codeOf({ body }: RawAnswer): unknown {
  return (JSON.parse(body) as { code?: unknown }).code;
}

/** Every refusal is a whole problem that tells nothing about the inside. */
function expectProblem(answer: RawAnswer, status: number, code: string): void {
  expect([answer.status, codeOf(answer)]).toEqual([status, code]);
  expect(answer.head).toMatch(/content-type: application\/problem\+json/i);
  expect(answer.head).toMatch(/x-correlation-id: [A-Za-z0-9._-]{1,64}/i);
  const problem = JSON.parse(answer.body) as Record<string, unknown>;
  expect(Object.keys(problem).sort()).toEqual([
    'code',
    'correlationId',
    'detail',
    'instance',
    'status',
    'title',
    'type',
  ]);
  expect(problem).toMatchObject({ status, type: `urn:rivulet:problem:${code}` });
  expect(answer.body).not.toMatch(/canary|node_modules|\.ts\b|at \w+ \(|SELECT/);
}

async function expectAlive(): Promise<void> {
  expect((await ask('/health/live')).status).toBe(200);
  expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
}

describe('hostile keys', () => {
  const keys = [
    '__proto__',
    'constructor',
    'prototype',
    'hasOwnProperty',
    'toString',
    '\u0000',
    'a\u0000b',
    '..',
    '../../etc/passwd',
    '%2e%2e',
    'a\nb',
    'a\r\nX-Injected: 1',
    '\u202eright-to-left',
    '\u200b',
    ' ',
    'a b&c=d#e?f;g',
    '💧',
    'é',
    '\u001b[31m',
    '"}\n{"level":"error"',
    'x'.repeat(limits.keyBytes),
  ];

  test.each(keys.map((key, index) => [index, key] as const))(
    'number %i is a key like any other',
    async (_index, key) => {
      const target = `/stores/words/${encodeURIComponent(key)}`;
      expectProblem(await ask(target), 404, 'key_not_found');
      cluster.put('words', key, 'there');
      const answer = await ask(target);
      expect(JSON.parse(answer.body)).toEqual({ key, value: 'there' });
      expect(answer.head).not.toMatch(/^x-injected/im);
      await expectAlive();
    },
  );

  test('the empty key is one, too', async () => {
    cluster.put('words', '', 'empty');
    expect(JSON.parse((await ask('/stores/words/')).body)).toEqual({ key: '', value: 'empty' });
    expect(JSON.parse((await ask('/stores/words/0x?keyFormat=hex')).body)).toEqual({ key: '0x', value: 'empty' });
  });

  test('composed and decomposed letters are different keys', async () => {
    cluster.put('words', '\u00e9', 1);
    expectProblem(await ask(`/stores/words/${encodeURIComponent('e\u0301')}`), 404, 'key_not_found');
  });

  test.each(['%ED%A0%80', '%ff', '%', '%zz', '%C0%AE%C0%AE', '%F8%88%80%80%80'])(
    'what is not UTF-8 is refused: %s',
    async (key) => {
      expectProblem(await ask(`/stores/words/${key}`), 400, 'url_invalid');
    },
  );

  test('a lone surrogate in JSON form is refused, not replaced', async () => {
    expectProblem(await ask(`/stores/words/${encodeURIComponent('"\\ud800"')}?keyFormat=json`), 400, 'query_invalid');
  });

  test('long keys get an answer that says so, never a 404', async () => {
    expectProblem(await ask(`/stores/words/${'x'.repeat(limits.keyBytes + 1)}`), 414, 'key_too_long');
    expectProblem(await ask(`/stores/words/${'x'.repeat(64 * 1024)}`), 431, 'headers_too_large');
    expectProblem(await ask(`/stores/words/${'%F0%9F%92%A7'.repeat(limits.keyBytes / 4 + 1)}`), 414, 'key_too_long');
  });

  test.each(['..', '../x', 'a%2fb', '%2e%2e%2fetc', '%00', 'x'.repeat(201), 'w\u043erds', 'a b'])(
    'a store name is checked: %s',
    async (name) => {
      const answer = await ask(`/stores/${encodeURI(name)}/key`);
      expect([400, 404]).toContain(answer.status);
      expect(['request_invalid', 'route_unknown', 'store_unknown']).toContain(codeOf(answer));
    },
  );

  test('keys and values do not reach the log', async () => {
    cluster.put('words', 'canary-key', 'canary-value');
    await ask('/stores/words/canary-key');
    await ask('/stores/words?from=canary-key');
    await ask('/stores/words/canary-none');
    expect(logged.length).toBeGreaterThan(2);
    expect(logged.join('\n')).not.toContain('canary');
    for (const line of logged) expect(() => JSON.parse(line) as unknown).not.toThrow();
  });
});

describe('bodies', () => {
  test('one that fits the schema is taken as it is', async () => {
    expect(JSON.parse((await post('{"n":1,"s":"x"}')).body)).toEqual({ n: 1, s: 'x' });
  });

  test.each([
    '{"n":"1"}',
    '{"n":1.5}',
    '{"n":1e309}',
    '{"n":[1]}',
    '{"n":null}',
    '{"n":true}',
    '{}',
    '[]',
    '1',
    'null',
    '{"n":1,"s":2}',
    '{"n":1,"role":"admin"}',
    '{"n":1,"toString":1}',
  ])('one that does not is refused, nothing is coerced or dropped: %s', async (body) => {
    expectProblem(await post(body), 400, 'request_invalid');
  });

  test.each([
    '{"n":1,"__proto__":{"polluted":1}}',
    '{"n":1,"constructor":{"prototype":{"polluted":1}}}',
    '{"n":1,"\\u005f\\u005fproto__":{"polluted":1}}',
  ])('polluting property names are refused: %s', async (body) => {
    expectProblem(await post(body), 400, 'body_invalid');
    await expectAlive();
  });

  test.each(['', '{', '{"n":1}x', '\u0000', "{'n':1}", '['.repeat(60_000), '{"a":'.repeat(10_000)])(
    'what is not JSON is refused (%#)',
    async (body) => {
      const answer = await post(body);
      expect(answer.status).toBe(400);
      expect(['body_invalid', 'request_invalid']).toContain(codeOf(answer));
      await expectAlive();
    },
  );

  test('deep nesting and many properties are cheap', async () => {
    const startMs = performance.now();
    await post(`{"n":1,"s":${'['.repeat(30_000)}${']'.repeat(30_000)}}`);
    await post(`{${Array.from({ length: 6_000 }, (_item, index) => `"p${String(index)}":1`).join(',')}}`);
    expect(performance.now() - startMs).toBeLessThan(1_000);
    await expectAlive();
  });

  test('one beyond the limit is refused early', async () => {
    expectProblem(await post(`{"n":1,"s":"${'x'.repeat(limits.bodyBytes)}"}`), 413, 'body_too_large');
    const announced = await send(
      'POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000000\r\n\r\n{"n":1',
    );
    expectProblem(announced, 413, 'body_too_large');
    const chunk = `4000\r\n${'x'.repeat(0x4000)}\r\n`;
    const chunked = await send(
      `POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n${chunk.repeat(5)}`,
    );
    expectProblem(chunked, 413, 'body_too_large');
  });

  test.each([
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/xml',
    'application/json-patch+json',
  ])('another media type is refused: %s', async (type) => {
    expectProblem(await post('{"n":1}', type), 415, 'media_type_unsupported');
  });
});

describe('methods, paths and headers', () => {
  test.each(['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE'])(
    '%s of a path that only has GET is a 405',
    async (method) => {
      const answer = await ask('/stores/words/key', method);
      expectProblem(answer, 405, 'method_not_allowed');
      expect(answer.head).toMatch(/^allow: GET, HEAD/im);
    },
  );

  test.each(['PROPFIND', 'SEARCH', 'PURGE', 'QUERY', 'FOO', 'get'])('%s is refused', async (method) => {
    const { status } = await ask('/stores/words/key', method);
    expect([400, 404, 405, 501]).toContain(status);
    await expectAlive();
  });

  test('CONNECT gets nowhere', async () => {
    const { status } = await send('CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: x\r\n\r\n');
    expect(status).not.toBe(200);
    await expectAlive();
  });

  test.each([
    '/nothing',
    '/',
    '//',
    '/stores/words/key/more',
    '/STORES',
    '/stores/../admin/tasks',
    '/.env',
    '/%2e%2e/admin/tasks',
  ])('there is nothing at %s', async (path) => {
    const answer = await ask(path);
    expectProblem(answer, 404, 'route_unknown');
  });

  test('HEAD has the headers and no body', async () => {
    cluster.put('words', 'k', 1);
    const response = await fetch(`http://127.0.0.1:${String(port)}/stores/words/k`, { method: 'HEAD' });
    expect([response.status, response.headers.get('x-served-by'), await response.text()]).toEqual([200, 'one', '']);
  });

  test('a correlation id is taken if it is one, else made', async () => {
    const good = await ask('/health/live', 'GET', 'X-Correlation-Id: abc.DEF-1_2\r\n');
    expect(good.head).toMatch(/^x-correlation-id: abc\.DEF-1_2$/im);
    for (const bad of ['x'.repeat(65), 'a b', 'a"b', '\u00e9', '']) {
      const { head } = await ask('/health/live', 'GET', `X-Correlation-Id: ${bad}\r\n`);
      expect(head).toMatch(/^x-correlation-id: [0-9a-f]{8}-[0-9a-f-]{27}$/im);
    }
    const { body } = await ask('/stores/none/k', 'GET', 'X-Correlation-Id: mine\r\n');
    expect((JSON.parse(body) as { correlationId: string }).correlationId).toBe('mine');
  });

  test('answers carry security headers and nothing about the software', async () => {
    for (const path of ['/health/live', '/stores/words/none', '/nothing', '/stores/words/%ff']) {
      const { head } = await ask(path);
      for (const header of [
        'x-content-type-options: nosniff',
        'x-frame-options: DENY',
        "content-security-policy: default-src 'none'",
        'referrer-policy: no-referrer',
        'cache-control: no-store',
      ])
        expect(head.toLowerCase()).toContain(header.toLowerCase());
      expect(head).not.toMatch(/x-powered-by|^server:|access-control-allow/im);
    }
  });

  test('large headers are refused', async () => {
    expectProblem(await ask('/health/live', 'GET', `X-Large: ${'x'.repeat(64 * 1024)}\r\n`), 431, 'headers_too_large');
    expectProblem(await ask(`/stores/words?${'a=1&'.repeat(10_000)}`), 431, 'headers_too_large');
    expectProblem(await ask(`/stores/words?${'a=1&'.repeat(5_000)}`), 400, 'request_invalid');
  });

  test.each([
    '',
    'GET\r\n\r\n',
    'GET / HTTP/9.9\r\n\r\n',
    '\u0016\u0003\u0001',
    'GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n',
  ])('bytes that are no request are answered as a problem (%#)', async (bytes) => {
    if (bytes !== '') expectProblem(await send(bytes), 400, 'request_malformed');
    await expectAlive();
  });
});

describe('what goes wrong inside', () => {
  test.each(['/broken', '/broken-engine'])(
    '%s says nothing but a correlation id, which finds it in the log',
    async (path) => {
      const answer = await ask(path);
      expectProblem(answer, 500, 'internal');
      const { correlationId } = JSON.parse(answer.body) as { correlationId: string };
      expect(logged.filter((line) => line.includes(correlationId) && line.includes('canary'))).toHaveLength(1);
    },
  );

  test('what is thrown may be anything', () => {
    for (const thrown of [undefined, null, 'text', 1, {}, new Error('x')])
      expect(toProblem(thrown)).toMatchObject({ status: 500, code: 'internal' });
    expect(problemBody(toProblem(undefined), `/a?key=canary${'x'.repeat(999)}`, 'id').instance).toBe('/a');
  });
});
