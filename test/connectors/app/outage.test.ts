import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import pg from 'pg';
import { startApplication } from '../../support/application.ts';
import { until } from '../../support/cluster.ts';
import { SystemADatabase, insertA } from '../../support/customer/system-a-database.ts';
import { SystemBServer, customerOfB } from '../../support/customer/system-b-server.ts';
import { startPostgres, type RunningPostgres } from '../../support/postgres.ts';

// Longer than any wait within: what is waited for in vain is named.
jest.setTimeout(600_000);
/** A system that failed again and again is left alone for 30 s. */
const waitMs = 120_000;

let [ours, theirs]: RunningPostgres[] = [];
let directory: string;

beforeAll(async () => {
  [ours, theirs] = await Promise.all([startPostgres(), startPostgres()]);
  directory = await mkdtemp(join(tmpdir(), 'rivulet-outage-'));
});

afterAll(async () => {
  await Promise.all([ours?.stop(), theirs?.stop()]);
  await rm(directory, { recursive: true, force: true });
});

test('with both systems down nobody is deleted and answers say so; what happened meanwhile is there when they are back', async () => {
  const systemA = await SystemADatabase.create(theirs!);
  await systemA.run(insertA(1, 'user1@example.com', 'Ann'), insertA(2, 'only-a@x.test', 'Only A'));
  const systemB = new SystemBServer();
  await systemB.start();
  for (const index of [1, 3]) systemB.put(customerOfB(index));
  const viewUrl = await ours!.createDatabase('unified');
  const view = new pg.Client({ connectionString: viewUrl });
  await view.connect();
  const application = startApplication({
    DATA_DIR: directory,
    TOPOLOGIES: 'customer-merge',
    SYSTEM_A_DATABASE_URL: systemA.captureUrl,
    SYSTEM_B_URL: systemB.url,
    POLL_INTERVAL_MS_B: '200',
    // Every scan looks for customers that are gone.
    SCAN_INTERVAL_MS_B: '1000',
    POSTGRES_URL: viewUrl,
  });
  const base = await application.url;

  const viewed = async (): Promise<string> => {
    const there = await view.query<{ it: string | null }>(`SELECT to_regclass('unified_customers') AS it`);
    if (there.rows[0]?.it === null) return '';
    const { rows } = await view.query<{ line: string }>(
      `SELECT email || ' ' || array_to_string(sources, '+') AS line FROM unified_customers ORDER BY email`,
    );
    return rows.map(({ line }) => line).join(', ');
  };
  const statusOf = async (email: string): Promise<number> => (await fetch(`${base}/customers/${email}`)).status;
  const degraded = async (): Promise<string> =>
    (await fetch(`${base}/customers/only-a@x.test`)).headers.get('x-degraded') ?? '';
  const metric = async (pattern: RegExp): Promise<number> =>
    Number(pattern.exec(await (await fetch(`${base}/metrics`)).text())?.[1] ?? NaN);
  const errorsOf = (system: string): Promise<number> =>
    metric(new RegExp(`^connector_errors_total\\{system="${system}"\\} (\\d+)$`, 'm'));

  try {
    const all = 'only-a@x.test system_a, user1@example.com system_a+system_b, user3@example.com system_b';
    await until('all are merged', async () => (await viewed()) === all, waitMs);
    await until('both systems are up', async () => (await degraded()) === '', waitMs);
    await until(
      'one is known to be up',
      async () => (await metric(/^connector_up\{system="system-a"\} (\d)$/m)) === 1,
      waitMs,
    );

    await systemA.close();
    theirs!.kill('SIGKILL');
    systemB.isAway = true;
    await until(
      'answers say so',
      async () => /^system-a;down;age=\d+, system-b;down;age=\d+$/.test(await degraded()),
      waitMs,
    );
    const before = { a: await errorsOf('system-a'), b: await errorsOf('system-b') };
    await until(
      'both were asked again and again',
      async () => (await errorsOf('system-a')) >= before.a + 3 && (await errorsOf('system-b')) >= before.b + 3,
      waitMs,
    );
    expect(await viewed()).toBe(all);
    for (const email of ['only-a@x.test', 'user1@example.com', 'user3@example.com'])
      expect(await statusOf(email)).toBe(200);

    systemB.customers.delete(customerOfB(3).uuid);
    systemB.isAway = false;
    await theirs!.restart();
    await systemA.run(insertA(4, 'new@x.test', 'New'), 'DELETE FROM public.customers_a WHERE id = 1');
    const after = 'new@x.test system_a, only-a@x.test system_a, user1@example.com system_b';
    await until('what happened meanwhile is merged', async () => (await viewed()) === after, waitMs);
    expect(await statusOf('user3@example.com')).toBe(404);
    await until('answers are whole again', async () => (await degraded()) === '', waitMs);
    application.signal('SIGTERM');
    expect(await application.ended).toBe(0);
  } finally {
    application.signal('SIGKILL');
    await application.ended;
    await Promise.all([view.end(), systemA.close(), systemB.stop()]);
  }
});
