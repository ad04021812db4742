import { mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import Sqlite from 'libsql';
import { requestTo } from '../../commands/api-client.ts';
import { startApplication, type RunningApplication } from '../support/application.ts';
import { until } from '../support/cluster.ts';

// Longer than any wait within: what is waited for in vain is named.
jest.setTimeout(600_000);
const waitMs = 120_000;
/** Three pages. */
const customers = 1_200;

let directory: string;
let path: string;
let running: RunningApplication | undefined;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'rivulet-system-a-'));
  path = join(directory, 'customers.db');
});

afterAll(async () => {
  running?.signal('SIGKILL');
  await running?.ended;
  await rm(directory, { recursive: true, force: true });
});

function write(statement: string): void {
  const file = new Sqlite(path, { timeout: 10_000 });
  file.exec(statement);
  file.close();
}

async function start(): Promise<string> {
  running = startApplication({
    DATA_DIR: join(directory, 'data'),
    TOPOLOGIES: 'customer-merge',
    SYSTEM_A_SQLITE_FILE: path,
    POLL_INTERVAL_MS_A: '100',
    SCAN_INTERVAL_MS_A: '1000',
    RATE_LIMIT_PER_SECOND: '0',
  });
  return await running.url;
}

async function nameOf(base: string, email: string): Promise<unknown> {
  const answer = await fetch(`${base}/customers/${email}`);
  return answer.status === 200 ? ((await answer.json()) as { readonly name: unknown }).name : answer.status;
}

async function untilNamed(base: string, email: string, name: unknown): Promise<void> {
  await until(`${email} is ${String(name)}`, async () => (await nameOf(base, email)) === name, waitMs);
}

async function stateOf(base: string): Promise<string | undefined> {
  const { items } = (await (await fetch(`${base}/sources`)).json()) as { readonly items: readonly { state: string }[] };
  return items[0]?.state;
}

async function published(base: string): Promise<number> {
  const metrics = await (await fetch(`${base}/metrics`)).text();
  return Number(/connector_events_total\{system="system-a"\} (\d+)/.exec(metrics)?.[1]);
}

test('rows of the file are merged, changed, re-keyed and deleted; nobody is deleted while it is away, and nothing is told twice over a restart', async () => {
  write(`
    CREATE TABLE customers_a (id INTEGER PRIMARY KEY, email TEXT, name TEXT, address TEXT, contract_start TEXT,
      contract_type TEXT, last_updated TEXT DEFAULT CURRENT_TIMESTAMP);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${String(customers)})
    INSERT INTO customers_a (id, email, name, contract_start) SELECT i, 'user' || i || '@x.test', 'User ' || i, '2026-02-03' FROM n`);
  const base = await start();
  await untilNamed(base, `user${String(customers)}@x.test`, `User ${String(customers)}`);
  await untilNamed(base, 'user1@x.test', 'User 1');

  write(`UPDATE customers_a SET name = 'Changed', last_updated = CURRENT_TIMESTAMP WHERE id = 1`);
  await untilNamed(base, 'user1@x.test', 'Changed');
  write(`UPDATE customers_a SET email = 'new@x.test', last_updated = CURRENT_TIMESTAMP WHERE id = 2`);
  await untilNamed(base, 'new@x.test', 'User 2');
  await untilNamed(base, 'user2@x.test', 404);
  write(`UPDATE customers_a SET name = 'Undated', last_updated = NULL WHERE id = 3`);
  await untilNamed(base, 'user3@x.test', 'Undated');
  write(`DELETE FROM customers_a WHERE id = 4`);
  await untilNamed(base, 'user4@x.test', 404);

  const report = { print: (): void => undefined, request: requestTo(base, {}) };
  expect((await report.request('POST', '/admin/backfill', { source: 'system-a' })).status).toBe(202);
  const backfilled = async (): Promise<unknown> =>
    ((await report.request('GET', '/admin/backfill')).body as { readonly items: readonly unknown[] }).items[0];
  const expected = { total: customers - 1, merged: customers - 1, failed: 0 };
  await until(
    'all is merged again',
    async () => {
      const { total, merged, failed } = (await backfilled()) as typeof expected;
      return JSON.stringify({ total, merged, failed }) === JSON.stringify(expected);
    },
    waitMs,
  );

  await rename(path, `${path}.away`);
  await until('it is down', async () => (await stateOf(base)) === 'down', waitMs);
  const answer = await fetch(`${base}/customers/new@x.test`);
  expect([answer.status, answer.headers.get('x-degraded')]).toEqual([200, expect.stringContaining('system-a;down')]);
  running?.signal('SIGTERM');
  expect(await running?.ended).toBe(0);
  await rename(`${path}.away`, path);
  write(`INSERT INTO customers_a (id, email, name) VALUES (5000, 'last@x.test', 'Last')`);
  const again = await start();
  await untilNamed(again, 'last@x.test', 'Last');
  await until('it is told', async () => (await published(again)) > 0, waitMs);
  expect(await published(again)).toBe(1);
});
