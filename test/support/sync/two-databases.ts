/** Two real databases that applications use, and what keeps them in sync, in this process. */
import pg from 'pg';
import { silentLogger, systemRandom } from '../../../clock.ts';
import type { Connector } from '../../../connectors/connector.ts';
import type { EmbeddedLog } from '../../../connectors/embedded/embedded-log.ts';
import { postgresDatabase } from '../../../connectors/postgres/postgres-database.ts';
import { legacySyncOfProgram, syncConnectors } from '../../../program/sync-connectors.ts';
import { entities, sides, type Side } from '../../../schemas/app/sync/entities.ts';
import { legacySync, legacySyncName } from '../../../topology/app/legacy-sync.ts';
import { testInstance } from '../cluster.ts';
import { connectorPorts } from '../connector-ports.ts';
import { measuredBy } from '../measured.ts';
import type { RunningPostgres } from '../postgres.ts';

const tables: Readonly<Record<Side, readonly string[]>> = {
  legacy: [
    `CREATE TABLE legacy_users (id serial PRIMARY KEY, username text NOT NULL, email text, source text NOT NULL DEFAULT 'legacy')`,
    `CREATE TABLE legacy_posts (id serial PRIMARY KEY, post_title text, post_content text,
       user_id integer REFERENCES legacy_users (id), source text NOT NULL DEFAULT 'legacy')`,
  ],
  revamp: [
    `CREATE TABLE revamp_users (id bigint GENERATED ALWAYS AS IDENTITY (START WITH 1001) PRIMARY KEY, user_name text NOT NULL,
       email_address text, locale text NOT NULL DEFAULT 'en', source text NOT NULL DEFAULT 'revamp')`,
    `CREATE TABLE revamp_posts (id bigint GENERATED ALWAYS AS IDENTITY (START WITH 5001) PRIMARY KEY, title text, content text,
       author_id bigint REFERENCES revamp_users (id), source text NOT NULL DEFAULT 'revamp')`,
  ],
};

export interface SyncedDatabases {
  readonly urls: Readonly<Record<Side, string>>;
  /** For the applications. */
  readonly clients: Readonly<Record<Side, pg.Client>>;
  close(): Promise<void>;
}

/** Both, with their own tables and nothing in them. */
export async function createSynced(postgres: RunningPostgres, name: string): Promise<SyncedDatabases> {
  const urls = {
    legacy: await postgres.createDatabase(`${name}_legacy`),
    revamp: await postgres.createDatabase(`${name}_revamp`),
  };
  const clients = { legacy: new pg.Client(urls.legacy), revamp: new pg.Client(urls.revamp) };
  for (const side of sides) {
    await clients[side].connect();
    for (const table of tables[side]) await clients[side].query(table);
  }
  return {
    urls,
    clients,
    close: async () => {
      await Promise.all(sides.map((side) => clients[side].end()));
    },
  };
}

export interface RunningSync {
  /** As a process that ends: neither leaves its groups nor ends what it had begun. */
  kill(): Promise<void>;
  close(): Promise<void>;
  /** By name and labels. */
  measured(name: string, labels?: Readonly<Record<string, string>>): number;
}

/** A process that keeps them in sync over this log: topology, captures and writers. */
export async function startSync(
  log: EmbeddedLog,
  { urls, clients }: SyncedDatabases,
  applicationId: string,
): Promise<RunningSync> {
  const own = log.client();
  const synced = {
    legacy: postgresDatabase({ url: urls.legacy, logger: silentLogger }),
    revamp: postgresDatabase({ url: urls.revamp, logger: silentLogger }),
  };
  const env = { LEGACY_DATABASE_URL: urls.legacy, REVAMP_DATABASE_URL: urls.revamp };
  const applicationIdOf = (name: string): string => `${applicationId}-${name}`;
  const ports = connectorPorts(own, { env, topologies: [legacySyncName] }, { synced, applicationIdOf });
  await log.admin.createTopics(legacySyncOfProgram.topics(''));
  const instance = testInstance(own, legacySync(), { applicationId, instanceId: systemRandom.uuid() });
  const connectors: readonly Connector[] = syncConnectors(ports);
  for (const connector of connectors) connector.start();
  await instance.start();
  const end = async (): Promise<void> => {
    await Promise.all(connectors.map((connector) => connector.close()));
    await Promise.all(sides.map((side) => synced[side].close()));
  };
  return {
    kill: async () => {
      for (const side of sides)
        await clients[side].query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`,
        );
      await own.close();
      await Promise.all([end(), instance.close().catch(() => false)]);
    },
    close: async () => {
      await end();
      await instance.close();
      await own.close();
    },
    measured: measuredBy(connectors),
  };
}

/** All rows of a side, without ids: users by name, posts with the name of their author, sorted. */
export async function content(client: pg.Client, side: Side): Promise<readonly string[]> {
  const columns = (name: 'user' | 'post'): readonly string[] =>
    entities[name].fields.map((field) => field.columns[side]);
  const [username = '', email = ''] = columns('user');
  const [title = '', text = '', author = ''] = columns('post');
  const [users, posts] = [entities.user.tables[side], entities.post.tables[side]];
  const { rows } = await client.query<{ line: string }>(
    `SELECT format('user %s <%s>', ${username}, ${email}) AS line FROM ${users}
     UNION ALL
     SELECT format('post %s: %s by %s', p.${title}, p.${text}, u.${username}) FROM ${posts} p LEFT JOIN ${users} u ON u.id = p.${author}
     ORDER BY 1`,
  );
  return rows.map(({ line }) => line);
}
