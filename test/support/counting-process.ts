/** An instance of the counting topology as a process of its own, for tests that kill it: `BROKERS SUFFIX INSTANCE_ID STATE_DIRECTORY GUARANTEE [STANDBYS]`. */
import { systemClock, systemRandom } from '../../clock.ts';
import { kafkaLog } from '../../connectors/kafka/kafka-log.ts';
import { createJsonLogger } from '../../json-logger.ts';
import { levelStores } from '../../state-stores/level.ts';
import { createInstance } from '../../topology/runtime/stream-instance.ts';
import { counting } from './counting.ts';

const [brokers = '', suffix = '', instanceId = '', directory = '', guarantee = '', standbys = '0'] =
  process.argv.slice(2);
const { topology, applicationId } = counting(suffix);
const logger = createJsonLogger({
  level: 'info',
  clock: systemClock,
  write: (line) => {
    process.stderr.write(`${line}\n`);
  },
});
const instance = createInstance({
  applicationId,
  instanceId,
  topology,
  guarantee: guarantee === 'at_least_once' ? 'at_least_once' : 'exactly_once',
  commitIntervalMs: 100,
  sessionTimeoutMs: 3_000,
  heartbeatIntervalMs: 500,
  rebalanceTimeoutMs: 10_000,
  transactionTimeoutMs: 5_000,
  standbys: Number(standbys),
  host: {
    clock: systemClock,
    random: systemRandom,
    log: kafkaLog({ brokers: [brokers], clientId: instanceId }, { clock: systemClock, random: systemRandom, logger }),
    stores: levelStores({ directory, logger, random: systemRandom }),
    logger,
    fault: () => undefined,
    sometimes: () => undefined,
  },
});
process.once('SIGTERM', () => {
  instance.close().then(
    (isClean) => process.exit(isClean ? 0 : 1),
    () => process.exit(1),
  );
});
await instance.start();
process.stdout.write('started\n');
