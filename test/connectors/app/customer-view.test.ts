import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import pg from 'pg';
import type { SearchParameters } from '../../../api/app/customer-search.ts';
import { searchView } from '../../../api/app/customer-view-search.ts';
import { silentLogger, systemClock, systemRandom } from '../../../clock.ts';
import type { Database } from '../../../connectors/database.ts';
import { memoryLog, type EmbeddedLog } from '../../../connectors/embedded/embedded-log.ts';
import { migrate } from '../../../connectors/migrations.ts';
import { postgresDatabase } from '../../../connectors/postgres/postgres-database.ts';
import { claimProgress, moveProgress, progressMigration } from '../../../connectors/sink-progress.ts';
import type { TableSink } from '../../../connectors/table-sink.ts';
import { customerView, customerViewMigrations } from '../../../connectors/app/customer-view.ts';
import type { CustomerMerged } from '../../../schemas/app/customer/merged.ts';
import { customerTopics } from '../../../schemas/app/customer/topics.ts';
import { bytesSerde, stringSerde } from '../../../schemas/serde.ts';
import { startApplication } from '../../support/application.ts';
import { latest, produce, readAll, until } from '../../support/cluster.ts';
import { SystemBServer, customerOfB } from '../../support/customer/system-b-server.ts';
import { startPostgres, type RunningPostgres } from '../../support/postgres.ts';
import { testSink } from '../../support/sinks.ts';

// Longer than any wait within: what is waited for in vain is named.
jest.setTimeout(240_000);

const topics = customerTopics();
const waitMs = 60_000;
let postgres: RunningPostgres;
let url: string;
let log: EmbeddedLog;
let client: pg.Client;
let databases: Database[] = [];
let sinks: TableSink[] = [];
let count = 0;

beforeAll(async () => {
  postgres = await startPostgres();
});

afterAll(async () => {
  await postgres.stop();
});

beforeEach(async () => {
  count += 1;
  url = await postgres.createDatabase(`view${String(count)}`);
  client = await connected();
  log = memoryLog({ clock: systemClock, random: systemRandom, logger: silentLogger });
  await log.admin.createTopics(
    [topics.merged, topics.dlq].map(({ name, create }) => ({ name, partitions: 1, ...create })),
  );
});

afterEach(async () => {
  await Promise.all(sinks.map((sink) => sink.close()));
  await Promise.all(databases.map((database) => database.close()));
  await client.end();
  await log.close();
  sinks = [];
  databases = [];
});

async function connected(): Promise<pg.Client> {
  const made = new pg.Client({ connectionString: url });
  made.on('error', () => undefined);
  await made.connect();
  return made;
}

function database(): Database {
  const made = postgresDatabase({ url, logger: silentLogger });
  databases.push(made);
  return made;
}

function start(
  on = log as Pick<EmbeddedLog, 'admin'> & Parameters<typeof testSink>[0]['log'],
  to = database(),
): TableSink {
  const sink = testSink({
    log: on,
    database: to,
    migrations: customerViewMigrations,
    tables: [customerView(topics.merged)],
    deadLetterTopic: topics.dlq.name,
  });
  sinks.push(sink);
  sink.start();
  return sink;
}

function customer(email: string, version: number, more: Partial<CustomerMerged> = {}): CustomerMerged {
  return {
    email,
    name: `Name ${String(version)}`,
    phone: '+49 30 1',
    contractStart: '2024-02-29',
    systemAId: '7',
    sources: ['system_a', 'system_b'],
    isPartial: false,
    version,
    createdAt: 1_700_000_000_000_001,
    lastMergedAt: 1_700_000_000_000_000 + version,
    systemAUpdated: 1_700_000_000_000_123,
    fieldMetadata: {
      name: { source: 'system_a', ref: 'a:7', changedAt: 5, rule: 'recency', pinned: false },
    },
    conflicts: {},
    vector: { 'a:7': { ts: 1, seq: 0 } },
    ...more,
  };
}

async function query(text: string): Promise<readonly Record<string, unknown>[]> {
  return (await client.query<Record<string, unknown>>(text)).rows;
}

/** E-mail and version of every row. */
async function shown(): Promise<readonly string[]> {
  const rows = await query('SELECT email, version FROM unified_customers ORDER BY email').catch(() => []);
  return rows.map(({ email, version }) => `${String(email)} ${String(version)}`);
}

