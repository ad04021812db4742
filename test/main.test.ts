import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { startApplication, type RunningApplication } from './support/application.ts';
import { SystemBServer, customerOfB } from './support/customer/system-b-server.ts';

let directory: string;

const running: RunningApplication[] = [];

function start(env: Readonly<Record<string, string>>): RunningApplication {
  const started = startApplication(env);
  running.push(started);
  return started;
}

async function eventually<T>(what: string, ask: () => Promise<T | undefined>, withinMs = 120_000): Promise<T> {
  const untilMs = performance.now() + withinMs;
  while (performance.now() < untilMs) {
    const answer = await ask().catch(() => undefined);
    if (answer !== undefined) return answer;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`waited in vain: ${what}`);
}

async function ready({ url }: RunningApplication): Promise<string> {
  const base = await url;
  await eventually('readiness', async () => ((await fetch(`${base}/health/ready`)).status === 200 ? true : undefined));
  return base;
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'rivulet-main-'));
});

afterEach(async () => {
  for (const { signal, ended } of running.splice(0)) {
    signal('SIGKILL');
    await ended;
  }
});

afterAll(async () => {
  await rm(directory, { recursive: true, force: true });
});

describe('the application on the embedded log', () => {
  const topics = { SAMPLE_FEED: 'auto', TOPOLOGIES: 'customer-merge' };

  test('becomes ready, keeps its directory to itself, and stops cleanly at once when asked', async () => {
    const env = { DATA_DIR: join(directory, 'one'), ...topics };
    const one = start(env);
    const base = await ready(one);
    const path = await eventually(
      'a customer to look at',
      async () => /(\/customers\/\S+\/lineage)/.exec(one.stdout())?.[1],
    );
    expect((await fetch(`${base}${path}`)).status).toBe(200);
    expect((await stat(env.DATA_DIR)).mode & 0o077).toBe(0);

    const two = start(env);
    expect(await two.ended).toBe(1);
    expect(two.stdout()).toMatch(/DATA_DIR .* is in use by process \d+: each process needs its own/);

    const startMs = performance.now();
    one.signal('SIGTERM');
    expect(await one.ended).toBe(0);
    expect(performance.now() - startMs).toBeLessThan(10_000);
    expect(one.stdout()).toContain('SIGTERM: stopping');
    for (const line of one.stderr().trim().split('\n')) expect(() => JSON.parse(line) as unknown).not.toThrow();
    expect(existsSync(join(env.DATA_DIR, '~lock'))).toBe(false);
  });

  test('after kill -9 it starts again as the same instance', async () => {
    const env = { DATA_DIR: join(directory, 'killed'), ...topics };
    const one = start(env);
    await ready(one);
    const id = await readFile(join(env.DATA_DIR, 'instance-id'), 'utf8');
    one.signal('SIGKILL');
    expect(await one.ended).toBe('SIGKILL');
    const again = start(env);
    await ready(again);
    expect(again.stdout()).toContain(`instance ${id.trim()}`);
    expect(await readFile(join(env.DATA_DIR, 'instance-id'), 'utf8')).toBe(id);
  });

  test('SIGTERM while topics are missing ends it as well', async () => {
    const one = start({ DATA_DIR: join(directory, 'waiting') });
    const base = await one.url;
    expect((await fetch(`${base}/health/live`)).status).toBe(200);
    expect((await fetch(`${base}/health/ready`)).status).toBe(503);
    expect((await fetch(`${base}/customers/ann@x.test`)).status).toBe(503);
    one.signal('SIGTERM');
    expect(await one.ended).toBe(0);
  });
});

