import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import { silentLogger, systemClock, systemRandom } from '../../../clock.ts';
import { postgresCapture } from '../../../connectors/change-capture/postgres-capture.ts';
import type { Connector } from '../../../connectors/connector.ts';
import { memoryLog, type EmbeddedLog } from '../../../connectors/embedded/embedded-log.ts';
import { isWithin } from '../../../processors/app/rollout.ts';
import type { CustomerMerged } from '../../../schemas/app/customer/merged.ts';
import { connectorTopics } from '../../../schemas/app/connector-topics.ts';
import { customerTopics } from '../../../schemas/app/customer/topics.ts';
import { stringSerde } from '../../../schemas/serde.ts';
import { customerMerge } from '../../../topology/app/customer-merge.ts';
import { latest, produce, readAll, testInstance, until } from '../../support/cluster.ts';
import { pollerEvent } from '../../support/customer/records.ts';
import { SystemADatabase, insertA } from '../../support/customer/system-a-database.ts';
import { SystemBServer, customerOfB } from '../../support/customer/system-b-server.ts';
import { startWriteBack, type RunningWriteBack } from '../../support/customer/write-back.ts';
import { startPostgres, type RunningPostgres } from '../../support/postgres.ts';

// Longer than any wait within: what is waited for in vain is named.
jest.setTimeout(240_000);

const topics = customerTopics();
const waitMs = 60_000;
const { uuid } = customerOfB(1);
let postgres: RunningPostgres;
let systemA: SystemADatabase;
let log: EmbeddedLog;
let running: RunningWriteBack[] = [];

beforeAll(async () => {
  postgres = await startPostgres();
  systemA = await SystemADatabase.create(postgres);
});

afterAll(async () => {
  await systemA.close();
  await postgres.stop();
});

beforeEach(async () => {
  await systemA.query('TRUNCATE customers_a');
  log = memoryLog({ clock: systemClock, random: systemRandom, logger: silentLogger });
  const { changesA, changesB, sources, decisions, overrides, merged, conflicts, dlq, detached } = topics;
  const inputs = [changesA, changesB, decisions, overrides];
  const all = [...inputs, sources, merged, conflicts, dlq, detached, connectorTopics().checkpoints];
  await log.admin.createTopics(all.map(({ name, create }) => ({ name, ...create, partitions: 1 })));
});

afterEach(async () => {
  await Promise.all(running.map((one) => one.close()));
  running = [];
  await log.close();
});

function start(percent = (): number => 100): RunningWriteBack {
  const started = startWriteBack(log, { urlOfA: systemA.url, percentOf: percent });
  running.push(started);
  return started;
}

const emailOf = (id: number): string => `user${String(id)}@x.test`;

/** System B's name has survived against system A's. */
function customer(
  id: number,
  [lost, survived]: readonly [string, string],
  more: Partial<CustomerMerged> = {},
): CustomerMerged {
  const ref = `a:${String(id)}`;
  const told = {
    system_a: { source: 'system_a', ref, value: lost, changedAt: 1 },
    system_b: { source: 'system_b', ref: `b:${uuid}`, value: survived, changedAt: 2 },
  } as const;
  return {
    email: emailOf(id),
    name: survived,
    systemAId: String(id),
    systemBUuid: uuid,
    sources: ['system_a', 'system_b'],
    isPartial: false,
    version: 2,
    createdAt: 1,
    lastMergedAt: 2,
    fieldMetadata: { name: { source: 'system_b', ref: `b:${uuid}`, changedAt: 2, rule: 'recency', pinned: false } },
    conflicts: {
      name: {
        candidates: [told.system_a, told.system_b],
        newerSource: 'system_b',
        chosen: `b:${uuid}`,
        rule: 'recency',
        since: 2,
      },
    },
    vector: {},
    ...more,
  };
}

async function tell(...customers: readonly CustomerMerged[]): Promise<void> {
  await produce(
    log,
    topics.merged,
    customers.map((value) => ({ key: value.email, value })),
  );
}

async function nameOf(id: number): Promise<unknown> {
  return (await systemA.query(`SELECT name FROM customers_a WHERE id = ${String(id)}`))[0]?.['name'];
}

