import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { silentLogger, systemClock, systemRandom } from '../../../clock.ts';
import { memoryLog } from '../../../connectors/embedded/embedded-log.ts';
import type { EmbeddedLog } from '../../../connectors/embedded/embedded-log.ts';
import { bytesSerde, type Serde } from '../../../schemas/serde.ts';
import { levelStores } from '../../../state-stores/level.ts';
import type { Stores } from '../../../state-stores/store.ts';
import type { StreamInstance } from '../../../topology/runtime/stream-instance.ts';
import { metric, produce, testInstance, until, type TestInstanceOptions } from '../../support/cluster.ts';
import { townsSaid, type TownsSaid } from '../../support/towns-said.ts';

let log: EmbeddedLog;
let setup: TownsSaid;
let directory: string;
const instances: StreamInstance[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'rivulet-source-changelog-'));
  log = memoryLog({ clock: systemClock, random: systemRandom });
  setup = townsSaid(log, 'here');
});

afterEach(async () => {
  for (const instance of instances.splice(0)) await instance.close();
  await log.close();
  await rm(directory, { recursive: true, force: true });
});

/** Stores on disk that outlive an instance. */
function disk(name: string): Stores {
  return levelStores({ directory: join(directory, name), logger: silentLogger, random: systemRandom });
}

async function start(options: TestInstanceOptions = {}, topology = setup.topology('skip')): Promise<StreamInstance> {
  const instance = testInstance(log.client(), topology, { applicationId: setup.applicationId, ...options });
  instances.push(instance);
  await instance.start();
  return instance;
}

async function stop(): Promise<void> {
  for (const instance of instances.splice(0)) await instance.close({ leaveGroup: true });
}

async function fill(): Promise<void> {
  await setup.create('compact');
  await produce(log, setup.towns, [
    { key: 'ann', value: 'Rome' },
    { key: 'bob', value: 'Oslo' },
    { key: 'cem', value: 'Pisa' },
    { key: 'cem', value: null },
    { key: 'ann', value: 'Bern' },
  ]);
}

const speakers = ['ann', 'bob', 'cem'];
const joined = (word: string): readonly string[] => [
  `ann: ${word} in Bern`,
  `bob: ${word} in Oslo`,
  `cem: ${word} in null`,
];

describe.each(['exactly_once', 'at_least_once'] as const)(
  'a table that is restored from its topic, %s',
  (guarantee) => {
    it('has its rows again after its state was lost, as far as they were processed, without any internal topic', async () => {
      await fill();
      await start({ guarantee });
      expect(await setup.say('hi', speakers)).toEqual(joined('hi'));
      await stop();
      // Not processed yet: no part of what is restored.
      await produce(log, setup.towns, [{ key: 'bob', value: 'Lima' }]);
      const second = await start({ guarantee });
      await until('what is new is processed', () => metric(second, 'rivulet_records_consumed_total') === 1, 60_000);
      expect(metric(second, 'rivulet_restored_records_total')).toBe(5);
      expect(await setup.say('lo', speakers)).toEqual(['ann: lo in Bern', 'bob: lo in Lima', 'cem: lo in null']);
      expect((await log.admin.listTopics()).filter((name) => name.startsWith(setup.applicationId))).toEqual([]);
    });

    it('is not read again where its state was kept', async () => {
      await fill();
      const stores = { stores: disk('one') };
      await start({ guarantee, ...stores });
      await setup.say('hi', speakers);
      await stop();
      const second = await start({ guarantee, stores: disk('one') });
      expect(await setup.say('lo', speakers)).toEqual(joined('lo'));
      expect(metric(second, 'rivulet_restored_records_total')).toBe(0);
    });
  },
);

describe('a table that is restored from its topic', () => {
  it('passes over in a restore what it passed over before, where its policy is to skip', async () => {
    await fill();
    await setup.produceBad('bob');
    await start();
    expect(await setup.say('hi', speakers)).toEqual(joined('hi'));
    await stop();
    const second = await start();
    expect(await setup.say('lo', speakers)).toEqual(joined('lo'));
    expect(metric(second, 'rivulet_restored_records_total')).toBe(6);
  });

  it('stops the instance at what cannot be restored, where its policy is to fail', async () => {
    await fill();
    await setup.produceBad('bob');
    await start();
    await setup.say('hi', speakers);
    await stop();
    const strict = await start({}, setup.topology('fail'));
    await until('it says so', () => strict.failure?.code === 'DESERIALIZATION_FAILED', 60_000);
    expect(strict.failure?.facts).toMatchObject({ topic: setup.towns.name, partition: 0 });
  });

  it('restores the bytes that it stored, not those of the topic', async () => {
    await fill();
    const shouting: Serde<string> = {
      name: 'shouting',
      serialize: (text) => Buffer.from(text.toLowerCase()),
      deserialize: (bytes) => Buffer.from(bytes).toString().toUpperCase(),
    };
    const topology = setup.topology('fail', { ...setup.towns, value: shouting });
    const one = await start({ stores: disk('one') }, topology);
    await setup.say('hi', speakers);
    const stored = (instance: StreamInstance): readonly string[] =>
      ['ann', 'bob'].map((key) => {
        const bytes = bytesSerde.serialize(Buffer.from(key));
        const { partition } = instance.locate('towns', bytes);
        // Behind eight bytes of its time.
        return Buffer.from(instance.localStore('towns', partition).get(bytes)?.subarray(8) ?? []).toString();
      });
    expect(stored(one)).toEqual(['bern', 'oslo']);
    await stop();
    const two = await start({}, topology);
    expect(await setup.say('lo', ['ann'])).toEqual(['ann: lo in BERN']);
    expect(stored(two)).toEqual(['bern', 'oslo']);
  });

  it('is followed by standbys as far as it was processed, which take over without reading it again', async () => {
    await fill();
    const options = { standbys: 1 };
    await start({ ...options, instanceId: 'one', stores: disk('one') });
    const two = await start({ ...options, instanceId: 'two', stores: disk('two') });
    await setup.say('hi', speakers);
    await until(
      'both are followed',
      () => {
        const standbys = instances.flatMap((each) => each.tasks().filter(({ state }) => state === 'standby'));
        const followed = instances.reduce((sum, each) => sum + metric(each, 'rivulet_standby_records_total'), 0);
        return standbys.length === 2 && followed >= 5 && standbys.every(({ standby }) => standby?.lag === 0);
      },
      60_000,
    );
    const before = metric(two, 'rivulet_restored_records_total');
    const [one] = instances.splice(0, 1);
    await one?.close({ leaveGroup: true });
    await until('two runs all', () => two.tasks().filter(({ state }) => state === 'running').length === 2, 60_000);
    expect(await setup.say('lo', speakers)).toEqual(joined('lo'));
    expect(metric(two, 'rivulet_restored_records_total')).toBe(before);
  });

  it.each(['delete', 'compact,delete'])('refuses to start over a topic whose policy is %s', async (policy) => {
    await setup.create(policy);
    await expect(start()).rejects.toMatchObject({ code: 'TOPIC_INVALID', facts: { found: policy } });
  });
});
