import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { silentLogger, systemClock, systemRandom } from '../../../clock.ts';
import { kafkaLog } from '../../../connectors/kafka/kafka-log.ts';
import type { Log } from '../../../connectors/log.ts';
import { BatchBuilder } from '../../../schemas/record-batch.ts';
import { bytesSerde, int64Serde, jsonSerde, stringSerde } from '../../../schemas/serde.ts';
import { defineTopic } from '../../../schemas/topic.ts';
import { defineTopology } from '../../../topology/builder.ts';
import { timestampUpTo } from '../../../index.ts';
import type { StreamInstance } from '../../../topology/runtime/stream-instance.ts';
import { latest, produce, readAll, testInstance, until } from '../../support/cluster.ts';
import { counting } from '../../support/counting.ts';
import { describeKafka } from '../../support/kafka.ts';

describeKafka('instances on Kafka', (brokers) => {
  let log: Log;
  let suffix = '';
  const instances: StreamInstance[] = [];

  beforeEach(() => {
    suffix = systemRandom.uuid().slice(0, 8);
    log = kafkaLog({ brokers, clientId: 'test' }, { clock: systemClock, random: systemRandom, logger: silentLogger });
  });

  afterEach(async () => {
    for (const instance of instances.splice(0)) await instance.close();
    await log.close();
  });

  async function start(...[, topology, options]: Parameters<typeof testInstance>): Promise<StreamInstance> {
    const instance = testInstance(log, topology, options);
    instances.push(instance);
    await instance.start();
    return instance;
  }

  it.each(['exactly_once', 'at_least_once'] as const)(
    'groupBy(newKey).count() of 1,000 records over two instances counts 1,000, %s',
    async (guarantee) => {
      const setup = counting(suffix);
      await log.admin.createTopics([setup.events, setup.counts].map(({ name }) => ({ name, partitions: 6 })));
      const { applicationId } = setup;
      const both = await Promise.all(
        ['one', 'two'].map((instanceId) => start(log, setup.topology, { applicationId, instanceId, guarantee })),
      );
      await until(
        'both have tasks',
        () => both.every((instance) => instance.isReady) && both.every((instance) => instance.tasks().length > 0),
      );
      await produce(
        log,
        setup.events,
        Array.from({ length: 1_000 }, (_, index) => ({ key: `k${index}`, value: `v${index % 7}` })),
      );
      const total = async (): Promise<number> =>
        [...latest(await readAll(log, setup.counts)).values()].reduce<number>((sum, value) => sum + (value ?? 0), 0);
      await until('all are counted', async () => (await total()) >= 1_000);
      const counted = latest(await readAll(log, setup.counts));
      expect(Object.fromEntries(counted)).toEqual({ v0: 143, v1: 143, v2: 143, v3: 143, v4: 143, v5: 143, v6: 142 });
    },
    60_000,
  );

  it('sends bad input to the dead-letter topic with its bytes, and loses nothing else', async () => {
    const given = defineTopic({ name: `given-${suffix}`, key: stringSerde, value: jsonSerde<{ n: number }>() });
    const sums = defineTopic({ name: `sums-${suffix}`, key: stringSerde, value: int64Serde });
    const dlq = defineTopic({ name: `dlq-${suffix}`, key: bytesSerde, value: bytesSerde });
    const big = { 'max.message.bytes': '5000000' };
    await log.admin.createTopics([
      // By default a broker refuses timestamps of more than an hour ahead; not all topics are so lucky.
      { name: given.name, partitions: 1, configs: { ...big, 'message.timestamp.after.max.ms': '9223372036854775807' } },
      { name: sums.name, partitions: 1 },
      { name: dlq.name, partitions: 1, configs: big },
    ]);
    const topology = defineTopology(
      'sums',
      (t) => {
        t.stream(given, { timestamp: timestampUpTo(Date.UTC(2200, 0)) })
          .mapValues(({ n }) => {
            if (typeof n !== 'number') throw new TypeError('n must be a number');
            return n;
          })
          .groupByKey({ valueSerde: int64Serde })
          .reduce('sum', (sum, n) => sum + n)
          .toStream()
          .to(sums);
      },
      { onError: 'dead-letter', deadLetterTopic: dlq.name },
    );
    const bytes = (text: string): Uint8Array => Buffer.from(text);
    const nowMs = systemClock.nowMs();
    const bad: readonly (readonly [timestampMs: number, key: Uint8Array, value: Uint8Array])[] = [
      [nowMs, bytes('a'), Buffer.from([0xff, 0xfe, 0x00])],
      [nowMs, bytes('a'), bytes('{"n":"one"}')],
      [nowMs, bytes('a'), bytes(`{"n":"${'x'.repeat(2_000_000)}"}`)],
      [Date.UTC(9999, 11, 31), bytes('a'), bytes('{"n":1}')],
      [nowMs, Buffer.from([0xc3, 0x28]), bytes('{"n":1}')],
    ];
    const records = new BatchBuilder();
    for (const entry of bad) {
      records.append(nowMs, bytes('__proto__'), bytes('{"n":1}'), []);
      records.append(...entry, []);
      // A record without key cannot be summed up by key: it is counted as skipped, as in Kafka Streams.
      records.append(nowMs, undefined, bytes('{"n":1}'), []);
    }
    const producer = await log.producer({});
    await producer.send([{ topic: given.name, partition: 0, records }]);
    await producer.close();

    const instance = await start(log, topology, { applicationId: `sums-${suffix}` });
    await until('all is dealt with', async () => (await readAll(log, dlq)).length >= bad.length);
    await until('all is summed up', async () => latest(await readAll(log, sums)).get('__proto__') === bad.length);
    expect((await readAll(log, dlq)).map(({ key, value }) => [key, value])).toEqual(
      bad.map(([, key, value]) => [Buffer.from(key), Buffer.from(value)]),
    );
    expect(latest(await readAll(log, sums))).toEqual(new Map([['__proto__', bad.length]]));
    expect(instance.failure).toBeUndefined();
  }, 60_000);
});
