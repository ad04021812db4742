import { afterEach, describe, expect, test } from '@jest/globals';
import { bigint64Serde, bytesSerde, float64Serde, int64Serde, jsonSerde, stringSerde } from '../../schemas/serde.ts';
import { defineStore, defineTimestampedStore } from '../../state-stores/spec.ts';
import { FakeCluster, FakeInstance, apiOf, hurriedClock, type Api } from './fake-instance.ts';

const apis: Api[] = [];

function serve(cluster: FakeCluster, instance = new FakeInstance(cluster, 'one')): Api {
  const api = apiOf([instance], { clock: hurriedClock });
  apis.push(api);
  return api;
}

afterEach(async () => {
  await Promise.all(apis.splice(0).map((api) => api.close()));
});

interface PageBody {
  readonly items: readonly { readonly key: unknown; readonly value: unknown; readonly partition: number }[];
  readonly next: string | null;
}

async function pageOf(api: Api, url: string): Promise<PageBody> {
  const response = await api.inject(url);
  expect(response.statusCode).toBe(200);
  return response.json<PageBody>();
}

async function allPages(api: Api, url: string): Promise<readonly unknown[]> {
  const keys: unknown[] = [];
  let page = await pageOf(api, url);
  keys.push(...page.items.map(({ key }) => key));
  while (page.next !== null) {
    page = await pageOf(api, `${url}&cursor=${page.next}`);
    keys.push(...page.items.map(({ key }) => key));
    if (keys.length > 10_000) throw new Error('the cursor does not advance');
  }
  return keys;
}

