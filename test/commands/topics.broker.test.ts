import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { silentLogger, systemClock, systemRandom } from '../../clock.ts';
import { kafkaLog } from '../../connectors/kafka/kafka-log.ts';
import type { Log } from '../../connectors/log.ts';
import { until } from '../support/cluster.ts';
import { startApplication } from '../support/application.ts';
import { describeKafka } from '../support/kafka.ts';

const prefix = `topics-${systemRandom.uuid().slice(0, 8)}.`;

describeKafka('the topics of all applications on Kafka', (brokers) => {
  let log: Log;

  beforeAll(() => {
    log = kafkaLog({ brokers, clientId: 'test' }, { clock: systemClock, random: systemRandom, logger: silentLogger });
  });

  afterAll(async () => {
    await log.close();
  });

  async function run(...args: readonly string[]): Promise<{ code: number | string; lines: readonly string[] }> {
    const env = { KAFKA_BROKERS: brokers.join(','), TOPIC_PREFIX: prefix };
    const { ended, stdout } = startApplication(env, { args: ['topics', ...args] });
    return { code: await ended, lines: stdout().trim().split('\n') };
  }

  test('are created once, as declared, but for one that somebody made otherwise; of that the configuration can be mended', async () => {
    const name = `${prefix}billing.commands`;
    await log.admin.createTopics([{ name, partitions: 3, configs: { 'retention.ms': '1000' } }]);
    const first = await run();
    expect(first.code).toBe(1);
    const drifts = first.lines.filter((line) => line.startsWith(`${name}:`));
    expect(drifts).toEqual([
      `${name}: partitions: 3, declared 10; this cannot be changed in place`,
      `${name}: retention.ms: 1000, declared 604800000`,
    ]);
    const { topics, created, drifted } = JSON.parse(first.lines.at(-1) ?? '') as Record<string, number>;
    expect({ created, drifted }).toEqual({ created: Number(topics) - 1, drifted: 1 });
    expect((await log.admin.topicConfigs(`${prefix}billing.account.events`)).get('retention.ms')).toBe('-1');
    expect((await log.admin.topicConfigs(`${prefix}customer.merged`)).get('min.cleanable.dirty.ratio')).toBe('0.3');

    const fixed = await run('--fix');
    expect(fixed.lines).toContain(`${name}: retention.ms: 1000, declared 604800000, mended`);
    expect(JSON.parse(fixed.lines.at(-1) ?? '')).toMatchObject({ mended: 1, drifted: 1 });
    await until(
      'it is mended',
      async () => (await log.admin.topicConfigs(name)).get('retention.ms') === '604800000',
      60_000,
    );

    await log.admin.deleteTopics([name]);
    expect(await run()).toMatchObject({ code: 0 });
    const again = await run();
    expect(again.code).toBe(0);
    expect(JSON.parse(again.lines.at(-1) ?? '')).toMatchObject({ topics, created: 0, missing: 0, drifted: 0 });
  }, 240_000);
});
