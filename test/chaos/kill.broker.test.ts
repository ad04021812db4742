import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import { silentLogger, systemClock, systemRandom } from '../../clock.ts';
import { kafkaLog } from '../../connectors/kafka/kafka-log.ts';
import type { Log } from '../../connectors/log.ts';
import { levelStores } from '../../state-stores/level.ts';
import { Child } from '../support/child.ts';
import { latest, produce, readAll, testInstance, until } from '../support/cluster.ts';
import { expectEachCountOnce, sumOf } from '../support/counted.ts';
import { counting } from '../support/counting.ts';
import type { Counting } from '../support/counting.ts';
import { describeKafka } from '../support/kafka.ts';

const partitions = 6;
const distinct = 40;
const rounds = 5;
const recordsPerRound = 3_000;

/** Records `from..to`, each with a key of its own and a value that is counted. */
function batch(from: number, to: number) {
  return Array.from({ length: to - from }, (_, index) => ({
    key: `k${String(from + index)}`,
    value: `v${String((from + index) % distinct)}`,
  }));
}

describeKafka('processes that are killed', (brokers) => {
  test('exactly-once: two processes, one killed with SIGKILL again and again under load, count every record once', async () => {
    const suffix = systemRandom.uuid().slice(0, 8);
    const setup = counting(suffix);
    const directory = await mkdtemp(join(tmpdir(), 'rivulet-kill-'));
    const log = kafkaLog(
      { brokers, clientId: 'test' },
      { clock: systemClock, random: systemRandom, logger: silentLogger },
    );
    await log.admin.createTopics([setup.events, setup.counts].map(({ name }) => ({ name, partitions })));
    const start = (id: string): Child =>
      new Child('./counting-process.ts', [brokers[0] ?? '', suffix, id, join(directory, id), 'exactly_once']);
    const steady = start('steady');
    let victim = start('victim');
    let total = 0;
    try {
      for (let round = 0; round < rounds; round += 1) {
        await produce(log, setup.events, batch(total, total + recordsPerRound / 2));
        total += recordsPerRound / 2;
        const before = await sumOf(log, setup.counts);
        await until('work goes on', async () => (await sumOf(log, setup.counts)) > before, 40_000);
        await produce(log, setup.events, batch(total, total + recordsPerRound / 2));
        total += recordsPerRound / 2;
        await victim.kill();
        victim = start('victim');
      }
      await until('everything is counted', async () => (await sumOf(log, setup.counts)) >= total, 60_000);
      expect(await sumOf(log, setup.counts)).toBe(total);
      const counted = latest(await readAll(log, setup.counts));
      for (let index = 0; index < distinct; index += 1) expect(counted.get(`v${String(index)}`)).toBe(total / distinct);
      await expectEachCountOnce(log, setup.counts);
    } catch (error) {
      throw new Error(`steady: ${steady.errors}\nvictim: ${victim.errors}`, { cause: error });
    } finally {
      await victim.stop();
      await steady.stop();
    }
    await stateEqualsChangelog(log, setup, join(directory, 'steady'));
    await rm(directory, { recursive: true, force: true });
    await log.close();
  }, 180_000);
});

/** Opens the state that was left behind on its own, and once from nothing: both hold the fold of the changelog. */
async function stateEqualsChangelog(log: Log, setup: Counting, directory: string): Promise<void> {
  const folded = latest(await readAll(log, setup.changelog));
  for (const path of [directory, join(directory, 'fresh')]) {
    const stores = levelStores({ directory: path, logger: silentLogger, random: systemRandom });
    const instance = testInstance(log, setup.topology, {
      applicationId: setup.applicationId,
      instanceId: 'reader',
      stores,
    });
    await instance.start();
    await until('all tasks run', () => instance.isReady, 60_000);
    const spec = instance.storeSpec('counts-by-value');
    const found = new Map<unknown, unknown>();
    for (let partition = 0; partition < partitions; partition += 1)
      for await (const [key, value] of instance.localStore(spec.name, partition).scan({}))
        found.set(spec.key.deserialize(key), spec.value.deserialize(spec.format.toChangelog(value, 0).value));
    await instance.close();
    expect(found).toEqual(folded);
  }
}
