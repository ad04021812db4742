import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { silentLogger, systemClock, systemRandom } from '../../../clock.ts';
import { kafkaLog } from '../../../connectors/kafka/kafka-log.ts';
import { changeCaptureContract, type Capture, type CaptureTarget } from '../../contracts/change-capture-contract.ts';
import { ConnectWorker } from '../../support/connect/connect-worker.ts';
import { SystemADatabase } from '../../support/customer/system-a-database.ts';
import { describeKafka } from '../../support/kafka.ts';

interface ShippedConnector {
  readonly name: string;
  readonly config: Readonly<Record<string, string>>;
}

const file = fileURLToPath(new URL('../../../connectors/system-a-cdc.json', import.meta.url));
const shipped = JSON.parse(readFileSync(file, 'utf8')) as ShippedConnector;

/** The shipped configuration, as it is but for where things are; and without letting go of the log behind it, so that it can be sent back. */
function configFor({ systemA, topic }: CaptureTarget): Record<string, string> {
  const database = new URL(systemA.url);
  return {
    ...shipped.config,
    'database.hostname': database.hostname,
    'database.port': database.port,
    'database.dbname': database.pathname.slice(1),
    'transforms.route.replacement': topic,
    'topic.creation.default.replication.factor': '1',
    'lsn.flush.mode': 'manual',
  };
}

describeKafka('Debezium on Kafka Connect', (brokers) => {
  changeCaptureContract('Debezium', {
    openLog: () =>
      kafkaLog({ brokers, clientId: 'cdc-test' }, { clock: systemClock, random: systemRandom, logger: silentLogger }),
    start: async (target): Promise<Capture> => {
      const env = { DEBEZIUM_PASSWORD: SystemADatabase.password };
      const worker = await ConnectWorker.start({ brokers, name: target.name, env });
      await worker.configure(shipped.name, configFor(target));
      const snapshotted = await worker.offsetsOnceKnown(shipped.name);
      return {
        replay: async () => {
          await worker.stopConnector(shipped.name);
          await worker.setOffsets(shipped.name, snapshotted);
          await worker.resumeConnector(shipped.name);
        },
        stop: () => worker.stop(),
      };
    },
  });
});
