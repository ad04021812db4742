import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { silentLogger, systemClock, systemRandom } from '../../../clock.ts';
import { memoryLog, type EmbeddedLog } from '../../../connectors/embedded/embedded-log.ts';
import { sides } from '../../../schemas/app/sync/entities.ts';
import { syncTopics } from '../../../schemas/app/sync/topics.ts';
import { startApplication } from '../../support/application.ts';
import { readAll, until } from '../../support/cluster.ts';
import { startPostgres, type RunningPostgres } from '../../support/postgres.ts';
import { isCaptured, untilQuiet } from '../../support/sync/quiet.ts';
import { createUsers, mappingFaults } from '../../support/sync/users.ts';
import {
  content,
  createSynced,
  startSync,
  type RunningSync,
  type SyncedDatabases,
} from '../../support/sync/two-databases.ts';

// Longer than any wait within: what is waited for in vain is named.
jest.setTimeout(600_000);

const topics = syncTopics();
const waitMs = 120_000;
let postgres: RunningPostgres;
let databases: SyncedDatabases;
let log: EmbeddedLog;
let running: RunningSync | undefined;
let count = 0;
let name = '';

beforeAll(async () => {
  postgres = await startPostgres();
});

afterAll(async () => {
  await postgres.stop();
});

beforeEach(async () => {
  name = `sync${String((count += 1))}`;
  databases = await createSynced(postgres, name);
  log = memoryLog({ clock: systemClock, random: systemRandom, logger: silentLogger });
});

afterEach(async () => {
  await running?.close();
  running = undefined;
  await databases.close();
  await log.close();
});

const legacy = async (text: string, ...values: unknown[]): Promise<readonly Record<string, unknown>[]> =>
  (await databases.clients.legacy.query<Record<string, unknown>>(text, values)).rows;
const revamp = async (text: string, ...values: unknown[]): Promise<readonly Record<string, unknown>[]> =>
  (await databases.clients.revamp.query<Record<string, unknown>>(text, values)).rows;

async function become(what: string, expected: readonly string[]): Promise<void> {
  const seen = async (): Promise<string> =>
    JSON.stringify([
      await content(databases.clients.legacy, 'legacy'),
      await content(databases.clients.revamp, 'revamp'),
    ]);
  const wanted = JSON.stringify([expected, expected]);
  await until(what, async () => (await seen()) === wanted, waitMs).catch(async (error: unknown) => {
    throw new Error(`${String(error)}: ${await seen()}`);
  });
}