describe('GET /stores/:store/:key', () => {
  test('answers key and value with the position and the name of who answered', async () => {
    const cluster = new FakeCluster();
    const partition = cluster.put('words', 'hello', { count: 3 });
    const response = await serve(cluster).inject('/stores/words/hello');
    expect(response.statusCode).toBe(200);
    expect(response.headers['content-type']).toBe('application/json; charset=utf-8');
    expect(response.json()).toEqual({ key: 'hello', value: { count: 3 } });
    expect(response.headers['x-position']).toBe(`input/${String(partition)}=1`);
    expect(response.headers['x-served-by']).toBe('one');
    expect(response.headers['x-correlation-id']).toMatch(/^[A-Za-z0-9._-]{1,64}$/);
  });

  test('404 for a key that the running owner does not have', async () => {
    const response = await serve(new FakeCluster()).inject('/stores/words/none');
    expect(response.statusCode).toBe(404);
    expect(response.json()).toMatchObject({ code: 'key_not_found', status: 404, instance: '/stores/words/none' });
  });

  test('404 of another code for a store that does not exist', async () => {
    const response = await serve(new FakeCluster()).inject('/stores/nothing/none');
    expect([response.statusCode, response.json<{ code: string }>().code]).toEqual([404, 'store_unknown']);
  });

  test('503 with Retry-After, never 404, while nobody owns the partition', async () => {
    const cluster = new FakeCluster();
    const api = serve(cluster);
    cluster.owners.clear();
    const response = await api.inject('/stores/words/none');
    expect(response.statusCode).toBe(503);
    expect(response.headers['retry-after']).toBe('1');
    expect(response.json()).toMatchObject({ code: 'store_not_ready' });
  });

  test('503 while the instance believes that it owns what it does not run', async () => {
    const cluster = new FakeCluster();
    const instance = new FakeInstance(cluster, 'one');
    const api = serve(cluster, instance);
    instance.believes = new Map(cluster.owners);
    cluster.owners.clear();
    expect((await api.inject('/stores/words/none')).statusCode).toBe(503);
  });

  test('waits for a store that becomes ready soon', async () => {
    const cluster = new FakeCluster();
    cluster.put('words', 'hello', 1);
    const api = serve(cluster);
    const owners = new Map(cluster.owners);
    cluster.owners.clear();
    const answering = api.inject('/stores/words/hello');
    await hurriedClock.sleep(200);
    for (const [partition, owner] of owners) cluster.owners.set(partition, owner);
    expect((await answering).statusCode).toBe(200);
  });

  test('an entity tag saves the body', async () => {
    const cluster = new FakeCluster();
    cluster.put('words', 'hello', 1);
    const api = serve(cluster);
    const first = await api.inject('/stores/words/hello');
    const etag = String(first.headers['etag']);
    expect(etag).toMatch(/^"[\w-]{22}"$/);
    const again = await api.inject({ url: '/stores/words/hello', headers: { 'if-none-match': etag } });
    expect([again.statusCode, again.body]).toEqual([304, '']);
    cluster.put('words', 'hello', 2);
    const changed = await api.inject({ url: '/stores/words/hello', headers: { 'if-none-match': `"x", ${etag}` } });
    expect(changed.statusCode).toBe(200);
  });

  test('keys of other types are written as JSON, whole numbers or bytes', async () => {
    const specs = [
      defineStore('longs', { key: int64Serde, value: stringSerde }),
      defineStore('bigs', { key: bigint64Serde, value: bigint64Serde }),
      defineStore('raws', { key: bytesSerde, value: bytesSerde }),
      defineStore('pairs', { key: jsonSerde(), value: stringSerde }),
    ];
    const cluster = new FakeCluster({ specs });
    cluster.put('longs', -5, 'minus five');
    cluster.put('bigs', 9_007_199_254_740_993n, -(2n ** 63n));
    cluster.put('raws', Buffer.of(0, 255), Buffer.of(1, 2, 3));
    cluster.put('pairs', ['a', 1], 'pair');
    const api = serve(cluster);
    const valueOf = async (path: string): Promise<unknown> =>
      (await api.inject(`/stores/${path}`)).json<{ value: unknown }>().value;
    expect(await valueOf('longs/-5?keyFormat=int')).toBe('minus five');
    expect(await valueOf('longs/-5?keyFormat=json')).toBe('minus five');
    expect(await valueOf('bigs/9007199254740993?keyFormat=int')).toBe('-9223372036854775808');
    expect(await valueOf('raws/0x00ff?keyFormat=hex')).toBe('AQID');
    expect(await valueOf('raws/00FF?keyFormat=hex')).toBe('AQID');
    expect(await valueOf(`pairs/${encodeURIComponent('["a",1]')}?keyFormat=json`)).toBe('pair');
    expect((await api.inject('/stores/longs/5')).json()).toMatchObject({ status: 400, code: 'query_invalid' });
  });

  test.each([
    ['longs', '12x', 'int'],
    ['longs', '9007199254740993', 'int'],
    ['longs', '1.5', 'json'],
    ['longs', '"1"', 'json'],
    ['longs', 'null', 'json'],
    ['longs', '{', 'json'],
    ['longs', '0x0', 'hex'],
    ['longs', 'zz', 'hex'],
    ['longs', '99999999999999999999', 'int'],
  ])('a key that is none of %s is refused: %s as %s', async (store, key, format) => {
    const cluster = new FakeCluster({ specs: [defineStore('longs', { key: int64Serde, value: stringSerde })] });
    const response = await serve(cluster).inject(`/stores/${store}/${encodeURIComponent(key)}?keyFormat=${format}`);
    expect([response.statusCode, response.json<{ code: string }>().code]).toEqual([400, 'query_invalid']);
  });

  test('values keep what JSON has not', async () => {
    const specs = [
      defineStore('floats', { key: stringSerde, value: float64Serde }),
      defineTimestampedStore('timed', { key: stringSerde, value: jsonSerde() }),
      defineStore('hostile', { key: stringSerde, value: jsonSerde() }),
    ];
    const cluster = new FakeCluster({ specs });
    cluster.put('floats', 'nan', Number.NaN);
    cluster.put('floats', 'inf', -Infinity);
    cluster.put('timed', 'a', 1);
    cluster.put('hostile', 'a', JSON.parse('{"__proto__":{"polluted":true},"constructor":1}'));
    const api = serve(cluster);
    expect((await api.inject('/stores/floats/nan')).json()).toEqual({ key: 'nan', value: 'NaN' });
    expect((await api.inject('/stores/floats/inf')).json()).toEqual({ key: 'inf', value: '-Infinity' });
    expect((await api.inject('/stores/timed/a')).json()).toEqual({ key: 'a', value: 1, timestampMs: 1_000 });
    expect((await api.inject('/stores/hostile/a')).body).toBe(
      '{"key":"a","value":{"__proto__":{"polluted":true},"constructor":1}}',
    );
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  });

  test('a value that its serde refuses is a 500 of its own, and readable as bytes', async () => {
    const cluster = new FakeCluster();
    const key = stringSerde.serialize('bad');
    cluster.putBytes('words', cluster.partitionOf(key), key, Buffer.from('{nope'));
    const api = serve(cluster);
    expect((await api.inject('/stores/words/bad')).json()).toMatchObject({ status: 500, code: 'value_undecodable' });
    expect((await api.inject('/stores/words/bad?valueFormat=base64')).json()).toEqual({
      key: 'bad',
      value: 'e25vcGU=',
    });
  });
});

