import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, jest, test } from '@jest/globals';
import { silentLogger, systemClock, systemRandom } from '../../clock.ts';
import { requestTo, type Answer } from '../../commands/api-client.ts';
import { backfillCommand } from '../../commands/backfill.ts';
import { kafkaLog } from '../../connectors/kafka/kafka-log.ts';
import type { Log } from '../../connectors/log.ts';
import { customerTopics } from '../../schemas/app/customer/topics.ts';
import { startApplication, type RunningApplication } from '../support/application.ts';
import { until } from '../support/cluster.ts';
import { SystemADatabase, insertA } from '../support/customer/system-a-database.ts';
import { SystemBServer, customerOfB } from '../support/customer/system-b-server.ts';
import { describeKafka } from '../support/kafka.ts';
import { startPostgres, type RunningPostgres } from '../support/postgres.ts';
import { rawBytesOf } from '../support/raw-read.ts';

// Longer than any wait within: what is waited for in vain is named.
jest.setTimeout(900_000);
const waitMs = 120_000;
const ids = [1, 2, 3, 4, 5, 6, 7, 8];
const emailOf = (id: number): string => customerOfB(id).email;

describeKafka('a rollout on Kafka, in two processes', (brokers) => {
  const name = `rollout-${systemRandom.uuid().slice(0, 8)}`;
  const systemB = new SystemBServer();
  let log: Log;
  let postgres: RunningPostgres;
  let systemA: SystemADatabase;
  let legacy: Server;
  let directory: string;
  let env: Readonly<Record<string, string>>;
  const running: RunningApplication[] = [];

  beforeAll(async () => {
    log = kafkaLog({ brokers, clientId: name }, { clock: systemClock, random: systemRandom, logger: silentLogger });
    postgres = await startPostgres();
    systemA = await SystemADatabase.create(postgres);
    for (const id of ids) {
      await systemA.run(insertA(id, emailOf(id), `A ${String(id)}`));
      systemB.put(customerOfB(id, 0, { updatedAt: '2020-01-01T00:00:00.000Z' }));
    }
    await systemB.start();
    legacy = createServer((request, response) => {
      const email = decodeURIComponent(request.url?.slice(1) ?? '');
      const id = ids.find((one) => emailOf(one) === email);
      const known = {
        name: `A ${String(id)}`,
        address: 'Elm 1',
        phone: `+49 30 ${String(id)}`,
        contractStart: '2026-02-03',
      };
      response.setHeader('content-type', 'application/json').end(JSON.stringify({ email, ...known }));
    });
    await new Promise<void>((resolve) => legacy.listen(0, '127.0.0.1', resolve));
    directory = await mkdtemp(join(tmpdir(), 'rivulet-rollout-'));
    env = {
      KAFKA_BROKERS: brokers.join(','),
      TOPIC_PREFIX: `${name}.`,
      APPLICATION_ID: name,
      TOPOLOGIES: 'customer-merge,shadow',
      SESSION_TIMEOUT_MS: '6000',
      POSTGRES_URL: await postgres.createDatabase('unified'),
      SYSTEM_A_DATABASE_URL: systemA.captureUrl,
      SYSTEM_B_URL: systemB.url,
      POLL_INTERVAL_MS_B: '1000',
      WRITE_BACK_B_URL: systemB.url,
      LEGACY_CUSTOMERS_URL: `http://127.0.0.1:${String((legacy.address() as AddressInfo).port)}`,
      RATE_LIMIT_PER_SECOND: '0',
    };
  });

  afterAll(async () => {
    for (const { signal, ended } of running) {
      signal('SIGKILL');
      await ended;
    }
    legacy.closeAllConnections();
    legacy.close();
    await Promise.all([systemA.close(), systemB.stop(), log.close()]);
    await postgres.stop();
    await rm(directory, { recursive: true, force: true });
  });

  /** A process with a directory of its own; resolves with its API once it is ready. */
  async function start(
    instance: string,
  ): Promise<(method: 'GET' | 'POST', path: string, body?: object) => Promise<Answer>> {
    const application = startApplication({ ...env, DATA_DIR: join(directory, instance) });
    running.push(application);
    const request = requestTo(await application.url, {});
    await until('it runs', async () => (await request('GET', '/health/ready')).status === 200, waitMs);
    return request;
  }

  test('pauses and goes on everywhere, writes back to whom a flag comes, compares in the shadow, and backfills', async () => {
    const [one, two] = await Promise.all([start('one'), start('two')]);
    const said = { by: 'eve', reason: 'rollout' };
    const nameIn = async (id: number): Promise<unknown> =>
      ((await one('GET', `/customers/${emailOf(id)}`)).body as { readonly name?: unknown }).name;
    const isNamed = (id: number, expected: string) => async (): Promise<boolean> => (await nameIn(id)) === expected;
    for (const id of ids) await until('all are merged', isNamed(id, `A ${String(id)}`), waitMs);

    const changes = customerTopics(`${name}.`).changesA.name;
    const told = async (): Promise<number> => (await rawBytesOf(log, changes, { isolation: 'read_committed' })).length;
    const before = await told();
    expect((await one('POST', '/admin/topologies/customer-merge/pause', said)).status).toBe(200);
    const isPaused = async (): Promise<boolean> => {
      const { items } = (await two('GET', '/admin/topologies')).body as {
        readonly items: readonly { readonly instances: readonly { readonly paused: boolean }[] }[];
      };
      return items[0]?.instances.every(({ paused }) => paused) === true;
    };
    await until('the other process stands still', isPaused, waitMs);
    await systemA.run(`UPDATE customers_a SET name = 'A 1 changed' WHERE id = 1`);
    await until('the change is told', async () => (await told()) > before, waitMs);
    expect(await nameIn(1)).toBe('A 1');
    expect((await two('POST', '/admin/topologies/customer-merge/resume', said)).status).toBe(200);
    await until('it is merged', isNamed(1, 'A 1 changed'), waitMs);

    expect(systemB.patches).toEqual([]);
    await raise('write-back-b');
    await until('all who came to the flag are written back', () => systemB.patches.length === ids.length, waitMs);
    expect(systemB.customers.get(customerOfB(1).uuid)?.name).toBe('A 1 changed');

    running[0]?.signal('SIGKILL');
    await running[0]?.ended;
    await systemA.run(`UPDATE customers_a SET name = 'A 1' WHERE id = 1`);
    const third = await start('one');
    await until('writing goes on', () => systemB.customers.get(customerOfB(1).uuid)?.name === 'A 1', waitMs);
    expect((await third('GET', '/admin/rollout/write-back-b')).body).toMatchObject({ percent: 100 });

    await raise('shadow-customers');
    const matches = async (): Promise<readonly string[]> => {
      for (const id of ids) await third('GET', `/customers/${emailOf(id)}`);
      const { pairs = [] } = (await third('GET', '/admin/rollout-report')).body as {
        readonly pairs?: readonly { readonly pair: string; readonly outcomes: { readonly match: number } }[];
      };
      return pairs.filter(({ outcomes }) => outcomes.match >= ids.length).map(({ pair }) => pair);
    };
    await until('both comparisons are counted', async () => (await matches()).length === 2, waitMs);

    const lines: string[] = [];
    const print = (line: string): void => void lines.push(line);
    expect(await backfillCommand(['system-b'], { request: third, print, clock: systemClock })).toBe(0);
    expect(JSON.parse(lines.at(-1) ?? '')).toEqual({ total: ids.length, merged: ids.length, failed: 0 });
    expect(systemB.patches).toHaveLength(ids.length + 1);

    async function raise(flag: string): Promise<void> {
      const base = await running[1]!.url;
      const body = JSON.stringify({ percent: 100, force: true, ...said });
      const headers = { 'content-type': 'application/json' };
      expect((await fetch(`${base}/admin/rollout/${flag}`, { method: 'PUT', headers, body })).status).toBe(200);
    }
  });
});