async function inTopic(): Promise<readonly string[]> {
  const found = [...latest(await readAll(log, topics.merged))].flatMap(([email, value]) =>
    value === null ? [] : [`${email ?? ''} ${String(value.version)}`],
  );
  return found.sort();
}

const sameAsTopic = async (): Promise<boolean> => {
  const [rows, expected] = [await shown(), await inTopic()];
  return rows.length === expected.length && rows.every((row, index) => row === expected[index]);
};

/** From now on every update of a row that does not raise its version is written down. */
async function watchVersions(): Promise<void> {
  await client.query(`
    CREATE TABLE lowered (email text, was bigint, became bigint);
    CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        IF NEW.version <= OLD.version THEN
          INSERT INTO lowered VALUES (NEW.email, OLD.version, NEW.version);
        END IF;
        RETURN NEW;
      END $$;
    CREATE TRIGGER watch BEFORE UPDATE ON unified_customers FOR EACH ROW EXECUTE FUNCTION watch();`);
}

describe('the view of customers', () => {
  test('is made in an empty database, with the columns and indexes that are asked for, once', async () => {
    const migrations = [progressMigration, ...customerViewMigrations];
    const applied = await Promise.all([1, 2, 3].map(() => migrate(database(), migrations)));
    expect(applied.flat().sort()).toEqual(migrations.map(({ name }) => name).sort());
    const columns = await query(`SELECT column_name, data_type, is_nullable FROM information_schema.columns
      WHERE table_name = 'unified_customers' ORDER BY ordinal_position`);
    expect(columns.map((column) => Object.values(column).join(' '))).toEqual([
      'email text NO',
      'name text NO',
      'address text YES',
      'phone text YES',
      'contract_start date YES',
      'contract_type text YES',
      'system_a_id text YES',
      'system_b_uuid text YES',
      'sources ARRAY NO',
      'is_partial boolean NO',
      'conflicts jsonb NO',
      'field_metadata jsonb NO',
      'version bigint NO',
      'last_merged_at timestamp with time zone NO',
      'system_a_updated timestamp with time zone YES',
      'system_b_updated timestamp with time zone YES',
      'created_at timestamp with time zone NO',
    ]);
    const indexes = await query(
      `SELECT indexdef FROM pg_indexes WHERE indexname LIKE 'idx_unified%' ORDER BY indexname`,
    );
    expect(indexes.map(({ indexdef }) => /USING .*/.exec(String(indexdef))?.[0])).toEqual([
      'USING btree (last_merged_at)',
      'USING gin (name gin_trgm_ops)',
      'USING gin (sources)',
    ]);
  });

  test('shows every column of a customer, and nothing of one that is gone', async () => {
    const bare = customer('b@x.test', 1);
    const { name: _, phone: __, ...nameless } = bare;
    await produce(log, topics.merged, [
      { key: 'a@x.test', value: customer('a@x.test', 3) },
      { key: 'b@x.test', value: { ...nameless, sources: ['system_b'], isPartial: true } },
      { key: 'c@x.test', value: customer('c@x.test', 1) },
      { key: 'c@x.test', value: null },
    ]);
    start();
    await until('they are shown', async () => (await shown()).length === 2, waitMs);
    const [a, b] = await query(`SELECT *, contract_start::text AS contract_start, sources::text AS sources,
      (extract(epoch FROM last_merged_at) * 1000000)::bigint AS merged FROM unified_customers ORDER BY email`);
    expect(a).toMatchObject({
      email: 'a@x.test',
      name: 'Name 3',
      phone: '+49 30 1',
      contract_start: '2024-02-29',
      system_a_id: '7',
      system_b_uuid: null,
      sources: '{system_a,system_b}',
      is_partial: false,
      version: '3',
      merged: '1700000000000003',
      field_metadata: { name: { rule: 'recency' } },
    });
    expect(b).toMatchObject({ name: '', phone: null, is_partial: true, sources: '{system_b}' });
  });

  test('equals the topic, and no version falls, however often the sink is killed', async () => {
    const first = start();
    await until(
      'the tables are there',
      async () => (await query(`SELECT to_regclass('unified_customers') AS t`))[0]?.['t'] !== null,
      waitMs,
    );
    await watchVersions();
    await first.close();
    const emails = Array.from({ length: 40 }, (_, index) => `user${String(index)}@x.test`);
    const versions = new Map<string, number>();
    for (let round = 0; round < 4; round += 1) {
      const killed = log.client();
      const broken = database();
      const sink = start(killed, broken);
      await produce(
        log,
        topics.merged,
        Array.from({ length: 300 }, (_, index) => {
          const email = emails[(index * 7 + round) % emails.length] ?? '';
          const version = (versions.get(email) ?? 0) + 1;
          versions.set(email, version);
          return { key: email, value: (index + round) % 11 === 0 ? null : customer(email, version) };
        }),
      );
      await until('some of it is shown', () => sink.counts.transactions > round % 3, waitMs);
      // Like a process that ends: neither leaves the group nor ends a transaction.
      await client.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`,
      );
      await killed.close();
    }
    start();
    await until('the rows equal the topic', sameAsTopic, waitMs);
    expect(await query('SELECT * FROM lowered')).toEqual([]);
    expect(await readAll(log, topics.dlq)).toEqual([]);
  });

  test('while the database is away the sink waits and puts nothing aside, then goes on', async () => {
    await produce(log, topics.merged, [{ key: 'a@x.test', value: customer('a@x.test', 1) }]);
    const sink = start();
    await until('it is shown', sameAsTopic, waitMs);
    postgres.kill('SIGKILL');
    await produce(log, topics.merged, [
      { key: 'a@x.test', value: customer('a@x.test', 2) },
      { key: 'b@x.test', value: customer('b@x.test', 1) },
    ]);
    await until('it has tried in vain', () => sink.counts.isWaiting && sink.counts.errors >= 2, waitMs);
    expect(sink.lags().reduce((sum, { records }) => sum + records, 0)).toBeGreaterThan(0);
    await client.end();
    await postgres.restart();
    client = await connected();
    await until('the rows equal the topic', sameAsTopic, waitMs);
    await until('it waits no longer', () => !sink.counts.isWaiting, waitMs);
    expect(await readAll(log, topics.dlq)).toEqual([]);
    expect(sink.counts.deadLetters).toBe(0);
  });

  test('what cannot be read or stored is put aside once, with its bytes, and stops nothing else', async () => {
    const raw = { name: topics.merged.name, key: stringSerde, value: bytesSerde };
    const nonsense = Buffer.from('{"email":');
    await produce(log, raw, [{ key: 'a@x.test', value: nonsense }]);
    await produce(log, topics.merged, [
      { key: 'b@x.test', value: customer('b@x.test', 1) },
      // The year before the first one is none for the database.
      { key: 'c@x.test', value: customer('c@x.test', 1, { contractStart: '0000-01-01' }) },
      { key: 'd@x.test', value: customer('d@x.test', 1) },
    ]);
    const sink = start();
    await until('the others are shown', async () => (await shown()).length === 2, waitMs);
    await until('two are put aside', () => sink.counts.deadLetters === 2, waitMs);
    const letters = await readAll(log, topics.dlq);
    expect(letters.map(({ key }) => Buffer.from(key ?? []).toString()).sort()).toEqual(['a@x.test', 'c@x.test']);
    expect(letters.some(({ value }) => Buffer.compare(value ?? Buffer.of(), nonsense) === 0)).toBe(true);
    await sink.close();
    const again = start();
    await produce(log, topics.merged, [{ key: 'e@x.test', value: customer('e@x.test', 1) }]);
    await until('the next is shown', async () => (await shown()).length === 3, waitMs);
    expect(again.counts.deadLetters).toBe(0);
    expect(await readAll(log, topics.dlq)).toHaveLength(2);
  });

  test('whoever has lost a partition writes nothing more', async () => {
    const one = database();
    await migrate(one, [progressMigration, ...customerViewMigrations]);
    const at = { topic: 't', partition: 0 };
    const old = await claimProgress(one, 'view', at);
    const successor = await claimProgress(one, 'view', at);
    const step = { from: undefined, to: 5 };
    await expect(
      one.transaction(async (sql) => {
        await sql.run({ text: `INSERT INTO unified_customers (email) VALUES ('zombie')`, values: [] });
        await moveProgress(sql, old, step);
      }),
    ).rejects.toMatchObject({ code: 'TASK_MIGRATED' });
    await one.transaction((sql) => moveProgress(sql, successor, step));
    // The same step again: its end was not known.
    await expect(one.transaction((sql) => moveProgress(sql, successor, step))).rejects.toMatchObject({
      code: 'TASK_MIGRATED',
    });
    expect(await shown()).toEqual([]);
    expect((await claimProgress(one, 'view', at)).nextOffset).toBe(5);
  });

  test('a row that is newer than the record stays as it is', async () => {
    start();
    await produce(log, topics.merged, [{ key: 'a@x.test', value: customer('a@x.test', 5) }]);
    await until('it is shown', sameAsTopic, waitMs);
    await produce(log, topics.merged, [
      { key: 'a@x.test', value: customer('a@x.test', 4) },
      { key: 'b@x.test', value: customer('b@x.test', 1) },
    ]);
    await until('the other is shown', async () => (await shown()).length === 2, waitMs);
    await until('all is read', () => sinks[0]!.lags().every(({ records }) => records === 0), waitMs);
    expect(await shown()).toEqual(['a@x.test 5', 'b@x.test 1']);
  });

  test('is searched by parts of names, systems, conflicts and instants, page by page', async () => {
    const one = database();
    start(log, one);
    const conflict = { candidates: [], newerSource: 'equal', chosen: 'a:7', rule: 'recency', since: 1 } as const;
    await produce(log, topics.merged, [
      { key: 'a@x.test', value: customer('a@x.test', 1, { name: 'Ärger & Söhne 100%' }) },
      {
        key: 'b@x.test',
        value: customer('b@x.test', 2, { name: 'ärgerlich', sources: ['system_b'], isPartial: true }),
      },
      { key: 'c@x.test', value: customer('c@x.test', 3, { name: 'Other_one', conflicts: { name: conflict } }) },
      { key: 'd@x.test', value: customer('d@x.test', 4, { lastMergedAt: 1_800_000_000_000_000 }) },
    ]);
    await until('they are shown', async () => (await shown()).length === 4, waitMs);
    const found = async (parameters: SearchParameters): Promise<string> =>
      (await searchView(one, parameters))?.items.map(({ email }) => email[0]).join('') ?? 'no answer';
    expect(await found({ name: 'äRGer' })).toBe('ab');
    expect(await found({ name: '100%' })).toBe('a');
    expect(await found({ name: 'r_o' })).toBe('c');
    expect(await found({ name: `'; DROP TABLE unified_customers; --` })).toBe('');
    expect(await found({ source: 'system_a' })).toBe('acd');
    expect(await found({ partial: 'true' })).toBe('b');
    expect(await found({ hasConflicts: 'true' })).toBe('c');
    expect(await found({ updatedSince: '2027-01-01T00:00:00Z' })).toBe('d');
    const first = await searchView(one, { limit: '3' });
    expect(first?.items.map(({ version }) => version)).toEqual([1, 2, 3]);
    const second = await searchView(one, { limit: '3', cursor: first?.next ?? '' });
    expect(second).toEqual({
      items: [
        expect.objectContaining({
          email: 'd@x.test',
          lastMergedAt: 1_800_000_000_000_000,
          contractStart: '2024-02-29',
        }),
      ],
      next: undefined,
    });
  });

  test('is filled by the application, which searches in it, and in its stores while the database is away', async () => {
    const systemB = new SystemBServer();
    await systemB.start();
    systemB.put(customerOfB(1));
    const directory = await mkdtemp(join(tmpdir(), 'rivulet-view-'));
    const application = startApplication({
      DATA_DIR: directory,
      TOPOLOGIES: 'customer-merge',
      SYSTEM_B_URL: systemB.url,
      POLL_INTERVAL_MS_B: '500',
      POSTGRES_URL: url,
    });
    try {
      const base = await application.url;
      const search = (): Promise<Response> => fetch(`${base}/customers?name=user`);
      const served = async (by: string): Promise<boolean> => {
        const response = await search().catch(() => undefined);
        if (response?.status !== 200 || (response.headers.get('x-served-by') === 'postgres') !== (by === 'postgres'))
          return false;
        const { items } = (await response.json()) as { items: readonly { readonly email: string }[] };
        return items[0]?.email === customerOfB(1).email;
      };
      await until('it is found in the table', () => served('postgres'), waitMs);
      expect(await shown()).toEqual([`${customerOfB(1).email} 1`]);
      expect(await (await fetch(`${base}/metrics`)).text()).toMatch(/^sink_records_total{sink="customer-view"} 1$/m);
      postgres.kill('SIGKILL');
      await until('it is found without the table', () => served('stores'), waitMs);
      await postgres.restart();
      await client.end();
      client = await connected();
      await until('it is found in the table again', () => served('postgres'), waitMs);
      application.signal('SIGTERM');
      expect(await application.ended).toBe(0);
    } finally {
      application.signal('SIGKILL');
      await application.ended;
      await systemB.stop();
      await rm(directory, { recursive: true, force: true });
    }
  });
});