describe('X-Min-Position', () => {
  test('is answered at once when the store has it, waited for when not', async () => {
    const cluster = new FakeCluster();
    const partition = cluster.put('words', 'hello', 1);
    const api = serve(cluster);
    const ask = (offset: number, wait: number): Promise<{ readonly statusCode: number; json: () => unknown }> =>
      api.inject({
        url: `/stores/words/hello?wait=${String(wait)}`,
        headers: { 'x-min-position': `input/${String(partition)}=${String(offset)}` },
      });
    expect((await ask(1, 0)).statusCode).toBe(200);
    expect((await ask(2, 0)).json()).toMatchObject({ status: 503, code: 'position_not_reached' });

    const waiting = ask(2, 10_000);
    await hurriedClock.sleep(100);
    cluster.put('words', 'hello', 2);
    expect((await waiting).json()).toEqual({ key: 'hello', value: 2 });
  });

  test('other partitions of the vector do not matter to a key', async () => {
    const cluster = new FakeCluster({ partitions: 2 });
    const partition = cluster.put('words', 'hello', 1);
    const other = 1 - partition;
    const headers = { 'x-min-position': `input/${String(partition)}=1;${String(other)}=999` };
    const api = serve(cluster);
    expect((await api.inject({ url: '/stores/words/hello', headers })).statusCode).toBe(200);
    expect((await api.inject({ url: '/stores/words?wait=0', headers })).statusCode).toBe(503);
  });

  test.each([
    'foreign/0=1',
    'input',
    'input/0',
    'input/0=-1',
    'input/x=1',
    '/0=1',
    'a/b/0=1',
    `${'x'.repeat(300)}/0=1`,
  ])('a vector that nobody can reach is refused: %s', async (vector) => {
    const response = await serve(new FakeCluster()).inject({
      url: '/stores/words/x',
      headers: { 'x-min-position': vector },
    });
    expect(response.json()).toMatchObject({ status: 400, code: 'query_invalid' });
  });

  test('the position of a page can be asked for again', async () => {
    const cluster = new FakeCluster();
    for (let index = 0; index < 50; index += 1) cluster.put('words', `k${String(index)}`, index);
    const api = serve(cluster);
    const position = String((await api.inject('/stores/words')).headers['x-position']);
    expect(position).toMatch(/^input\/0=\d+;1=\d+;2=\d+;3=\d+$/);
    expect((await api.inject({ url: '/stores/words', headers: { 'x-min-position': position } })).statusCode).toBe(200);
  });
});