describe('customers of a system that is polled', () => {
  const systemB = new SystemBServer();
  beforeAll(() => systemB.start());
  afterAll(() => systemB.stop());

  test('are answered, go on being answered while the system is down, and the answers say so', async () => {
    systemB.put(customerOfB(1));
    const one = start({
      DATA_DIR: join(directory, 'polling'),
      TOPOLOGIES: 'customer-merge',
      SYSTEM_B_URL: systemB.url,
      POLL_INTERVAL_MS_B: '1000',
    });
    const base = await ready(one);
    const customer = (): Promise<Response> => fetch(`${base}/customers/${customerOfB(1).email}`);
    const found = await eventually('the customer', async () => {
      const response = await customer();
      return response.status === 200 ? response : undefined;
    });
    expect(await found.json()).toMatchObject({ sources: ['system_b'], isPartial: true, phone: '+49 30 1' });
    systemB.isAway = true;
    await eventually('the news', async () =>
      /^system-b;down;age=\d+$/.test((await customer()).headers.get('x-degraded') ?? '') ? true : undefined,
    );
    expect((await customer()).status).toBe(200);
    expect(await (await fetch(`${base}/metrics`)).text()).toMatch(/^connector_up{system="system-b"} 0$/m);
    one.signal('SIGTERM');
    expect(await one.ended).toBe(0);
  });
});

describe('billing on the embedded log', () => {
  // Five topologies of ten partitions each are made at the first start.
  const startMs = 150_000;

  test('opens sample accounts, and carries out a transaction that is asked for', async () => {
    const billing = 'billing-ledger,billing-saga,billing-projections,billing-balances,billing-transactions';
    const one = start({ DATA_DIR: join(directory, 'billing'), SAMPLE_FEED: 'auto', TOPOLOGIES: billing });
    const base = await one.url;
    const completed = async (key: string): Promise<string | undefined> => {
      const response = await fetch(`${base}/transactions/status/${key}`);
      const { status } = (await response.json()) as { status?: unknown };
      return status === 'completed' ? status : undefined;
    };
    expect(await eventually('a sample transaction', () => completed('sample-5'), startMs)).toBe('completed');
    const body = { sourceAccountId: 'external:bank', destinationAccountId: 'user-5', amount: '1', currency: 'USD' };
    const headers = { 'content-type': 'application/json', 'idempotency-key': 'mine' };
    const asked = await fetch(`${base}/transactions/topup`, { method: 'POST', headers, body: JSON.stringify(body) });
    expect(asked.status).toBe(202);
    expect(await eventually('the transaction', () => completed('mine'))).toBe('completed');
    const balance = await eventually('the balance', async () => {
      const response = await fetch(`${base}/accounts/user-5/balance`);
      return response.status === 200 ? response.json() : undefined;
    });
    expect(balance).toMatchObject({ accountId: 'user-5', currency: 'USD' });
  }, 240_000);
});

describe('a start that cannot be', () => {
  test.each<readonly [string, Readonly<Record<string, string>>, RegExp]>([
    ['a wrong port', { PORT: 'x' }, /^rivulet: PORT must be/],
    ['a public address without a token', { HOST: '0.0.0.0' }, /^rivulet: HOST is not a loopback address/],
    ['a directory that is a file', { DATA_DIR: fileURLToPath(import.meta.url) }, /DATA_DIR .* cannot be made/],
  ])('%s: says which variable, and exits with 1', async (_name, env, message) => {
    const one = start({ DATA_DIR: join(directory, 'never'), ...env });
    expect(await one.ended).toBe(1);
    expect(one.stdout()).toMatch(message);
  });

  test('credentials show nowhere', async () => {
    const one = start({
      DATA_DIR: join(directory, 'secret'),
      API_TOKEN: 'canary-canary-canary',
      KAFKA_BROKERS: '127.0.0.1:1',
      KAFKA_SASL_MECHANISM: 'plain',
      KAFKA_SASL_USERNAME: 'u',
      KAFKA_SASL_PASSWORD: 'canary-password',
      LOG_LEVEL: 'debug',
    });
    const base = await eventually(
      'the address',
      async () => /listens? on (http\S+)/.exec(one.stdout())?.[1] ?? undefined,
    );
    expect((await fetch(`${base}/health/ready`)).status).toBe(401);
    await eventually('an attempt to connect', async () =>
      one.stderr().includes('"kafka connection"') ? true : undefined,
    );
    one.signal('SIGTERM');
    await one.ended;
    expect(`${one.stdout()}${one.stderr()}`).not.toContain('canary');
    expect(one.stderr()).toContain('"API_TOKEN":"***"');
  });
});
