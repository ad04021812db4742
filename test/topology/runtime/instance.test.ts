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
    await until(
      'both have tasks',
      () => one.isReady && two.isReady && one.tasks().length > 0 && two.tasks().length > 0,
    );
    expect(one.tasks().length + two.tasks().length).toBe(12);
    await produce(log, words, records(500, 11));
    await until('all counted', async () => (await totalCounted()) === 1_000);
    await one.close();
    await produce(log, words, records(500, 11));
    await until('all counted by the survivor', async () => (await totalCounted()) === 1_500);
    expect(two.tasks()).toHaveLength(12);
  });
});