describe('GET /stores/:store', () => {
  function filled(count: number): FakeCluster {
    const cluster = new FakeCluster();
    for (let index = 0; index < count; index += 1) cluster.put('words', `k${String(index).padStart(4, '0')}`, index);
    return cluster;
  }
  const keys = (from: number, to: number): readonly string[] =>
    Array.from(
      { length: Math.abs(to - from) },
      (_item, index) => `k${String(from < to ? from + index : from - 1 - index).padStart(4, '0')}`,
    );

  test.each([1, 7, 100, 1_000])('pages of %i rows give every key once, in order over all partitions', async (limit) => {
    const api = serve(filled(300));
    expect(await allPages(api, `/stores/words?limit=${String(limit)}`)).toEqual(keys(0, 300));
    expect(await allPages(api, `/stores/words?limit=${String(limit)}&reverse=true`)).toEqual(keys(300, 0));
  });

  test('from is inclusive, to exclusive, a prefix is a prefix', async () => {
    const api = serve(filled(300));
    expect(await allPages(api, '/stores/words?from=k0010&to=k0020&limit=3')).toEqual(keys(10, 20));
    expect(await allPages(api, '/stores/words?from=k0010&to=k0020&limit=3&reverse=true')).toEqual(keys(20, 10));
    expect(await allPages(api, '/stores/words?prefix=k01&limit=1000')).toEqual(keys(100, 200));
    expect(await allPages(api, '/stores/words?from=k0020&to=k0010&limit=9')).toEqual([]);
    expect(
      await allPages(api, `/stores/words?keyFormat=hex&prefix=0x${Buffer.from('k02').toString('hex')}&limit=9`),
    ).toHaveLength(100);
  });

  test('equal keys in several partitions are all there, whatever the page', async () => {
    const cluster = new FakeCluster({ specs: [defineStore('raws', { key: bytesSerde, value: bytesSerde })] });
    for (let partition = 0; partition < 4; partition += 1)
      for (const byte of [0, 1, 255]) cluster.putBytes('raws', partition, Buffer.of(byte), Buffer.of(partition));
    const api = serve(cluster);
    for (const reverse of [false, true]) {
      const seen = await allPages(api, `/stores/raws?keyFormat=hex&limit=1&reverse=${String(reverse)}`);
      const order = reverse ? ['0xff', '0x01', '0x00'] : ['0x00', '0x01', '0xff'];
      expect(seen).toEqual(order.flatMap((key) => [key, key, key, key]));
    }
  });

  test('an empty store has an empty page', async () => {
    const response = await serve(new FakeCluster()).inject('/stores/words');
    expect(response.json()).toEqual({ items: [], next: null });
  });

  test('a page ends early when it gets large', async () => {
    const cluster = new FakeCluster();
    for (let index = 0; index < 10; index += 1) cluster.put('words', `k${String(index)}`, 'x'.repeat(1_000_000));
    const api = serve(cluster);
    const { items, next } = (await api.inject('/stores/words?limit=1000')).json<PageBody>();
    expect(items).toHaveLength(3);
    expect(next).not.toBeNull();
    expect(await allPages(api, '/stores/words?limit=1000')).toHaveLength(10);
  });

  test('iterators are closed, also those of a page that was cut', async () => {
    const cluster = filled(100);
    const instance = new FakeInstance(cluster, 'one');
    const api = serve(cluster, instance);
    await api.inject('/stores/words?limit=5');
    expect(instance.openScans).toBe(0);
  });

  test('503 while one partition is not ready', async () => {
    const cluster = filled(10);
    const api = serve(cluster);
    cluster.owners.delete(2);
    expect((await api.inject('/stores/words')).json()).toMatchObject({ status: 503, code: 'store_not_ready' });
    expect((await api.inject('/stores/words?partitions=0,1,3')).statusCode).toBe(200);
    expect((await api.inject('/stores/words?partitions=9')).statusCode).toBe(400);
  });

  test('a partition that moves away while another has no owner leaves nothing behind', async () => {
    const cluster = filled(10);
    const instance = new FakeInstance(cluster, 'one');
    const api = serve(cluster, instance);
    const unhandled: unknown[] = [];
    const note = (error: unknown): void => {
      unhandled.push(error);
    };
    process.on('unhandledRejection', note);
    try {
      // It believes in partition 0, which it does not run any more, and knows no owner of partition 3.
      instance.believes = new Map([0, 1, 2].map((partition) => [partition, 'one']));
      cluster.owners.delete(0);
      expect((await api.inject('/stores/words')).json()).toMatchObject({ status: 503, code: 'store_not_ready' });
      await new Promise((resolve) => setTimeout(resolve, 10));
    } finally {
      process.off('unhandledRejection', note);
    }
    expect([unhandled, instance.openScans]).toEqual([[], 0]);
  });

  test.each([
    'limit=0',
    'limit=1001',
    'limit=1e3',
    'limit=-1',
    'limit=10000',
    'limit=1&limit=2',
    'reverse=yes',
    'cursor=AAAA',
    'cursor=%00',
    'wait=99999',
    'keyFormat=xml',
    'prefix=a&from=b',
    'prefix=1&keyFormat=int',
    'unknown=1',
    '__proto__=1',
    '__proto__[x]=1',
    'constructor=1',
    'partitions=a',
  ])('refuses ?%s', async (query) => {
    const response = await serve(filled(1)).inject(`/stores/words?${query}`);
    expect(response.statusCode).toBe(400);
    expect(['request_invalid', 'query_invalid']).toContain(response.json<{ code: string }>().code);
  });

  test('a cursor belongs to its query', async () => {
    const api = serve(filled(10));
    const { next } = (await api.inject('/stores/words?limit=2')).json<PageBody>();
    expect((await api.inject(`/stores/words?limit=5&cursor=${String(next)}`)).statusCode).toBe(200);
    expect((await api.inject(`/stores/words?reverse=true&cursor=${String(next)}`)).statusCode).toBe(400);
    expect((await api.inject(`/stores/words?prefix=k&cursor=${String(next)}`)).statusCode).toBe(400);
  });
});

