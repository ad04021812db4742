import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test } from '@jest/globals';
import { createPeerHosts } from '../../api/peer-hosts.ts';
import { createPeerSignature } from '../../api/peer-signature.ts';
import { limits } from '../../api/limits.ts';
import { FakeCluster, FakeInstance, Servers, hurriedClock } from './fake-instance.ts';

const servers = new Servers();
const rogues: Server[] = [];

afterEach(async () => {
  await servers.close();
  for (const rogue of rogues.splice(0)) {
    rogue.closeAllConnections();
    rogue.close();
  }
});

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: Record<string, unknown>;
}

async function get(url: string, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
  const response = await fetch(url, { headers });
  return {
    status: response.status,
    headers: response.headers,
    body: (await response.json()) as Record<string, unknown>,
  };
}

/** Two instances, each with half of the partitions. */
function pair(): { cluster: FakeCluster; one: FakeInstance; two: FakeInstance } {
  const cluster = new FakeCluster({ partitions: 4 });
  const [one, two] = [new FakeInstance(cluster, 'one'), new FakeInstance(cluster, 'two')];
  cluster.owners.set(1, 'two').set(3, 'two');
  for (let index = 0; index < 100; index += 1) cluster.put('words', `k${String(index)}`, index);
  return { cluster, one, two };
}

/** A key of that partition. */
function keyIn(cluster: FakeCluster, partition: number): string {
  for (let index = 0; index < 100; index += 1)
    if (cluster.partitionOf(Buffer.from(`k${String(index)}`)) === partition) return `k${String(index)}`;
  throw new Error('no such key');
}

async function rogue(
  handle: (url: string, headers: NodeJS.Dict<string | string[]>) => [status: number, body: string | undefined],
): Promise<string> {
  const server = createServer((request, response) => {
    const [status, body] = handle(request.url ?? '', request.headers);
    response.writeHead(status, { 'content-type': 'application/json' });
    if (body !== undefined) response.end(body);
  });
  rogues.push(server);
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
}

