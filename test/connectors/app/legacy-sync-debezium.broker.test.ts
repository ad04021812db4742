import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { silentLogger, systemClock, systemRandom } from '../../../clock.ts';
import { publicationOf } from '../../../connectors/app/sync-migrations.ts';
import { kafkaLog } from '../../../connectors/kafka/kafka-log.ts';
import { entities, sides, type Side } from '../../../schemas/app/sync/entities.ts';
import { syncTopics } from '../../../schemas/app/sync/topics.ts';
import { startApicurio, type RunningRegistry } from '../../support/apicurio.ts';
import { startApplication, type RunningApplication } from '../../support/application.ts';
import { readAll, until } from '../../support/cluster.ts';
import { ConnectWorker, avroConverters } from '../../support/connect/connect-worker.ts';
import { placed, shippedConnector } from '../../support/connect/shipped-connectors.ts';
import { describeKafka } from '../../support/kafka.ts';
import { rawBytesOf } from '../../support/raw-read.ts';
import { startPostgres, type RunningPostgres } from '../../support/postgres.ts';
import { content, createSynced, type SyncedDatabases } from '../../support/sync/two-databases.ts';
import { createUsers, mappingFaults } from '../../support/sync/users.ts';

// Longer than any wait within: what is waited for in vain is named.
jest.setTimeout(900_000);

const waitMs = 180_000;
const password = 'capture';
const connectors = {
  legacy: shippedConnector('legacy-sync-cdc'),
  revamp: shippedConnector('revamp-sync-cdc'),
};

describeKafka('two databases in sync, captured by Debezium, one as JSON and one as Avro', (brokers) => {
  const name = `sync-${systemRandom.uuid().slice(0, 8)}`;
  const topics = syncTopics(`${name}.`);
  let postgres: RunningPostgres;
  let databases: SyncedDatabases;
  let directory: string;
  let registry: RunningRegistry;
  let application: RunningApplication;
  let worker: ConnectWorker;

  beforeAll(async () => {
    postgres = await startPostgres();
    databases = await createSynced(postgres, 'sync');
    await databases.clients.legacy.query(`CREATE ROLE debezium LOGIN REPLICATION PASSWORD '${password}'`);
    for (const side of sides)
      for (const { tables } of Object.values(entities))
        await databases.clients[side].query(`GRANT SELECT ON ${tables[side]} TO debezium`);
    registry = await startApicurio();
    directory = await mkdtemp(join(tmpdir(), 'rivulet-sync-'));
    application = startApplication({
      DATA_DIR: directory,
      KAFKA_BROKERS: brokers.join(','),
      TOPIC_PREFIX: `${name}.`,
      APPLICATION_ID: name,
      TOPOLOGIES: 'legacy-sync',
      LEGACY_DATABASE_URL: databases.urls.legacy,
      REVAMP_DATABASE_URL: databases.urls.revamp,
      SYNC_CAPTURE: 'none',
      SCHEMA_REGISTRY_URL: registry.url,
    });
    worker = await ConnectWorker.start({ brokers, name, env: { DEBEZIUM_PASSWORD: password }, hasAvro: true });
  });

  afterAll(async () => {
    application.signal('SIGKILL');
    await Promise.all([application.ended, worker.stop(), registry.stop()]);
    await databases.close();
    await postgres.stop();
    await rm(directory, { recursive: true, force: true });
  });

  const query = async (side: Side, text: string): Promise<readonly Record<string, unknown>[]> =>
    (await databases.clients[side].query<Record<string, unknown>>(text)).rows;

  const areEqual = async (): Promise<boolean> => {
    const [left, right] = await Promise.all(sides.map((side) => content(databases.clients[side], side)));
    return JSON.stringify(left) === JSON.stringify(right) && (await mappingFaults(databases.clients)).length === 0;
  };

  async function writeCount(): Promise<number> {
    const text = `SELECT count(*)::int AS n FROM processed_events WHERE outcome = 'written'`;
    const counts = await Promise.all(sides.map((side) => query(side, text)));
    return counts.reduce((sum, [row]) => sum + Number(row?.['n']), 0);
  }

  /** Inserts a user on each side: behind everything that was done before. Resolves with how many rows were written until both are on both sides. */
  async function writesOfARound(round: number): Promise<number> {
    const before = await writeCount();
    await query('legacy', `INSERT INTO legacy_users (username) VALUES ('left ${String(round)}')`);
    await query('revamp', `INSERT INTO revamp_users (user_name) VALUES ('right ${String(round)}')`);
    const found = `SELECT 1 FROM legacy_users WHERE username = 'right ${String(round)}'`;
    const counterpart = `SELECT 1 FROM revamp_users WHERE user_name = 'left ${String(round)}'`;
    const isThere = async (): Promise<boolean> =>
      (await query('legacy', found)).length + (await query('revamp', counterpart)).length === 2;
    await until('both have their counterparts', isThere, waitMs);
    return (await writeCount()) - before;
  }

  test('while both are used and one connector is stopped for a while: both become equal, and writes stop when users stop', async () => {
    await query('legacy', `INSERT INTO legacy_users (username, email) VALUES ('ann', 'ann@x.test')`);
    for (const side of sides) {
      const isPublished = async (): Promise<boolean> =>
        (await query(side, `SELECT 1 FROM pg_publication WHERE pubname = '${publicationOf(side)}'`)).length === 1;
      await until('the application has made the publication', isPublished, waitMs);
      const place = { url: databases.urls[side], topic: topics[`${side}Events`].name };
      await worker.configure(
        connectors[side].name,
        placed(connectors[side], place, side === 'revamp' ? avroConverters(registry.nativeUrl) : {}),
      );
    }
    await writesOfARound(0);

    const users = createUsers(databases, { seed: 3, resetsFlag: true });
    await users.act(25);
    await worker.stopConnector(connectors.revamp.name);
    await users.act(25);
    await worker.resumeConnector(connectors.revamp.name);

    let round = 0;
    // What was still under way belongs to no round: then there are more writes.
    const isQuiet = async (): Promise<boolean> => (await writesOfARound((round += 1))) === 2 && (await areEqual());
    await until('two users lead to two writes, and both are equal', isQuiet, waitMs);
    expect((await query('legacy', 'SELECT 1 FROM legacy_users')).length).toBeGreaterThan(5);

    const log = kafkaLog(
      { brokers, clientId: name },
      { clock: systemClock, random: systemRandom, logger: silentLogger },
    );
    /** A brace, or the zero before the id of a schema. */
    const formOf = async (topic: string): Promise<unknown> =>
      (await rawBytesOf(log, topic, { isolation: 'read_committed' })).find(({ value }) => value !== undefined)
        ?.value?.[0];
    expect([await formOf(topics.legacyEvents.name), await formOf(topics.revampEvents.name)]).toEqual([123, 0]);
    expect(await readAll(log, topics.dlq)).toEqual([]);
    await log.close();
  });
});
