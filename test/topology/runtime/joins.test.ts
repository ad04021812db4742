import { afterEach, describe, it } from '@jest/globals';
import { systemClock, systemRandom } from '../../../clock.ts';
import { memoryLog } from '../../../connectors/embedded/embedded-log.ts';
import type { EmbeddedLog } from '../../../connectors/embedded/embedded-log.ts';
import { stringSerde } from '../../../schemas/serde.ts';
import { defineTopology } from '../../../topology/builder.ts';
import type { Topology } from '../../../topology/graph.ts';
import type { StreamInstance } from '../../../topology/runtime/stream-instance.ts';
import { latest, produce, readAll, testInstance, until } from '../../support/cluster.ts';
import { texts } from '../../support/sample-topologies.ts';

const left = texts('left');
const right = texts('right');
const output = texts('output');

let log: EmbeddedLog;
const instances: StreamInstance[] = [];

async function setUp(partitions: Readonly<Record<string, number>>): Promise<void> {
  log = memoryLog({ clock: systemClock, random: systemRandom });
  await log.admin.createTopics(Object.entries(partitions).map(([name, count]) => ({ name, partitions: count })));
}

async function start(topology: Topology, instanceId = 'one'): Promise<StreamInstance> {
  const instance = testInstance(log.client(), topology, { instanceId });
  instances.push(instance);
  await instance.start();
  return instance;
}

/** The latest value of each key of the output. */
async function results(): Promise<Readonly<Record<string, string>>> {
  const rows = latest(await readAll(log, output));
  return Object.fromEntries([...rows].filter(([, value]) => value !== null).sort()) as Record<string, string>;
}

async function untilResults(expected: Readonly<Record<string, string>>): Promise<void> {
  const wanted = JSON.stringify(expected);
  await until(`results ${wanted}`, async () => JSON.stringify(await results()) === wanted, 60_000);
}

afterEach(async () => {
  for (const instance of instances.splice(0)) await instance.close();
  await log.close();
});

describe('a foreign-key join of a running application', () => {
  const topology = defineTopology('references', (t) => {
    t.table(left)
      .foreignKeyLeftJoin('fk', t.table(right), {
        foreignKey: (value) => value.split('|')[1] ?? null,
        joiner: (value, other) => `${value}+${String(other)}`,
      })
      .toStream()
      .withSerdes({ valueSerde: stringSerde })
      .to(output);
  });

  it('joins across partitions and instances, and goes on where it was after a restart without any state', async () => {
    await setUp({ left: 4, right: 3, output: 2 });
    const one = await start(topology, 'one');
    await produce(log, left, [
      { key: 'a', value: 'A|x' },
      { key: 'b', value: 'B|y' },
      { key: 'c', value: 'C' },
    ]);
    await produce(log, right, [{ key: 'x', value: 'X' }]);
    await untilResults({ a: 'A|x+X', b: 'B|y+null', c: 'C+null' });
    await one.close();

    await start(topology, 'two');
    await start(topology, 'three');
    await produce(log, right, [
      { key: 'x', value: 'Z' },
      { key: 'y', value: 'Y' },
    ]);
    await untilResults({ a: 'A|x+Z', b: 'B|y+Y', c: 'C+null' });
    await produce(log, left, [
      { key: 'a', value: 'A|y' },
      { key: 'b', value: null },
    ]);
    await untilResults({ a: 'A|y+Y', c: 'C+null' });
  }, 180_000);
});

describe('a join of two streams of a running application', () => {
  const topology = defineTopology('pairs', (t) => {
    t.stream(left)
      .leftJoinStream('pair', t.stream(right), {
        windows: { beforeMs: 100, afterMs: 100, graceMs: 0 },
        joiner: (value, other) => `${value}+${String(other)}`,
      })
      .withSerdes({ valueSerde: stringSerde })
      .to(output);
  });

  it('remembers what waits and what may still be joined when it starts without any state', async () => {
    await setUp({ left: 1, right: 1, output: 1 });
    const one = await start(topology, 'one');
    await produce(log, left, [
      { key: 'a', value: 'A', timestampMs: 1_000 },
      { key: 'b', value: 'B', timestampMs: 1_000 },
      { key: 'c', value: 'C', timestampMs: 1_000 },
    ]);
    await produce(log, right, [{ key: 'c', value: 'c', timestampMs: 1_000 }]);
    await untilResults({ c: 'C+c' });
    await one.close();

    await start(topology, 'two');
    await produce(log, right, [{ key: 'a', value: 'a', timestampMs: 1_100 }]);
    await untilResults({ a: 'A+a', c: 'C+c' });
    await produce(log, left, [{ key: 'd', value: 'D', timestampMs: 1_101 }]);
    await untilResults({ a: 'A+a', b: 'B+null', c: 'C+c' });
  }, 180_000);
});

describe('a global table of a running application', () => {
  const topology = defineTopology('lookups', (t) => {
    t.stream(left)
      .leftJoinGlobal('looked-up', t.globalTable(right), {
        key: (value) => value,
        joiner: (value, row) => `${value}+${String(row)}`,
      })
      .withSerdes({ valueSerde: stringSerde })
      .to(output);
  });

  it('is read from all partitions before any record is joined, by every instance, and kept up to date', async () => {
    await setUp({ left: 3, right: 4, output: 1 });
    const names = Array.from({ length: 50 }, (_, index) => `r${String(index)}`);
    await produce(
      log,
      right,
      names.map((name) => ({ key: name, value: name.toUpperCase() })),
    );
    await produce(
      log,
      left,
      names.map((name) => ({ key: `k-${name}`, value: name })),
    );
    await Promise.all([start(topology, 'one'), start(topology, 'two')]);
    await untilResults(
      Object.fromEntries(names.map((name) => [`k-${name}`, `${name}+${name.toUpperCase()}`] as const).sort()),
    );

    await produce(log, right, [{ key: 'late', value: 'LATE' }]);
    await until(
      'the later row is seen',
      async () => {
        await produce(log, left, [{ key: 'k-late', value: 'late' }]);
        return (await results())['k-late'] === 'late+LATE';
      },
      60_000,
    );
  }, 180_000);
});
