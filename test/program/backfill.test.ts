import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { systemClock } from '../../clock.ts';
import { requestTo } from '../../commands/api-client.ts';
import { backfillCommand } from '../../commands/backfill.ts';
import { startApplication, type RunningApplication } from '../support/application.ts';
import { until } from '../support/cluster.ts';
import { SystemADatabase, insertA } from '../support/customer/system-a-database.ts';
import { SystemBServer, customerOfB } from '../support/customer/system-b-server.ts';
import { startPostgres, type RunningPostgres } from '../support/postgres.ts';

// Longer than any wait within: what is waited for in vain is named.
jest.setTimeout(600_000);
const waitMs = 120_000;
/** Three pages of the poller. */
const customers = 1_200;

let postgres: RunningPostgres;
let systemA: SystemADatabase;
let directory: string;
const systemB = new SystemBServer();
const running: RunningApplication[] = [];

beforeAll(async () => {
  postgres = await startPostgres();
  systemA = await SystemADatabase.create(postgres);
  directory = await mkdtemp(join(tmpdir(), 'rivulet-backfill-'));
  await systemB.start();
});

afterAll(async () => {
  for (const { signal, ended } of running) {
    signal('SIGKILL');
    await ended;
  }
  await Promise.all([systemA.close(), systemB.stop()]);
  await postgres.stop();
  await rm(directory, { recursive: true, force: true });
});

async function start(): Promise<{ readonly application: RunningApplication; readonly base: string }> {
  const application = startApplication({
    DATA_DIR: directory,
    TOPOLOGIES: 'customer-merge',
    SYSTEM_A_DATABASE_URL: systemA.captureUrl,
    SYSTEM_B_URL: systemB.url,
    POLL_INTERVAL_MS_B: '3600000',
    RATE_LIMIT_PER_SECOND: '0',
  });
  running.push(application);
  const base = await application.url;
  await until('it runs', async () => (await fetch(`${base}/health/ready`)).status === 200, waitMs);
  return { application, base };
}

/** What `npm run backfill` prints at the end, and its exit code. */
async function backfill(base: string, source: string): Promise<readonly unknown[]> {
  const printed: string[] = [];
  const console = {
    request: requestTo(base, {}),
    print: (line: string) => void printed.push(line),
    clock: systemClock,
  };
  const code = await backfillCommand([source], console);
  return [code, ...printed.filter((line) => !line.includes('records'))];
}

interface Customer {
  readonly email: string;
  readonly name?: string;
}

async function statusOf(base: string, email: string): Promise<number> {
  return (await fetch(`${base}/customers/${email}`)).status;
}

test('tells every record once more through the topics and says what became of each; killed in the middle it goes on, and again it finds the same', async () => {
  for (let index = 0; index < customers; index += 1) systemB.put(customerOfB(index));
  await systemA.run(insertA(1, 'ann@x.test', 'Ann'), insertA(2, 'user7@example.com', 'Seven'));
  // Nobody can be merged without an address.
  await systemA.run(`INSERT INTO customers_a (id, name) VALUES (3, 'Nobody')`);
  const first = await start();
  const last = customerOfB(customers - 1).email;
  await until('all are merged', async () => (await statusOf(first.base, last)) === 200, waitMs);
  await until('rows of A as well', async () => (await statusOf(first.base, 'ann@x.test')) === 200, waitMs);

  const asked = systemB.asked.length;
  let isStuck = true;
  systemB.onRequest = async ({ cursor }) => {
    while (isStuck && cursor !== undefined) await systemClock.sleep(10);
  };
  const request = requestTo(first.base, {});
  const begun = await request('POST', '/admin/backfill', { source: 'system-b' });
  expect(begun.status).toBe(202);
  const total = async (): Promise<unknown> => {
    const { items } = (await request('GET', '/admin/backfill')).body as {
      readonly items: readonly { total: number }[];
    };
    return items[0]?.total;
  };
  await until('the first page is in the log', async () => (await total()) === 500, waitMs);
  first.application.signal('SIGKILL');
  await first.application.ended;
  isStuck = false;

  const { base, application } = await start();
  const report = JSON.stringify({ total: customers, merged: customers, failed: 0 });
  expect(await backfill(base, 'system-b')).toEqual([0, report]);
  const pages = systemB.asked.slice(asked).filter(({ updatedSince }) => updatedSince === undefined);
  expect(pages.filter(({ cursor }) => cursor === undefined)).toHaveLength(1);

  const ofA = [1, JSON.stringify({ total: 3, merged: 2, failed: 1 }), 'a:3'];
  const before = await shown(base);
  expect(await backfill(base, 'system-a')).toEqual(ofA);
  await systemA.run(`UPDATE customers_a SET name = 'Changed' WHERE id = 1`);
  expect(await backfill(base, 'system-a')).toEqual(ofA);
  expect(await backfill(base, 'system-b')).toEqual([0, report]);
  const changed = { email: 'ann@x.test', name: 'Changed' };
  expect(await shown(base)).toEqual(before.map((one) => (one.email === changed.email ? changed : one)));
  expect(await backfill(base, 'system-c')).toEqual([1, 'no such source is read by this application']);
  application.signal('SIGTERM');
  expect(await application.ended).toBe(0);
});

async function shown(base: string): Promise<readonly Customer[]> {
  const emails = ['ann@x.test', 'user7@example.com', customerOfB(customers - 1).email];
  return await Promise.all(
    emails.map(async (one) => {
      const { email, name } = (await (await fetch(`${base}/customers/${one}`)).json()) as Customer;
      return { email, ...(name === undefined ? {} : { name }) };
    }),
  );
}