describe('two databases in sync', () => {
  test('what is inserted, changed and deleted on either side is so on both, references included', async () => {
    await legacy(`INSERT INTO legacy_users (username, email) VALUES ('ann', 'ann@x.test')`);
    running = await startSync(log, databases, name);
    await become('the row that was there is on both sides', ['user ann <ann@x.test>']);

    await revamp(`INSERT INTO revamp_users (user_name, email_address) VALUES ('bob', 'bob@x.test')`);
    await revamp(
      `INSERT INTO revamp_posts (title, content, author_id) SELECT 'hello', 'world', id FROM revamp_users WHERE user_name = 'bob'`,
    );
    await legacy(
      `INSERT INTO legacy_posts (post_title, post_content, user_id) SELECT 'first', 'post', id FROM legacy_users WHERE username = 'ann'`,
    );
    await become('both posts have their authors', [
      'post first: post by ann',
      'post hello: world by bob',
      'user ann <ann@x.test>',
      'user bob <bob@x.test>',
    ]);

    await legacy(`UPDATE legacy_users SET email = 'b@x.test' WHERE username = 'bob'`);
    await revamp(`UPDATE revamp_posts SET title = 'second' WHERE title = 'first'`);
    await become('a synced copy can be changed', [
      'post hello: world by bob',
      'post second: post by ann',
      'user ann <ann@x.test>',
      'user bob <b@x.test>',
    ]);

    await legacy('BEGIN');
    await legacy(`DELETE FROM legacy_posts WHERE post_title = 'hello'`);
    await legacy(`DELETE FROM legacy_users WHERE username = 'bob'`);
    await legacy('COMMIT');
    await become('an author goes with the post', ['post second: post by ann', 'user ann <ann@x.test>']);
    expect(await readAll(log, topics.dlq)).toEqual([]);
  });

  test.each([
    ['keep our flag', false],
    ['reset our flag', true],
  ])(
    'with applications that %s, changes on both sides at once and processes killed in between: both are equal, and no change leads to another one',
    async (_, resetsFlag) => {
      const users = createUsers(databases, { seed: 7, resetsFlag });
      running = await startSync(log, databases, name);
      await haveSlots();
      for (let round = 0; round < 3; round += 1) {
        await users.act(60);
        await running.kill();
        await users.act(30);
        running = await startSync(log, databases, name);
      }
      await users.act(60);
      await untilQuiet(log, databases, name);
      await areEqual();
      const before = await writeCounts();
      expect(before.legacy + before.revamp).toBeLessThanOrEqual(2 * users.changeCount);

      // Every row is told of once more, and nothing in it has changed.
      for (const side of sides) await users.touchAll(side);
      await untilQuiet(log, databases, name);
      expect(await writeCounts()).toEqual(before);

      // All rows were written by the other side at some time: their changes travel nevertheless.
      await legacy(`UPDATE legacy_users SET email = 'last@x.test'${resetsFlag ? ', source = DEFAULT' : ''}`);
      await untilQuiet(log, databases, name);
      await areEqual();
      const emails = await revamp('SELECT DISTINCT email_address FROM revamp_users');
      expect(emails).toEqual([{ email_address: 'last@x.test' }]);
      expect(await readAll(log, topics.dlq)).toEqual([]);
    },
  );

  test('whose process is killed with signal 9 at any time, started as anybody starts it', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'rivulet-sync-'));
    const env = {
      DATA_DIR: directory,
      TOPOLOGIES: 'legacy-sync',
      LEGACY_DATABASE_URL: databases.urls.legacy,
      REVAMP_DATABASE_URL: databases.urls.revamp,
    };
    const users = createUsers(databases, { seed: 11, resetsFlag: false });
    let application = startApplication(env);
    try {
      await users.act(40);
      await until('something was written', async () => (await written()) > 5, waitMs);
      await haveSlots();
      for (let round = 0; round < 2; round += 1) {
        const killing = users.act(40);
        application.signal('SIGKILL');
        await Promise.all([application.ended, killing]);
        application = startApplication(env);
        const before = await written();
        await until('it goes on', async () => (await written()) > before, waitMs);
      }
      const base = await application.url;
      const answered = async (path: string): Promise<string> => (await fetch(`${base}${path}`)).text();
      const isAlike = async (): Promise<boolean> =>
        JSON.stringify(await content(databases.clients.legacy, 'legacy')) ===
          JSON.stringify(await content(databases.clients.revamp, 'revamp')) &&
        (await mappingFaults(databases.clients)).length === 0 &&
        (await answered('/sync/status')) === '{"waiting":[],"next":null}';
      // Equal for a moment is not enough: still so when all that was written before has been captured.
      const staysAlike = async (): Promise<boolean> => {
        if (!(await isAlike())) return false;
        const before = await written();
        for (const side of sides) if (!(await isCaptured(databases.clients[side], side))) return false;
        return (await isAlike()) && (await written()) === before;
      };
      await until('both are equal, and stay so', staysAlike, waitMs);
      expect(JSON.parse(await answered('/sync/pairs/user:legacy:1'))).toMatchObject({ legacy: { id: '1' } });
      expect(await answered('/metrics')).toMatch(/^sync_writes_total{side="revamp",operation="insert"} [1-9]/m);
    } finally {
      application.signal('SIGKILL');
      await application.ended;
      await rm(directory, { recursive: true, force: true });
    }
  });

  /** Rows written to either side; none as long as the tables for it are not there. */
  async function written(): Promise<number> {
    const { legacy: left, revamp: right } = await writeCounts().catch(() => ({ legacy: 0, revamp: 0 }));
    return left + right;
  }

  const durableSlots = 'SELECT 1 FROM pg_replication_slots WHERE database = current_database() AND NOT temporary';

  /** A deletion between a first snapshot that was interrupted and the next one is seen by nobody. */
  async function haveSlots(): Promise<void> {
    const isThere = async (): Promise<boolean> =>
      (await Promise.all([legacy(durableSlots), revamp(durableSlots)])).every((slots) => slots.length === 1);
    await until('both databases have their slots', isThere, waitMs);
  }

  async function areEqual(): Promise<void> {
    const [left, right] = [
      await content(databases.clients.legacy, 'legacy'),
      await content(databases.clients.revamp, 'revamp'),
    ];
    expect(right).toEqual(left);
    expect(left.length).toBeGreaterThan(10);
    expect(await mappingFaults(databases.clients)).toEqual([]);
  }

  async function writeCounts(): Promise<Readonly<Record<'legacy' | 'revamp', number>>> {
    const text = `SELECT count(*) AS count FROM processed_events WHERE outcome = 'written'`;
    return { legacy: Number((await legacy(text))[0]?.['count']), revamp: Number((await revamp(text))[0]?.['count']) };
  }
});
