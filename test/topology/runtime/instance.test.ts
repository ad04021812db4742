import { afterEach, describe, expect, it } from '@jest/globals';
import { systemClock, systemRandom } from '../../../clock.ts';
import { memoryLog } from '../../../connectors/embedded/embedded-log.ts';
import type { EmbeddedLog } from '../../../connectors/embedded/embedded-log.ts';
import { int64Serde, stringSerde } from '../../../schemas/serde.ts';
import { defineTopic } from '../../../schemas/topic.ts';
import { defineTopology } from '../../../topology/builder.ts';
import type { StreamInstance } from '../../../topology/runtime/stream-instance.ts';
import { latest, produce, readAll, testInstance, until } from '../../support/cluster.ts';

const words = defineTopic({ name: 'words', key: stringSerde, value: stringSerde });
const counts = defineTopic({ name: 'counts', key: stringSerde, value: int64Serde });

const wordCount = defineTopology('word-count', (t) => {
  t.stream(words)
    .groupBy('by-word', (word) => word, { keySerde: stringSerde })
    .count('counts-by-word')
    .toStream()
    .to(counts);
});

let log: EmbeddedLog;
const instances: StreamInstance[] = [];

async function setUp(partitions: number): Promise<void> {
  log = memoryLog({ clock: systemClock, random: systemRandom });
  await log.admin.createTopics([words, counts].map(({ name }) => ({ name, partitions })));
}

async function start(...args: Parameters<typeof testInstance>): Promise<StreamInstance> {
  const instance = testInstance(...args);
  instances.push(instance);
  await instance.start();
  return instance;
}

function records(count: number, distinct: number) {
  return Array.from({ length: count }, (_, index) => ({
    key: `k${String(index)}`,
    value: `w${String(index % distinct)}`,
  }));
}

async function totalCounted(): Promise<number> {
  let total = 0;
  for (const value of latest(await readAll(log, counts)).values()) total += value ?? 0;
  return total;
}

afterEach(async () => {
  for (const instance of instances.splice(0)) await instance.close();
  await log.close();
});

