import { afterAll, afterEach, beforeAll, beforeEach, expect, jest, test } from '@jest/globals';
import pg from 'pg';
import { silentLogger, systemClock, systemRandom } from '../../clock.ts';
import type { Database } from '../../connectors/database.ts';
import { memoryLog, type EmbeddedLog } from '../../connectors/embedded/embedded-log.ts';
import { outboxSource, type OutboxRow } from '../../connectors/outbox-source.ts';
import type { OutgoingRecord } from '../../connectors/outgoing-record.ts';
import { createPoller, type Poller } from '../../connectors/poller.ts';
import { postgresDatabase } from '../../connectors/postgres/postgres-database.ts';
import { noHeaders } from '../../schemas/record.ts';
import { stringSerde } from '../../schemas/serde.ts';
import { readAll, until } from '../support/cluster.ts';
import { startPostgres, type RunningPostgres } from '../support/postgres.ts';

// Longer than any wait within: what is waited for in vain is named.
jest.setTimeout(240_000);
const waitMs = 60_000;
const [events, deadLetters, table] = ['bf_employee_cdc', 'bf_employee_cdc_dlq', 'bf_employee_cdc'];

const migrations = [
  {
    name: 'employees-1',
    statements: [
      'CREATE TABLE employees (emp_id bigint PRIMARY KEY, name text)',
      `CREATE TABLE ${table} (action_id bigserial PRIMARY KEY, emp_id bigint, action text, noted_at timestamptz DEFAULT now())`,
      `CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
         INSERT INTO ${table} (emp_id, action) VALUES (COALESCE(NEW.emp_id, OLD.emp_id), TG_OP);
         RETURN NULL;
       END $$`,
      'CREATE TRIGGER tell AFTER INSERT OR UPDATE OR DELETE ON employees FOR EACH ROW EXECUTE FUNCTION tell()',
    ],
  },
];

function toRecords({ action_id: id, emp_id: employee, action }: OutboxRow, nowMs: number): readonly OutgoingRecord[] {
  const topic = employee === null ? deadLetters : events;
  const [key, value] = [String(id), `${String(action)} ${String(employee)}`].map((text) => stringSerde.serialize(text));
  return [{ topic, key, value, headers: noHeaders, timestampMs: nowMs }];
}

let postgres: RunningPostgres;
let count = 0;
let url: string;
let database: Database;
let log: EmbeddedLog;
let clients: pg.Client[];
let pollers: Poller[];

beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.stop());

beforeEach(async () => {
  count += 1;
  url = await postgres.createDatabase(`outbox${String(count)}`);
  database = postgresDatabase({ url, logger: silentLogger });
  log = memoryLog({ clock: systemClock, random: systemRandom, logger: silentLogger });
  const topics = [events, deadLetters, 'checkpoints', 'status'];
  await log.admin.createTopics(topics.map((name) => ({ name, partitions: 1 })));
  [clients, pollers] = [[], []];
});

afterEach(async () => {
  await Promise.all(pollers.map((poller) => poller.close()));
  await Promise.all(clients.map((client) => client.end()));
  await database.close();
  await log.close();
});

async function connected(): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  clients.push(client);
  await client.connect();
  return client;
}

function start(pruneAfterMs?: number): Poller {
  const pruning = pruneAfterMs === undefined ? undefined : { timeColumn: 'noted_at', afterMs: pruneAfterMs };
  const poller = createPoller({
    source: outboxSource({ name: 'employees', database, migrations, table, idColumn: 'action_id', toRecords, pruning }),
    log,
    clock: systemClock,
    random: systemRandom,
    logger: silentLogger,
    applicationId: 'employees',
    checkpointTopic: 'checkpoints',
    statusTopic: 'status',
    intervalMs: 20,
    sessionTimeoutMs: 3_000,
    heartbeatIntervalMs: 200,
  });
  pollers.push(poller);
  poller.start();
  return poller;
}

const text = { key: stringSerde, value: stringSerde };
const told = async (name = events): Promise<readonly string[]> =>
  (await readAll(log, { name, ...text })).map(({ key, value }) => `${key ?? ''} ${value ?? ''}`);
const insert = (id: number): string => `INSERT INTO employees VALUES (${String(id)}, 'x')`;

