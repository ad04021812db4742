import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { rolloutRoutes } from '../../api/app/rollout-routes.ts';
import { silentLogger, systemClock, systemRandom } from '../../clock.ts';
import { memoryLog, type EmbeddedLog } from '../../connectors/embedded/embedded-log.ts';
import { bucketOf } from '../../processors/app/rollout.ts';
import { pausable, type PausableInstances } from '../../program/instance-maker.ts';
import { createRecordWriter, type RecordWriter } from '../../program/record-writer.ts';
import { openRollout, type Rollout } from '../../program/rollout.ts';
import { rolloutChanges } from '../../schemas/app/rollout.ts';
import { stringSerde } from '../../schemas/serde.ts';
import { defineTopic } from '../../schemas/topic.ts';
import { defineTopology } from '../../topology/builder.ts';
import { produce, readAll, testInstance, until } from '../support/cluster.ts';
import { apiOf, type Api } from '../api/fake-instance.ts';

const waitMs = 60_000;
const words = defineTopic({ name: 'words', key: stringSerde, value: stringSerde });
const copies = defineTopic({ name: 'copies', key: stringSerde, value: stringSerde });
const copying = defineTopology('copying', (t) => t.stream(words).to(copies));

interface Process {
  readonly rollout: Rollout;
  readonly writer: RecordWriter;
  readonly pausing: PausableInstances;
  readonly api: Api;
}

let log: EmbeddedLog;
const processes: Process[] = [];

beforeEach(async () => {
  log = memoryLog({ clock: systemClock, random: systemRandom });
  await log.admin.createTopics([{ ...rolloutChanges().create!, name: rolloutChanges().name }]);
});

afterEach(async () => {
  for (const { rollout, writer, pausing, api } of processes.splice(0)) {
    await api.close();
    for (const instance of pausing.of('copying')) await instance.close();
    await rollout.connector.close();
    await writer.close();
  }
  await log.close();
});

/** The rollout as one process has it, behind its API, once it knows what was changed before. */
async function begin(instanceId: string, holdMs = 0): Promise<Process> {
  const writer = createRecordWriter(log, systemClock);
  const initial = {
    'use-materialized-view': 100,
    'shadow-customers': 0,
    'new-system': 0,
    'write-back-a': 0,
    'write-back-b': 0,
  };
  const rollout = openRollout({
    ...{ log, clock: systemClock, logger: silentLogger, topicPrefix: '', initial, holdMs },
    write: (record) => writer.write(record),
    onPause: (name) => pausing.follow(name),
  });
  const make: PausableInstances['make'] = (_id, topology) => testInstance(log, topology, { instanceId });
  const pausing: PausableInstances = pausable(make, (name) => rollout.isPaused(name));
  const options = { rollout, clock: systemClock, topologies: ['copying'], instancesOf: pausing.of };
  const api = apiOf([], { routes: [rolloutRoutes(options)], rateLimitPerSecond: 0 });
  const made = { rollout, writer, pausing, api };
  processes.push(made);
  rollout.connector.start();
  await rollout.loaded(new AbortController().signal);
  return made;
}

async function put({ api }: Process, percent: number, more: object = {}): Promise<readonly [number, unknown]> {
  const payload = { percent, by: 'eve', reason: `to ${String(percent)}`, ...more };
  const response = await api.inject({ method: 'PUT', url: '/admin/rollout/new-system', payload });
  const { code, percent: now } = response.json<{ code?: string; percent?: number }>();
  return [response.statusCode, code ?? now];
}

