import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { silentLogger, systemClock, systemRandom } from '../../../clock.ts';
import { postgresCapture } from '../../../connectors/change-capture/postgres-capture.ts';
import type { Connector } from '../../../connectors/connector.ts';
import { memoryLog } from '../../../connectors/embedded/embedded-log.ts';
import { changeCaptureContract, type Capture } from '../../contracts/change-capture-contract.ts';
import { StreamError } from '../../../errors.ts';
import { until } from '../../support/cluster.ts';
import { SystemADatabase } from '../../support/customer/system-a-database.ts';
import { faultyLog, type LogFaults } from '../../support/faulty-log.ts';
import { startPostgres, type RunningPostgres } from '../../support/postgres.ts';
import { rawBytesOf } from '../../support/raw-read.ts';

changeCaptureContract('embedded', {
  openLog: () => memoryLog({ clock: systemClock, random: systemRandom }),
  start: async ({ log, systemA, topic }): Promise<Capture> => {
    const begin = (slot: string): Connector => {
      const capture = postgresCapture({
        name: 'system-a',
        connectionString: systemA.captureUrl,
        publication: 'system_a_publication',
        slot,
        topic,
        log,
        clock: systemClock,
        logger: silentLogger,
      });
      capture.start();
      return capture;
    };
    let running = begin('system_a');
    const slots = async (): Promise<readonly string[]> =>
      (await systemA.query('SELECT slot_name FROM pg_replication_slots')).map((row) => String(row['slot_name']));
    await until('the snapshot is in the log', async () => (await slots()).includes('system_a'), 60_000);
    await systemA.run(`SELECT pg_copy_logical_replication_slot('system_a', 'system_a_again', false)`);
    return {
      replay: async () => {
        await running.close();
        running = begin('system_a_again');
      },
      stop: () => running.close(),
    };
  },
});

describe('a snapshot that is interrupted', () => {
  const topic = 'changes';
  let postgres: RunningPostgres;
  let systemA: SystemADatabase;

  beforeAll(async () => {
    postgres = await startPostgres();
    systemA = await SystemADatabase.create(postgres);
  }, 300_000);
  afterAll(async () => {
    await systemA.close();
    await postgres.stop();
  });

  test('leaves nothing behind: a row that it told of, and that was deleted before the next one, is told to be gone', async () => {
    // More than a page, so that some of it is in the log.
    await systemA.run(
      `INSERT INTO public.customers_a (id, email, name) SELECT n, 'c' || n || '@x.test', 'C' FROM generate_series(1, 1500) n`,
    );
    const faults: LogFaults = {};
    const log = faultyLog(memoryLog({ clock: systemClock, random: systemRandom }), faults);
    await log.admin.createTopics([{ name: topic, partitions: 1 }]);
    let sends = 0;
    faults.beforeSend = () => {
      sends += 1;
      if (sends > 1) throw new StreamError('LOG_UNAVAILABLE', 'away for now');
    };
    const capture = postgresCapture({
      name: 'system-a',
      connectionString: systemA.captureUrl,
      publication: 'system_a_publication',
      slot: 'interrupted',
      topic,
      log,
      clock: systemClock,
      logger: silentLogger,
    });
    const told = async (): Promise<readonly string[]> =>
      (await rawBytesOf(log, topic, { isolation: 'read_committed' }))
        .filter(({ key }) => /"id":1\b/.test(Buffer.from(key ?? []).toString()))
        .flatMap(({ value }) => /"op":"(.)"/.exec(Buffer.from(value ?? []).toString())?.[1] ?? []);
    capture.start();
    try {
      await until('a page is told', async () => sends > 1 && (await told()).length === 1, 60_000);
      await systemA.run('DELETE FROM public.customers_a WHERE id = 1');
      delete faults.beforeSend;
      await until('the row is told to be gone', async () => (await told()).at(-1) === 'd', 60_000);
      expect(await told()).toEqual(['r', 'd']);
      const slots = await systemA.query('SELECT slot_name AS name FROM pg_replication_slots ORDER BY 1');
      expect(slots).toEqual([{ name: 'interrupted' }]);
    } finally {
      await capture.close();
      await log.close();
    }
  }, 180_000);
});