describe('where a key lives', () => {
  test('metadata names partition, task and owner', async () => {
    const cluster = new FakeCluster();
    const partition = cluster.put('words', 'hello', 1);
    const response = await serve(cluster).inject('/stores/words/metadata?key=hello');
    expect(response.json()).toEqual({
      store: 'words',
      partition,
      standbys: [],
      taskId: `0_${String(partition)}`,
      owner: { instanceId: 'one', url: null, isSelf: true },
    });
  });

  test('without a key it lists all partitions', async () => {
    const response = await serve(new FakeCluster()).inject('/stores/words/metadata');
    expect(response.json<{ partitions: unknown[] }>().partitions).toHaveLength(4);
  });

  test('a key called metadata is reached by its bytes', async () => {
    const cluster = new FakeCluster();
    cluster.put('words', 'metadata', 1);
    const response = await serve(cluster).inject(
      `/stores/words/0x${Buffer.from('metadata').toString('hex')}?keyFormat=hex`,
    );
    expect(response.json()).toMatchObject({ value: 1 });
  });

  test('the list of stores says what they hold', async () => {
    expect((await serve(new FakeCluster()).inject('/stores')).json()).toEqual({
      stores: [{ name: 'words', application: 'fake', kind: 'key-value', key: 'string', value: 'json' }],
    });
  });
});

describe('several instances in one process', () => {
  test('answer for each other without a hop', async () => {
    const cluster = new FakeCluster({ partitions: 2 });
    const [one, two] = [new FakeInstance(cluster, 'one'), new FakeInstance(cluster, 'two')];
    cluster.owners.set(1, 'two');
    for (let index = 0; index < 20; index += 1) cluster.put('words', `k${String(index)}`, index);
    const api = apiOf([one, two]);
    apis.push(api);
    for (let index = 0; index < 20; index += 1)
      expect((await api.inject(`/stores/words/k${String(index)}`)).json()).toMatchObject({ value: index });
    const page = await api.inject('/stores/words');
    expect(page.json<PageBody>().items).toHaveLength(20);
    expect(page.headers['x-served-by']).toBe('one,two');
  });

  test('two applications with a store of one name are refused', () => {
    const [a, b] = [new FakeCluster({ applicationId: 'a' }), new FakeCluster({ applicationId: 'b' })];
    expect(() => apiOf([new FakeInstance(a, 'one'), new FakeInstance(b, 'one')])).toThrow(/words exists in a and in b/);
  });
});
