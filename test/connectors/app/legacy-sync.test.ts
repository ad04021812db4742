import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { silentLogger, systemClock, systemRandom } from '../../../clock.ts';
import { memoryLog, type EmbeddedLog } from '../../../connectors/embedded/embedded-log.ts';
import { syncTopics } from '../../../schemas/app/sync/topics.ts';
import { readAll, until } from '../../support/cluster.ts';
import { startPostgres, type RunningPostgres } from '../../support/postgres.ts';
import {
  content,
  createSynced,
  startSync,
  type RunningSync,
  type SyncedDatabases,
} from '../../support/sync/two-databases.ts';

// Longer than any wait within: what is waited for in vain is named.
jest.setTimeout(240_000);

const topics = syncTopics();
const waitMs = 60_000;
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
});