const isNamed = (id: number, name: string) => async (): Promise<boolean> => (await nameOf(id)) === name;

describe('merged customers, written back to system A', () => {
  test('only where the flag holds, and when it grows those who came to it as well, from what was told of them last', async () => {
    const ids = Array.from({ length: 60 }, (_, index) => index + 1);
    const within = (percent: number): readonly number[] => ids.filter((id) => isWithin(emailOf(id), percent));
    const written = async (): Promise<unknown> =>
      (await systemA.query(`SELECT id::int, name FROM customers_a WHERE name <> 'Old' ORDER BY id`)).map(
        ({ id, name }) => [id, name],
      );
    const are = (list: readonly number[], name: string): (() => Promise<boolean>) => {
      const expected = JSON.stringify(list.map((id) => [id, name]));
      return async () => JSON.stringify(await written()) === expected;
    };
    const told = (name: string): Promise<void> => tell(...ids.map((id) => customer(id, ['Old', name])));
    const dealtWith = (sink: RunningWriteBack, last: number) => async (): Promise<boolean> =>
      (await nameOf(last)) !== 'Old' &&
      sink.measured('write_back_lag_records') + sink.measured('write_back_again_records') === 0;

    await systemA.run(...ids.map((id) => insertA(id, emailOf(id), 'Old')));
    let percent = 25;
    const first = start(() => percent);
    await told('New');
    await until('its share is written', are(within(25), 'New'), waitMs);
    percent = 50;
    await until('those who came to it are written', are(within(50), 'New'), waitMs);
    expect(first.measured('write_back_total')).toBe(within(50).length);
    expect(within(50).length).toBeGreaterThan(within(25).length);

    percent = 10;
    const last = within(100).find((id) => !within(50).includes(id))!;
    await systemA.query(`UPDATE customers_a SET name = 'Old'`);
    await told('Newer');
    await until('the rest passes by', are(within(10), 'Newer'), waitMs);
    percent = 100;
    await until('some of those who came to it are written', async () => (await nameOf(last)) === 'Newer', waitMs);
    await first.kill();
    await until(
      'all are, by another process',
      dealtWith(
        start(() => percent),
        last,
      ),
      waitMs,
    );
    await until('what was told last is written', are(ids, 'Newer'), waitMs);
  });

  test('not over a change that the merge does not know of, nor over a row that is somebody else by now', async () => {
    await systemA.query(insertA(1, emailOf(1), 'Edited meanwhile'));
    await systemA.query(insertA(2, 'moved@x.test', 'Old'));
    await systemA.query(insertA(4, emailOf(4), 'Old'));
    const sink = start();
    await tell(...[1, 2, 3, 4].map((id) => customer(id, ['Old', 'New'])));
    await until('the last is written', isNamed(4, 'New'), waitMs);
    expect([await nameOf(1), await nameOf(2)]).toEqual(['Edited meanwhile', 'Old']);
    await until('all are counted', () => sink.measured('write_back_total') === 4, waitMs);
    const counted = ['written', 'skipped', 'missing'].map((outcome) => sink.measured('write_back_total', { outcome }));
    expect(counted).toEqual([1, 2, 1]);
    // The merge has learned of the edit, and says that the other system is newer still.
    await tell(customer(1, ['Edited meanwhile', 'New']));
    await until('it is written', isNamed(1, 'New'), waitMs);
  });

  test('not over a row that was updated since, though it holds the same value', async () => {
    for (const id of [1, 2]) await systemA.query(insertA(id, emailOf(id), 'Old'));
    const [row] = await systemA.query('SELECT extract(epoch FROM min(last_updated)) * 1e6 AS at FROM customers_a');
    await systemA.query(`UPDATE customers_a SET last_updated = last_updated + interval '1 ms' WHERE id = 1`);
    const seen = { systemAUpdated: Number(row?.['at']) };
    start();
    await tell(
      customer(1, ['Old', 'New'], seen),
      customer(2, ['Old', 'New'], { systemAUpdated: seen.systemAUpdated + 1e6 }),
    );
    await until('the second is written', isNamed(2, 'New'), waitMs);
    expect(await nameOf(1)).toBe('Old');
    await tell(customer(1, ['Old', 'New'], { systemAUpdated: seen.systemAUpdated + 1_000 }));
    await until('the first is, once the merge knows the row', isNamed(1, 'New'), waitMs);
  });

  test('nor to either system what the other one, where it comes from, does not say any more', async () => {
    const systemB = new SystemBServer();
    await systemB.start();
    const ofB = (name: string): void => systemB.put(customerOfB(1, 0, { email: emailOf(1), name }));
    const sink = startWriteBack(log, { urlOfA: systemA.url, urlOfB: systemB.url });
    running.push(sink);
    const skipped = (system: string, count: number): Promise<void> =>
      until('it is skipped', () => sink.measured('write_back_total', { system, outcome: 'skipped' }) === count, waitMs);
    try {
      await systemA.query(insertA(1, emailOf(1), 'Old'));
      ofB('Edited in B');
      await tell(customer(1, ['Old', 'New']));
      await skipped('system_a', 1);
      await tell(customer(1, ['Old', 'Edited in B']));
      await until('what B says now is written', isNamed(1, 'Edited in B'), waitMs);

      await systemA.query(`UPDATE customers_a SET name = 'Edited in A'`);
      const fromA = (name: string): CustomerMerged => {
        const { fieldMetadata, conflicts, ...merged } = customer(1, [name, 'Edited in B']);
        const metadata = { ...fieldMetadata.name!, source: 'system_a', ref: 'a:1' } as const;
        const conflict = { ...conflicts.name!, newerSource: 'system_a', chosen: 'a:1' } as const;
        return { ...merged, name, fieldMetadata: { name: metadata }, conflicts: { name: conflict } };
      };
      await tell(fromA('New'));
      await skipped('system_b', 1);
      await tell(fromA('Edited in A'));
      await until('what A says now is written', () => systemB.customers.get(uuid)?.name === 'Edited in A', waitMs);
      expect(systemB.patches).toEqual([{ name: 'Edited in A' }]);
    } finally {
      await sink.close();
      await systemB.stop();
    }
  });

  test('what a steward decided, into columns that only this system has as well', async () => {
    await systemA.query(insertA(1, emailOf(1), 'Old'));
    start();
    const pinned = { source: 'steward', ref: 'steward:eve', changedAt: 3, rule: 'pin_value', pinned: true } as const;
    await tell(
      customer(1, ['Old', 'New'], {
        name: 'Pinned',
        contractStart: '2024-02-29',
        conflicts: {},
        fieldMetadata: { name: pinned, contractStart: pinned },
      }),
    );
    await until('it is written', isNamed(1, 'Pinned'), waitMs);
    expect(await systemA.query('SELECT contract_start::text AS day, address FROM customers_a')).toEqual([
      { day: '2024-02-29', address: 'Elm 1' },
    ]);
  });

  test('after the database was away, with nothing put aside', async () => {
    await systemA.query(insertA(1, emailOf(1), 'Old'));
    const sink = start();
    await systemA.close();
    postgres.kill('SIGKILL');
    await tell(customer(1, ['Old', 'New']));
    await until('it waits', () => sink.measured('write_back_waiting') === 1, waitMs);
    await postgres.restart();
    await until('it is written', isNamed(1, 'New'), waitMs);
    expect(await readAll(log, topics.dlq)).toEqual([]);
  });

  test('and what the table refuses is put aside and stops nothing else', async () => {
    await systemA.run(
      insertA(1, emailOf(1), 'Old'),
      insertA(2, emailOf(2), 'Old'),
      `ALTER TABLE customers_a ADD CONSTRAINT short CHECK (length(name) < 10)`,
    );
    const sink = start();
    await tell(customer(1, ['Old', 'Much too long a name']), customer(2, ['Old', 'New']));
    await until('the second is written', isNamed(2, 'New'), waitMs);
    await until('the first is put aside', () => sink.measured('write_back_dead_letters_total') === 1, waitMs);
    expect((await readAll(log, topics.dlq)).map(({ key }) => Buffer.from(key ?? []).toString())).toEqual([emailOf(1)]);
    await systemA.query('ALTER TABLE customers_a DROP CONSTRAINT short');
  });

  test('and what the table does not keep changes nothing, so that nobody is told of a change', async () => {
    await systemA.run(
      insertA(1, emailOf(1), 'OLD'),
      `CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.name = OLD.name; RETURN NEW; END $$`,
      'CREATE TRIGGER shout BEFORE UPDATE ON customers_a FOR EACH ROW EXECUTE FUNCTION shout()',
    );
    const sink = start();
    const [before] = await systemA.query('SELECT ctid::text AS place FROM customers_a');
    await tell(customer(1, ['OLD', 'new']));
    await until('it is tried', () => sink.measured('write_back_total', { outcome: 'kept' }) === 1, waitMs);
    expect((await systemA.query('SELECT ctid::text AS place FROM customers_a'))[0]).toEqual(before);
    await systemA.run('DROP TRIGGER shout ON customers_a', 'DROP FUNCTION shout');
  });

  test('and all of it, each once in effect, however often the process is killed', async () => {
    const ids = Array.from({ length: 120 }, (_, index) => index + 1);
    await systemA.run(...ids.map((id) => insertA(id, emailOf(id), 'v0')));
    for (let round = 0; round < 3; round += 1) {
      await tell(...ids.map((id) => customer(id, [`v${String(round)}`, `v${String(round + 1)}`])));
      const sink = start();
      await until('some of it is written', () => sink.measured('write_back_total') > 10 * round, waitMs);
      await sink.kill();
    }
    start();
    const left = `SELECT count(*)::int AS n FROM customers_a WHERE name <> 'v3'`;
    await until('all is written', async () => (await systemA.query(left))[0]?.['n'] === 0, waitMs);
    expect(await readAll(log, topics.dlq)).toEqual([]);
  });

  test('come back as changes of system A that lead to no other one', async () => {
    await systemA.query(insertA(1, emailOf(1), 'Ann A'));
    const instance = testInstance(log, customerMerge());
    await instance.start();
    const capture: Connector = postgresCapture({
      name: 'system-a',
      connectionString: systemA.captureUrl,
      publication: 'system_a_publication',
      slot: 'write_back',
      topic: topics.changesA.name,
      ...{ log, clock: systemClock, logger: silentLogger },
    });
    capture.start();
    const sink = start();
    const nameOfB = (id: number, name: string): Promise<void> => {
      const event = pollerEvent({
        source: 'system_b',
        id: `b${String(id)}`,
        lastUpdated: new Date().toISOString(),
        fields: { email: emailOf(id), name },
      });
      const edge = { name: topics.changesB.name, key: stringSerde, value: stringSerde };
      return produce(log, edge, [{ key: emailOf(id), value: JSON.stringify(event), timestampMs: Date.now() }]);
    };
    const isMerged = (id: number, name: string) => async (): Promise<boolean> => {
      const merged = latest(await readAll(log, topics.merged)).get(emailOf(id));
      return merged?.name === name && merged.fieldMetadata.name?.source === 'system_a';
    };
    try {
      await until('it is known', isMerged(1, 'Ann A'), waitMs);
      await nameOfB(1, 'Ann B');
      await until('the write has come back', isMerged(1, 'Ann B'), waitMs);
      await systemA.query(`UPDATE customers_a SET name = 'Ann C' WHERE id = 1`);
      await until('the edit is merged', isMerged(1, 'Ann C'), waitMs);
      await nameOfB(1, 'Ann D');
      await until('the second write has come back', isMerged(1, 'Ann D'), waitMs);
      expect(await nameOf(1)).toBe('Ann D');
      // Behind everything that could still have come of it.
      await systemA.query(insertA(2, emailOf(2), 'Bob A'));
      await until('he is known', isMerged(2, 'Bob A'), waitMs);
      await nameOfB(2, 'Bob B');
      await until('a later one is written', isNamed(2, 'Bob B'), waitMs);
      const written = (): number => sink.measured('write_back_total', { outcome: 'written' });
      await until('it is counted', () => written() >= 3, waitMs);
      expect(written()).toBe(3);
      expect(await readAll(log, topics.dlq)).toEqual([]);
    } finally {
      await instance.close();
      await capture.close();
    }
  });
});
