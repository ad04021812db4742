import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { systemClock, systemRandom } from '../../../clock.ts';
import { memoryLog, type EmbeddedLog } from '../../../connectors/embedded/embedded-log.ts';
import { defineProcessor } from '../../../processors/processor.ts';
import { int64Serde, stringSerde } from '../../../schemas/serde.ts';
import { defineTopic } from '../../../schemas/topic.ts';
import { defineTopology } from '../../../topology/builder.ts';
import type { StreamInstance } from '../../../topology/runtime/stream-instance.ts';
import { produce, readAll, testInstance, until } from '../../support/cluster.ts';

const words = defineTopic({ name: 'words', key: stringSerde, value: stringSerde });
const counts = defineTopic({ name: 'counts', key: stringSerde, value: int64Serde });
const waitMs = 60_000;

let ticks = 0;
const ticking = defineProcessor({
  name: 'ticking',
  init: (context: { schedule(schedule: { everyMs: number; by: 'wall-clock' }, run: () => void): unknown }) => {
    context.schedule({ everyMs: 10, by: 'wall-clock' }, () => {
      ticks += 1;
    });
  },
  process: () => undefined,
});

const counting = defineTopology('counting', (t) => {
  const stream = t.stream(words);
  stream.process(ticking);
  stream.groupByKey().count('counted').toStream().to(counts);
});

let log: EmbeddedLog;
const instances: StreamInstance[] = [];

beforeEach(async () => {
  ticks = 0;
  log = memoryLog({ clock: systemClock, random: systemRandom });
  await log.admin.createTopics([words, counts].map(({ name }) => ({ name, partitions: 2 })));
});

afterEach(async () => {
  for (const instance of instances.splice(0)) await instance.close();
  await log.close();
});

function instance(instanceId: string, how: Parameters<typeof testInstance>[2] = {}): StreamInstance {
  const made = testInstance(log, counting, { instanceId, ...how });
  instances.push(made);
  return made;
}

const word = (index: number) => ({ key: `k${String(index % 10)}`, value: 'w' });
const some = (count: number) => Array.from({ length: count }, (_, index) => word(index));
const counted = async (): Promise<number> => (await readAll(log, counts)).length;
const committed = (): Promise<readonly ({ offset: number } | undefined)[]> =>
  log.admin.committed(
    'counting',
    [0, 1].map((partition) => ({ topic: words.name, partition })),
    { requireStable: false },
  );

describe('an instance that is paused', () => {
  it('processes nothing and fires no punctuator, answers queries, commits what it did, and goes on where it was', async () => {
    const one = instance('one');
    await one.start();
    await produce(log, words, some(20));
    await until('all are counted', async () => (await counted()) === 20, waitMs);
    one.pause();
    await until('what was done is committed', async () => sum(await committed()) === 20, waitMs);
    const ticksBefore = ticks;
    await produce(log, words, some(30));
    await until('records wait', () => lagOf(one) === 30, waitMs);
    expect([await counted(), ticks, one.isPaused, one.isReady]).toEqual([20, ticksBefore, true, true]);
    expect(one.metrics().find(({ name }) => name === 'rivulet_paused')?.value).toBe(1);
    expect([...storedCounts(one)]).toHaveLength(10);
    one.resume();
    await until('the rest is counted', async () => (await counted()) === 50, waitMs);
    await until('it ticks again', () => ticks > ticksBefore, waitMs);
  });

  it('keeps no more than its buffers hold, and loses nothing', async () => {
    const one = instance('one', { bufferedBytesMax: 1_024 });
    one.pause();
    await one.start();
    for (let batch = 0; batch < 20; batch += 1) await produce(log, words, some(100));
    const buffered = (): number =>
      one
        .metrics()
        .filter(({ name }) => name === 'rivulet_task_buffered_bytes')
        .reduce((total, { value }) => total + value, 0);
    await until('buffers fill', () => buffered() > 1_024, waitMs);
    expect(await counted()).toBe(0);
    one.resume();
    await until('all are counted', async () => (await counted()) === 2_000, waitMs);
  });

  it('keeps its tasks, and hands them over and takes them like any other', async () => {
    const [one, two] = [instance('one'), instance('two')];
    one.pause();
    await one.start();
    await until('it owns all tasks', () => running(one) === 2, waitMs);
    await two.start();
    await until('both own one', () => running(one) === 1 && running(two) === 1, waitMs);
    await produce(log, words, some(20));
    await until('one half is counted', async () => (await counted()) > 0, waitMs);
    await two.close();
    await until('it owns all again', () => running(one) === 2, waitMs);
    const before = await counted();
    expect(before).toBeLessThan(20);
    one.resume();
    await until('all are counted', async () => (await counted()) === 20, waitMs);
  });
});

function sum(offsets: readonly ({ offset: number } | undefined)[]): number {
  return offsets.reduce((total, known) => total + (known?.offset ?? 0), 0);
}

function lagOf(one: StreamInstance): number {
  return one.tasks().reduce((total, { inputs }) => total + inputs.reduce((lag, input) => lag + (input.lag ?? 0), 0), 0);
}

function running(one: StreamInstance): number {
  return one.tasks().filter(({ state }) => state === 'running').length;
}

function* storedCounts(one: StreamInstance): Generator<Uint8Array> {
  for (const index of Array.from({ length: 10 }, (_, at) => at)) {
    const key = stringSerde.serialize(`k${String(index)}`);
    const found = one.localStore('counted', one.locate('counted', key).partition).get(key);
    if (found !== undefined) yield found;
  }
}
