import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { silentLogger } from '../../clock.ts';
import type { Database } from '../../connectors/database.ts';
import { postgresDatabase } from '../../connectors/postgres/postgres-database.ts';
import { startApplication, type RunningApplication } from '../support/application.ts';
import { until } from '../support/cluster.ts';
import { startPostgres, type RunningPostgres } from '../support/postgres.ts';

const patienceMs = 120_000;
const rows = 1_500;

/** Every account gets money first; the balances are the database's own sums. */
const tables = `
CREATE SCHEMA old;
CREATE TABLE old.transaction_history (
  transaction_id text PRIMARY KEY, type text, source_account_id text, destination_account_id text,
  amount numeric(20,8), currency varchar(10), status text, created_at timestamptz, completed_at timestamp);
INSERT INTO old.transaction_history
SELECT 'tx-' || lpad(n::text, 5, '0'), 'TRANSFER',
  CASE WHEN n <= 20 THEN 'external:bank' ELSE 'user-' || n % 20 END,
  CASE WHEN n <= 20 THEN 'user-' || n % 20 ELSE 'user-' || (n * 7 + 1) % 20 END,
  CASE WHEN n <= 20 THEN 5000 ELSE (n % 97)::numeric + 0.00000001 END, 'USD', 'COMPLETED',
  timestamptz '2024-01-01 00:00:00.123456+00' + n * interval '1 minute',
  timestamp '2024-01-01 00:00:01' + n * interval '1 minute'
FROM generate_series(1, ${rows}) AS n WHERE n <= 20 OR n % 20 <> (n * 7 + 1) % 20;
CREATE TABLE old.accounts AS
SELECT account_id, 'owner' AS owner_id, 'USER' AS owner_type, 'wallet' AS account_type, 'USD' AS currency,
  100::numeric(20,8) AS max_balance, sum(change)::numeric(20,8) AS balance
FROM (SELECT source_account_id AS account_id, -amount AS change FROM old.transaction_history
  UNION ALL SELECT destination_account_id, amount FROM old.transaction_history) AS changes
WHERE account_id LIKE 'user-%' GROUP BY account_id;`;

let directory: string;
let postgres: RunningPostgres;
let database: Database;
let databaseUrl: string;
let application: RunningApplication;
const running: RunningApplication[] = [];

function start(env: Readonly<Record<string, string>>, args: readonly string[] = []): RunningApplication {
  const started = startApplication(env, { args });
  running.push(started);
  return started;
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'rivulet-history-'));
  postgres = await startPostgres();
  databaseUrl = await postgres.createDatabase('history');
  database = postgresDatabase({ url: databaseUrl, logger: silentLogger });
  await database.run({ text: tables, values: [] });
  const env = {
    DATA_DIR: join(directory, 'data'),
    TOPOLOGIES: 'billing-saga,billing-ledger,billing-balances',
    RATE_LIMIT_PER_SECOND: '0',
  };
  expect(await start(env, ['topics']).ended).toBe(0);
  application = start(env);
}, 240_000);

afterAll(async () => {
  for (const { signal, ended } of running) {
    signal('SIGKILL');
    await ended;
  }
  await database.close();
  await postgres.stop();
  await rm(directory, { recursive: true, force: true });
});

async function migrate(): Promise<RunningApplication> {
  const env = { API_URL: await application.url, HISTORY_POSTGRES_URL: databaseUrl };
  const tablesOf = ['--transactions', 'table:old.transaction_history', '--accounts', 'table:old.accounts'];
  return start(env, ['history', ...tablesOf]);
}

async function report({ ended, stdout }: RunningApplication): Promise<{ code: unknown; lines: readonly string[] }> {
  return { code: await ended, lines: stdout().trim().split('\n') };
}

test('a history that is taken over from PostgreSQL, and killed on the way, is complete when it is run again, to the last balance', async () => {
  const { rows: counted } = await database.run({
    text: 'SELECT count(*)::int AS n FROM old.transaction_history',
    values: [],
  });
  const total = Number(counted[0]?.['n']);
  const base = await application.url;
  const first = await migrate();
  await until(
    'some of it is taken over',
    async () => (await fetch(`${base}/transactions/status/tx-00040`).catch(() => undefined))?.status === 200,
    patienceMs,
  );
  first.signal('SIGKILL');
  expect(await first.ended).toBe('SIGKILL');

  const second = await report(await migrate());
  expect(second).toMatchObject({ code: 0, lines: [expect.anything()] });
  const counts = JSON.parse(second.lines[0] ?? '') as Record<string, number>;
  expect(counts).toMatchObject({ total, failed: 0, accounts: 20, accountsFailed: 0, differences: 0 });
  expect(counts['already']).toBeGreaterThan(0);
  expect(Number(counts['already']) + Number(counts['imported'])).toBe(total);
  const status = (await (await fetch(`${base}/transactions/status/tx-00021`)).json()) as Record<string, unknown>;
  expect(status).toMatchObject({ type: 'IMPORT', status: 'completed' });

  await database.run({
    text: `UPDATE old.accounts SET balance = balance + 0.00000001 WHERE account_id = 'user-3'`,
    values: [],
  });
  const third = await report(await migrate());
  expect(third).toMatchObject({
    code: 1,
    lines: [expect.stringMatching(/^user-3: the balance is /), expect.anything()],
  });
  expect(JSON.parse(third.lines[1] ?? '')).toMatchObject({ total, already: total, imported: 0, differences: 1 });
}, 480_000);
