import { silentLogger, systemClock, systemRandom } from '../../../clock.ts';
import { kafkaLog } from '../../../connectors/kafka/kafka-log.ts';
import { changeCaptureContract, type Capture } from '../../contracts/change-capture-contract.ts';
import { ConnectWorker } from '../../support/connect/connect-worker.ts';
import { placed, shippedConnector } from '../../support/connect/shipped-connectors.ts';
import { SystemADatabase } from '../../support/customer/system-a-database.ts';
import { describeKafka } from '../../support/kafka.ts';

describeKafka('Debezium on Kafka Connect', (brokers) => {
  changeCaptureContract('Debezium', {
    openLog: () =>
      kafkaLog({ brokers, clientId: 'cdc-test' }, { clock: systemClock, random: systemRandom, logger: silentLogger }),
    start: async (target): Promise<Capture> => {
      const connector = shippedConnector('system-a-cdc');
      const { name } = connector;
      const env = { DEBEZIUM_PASSWORD: SystemADatabase.password };
      const worker = await ConnectWorker.start({ brokers, name: target.name, env });
      // So that it can be sent back, it does not let go of the database's log behind it.
      const place = { url: target.systemA.url, topic: target.topic };
      await worker.configure(name, placed(connector, place, { 'lsn.flush.mode': 'manual' }));
      const snapshotted = await worker.offsetsOnceKnown(name);
      return {
        replay: async () => {
          await worker.stopConnector(name);
          await worker.setOffsets(name, snapshotted);
          await worker.resumeConnector(name);
        },
        stop: () => worker.stop(),
      };
    },
  });
});
