import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from '@jest/globals';
import { StreamError } from '../../errors.ts';
import { FakeCluster, FakeInstance, apiOf, type Api } from './fake-instance.ts';

const apis: Api[] = [];

function serve(instance = new FakeInstance(new FakeCluster(), 'one')): Api {
  const api = apiOf([instance], { version: '1.2.3' });
  apis.push(api);
  return api;
}

afterEach(async () => {
  await Promise.all(apis.splice(0).map((api) => api.close()));
});

describe('health', () => {
  test('ready only while every instance is', async () => {
    const instance = new FakeInstance(new FakeCluster(), 'one');
    const api = serve(instance);
    expect((await api.inject('/health/ready')).statusCode).toBe(200);
    instance.isReady = false;
    instance.state = 'rebalancing';
    const waiting = await api.inject('/health/ready');
    expect([waiting.statusCode, waiting.headers['retry-after']]).toEqual([503, '1']);
    expect(waiting.json()).toMatchObject({ code: 'not_ready', detail: 'waiting for fake (rebalancing)' });
    expect((await api.inject('/health/live')).statusCode).toBe(200);
  });
});

describe('administration', () => {
  test('tasks with their inputs, peers and the reason of a failure', async () => {
    const instance = new FakeInstance(new FakeCluster({ partitions: 1 }), 'one');
    instance.failure = new StreamError('SOURCE_TOPIC_MISSING', 'topic input does not exist');
    const response = await serve(instance).inject('/admin/tasks');
    expect(response.json()).toEqual({
      instances: [
        {
          application: 'fake',
          instance: 'one',
          state: 'running',
          ready: true,
          paused: false,
          failure: { code: 'SOURCE_TOPIC_MISSING', message: 'topic input does not exist' },
          tasks: [
            { id: '0_0', state: 'running', inputs: [{ topic: 'input', partition: 0, offset: 1 }], stores: ['words'] },
          ],
          peers: [{ instanceId: 'one', url: null, activeTasks: ['0_0'], standbyTasks: [], isSelf: true }],
        },
      ],
    });
  });

  test('topologies as text, Mermaid and JSON, each with its application', async () => {
    const api = serve();
    const ask = async (query: string): Promise<readonly [unknown, string]> => {
      const { headers, body } = await api.inject(`/admin/topology${query}`);
      return [headers['content-type'], body];
    };
    expect(await ask('')).toEqual(['text/plain; charset=utf-8', expect.stringMatching(/^# fake\nTopologies:\n/)]);
    expect(await ask('?format=mermaid')).toEqual([
      'text/plain; charset=utf-8',
      expect.stringMatching(/^%% fake\nflowchart TD/),
    ]);
    const [type, json] = await ask('?format=json');
    expect(type).toBe('application/json; charset=utf-8');
    expect(JSON.parse(json)).toMatchObject([{ application: 'fake', name: 'fake', partitions: { input: 4 } }]);
  });

  test('an unknown format is refused', async () => {
    expect((await serve().inject('/admin/topology?format=dot')).statusCode).toBe(400);
  });
});

describe('metrics', () => {
  test('show what instances measure, requests by route, and the process', async () => {
    const instance = new FakeInstance(new FakeCluster(), 'one');
    instance.samples = [
      { name: 'rivulet_records_total', help: 'Records.', type: 'counter', labels: { task: '0_0' }, value: 7 },
      {
        name: 'rivulet_records_total',
        help: 'Records.',
        type: 'counter',
        labels: { task: '0_1', node: 'n"\n' },
        value: 8,
      },
      { name: 'rivulet_lag', help: 'Lag.', type: 'gauge', labels: {}, value: -1 },
    ];
    const api = serve(instance);
    await api.inject('/stores/words/canary');
    for (let scrape = 0; scrape < 2; scrape += 1) {
      const { body, headers } = await api.inject('/metrics');
      expect(headers['content-type']).toMatch(/^text\/plain; version=0\.0\.4/);
      expect(body).toContain('rivulet_records_total{application="fake",instance="one",task="0_0"} 7');
      expect(body).toContain('node="n\\"\\n"} 8');
      expect(body).toContain('rivulet_lag{application="fake",instance="one"} -1');
      expect(body).toContain(
        'rivulet_http_request_duration_seconds_count{method="GET",route="/stores/:store/:key",status="404"} 1',
      );
      expect(body).toContain('process_cpu_seconds_total');
      expect(body).not.toContain('canary');
    }
  });
});

describe('/openapi.json', () => {
  interface Description {
    readonly openapi: string;
    readonly info: { readonly version: string };
    readonly paths: Readonly<
      Record<
        string,
        Readonly<
          Record<string, { readonly summary?: string; readonly parameters: readonly { readonly name: string }[] }>
        >
      >
    >;
  }

  test('lists every route that the sources register', async () => {
    const { paths, openapi, info } = (await serve().inject('/openapi.json')).json<Description>();
    expect([openapi, info.version]).toEqual(['3.1.0', '1.2.3']);
    const folder = fileURLToPath(new URL('../../api/', import.meta.url));
    const registered = readdirSync(folder)
      .filter((name) => name.endsWith('.ts'))
      .flatMap((name) => [
        ...readFileSync(`${folder}${name}`, 'utf8').matchAll(/\bapp\.(get|post|put|patch|delete)\(\s*'([^']+)'/g),
      ])
      .map(([, method, url]) => `${String(method)} ${String(url).replace(/:(\w+)/g, '{$1}')}`);
    const listed = Object.entries(paths).flatMap(([path, operations]) =>
      Object.keys(operations).map((method) => `${method} ${path}`),
    );
    expect(listed.sort()).toEqual(registered.sort());
    expect(listed.length).toBeGreaterThan(8);
  });

  test('describes each with a summary and all parameters', async () => {
    const { paths } = (await serve().inject('/openapi.json')).json<Description>();
    for (const operations of Object.values(paths))
      for (const operation of Object.values(operations)) expect(operation.summary).toMatch(/\w/);
    const names = paths['/stores/{store}']?.['get']?.parameters.map(({ name }) => name);
    expect(names).toEqual(
      expect.arrayContaining(['store', 'prefix', 'from', 'to', 'reverse', 'limit', 'cursor', 'wait', 'X-Min-Position']),
    );
  });
});
