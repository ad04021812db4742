import { afterEach, describe, expect, it } from '@jest/globals';
import { systemClock, systemRandom } from '../../../clock.ts';
import { memoryLog } from '../../../connectors/embedded/embedded-log.ts';
import type { Carrier } from '../../../connectors/embedded/connection.ts';
import type { EmbeddedLog } from '../../../connectors/embedded/embedded-log.ts';
import type { Log } from '../../../connectors/log.ts';
import { stringSerde } from '../../../schemas/serde.ts';
import { defineTopic } from '../../../schemas/topic.ts';
import { defineTopology } from '../../../topology/builder.ts';
import type { StreamInstance } from '../../../topology/runtime/stream-instance.ts';
import { produce, readAll, testInstance, until } from '../../support/cluster.ts';

const input = defineTopic({ name: 'input', key: stringSerde, value: stringSerde });
const output = defineTopic({ name: 'output', key: stringSerde, value: stringSerde });
const copy = defineTopology('copy', (t) => {
  t.stream(input).to(output);
});
const partitions = 6;

/** Commits take a while: more is processed meanwhile. */
const slowCommits: Carrier = async (name, effect) => {
  if (name === 'end-txn') await systemClock.sleep(30);
  return effect();
};

let log: EmbeddedLog;
const instances: StreamInstance[] = [];

async function start(client: Log, instanceId: string): Promise<StreamInstance> {
  const instance = testInstance(client, copy, { instanceId });
  instances.push(instance);
  await instance.start();
  return instance;
}

/** Keeps producing numbered records until `isDone`; returns how many. */
async function produceUntil(isDone: () => boolean): Promise<number> {
  let total = 0;
  while (!isDone()) {
    const batch = Array.from({ length: 60 }, (_, index) => ({ key: `k${String(total + index)}`, value: 'v' }));
    await produce(log, input, batch);
    total += batch.length;
    await systemClock.yield();
  }
  return total;
}

afterEach(async () => {
  for (const instance of instances.splice(0)) await instance.close();
  await log.close();
});

describe('handing tasks over under load', () => {
  it('gives every record its effect once, though tasks go on processing while they are committed for the last time', async () => {
    log = memoryLog({ clock: systemClock, random: systemRandom });
    await log.admin.createTopics([input, output].map(({ name }) => ({ name, partitions })));
    const one = await start(log.client(slowCommits), 'one');
    await until('one has everything', () => one.isReady && one.tasks().length === partitions);
    const two = await start(log.client(slowCommits), 'two');
    const total = await produceUntil(() => two.isReady && two.tasks().length === partitions / 2);
    const keys = async (): Promise<readonly (string | null)[]> => (await readAll(log, output)).map(({ key }) => key);
    await until('everything came out', async () => new Set(await keys()).size === total);
    expect(await keys()).toHaveLength(total);
  });
});
