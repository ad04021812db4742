import { silentLogger, systemClock, systemRandom } from '../../../clock.ts';
import { kafkaLog } from '../../../connectors/kafka/kafka-log.ts';
import { logContract } from '../../contracts/log-contract.ts';
import { describeKafka } from '../../support/kafka.ts';

describeKafka('a real Kafka broker', (brokers) => {
  logContract('kafkaLog', () => {
    const deps = { clock: systemClock, random: systemRandom, logger: silentLogger };
    const open = () => kafkaLog({ brokers, clientId: 'contract' }, deps);
    const log = open();
    return Promise.resolve({ log, another: () => Promise.resolve(open()), cleanup: () => log.close() });
  });
});
