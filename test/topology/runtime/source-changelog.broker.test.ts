import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { silentLogger, systemClock, systemRandom } from '../../../clock.ts';
import { kafkaLog } from '../../../connectors/kafka/kafka-log.ts';
import type { Log } from '../../../connectors/log.ts';
import type { StreamInstance } from '../../../topology/runtime/stream-instance.ts';
import { metric, produce, testInstance } from '../../support/cluster.ts';
import { describeKafka } from '../../support/kafka.ts';
import { townsSaid } from '../../support/towns-said.ts';

describeKafka('a table on Kafka that is restored from its topic', (brokers) => {
  let log: Log;
  let running: StreamInstance | undefined;

  beforeEach(() => {
    log = kafkaLog({ brokers, clientId: 'test' }, { clock: systemClock, random: systemRandom, logger: silentLogger });
  });

  afterEach(async () => {
    await running?.close();
    await log.close();
  });

  it('has its rows again after its state was lost, and is refused over a topic that is not compacted', async () => {
    const setup = townsSaid(log, systemRandom.uuid().slice(0, 8));
    const { applicationId } = setup;
    const start = async (): Promise<StreamInstance> => {
      running = testInstance(log, setup.topology('skip'), { applicationId });
      await running.start();
      return running;
    };
    await setup.create('compact');
    await produce(log, setup.towns, [
      { key: 'ann', value: 'Rome' },
      { key: 'bob', value: 'Oslo' },
      { key: 'ann', value: null },
    ]);
    await setup.produceBad('bob');
    const first = await start();
    const rows = (word: string): readonly string[] => [`ann: ${word} in null`, `bob: ${word} in Oslo`];
    expect(await setup.say('hi', ['ann', 'bob'])).toEqual(rows('hi'));
    await first.close({ leaveGroup: true });
    const second = await start();
    expect(await setup.say('lo', ['ann', 'bob'])).toEqual(rows('lo'));
    expect(metric(second, 'rivulet_restored_records_total')).toBe(4);
    expect((await log.admin.listTopics()).filter((name) => name.startsWith(applicationId))).toEqual([]);
    await second.close({ leaveGroup: true });

    const deleting = townsSaid(log, systemRandom.uuid().slice(0, 8));
    await deleting.create('delete');
    const refused = testInstance(log, deleting.topology('skip'), { applicationId: deleting.applicationId });
    await expect(refused.start()).rejects.toMatchObject({ code: 'TOPIC_INVALID' });
  }, 120_000);
});