describe('forwarding', () => {
  test('any instance answers any key, with position and name of the owner', async () => {
    const { cluster, one, two } = pair();
    const urls = [await servers.listen(one), await servers.listen(two)];
    for (const url of urls)
      for (let index = 0; index < 100; index += 1) {
        const key = `k${String(index)}`;
        const partition = cluster.partitionOf(Buffer.from(key));
        const { status, headers, body } = await get(`${url}/stores/words/${key}`);
        expect([status, body]).toEqual([200, { key, value: index }]);
        expect(headers.get('x-served-by')).toBe(partition % 2 === 0 ? 'one' : 'two');
        expect(headers.get('x-position')).toBe(
          `input/${String(partition)}=${String(cluster.data('words', partition).position.get(`input/${String(partition)}`))}`,
        );
      }
  });

  test('an absent key is a 404 from the owner', async () => {
    const { cluster, one, two } = pair();
    const [url] = [await servers.listen(one), await servers.listen(two)];
    for (let index = 0; index < 8; index += 1) {
      const { status, body, headers } = await get(`${url}/stores/words/absent${String(index)}`);
      expect([status, body['code']]).toEqual([404, 'key_not_found']);
      expect(headers.get('x-served-by')).toBe(
        cluster.partitionOf(Buffer.from(`absent${String(index)}`)) % 2 === 0 ? 'one' : 'two',
      );
    }
  });

  test.each([
    '',
    '..',
    '%2e%2e',
    '\u0000',
    'a\nb',
    'a/b',
    '\u202eabc',
    '__proto__',
    'a b&c=d#e?f',
    '💧',
    'x'.repeat(4_000),
  ])('odd keys arrive unharmed (%#)', async (key) => {
    const { cluster, one, two } = pair();
    for (const owner of ['one', 'two']) {
      for (let partition = 0; partition < 4; partition += 1) cluster.owners.set(partition, owner);
      cluster.put('words', key, { key });
      const [url] = [await servers.listen(one), await servers.listen(two)];
      const { status, body } = await get(`${url}/stores/words/0x${Buffer.from(key).toString('hex')}?keyFormat=hex`);
      expect([status, body['value']]).toEqual([200, { key }]);
    }
  });

  test('a page is gathered from all instances, in order, page after page', async () => {
    const { one, two } = pair();
    const [url] = [await servers.listen(one), await servers.listen(two)];
    const expected = Array.from({ length: 100 }, (_item, index) => `k${String(index)}`).sort();
    for (const reverse of [false, true]) {
      const seen: string[] = [];
      let cursor = '';
      do {
        const { status, body, headers } = await get(`${url}/stores/words?limit=7&reverse=${String(reverse)}${cursor}`);
        expect(status).toBe(200);
        expect(headers.get('x-served-by')).toBe('one,two');
        expect(headers.get('x-position')).toMatch(/^input\/0=\d+;1=\d+;2=\d+;3=\d+$/);
        seen.push(...(body['items'] as { key: string }[]).map(({ key }) => key));
        cursor = typeof body['next'] === 'string' ? `&cursor=${body['next']}` : '';
      } while (cursor !== '');
      expect(seen).toEqual(reverse ? [...expected].reverse() : expected);
    }
  });

  test('large pages stop early and lose nothing', async () => {
    const { cluster, one, two } = pair();
    for (let index = 0; index < 12; index += 1)
      cluster.put('words', `large${String(index).padStart(2, '0')}`, 'x'.repeat(900_000));
    const [url] = [await servers.listen(one), await servers.listen(two)];
    const seen: unknown[] = [];
    let cursor = '';
    do {
      const { status, body } = await get(`${url}/stores/words?prefix=large&limit=1000${cursor}`);
      expect(status).toBe(200);
      seen.push(...(body['items'] as { key: string }[]).map(({ key }) => key));
      cursor = typeof body['next'] === 'string' ? `&cursor=${body['next']}` : '';
    } while (cursor !== '');
    expect(seen).toEqual(Array.from({ length: 12 }, (_item, index) => `large${String(index).padStart(2, '0')}`));
  });

  test('a forwarded request is never forwarded again', async () => {
    const { cluster, one, two } = pair();
    const [url] = [await servers.listen(one), await servers.listen(two)];
    const { status, body } = await get(`${url}/stores/words/${keyIn(cluster, 1)}`, { 'x-iq-forwarded': '1' });
    expect([status, body['code']]).toEqual([421, 'misdirected']);
    expect((await get(`${url}/stores/words/${keyIn(cluster, 0)}`, { 'x-iq-forwarded': '1' })).status).toBe(200);
    expect((await get(`${url}/stores/words?partitions=1`, { 'x-iq-forwarded': '1' })).status).toBe(421);
  });

  test('two instances that each believe the other to be the owner answer 503, quickly', async () => {
    const { cluster, one, two } = pair();
    const [url] = [
      await servers.listen(one, { clock: hurriedClock }),
      await servers.listen(two, { clock: hurriedClock }),
    ];
    one.believes = new Map(Array.from({ length: 4 }, (_item, partition) => [partition, 'two']));
    two.believes = new Map(Array.from({ length: 4 }, (_item, partition) => [partition, 'one']));
    const { status, body, headers } = await get(`${url}/stores/words/${keyIn(cluster, 1)}`);
    expect([status, body['code'], headers.get('retry-after')]).toEqual([503, 'store_not_ready', '1']);
  });

  test('a change of owner during the query is followed', async () => {
    const { cluster, one, two } = pair();
    const [url] = [await servers.listen(one), await servers.listen(two)];
    const key = keyIn(cluster, 1);
    cluster.owners.set(1, 'one');
    one.believes = new Map([...cluster.owners, [1, 'two']]);
    const answering = get(`${url}/stores/words/${key}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
    one.believes = undefined;
    const { status, headers } = await answering;
    expect([status, headers.get('x-served-by')]).toEqual([200, 'one']);
  });

  test('a dead peer is a 503, and so is one that advertises nothing', async () => {
    const { cluster, one, two } = pair();
    const url = await servers.listen(one, { clock: hurriedClock });
    two.url = 'http://127.0.0.1:1';
    const dead = await get(`${url}/stores/words/${keyIn(cluster, 1)}`);
    expect([dead.status, dead.body['code'], dead.headers.get('retry-after')]).toEqual([503, 'peer_unavailable', '1']);
    two.url = undefined;
    expect((await get(`${url}/stores/words/${keyIn(cluster, 1)}`)).body['code']).toBe('peer_unavailable');
    expect((await get(`${url}/stores/words`)).body['code']).toBe('peer_unavailable');
  });

  test('a peer that never answers costs the deadline, not more', async () => {
    const { cluster, one, two } = pair();
    const url = await servers.listen(one);
    two.url = await rogue(() => [200, undefined]);
    const startMs = performance.now();
    expect((await get(`${url}/stores/words/${keyIn(cluster, 1)}`)).body['code']).toBe('peer_unavailable');
    expect(performance.now() - startMs).toBeLessThan(limits.peerDeadlineMs + limits.notReadyWaitMs + 1_500);
  });

  test.each([
    ['not JSON', 200, 'nope'],
    ['another form', 200, '{"value":1}'],
    ['a list', 200, '[]'],
    ['too much', 200, `"${'x'.repeat(limits.peerResponseBytes)}"`],
    ['an internal error', 500, '{"code":"internal"}'],
    ['a redirect', 302, '{}'],
    ['an unknown refusal', 404, '{"code":"something"}'],
  ])('a peer that answers %s is unavailable', async (_name, status, body) => {
    const { cluster, one, two } = pair();
    const url = await servers.listen(one, {
      clock: { ...hurriedClock, timer: (ms, run) => hurriedClock.timer(ms, run) },
    });
    two.url = await rogue(() => [status, body]);
    expect((await get(`${url}/stores/words/${keyIn(cluster, 1)}`)).body['code']).toBe('peer_unavailable');
    expect((await get(`${url}/stores/words`)).body['code']).toBe('peer_unavailable');
  });

  test.each([
    [
      '{"items":[{"partition":0,"key":"0x00","value":""}],"next":null}',
      'rows of a partition that it was not asked for',
    ],
    ['{"items":[],"next":"more"}', 'a cursor without rows'],
    ['{"items":"x","next":null}', 'no rows at all'],
    [
      JSON.stringify({ items: Array.from({ length: 101 }, () => ({ partition: 1, key: '', value: '' })), next: null }),
      'too many rows',
    ],
  ])('a page with %s is refused', async (body) => {
    const { one, two } = pair();
    const url = await servers.listen(one, { clock: hurriedClock });
    two.url = await rogue(() => [200, body]);
    expect((await get(`${url}/stores/words`)).body['code']).toBe('peer_unavailable');
  });

  test('the client authorization stays here; the correlation id travels', async () => {
    const { cluster, one, two } = pair();
    const seen: NodeJS.Dict<string | string[]>[] = [];
    const token = 'token-token-token-1';
    const url = await servers.listen(one, { apiToken: token });
    two.url = await rogue((_path, headers) => {
      seen.push(headers);
      return [404, '{"code":"key_not_found"}'];
    });
    await get(`${url}/stores/words/${keyIn(cluster, 1)}`, {
      authorization: `Bearer ${token}`,
      'x-correlation-id': 'corr-1',
      cookie: 'a=b',
    });
    expect(seen).toHaveLength(1);
    expect(seen[0]).toMatchObject({ 'x-correlation-id': 'corr-1', 'x-iq-forwarded': '1' });
    expect(JSON.stringify(seen)).not.toContain(token);
    expect(seen[0]).not.toHaveProperty('authorization');
    expect(seen[0]).not.toHaveProperty('cookie');
  });

  test('instances with one token trust each other; with another they do not', async () => {
    const { cluster, one, two } = pair();
    const apiToken = 'token-token-token-1';
    const url = await servers.listen(one, { apiToken });
    await servers.listen(two, { apiToken });
    const headers = { authorization: `Bearer ${apiToken}` };
    expect((await get(`${url}/stores/words/${keyIn(cluster, 1)}`, headers)).status).toBe(200);

    const stranger = pair();
    const strangerUrl = await servers.listen(stranger.one, { apiToken, clock: hurriedClock });
    await servers.listen(stranger.two, { apiToken: 'token-token-token-2' });
    const refused = await get(`${strangerUrl}/stores/words/${keyIn(stranger.cluster, 1)}`, headers);
    expect([refused.status, refused.body['code']]).toEqual([503, 'peer_unavailable']);
  });
});

describe('a peer signature', () => {
  const signature = createPeerSignature('token-token-token-1');

  test('holds for this request, about now, and this token', () => {
    const header = signature.sign('GET', '/stores/a', 1_000_000);
    expect(signature.verify(header, 'GET', '/stores/a', 1_000_000 + limits.peerClockSkewMs)).toBe(true);
    expect(signature.verify(header, 'GET', '/stores/b', 1_000_000)).toBe(false);
    expect(signature.verify(header, 'POST', '/stores/a', 1_000_000)).toBe(false);
    expect(signature.verify(header, 'GET', '/stores/a', 1_000_001 + limits.peerClockSkewMs)).toBe(false);
    expect(createPeerSignature('token-token-token-2').verify(header, 'GET', '/stores/a', 1_000_000)).toBe(false);
    expect(header).not.toContain('token');
  });

  test.each(['', 't=1', 't=,v1=', 't=1,v1=short', 'v1=x,t=1', `t=1,v1=${'A'.repeat(43)}`])('%s is none', (header) => {
    expect(signature.verify(header, 'GET', '/', 1)).toBe(false);
  });
});

describe('peer hosts', () => {
  const hosts = createPeerHosts(['10.0.0.0/8', 'fd00::/8', 'Node-1', '.app.svc', '192.168.7.7']);

  test.each([
    'http://127.0.0.1:3000',
    'http://[::1]:3000',
    'http://localhost:1',
    'http://10.1.2.3:80',
    'http://[fd00::1]:80',
    'http://node-1:3000',
    'http://NODE-1:3000',
    'http://pod-0.app.svc:3000',
    'http://192.168.7.7:1',
  ])('%s may be asked', (url) => {
    expect(() => hosts.check(url)).not.toThrow();
  });

  test.each([
    'http://169.254.169.254:80',
    'http://attacker:80',
    'http://11.0.0.1',
    'http://0.0.0.0:80',
    'http://[::]:80',
    'http://[::ffff:169.254.169.254]:80',
    'http://localhost.:80',
    'http://localhost.attacker:80',
    'http://appXsvc',
    'http://evil.app.svc.attacker',
    'https://127.0.0.1',
    'file:///etc/passwd',
    'http://user:pass@127.0.0.1',
    'http://127.0.0.1/path',
    'http://127.0.0.1?x',
    'http://127.0.0.1#x',
    'nonsense',
    '',
    'http://127.0.0.1:99999',
    'http://a\r\nb',
  ])('%j may not', (url) => {
    expect(() => hosts.check(url)).toThrow(/the owner is not asked/);
  });

  test('an address range with a wrong width is refused at start', () => {
    for (const entry of ['10.0.0.0/33', '10.0.0.0/x', 'fd00::/129'])
      expect(() => createPeerHosts([entry])).toThrow(/PEER_HOSTS/);
  });
});