async function polled(poller: Poller): Promise<void> {
  const before = poller.counts.polls;
  await until('it was polled', () => poller.counts.polls >= before + 3, waitMs);
}

test('what triggers noted is told in order of ids, once, also over a restart; a row without meaning goes to the dead letters', async () => {
  const first = start();
  await polled(first);
  const client = await connected();
  await client.query('INSERT INTO employees SELECT i, $1 FROM generate_series(1, 1200) AS i', ['x']);
  await client.query(`UPDATE employees SET name = 'y' WHERE emp_id = 7`);
  await client.query(`INSERT INTO ${table} (emp_id, action) VALUES (NULL, 'LOST')`);
  await client.query('DELETE FROM employees WHERE emp_id = 7');
  await until('all is told', async () => (await told()).length === 1_202, waitMs);
  expect((await told()).slice(-3)).toEqual(['1200 INSERT 1200', '1201 UPDATE 7', '1203 DELETE 7']);
  expect(await told(deadLetters)).toEqual(['1202 LOST null']);
  await first.close();
  await client.query(insert(2_000));
  const second = start();
  await until('the next is told', async () => (await told()).length === 1_203, waitMs);
  await polled(second);
  expect((await told()).at(-1)).toBe('1204 INSERT 2000');
  expect(new Set(await told()).size).toBe(1_203);
});

test('a row whose transaction commits late is waited for, and what comes after it; one that is rolled back is not', async () => {
  const poller = start();
  await polled(poller);
  const [late, other] = [await connected(), await connected()];
  await other.query(insert(1));
  await late.query('BEGIN');
  await late.query(insert(2));
  await other.query(insert(3));
  await until('the first is told', async () => (await told()).length === 1, waitMs);
  await polled(poller);
  expect(await told()).toEqual(['1 INSERT 1']);
  await late.query('COMMIT');
  await until('both are told', async () => (await told()).length === 3, waitMs);
  expect(await told()).toEqual(['1 INSERT 1', '2 INSERT 2', '3 INSERT 3']);

  await late.query('BEGIN');
  await late.query(insert(4));
  await other.query(insert(5));
  await polled(poller);
  expect(await told()).toHaveLength(3);
  await late.query('ROLLBACK');
  await until('the gap is passed', async () => (await told()).length === 4, waitMs);
  expect((await told()).at(-1)).toBe('5 INSERT 5');
});

test('a gap is still waited for after a restart', async () => {
  const first = start();
  await polled(first);
  const [late, other] = [await connected(), await connected()];
  await late.query('BEGIN');
  await late.query(insert(1));
  await other.query(insert(2));
  await polled(first);
  await first.close();
  const second = start();
  await polled(second);
  expect(await told()).toEqual([]);
  await late.query('COMMIT');
  await until('both are told', async () => (await told()).length === 2, waitMs);
  expect(await told()).toEqual(['1 INSERT 1', '2 INSERT 2']);
});

test('what was told is deleted once it is old, and nothing else', async () => {
  const poller = start(3_600_000);
  await polled(poller);
  const [client, slow] = [await connected(), await connected()];
  await client.query('BEGIN');
  await client.query('INSERT INTO employees SELECT i, $1 FROM generate_series(1, 2500) AS i', ['x']);
  const age = `UPDATE ${table} SET noted_at = now() - interval '2 hours'`;
  await client.query(`${age} WHERE action_id <= 2300`);
  await client.query('COMMIT');
  const left = async (): Promise<readonly number[]> => {
    const { rows } = await client.query<{ id: string }>(`SELECT action_id AS id FROM ${table} ORDER BY action_id`);
    return rows.map(({ id }) => Number(id));
  };
  await until('the old ones are deleted', async () => (await left())[0] === 2_301, waitMs);
  expect(await left()).toHaveLength(200);

  await slow.query('BEGIN');
  await slow.query(insert(3_001));
  await client.query(insert(3_002));
  await client.query(age);
  await until('what is told and old is deleted', async () => (await left())[0] === 2_502, waitMs);
  await polled(poller);
  expect(await left()).toEqual([2_502]);
  await slow.query('COMMIT');
  await until('what waited is told', async () => (await told()).length === 2_502, waitMs);
  await until('and deleted', async () => (await left()).toString() === '2501', waitMs);
  expect((await told()).slice(-2)).toEqual(['2501 INSERT 3001', '2502 INSERT 3002']);
});
