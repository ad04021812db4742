import pg from 'pg';
import { silentLogger, systemClock, systemRandom } from '../../../clock.ts';
import { postgresCapture } from '../../../connectors/change-capture/postgres-capture.ts';
import type { Connector } from '../../../connectors/connector.ts';
import { memoryLog } from '../../../connectors/embedded/embedded-log.ts';
import { changeCaptureContract, type Capture } from '../../contracts/change-capture-contract.ts';
import { until } from '../../support/cluster.ts';

changeCaptureContract('embedded', {
  openLog: () => memoryLog({ clock: systemClock, random: systemRandom }),
  start: async ({ log, database, password, topic }): Promise<Capture> => {
    const admin = new pg.Client({ connectionString: database.href });
    await admin.connect();
    const user = new URL(database);
    user.username = 'debezium';
    user.password = password;
    const begin = (slot: string): Connector => {
      const capture = postgresCapture({
        name: 'system-a',
        connectionString: user.href,
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
      (await admin.query<{ slot_name: string }>('SELECT slot_name FROM pg_replication_slots')).rows.map(
        (row) => row.slot_name,
      );
    await until('the snapshot is in the log', async () => (await slots()).includes('system_a'), 60_000);
    await admin.query(`SELECT pg_copy_logical_replication_slot('system_a', 'system_a_again', false)`);
    return {
      replay: async () => {
        await running.close();
        running = begin('system_a_again');
      },
      stop: async () => {
        await running.close();
        await admin.end();
      },
    };
  },
});
