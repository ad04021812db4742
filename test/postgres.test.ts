import { afterAll, beforeAll, expect, test } from '@jest/globals';
import pg from 'pg';
import { startPostgres, type RunningPostgres } from './support/postgres.ts';

let server: RunningPostgres;

beforeAll(async () => {
  server = await startPostgres();
}, 180_000);
afterAll(async () => {
  await server.stop();
});

async function rows(url: string, ...statements: readonly string[]): Promise<readonly unknown[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    let last: readonly unknown[] = [];
    for (const statement of statements) last = (await client.query(statement)).rows;
    return last;
  } finally {
    await client.end();
  }
}

test('a test server keeps databases apart, and their rows when it is killed and starts again', async () => {
  const [first, second] = [await server.createDatabase('first'), await server.createDatabase('with "quotes"')];
  await rows(first, 'CREATE TABLE things (id int PRIMARY KEY)', 'INSERT INTO things VALUES (1)');
  await expect(rows(second, 'SELECT * FROM things')).rejects.toMatchObject({ code: '42P01' });

  server.kill('SIGKILL');
  await server.restart();

  expect(await rows(first, 'SELECT * FROM things')).toEqual([{ id: 1 }]);
});

test('a test server offers logical replication and the trigram extension', async () => {
  const url = await server.createDatabase('offers');

  const slot = "SELECT slot_name FROM pg_create_logical_replication_slot('probe', 'pgoutput')";
  expect(await rows(url, slot)).toEqual([{ slot_name: 'probe' }]);
  expect(await rows(url, 'CREATE EXTENSION pg_trgm', "SELECT similarity('anna', 'anna') AS alike")).toEqual([
    { alike: 1 },
  ]);
});
