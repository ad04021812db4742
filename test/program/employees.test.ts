import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import pg from 'pg';
import { silentLogger, systemClock, systemRandom } from '../../clock.ts';
import { embeddedLog } from '../../connectors/embedded/file-log.ts';
import { employeeTopics } from '../../schemas/app/employees.ts';
import { startApplication, type RunningApplication } from '../support/application.ts';
import { readAll, until } from '../support/cluster.ts';
import { rawBytesOf } from '../support/raw-read.ts';
import { startPostgres, type RunningPostgres } from '../support/postgres.ts';

// Longer than any wait within: what is waited for in vain is named.
jest.setTimeout(600_000);
const waitMs = 120_000;

let postgres: RunningPostgres;
let url: string;
let directory: string;
let running: RunningApplication | undefined;

beforeAll(async () => {
  postgres = await startPostgres();
  url = await postgres.createDatabase('employees');
  directory = await mkdtemp(join(tmpdir(), 'rivulet-employees-'));
});

afterAll(async () => {
  running?.signal('SIGKILL');
  await running?.ended;
  await postgres.stop();
  await rm(directory, { recursive: true, force: true });
});

/** As a role, over a connection of its own; resolves with how many rows the last statement was about. */
async function query(role: string, ...statements: readonly string[]): Promise<number> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    let count = 0;
    for (const statement of [`SET ROLE ${role}`, ...statements]) count = (await client.query(statement)).rowCount ?? 0;
    return count;
  } finally {
    await client.end();
  }
}

async function start(): Promise<string> {
  running = startApplication({
    DATA_DIR: directory,
    TOPOLOGIES: 'customer-merge',
    SCHEMA_FORMAT: 'json',
    EMPLOYEES_DATABASE_URL: url,
    POLL_INTERVAL_MS_EMPLOYEES: '100',
    EMPLOYEES_NOTES_KEPT_DAYS: '1',
    RATE_LIMIT_PER_SECOND: '0',
  });
  return await running.url;
}

async function stop(): Promise<void> {
  running?.signal('SIGTERM');
  expect(await running?.ended).toBe(0);
}

/** What is known of the database, but not when. */
async function sourceAt(base: string): Promise<unknown> {
  const { items } = (await (await fetch(`${base}/sources`)).json()) as {
    readonly items: readonly { readonly source: string; readonly state: string; readonly code?: string }[];
  };
  return items.map(({ source, state, code }) => [source, state, code])[0];
}

async function untilDown(base: string, code: string): Promise<void> {
  const expected = JSON.stringify(['employees', 'down', code]);
  await until(`it is down with ${code}`, async () => JSON.stringify(await sourceAt(base)) === expected, waitMs);
}

/** Published since the process began. */
async function published(base: string): Promise<number> {
  const metrics = await (await fetch(`${base}/metrics`)).text();
  return Number(/connector_events_total\{system="employees"\} (\d+)/.exec(metrics)?.[1]);
}

const { changes, dlq } = employeeTopics();

async function told(): Promise<{ readonly changes: readonly unknown[]; readonly letters: readonly unknown[] }> {
  const parts = { clock: systemClock, random: systemRandom, logger: silentLogger };
  const log = await embeddedLog({ directory: join(directory, 'log'), ...parts });
  try {
    const letters = await rawBytesOf(log, dlq.name, { isolation: 'read_committed', patienceMs: waitMs });
    return {
      changes: (await readAll(log, changes)).map(({ key, value }) => [key, value?.emp_id, value?.action]),
      letters: letters.map(({ value, headers }) => [
        Buffer.from(value ?? []).toString(),
        headers.find(({ key }) => key === 'rivulet.dlq.code')?.value?.toString(),
      ]),
    };
  } finally {
    await log.close();
  }
}

test('changes of employees are published in order, once, whoever makes them; what is no change is put aside, and a database that is away says so', async () => {
  const base = await start();
  // There is no table yet that triggers could be put on.
  await untilDown(base, 'DEPENDENCY_REFUSED');
  await query(
    'postgres',
    'CREATE TABLE employees (emp_id int PRIMARY KEY, name text)',
    'CREATE ROLE clerk',
    'GRANT ALL ON employees TO clerk',
  );
  await until(
    'it is read',
    async () => (await published(base)) === 0 && String(await sourceAt(base)).includes('up'),
    waitMs,
  );
  await query(
    'clerk',
    `INSERT INTO employees VALUES (1, 'Ann'), (2, 'Bob'), (3, 'Cid')`,
    `UPDATE employees SET name = 'Anna' WHERE emp_id = 1`,
    'UPDATE employees SET emp_id = 20 WHERE emp_id = 2',
    'DELETE FROM employees WHERE emp_id = 3',
    'TRUNCATE employees',
  );
  await query('postgres', `INSERT INTO bf_employee_cdc (emp_id, action) VALUES (NULL, 'LOST')`);
  await until('all is published', async () => (await published(base)) === 10, waitMs);
  await query('postgres', `UPDATE bf_employee_cdc SET noted_at = now() - interval '25 hours' WHERE action_id < 9`);
  const isForgotten = async (): Promise<boolean> => (await query('postgres', 'SELECT 1 FROM bf_employee_cdc')) === 2;
  await until('old notes are deleted', isForgotten, waitMs);

  postgres.kill('SIGKILL');
  await untilDown(base, 'DEPENDENCY_UNAVAILABLE');
  const answer = await fetch(`${base}/customers?limit=1`);
  expect([answer.status, answer.headers.get('x-degraded')]).toEqual([200, null]);
  await stop();
  await postgres.restart();
  await query('clerk', `INSERT INTO employees VALUES (4, 'Dan')`);
  const again = await start();
  await until('the next one is published', async () => (await published(again)) === 1, waitMs);
  await stop();

  // A sequence may leave numbers out when its server crashes.
  const { changes: all, letters } = await told();
  const last = all.at(-1);
  expect(all.slice(0, -1)).toEqual([
    ['1', 1, 'INSERT'],
    ['2', 2, 'INSERT'],
    ['3', 3, 'INSERT'],
    ['4', 1, 'UPDATE'],
    ['5', 2, 'DELETE'],
    ['6', 20, 'INSERT'],
    ['7', 3, 'DELETE'],
    ['8', 1, 'DELETE'],
    ['9', 20, 'DELETE'],
  ]);
  expect(last).toEqual([expect.any(String), 4, 'INSERT']);
  expect(letters).toEqual([['{"action_id":10,"emp_id":null,"action":"LOST"}', 'DESERIALIZATION_FAILED']]);
});
