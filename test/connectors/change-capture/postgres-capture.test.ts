import { silentLogger, systemClock, systemRandom } from '../../../clock.ts';
import { postgresCapture } from '../../../connectors/change-capture/postgres-capture.ts';
import type { Connector } from '../../../connectors/connector.ts';
import { memoryLog } from '../../../connectors/embedded/embedded-log.ts';
import { changeCaptureContract, type Capture } from '../../contracts/change-capture-contract.ts';
import { until } from '../../support/cluster.ts';

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
