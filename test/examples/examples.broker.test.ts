import { afterAll, beforeAll, expect, it } from '@jest/globals';
import { silentLogger, systemClock, systemRandom } from '../../clock.ts';
import { kafkaLog } from '../../connectors/kafka/kafka-log.ts';
import type { Log } from '../../connectors/log.ts';
import { describeKafka } from '../support/kafka.ts';
import { examples } from './operators.ts';
import { runOnLog } from './run-on-log.ts';

describeKafka('the examples of operators on Kafka', (brokers) => {
  const prefix = `examples-${systemRandom.uuid().slice(0, 8)}`;
  let log: Log;

  beforeAll(() => {
    log = kafkaLog({ brokers, clientId: 'test' }, { clock: systemClock, random: systemRandom, logger: silentLogger });
  });

  afterAll(async () => {
    await log.close();
  });

  it.each([...examples().keys()])('%s gives what it gives in the test driver', async (name) => {
    // No id begins with another one and a hyphen: internal topics would seem to be of both.
    const unique = `${name}.${prefix}`;
    const example = examples(`${unique}-`).get(name);
    expect(example).toBeDefined();
    if (example !== undefined) expect(await runOnLog(log, example, unique)).toEqual(example.output);
  });
});