describe('a share that is changed over HTTP', () => {
  test('is in force at once where it was asked for, soon everywhere, and after a restart', async () => {
    const [one, two] = [await begin('one'), await begin('two')];
    const key = Array.from({ length: 1_000 }, (_, index) => `k${String(index)}`).find((name) => bucketOf(name) < 100)!;
    expect(two.rollout.isOn('new-system', key)).toBe(false);
    expect(await put(one, 1)).toEqual([200, 1]);
    expect(one.rollout.isOn('new-system', key)).toBe(true);
    await until('the other one follows', () => two.rollout.isOn('new-system', key), waitMs);
    const decided: unknown = (await two.api.inject(`/rollout/new-system/${key}`)).json();
    expect(decided).toEqual({ flag: 'new-system', bucket: bucketOf(key), percent: 1, isOn: true });
    expect((await begin('three')).rollout.percentOf('new-system')).toBe(1);
  });

  test('leaves who, when, why, before and after; two who change it at once are both there, and all agree on the last', async () => {
    const [one, two] = [await begin('one'), await begin('two')];
    await Promise.all([put(one, 1, { by: 'ann' }), put(two, 0.5, { by: 'bob' })]);
    const historyOf = async ({ api }: Process) =>
      (await api.inject('/admin/rollout/new-system')).json<{ percent: number; history: Record<string, unknown>[] }>();
    await until(
      'both know both',
      async () => (await historyOf(one)).history.length === 2 && (await historyOf(two)).history.length === 2,
      waitMs,
    );
    const [ofOne, ofTwo] = [await historyOf(one), await historyOf(two)];
    expect(ofOne).toEqual(ofTwo);
    const [last, first] = ofOne.history;
    expect([last?.['after'], last?.['before'], first?.['before']]).toEqual([ofOne.percent, first?.['after'], null]);
    expect(ofOne.history.map(({ by }) => by).sort()).toEqual(['ann', 'bob']);
    expect(ofOne.history.every(({ at }) => typeof at === 'number')).toBe(true);
  });

  test('grows by steps that are held, unless forced; it falls at any time', async () => {
    const one = await begin('one', 3_600_000);
    expect(await put(one, 5)).toEqual([409, 'step_skipped']);
    expect(await put(one, 1)).toEqual([200, 1]);
    expect(await put(one, 5)).toEqual([409, 'hold_not_over']);
    expect(await put(one, 5, { force: true })).toEqual([200, 5]);
    expect(await put(one, 0)).toEqual([200, 0]);
    const { history } = (await one.api.inject('/admin/rollout/new-system')).json<{ history: object[] }>();
    expect(history).toMatchObject([{ after: 0 }, { after: 5, forced: true }, { after: 1 }]);
  });

  test.each([
    { percent: -1 },
    { percent: 101 },
    { percent: 0.001 },
    { percent: '1' },
    { percent: 1, by: '' },
    { percent: 1, reason: '' },
    { percent: 1, role: 'admin' },
  ])('is refused as %j', async (payload) => {
    const one = await begin('one');
    expect(await put(one, 1, payload)).toEqual([400, 'request_invalid']);
    expect(one.rollout.history('flag', 'new-system')).toEqual([]);
  });

  test('every share up to two decimals is taken', async () => {
    const one = await begin('one');
    for (const percent of [0.07, 0.29, 0.57, 0.58, 1.13, 1.1])
      expect(await put(one, percent, { force: true })).toEqual([200, percent]);
  });

  test('503 while there is nowhere to write it', async () => {
    await log.admin.deleteTopics([rolloutChanges().name]);
    const one = await begin('one');
    expect(await put(one, 1)).toEqual([503, 'log_unavailable']);
  });
});

describe('a topology that is paused over HTTP', () => {
  const ask = async ({ api }: Process, action: string): Promise<number> => {
    const url = `/admin/topologies/${action}`;
    return (await api.inject({ method: 'POST', url, payload: { by: 'eve', reason: 'rollback' } })).statusCode;
  };

  test('stands still on all instances, those that start later too, and goes on everywhere', async () => {
    await log.admin.createTopics([words, copies].map(({ name }) => ({ name, partitions: 2 })));
    const copied = async (): Promise<number> => (await readAll(log, copies)).length;
    const [one, two] = [await begin('one'), await begin('two')];
    for (const { pausing } of [one, two]) await pausing.make('copying', copying).start();
    const records = Array.from({ length: 10 }, (_, index) => ({ key: `k${String(index)}`, value: 'w' }));
    await produce(log, words, records);
    await until('all are copied', async () => (await copied()) === 10, waitMs);
    expect(await ask(one, 'copying/pause')).toBe(200);
    await until('both stand still', () => two.pausing.of('copying').every(({ isPaused }) => isPaused), waitMs);
    const three = await begin('three');
    const late = three.pausing.make('copying', copying);
    expect(late.isPaused).toBe(true);
    await produce(log, words, records);
    const { items } = (await two.api.inject('/admin/topologies')).json<{ items: object[] }>();
    expect(items).toMatchObject([
      { topology: 'copying', paused: true, instances: [{ instance: 'two', paused: true }] },
    ]);
    expect(await copied()).toBe(10);
    expect(await ask(two, 'copying/resume')).toBe(200);
    await until('the rest is copied', async () => (await copied()) === 20, waitMs);
    await until('the late one may go on', () => !late.isPaused, waitMs);
  });

  test('404 for one that does not run here', async () => {
    expect(await ask(await begin('one'), 'nothing/pause')).toBe(404);
  });
});