describe('a running instance', () => {
  it('counts by a new key through a repartition topic', async () => {
    await setUp(4);
    await produce(log, words, records(1_000, 7));
    const instance = await start(log, wordCount);
    await until('all counted', async () => (await totalCounted()) === 1_000);
    expect(instance.isReady).toBe(true);
    const final = latest(await readAll(log, counts));
    expect([...final.values()].map(Number).sort((a, b) => a - b)).toEqual([142, 143, 143, 143, 143, 143, 143]);
  });

  it('shares the partitions among instances that come and go, and counts each record once', async () => {
    await setUp(6);
    const one = await start(log.client(), wordCount, { instanceId: 'one' });
    await produce(log, words, records(500, 11));
    const two = await start(log.client(), wordCount, { instanceId: 'two' });
    const runs = (instance: StreamInstance): number =>
      instance.tasks().filter(({ state }) => state === 'running').length;
    await until('both have their share', () => one.isReady && two.isReady && runs(one) === 6 && runs(two) === 6);
    await produce(log, words, records(500, 11));
    await until('all counted', async () => (await totalCounted()) === 1_000);
    await one.close();
    await produce(log, words, records(500, 11));
    await until('all counted by the survivor', async () => (await totalCounted()) === 1_500);
    expect(two.tasks()).toHaveLength(12);
  });

  it('counts the same with at-least-once when nothing fails', async () => {
    await setUp(3);
    await produce(log, words, records(300, 5));
    await start(log, wordCount, { guarantee: 'at_least_once' });
    await until('all counted', async () => (await totalCounted()) === 300);
  });

  it('rebuilds its state from the changelog when the state directory is gone', async () => {
    await setUp(3);
    await produce(log, words, records(600, 9));
    const first = await start(log.client(), wordCount);
    await until('all counted', async () => (await totalCounted()) === 600);
    await first.close();
    // Stores in memory are gone with the instance that had them.
    const second = await start(log.client(), wordCount);
    await produce(log, words, records(300, 9));
    await until('counting went on where it was', async () => (await totalCounted()) === 900);
    expect(second.isReady).toBe(true);
  });

  it('stops with a clear error at a bad record under the policy fail, and commits nothing beyond it', async () => {
    await setUp(1);
    const strict = defineTopology('strict', (t) => {
      t.stream(words)
        .mapValues((word) => {
          if (word === 'bad') throw new Error('cannot digest this');
          return 1;
        })
        .to(counts);
    });
    await produce(log, words, [
      { key: 'a', value: 'good' },
      { key: 'b', value: 'bad' },
      { key: 'c', value: 'good' },
    ]);
    const instance = await start(log, strict);
    await until('failed', () => instance.state === 'failed');
    expect(instance.failure).toMatchObject({
      code: 'PROCESSING_FAILED',
      facts: { topic: 'words', partition: 0, offset: 1 },
    });
    const [committed] = await log.admin.committed('strict', [{ topic: 'words', partition: 0 }], {
      requireStable: true,
    });
    expect(committed?.offset ?? 0).toBeLessThanOrEqual(1);
  });

  it('dead-letters what fails and what is too large for its target, in order with the rest', async () => {
    await setUp(1);
    const dlq = defineTopic({ name: 'dlq', key: stringSerde, value: stringSerde });
    await log.admin.createTopics([{ name: dlq.name, partitions: 1, configs: { 'max.message.bytes': '5000000' } }]);
    const tolerant = defineTopology(
      'tolerant',
      (t) => {
        t.stream(words)
          .mapValues((word) => {
            if (word === 'bad') throw new Error('cannot digest this');
            return word === 'huge' ? 'x'.repeat(2_000_000) : word;
          })
          .to(defineTopic({ name: 'counts', key: stringSerde, value: stringSerde }));
      },
      { onError: 'dead-letter', deadLetterTopic: dlq.name },
    );
    await produce(log, words, [
      { key: 'a', value: 'one' },
      { key: 'b', value: 'bad' },
      { key: 'c', value: 'huge' },
      { key: null, value: 'without key' },
      { key: '__proto__', value: 'two' },
    ]);
    const instance = await start(log, tolerant);
    const output = defineTopic({ name: 'counts', key: stringSerde, value: stringSerde });
    await until('all dealt with', async () => (await readAll(log, output)).length === 3);
    expect((await readAll(log, output)).map(({ key, value }) => [key, value])).toEqual([
      ['a', 'one'],
      [null, 'without key'],
      ['__proto__', 'two'],
    ]);
    expect((await readAll(log, dlq)).map(({ key, value }) => [key, value])).toEqual([
      ['b', 'bad'],
      ['c', 'huge'],
    ]);
    expect(instance.state).toBe('running');
  });

  it('waits for a source topic that does not exist yet, and says so', async () => {
    log = memoryLog({ clock: systemClock, random: systemRandom });
    const instance = testInstance(log, wordCount);
    instances.push(instance);
    const started = instance.start();
    await until('says what is missing', () => instance.failure?.code === 'SOURCE_TOPIC_MISSING');
    expect(instance.isReady).toBe(false);
    await log.admin.createTopics([words, counts].map(({ name }) => ({ name, partitions: 2 })));
    await started;
    await until('ready', () => instance.isReady);
    expect(instance.failure).toBeUndefined();
  });

  it('refuses to start over an internal topic that the topology does not know', async () => {
    await setUp(1);
    await log.admin.createTopics([{ name: 'word-count-old-store-changelog', partitions: 1 }]);
    await expect(testInstance(log, wordCount).start()).rejects.toMatchObject({ code: 'INTERNAL_TOPIC_UNKNOWN' });
    const again = defineTopology(
      'word-count',
      (t) => {
        t.stream(words).groupByKey().count('n').toStream().to(counts);
      },
      { retired: ['old-store'] },
    );
    const instance = await start(log, again);
    await until('ready', () => instance.isReady);
  });
});
