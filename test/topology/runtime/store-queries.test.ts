import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { systemClock, systemRandom } from '../../../clock.ts';
import { memoryLog } from '../../../connectors/embedded/embedded-log.ts';
import type { EmbeddedLog } from '../../../connectors/embedded/embedded-log.ts';
import { stringSerde } from '../../../schemas/serde.ts';
import { defineVersionedStore } from '../../../state-stores/versioned-spec.ts';
import { defineTopology } from '../../../topology/builder.ts';
import type { StreamInstance } from '../../../topology/runtime/stream-instance.ts';
import { apiOf, type Api } from '../../api/fake-instance.ts';
import { produce, testInstance, until } from '../../support/cluster.ts';
import { freePorts } from '../../support/free-ports.ts';
import { texts } from '../../support/sample-topologies.ts';

const rates = texts('rates');
const towns = texts('towns');
const history = defineVersionedStore('rate-history', {
  key: stringSerde,
  value: stringSerde,
  historyRetentionMs: 1_000,
});

const topology = defineTopology('queried', (t) => {
  t.globalTable(towns, { store: 'all-towns' });
  t.table(rates, { store: history });
});

let log: EmbeddedLog;
const running: { readonly instance: StreamInstance; readonly api: Api }[] = [];

beforeEach(async () => {
  log = memoryLog({ clock: systemClock, random: systemRandom });
  await log.admin.createTopics([rates, towns].map(({ name }) => ({ name, partitions: 2 })));
  await produce(log, towns, [
    { key: 'ann', value: 'Rome', timestampMs: 5 },
    { key: 'bob', value: 'Oslo', timestampMs: 6 },
    { key: 'cem', value: 'Bern', timestampMs: 7 },
  ]);
  for (const port of await freePorts(2)) {
    const advertisedUrl = `http://127.0.0.1:${String(port)}`;
    const instance = testInstance(log.client(), topology, { instanceId: `at-${String(port)}`, advertisedUrl });
    const api = apiOf([instance]);
    running.push({ instance, api });
    await instance.start();
    await api.listen({ host: '127.0.0.1', port });
  }
  await until(
    'each has a task',
    () => running.every(({ instance }) => instance.tasks().filter(({ state }) => state === 'running').length === 1),
    60_000,
  );
});

afterEach(async () => {
  for (const { instance, api } of running.splice(0)) {
    await api.close();
    await instance.close({ leaveGroup: true });
  }
  await log.close();
});

/** What each instance answers. */
async function asked(url: string, headers: Record<string, string> = {}): Promise<readonly unknown[]> {
  const answers = await Promise.all(running.map(({ api }) => api.inject({ url, headers })));
  return answers.map((answer) => (answer.statusCode === 200 ? answer.json() : answer.json<{ code: string }>().code));
}

const twice = (answer: unknown): readonly unknown[] => [answer, answer];

describe('queries of a global store', () => {
  it('are answered by any instance, by key and by range, with rows of all partitions of its topic', async () => {
    expect(await asked('/stores/all-towns/bob')).toEqual(twice({ key: 'bob', value: 'Oslo', timestampMs: 6 }));
    expect(await asked('/stores/all-towns/dan')).toEqual(twice('key_not_found'));
    const items = [
      { partition: 0, key: 'bob', value: 'Oslo', timestampMs: 6 },
      { partition: 0, key: 'cem', value: 'Bern', timestampMs: 7 },
    ];
    expect(await asked('/stores/all-towns?from=b')).toEqual(twice({ items, next: null }));
    expect(await asked('/stores/all-towns/windows/bob')).toEqual(twice('query_invalid'));
    const owners = running.map(({ instance: { instanceId } }) => expect.objectContaining({ instanceId, isSelf: true }));
    expect(await asked('/stores/all-towns/metadata?key=bob')).toEqual(
      owners.map((owner) => ({ store: 'all-towns', partition: 0, taskId: 'global', owner, standbys: [] })),
    );
  });

  it('wait until it reflects what was written', async () => {
    await produce(log, towns, [{ key: 'bob', value: 'Lima', timestampMs: 9 }]);
    const offsets = await log.admin.offsets([0, 1].map((partition) => ({ topic: towns.name, partition })));
    const position = offsets.map(({ end }, partition) => `towns/${String(partition)}=${String(end)}`).join(',');
    const answers = await asked('/stores/all-towns/bob?wait=10000', { 'X-Min-Position': position });
    expect(answers).toEqual(twice({ key: 'bob', value: 'Lima', timestampMs: 9 }));
    expect(await asked('/stores/all-towns/bob', { 'X-Min-Position': 'rates/0=1' })).toEqual(twice('query_invalid'));
  });
});

describe('queries of a versioned store', () => {
  it('are answered as of a time by any instance', async () => {
    await produce(log, rates, [
      { key: 'eur', value: 'one', timestampMs: 10_000 },
      { key: 'eur', value: 'two', timestampMs: 10_100 },
      { key: 'eur', value: null, timestampMs: 10_200 },
      { key: 'eur', value: 'three', timestampMs: 10_300 },
    ]);
    const of = (asOf: number): Promise<readonly unknown[]> => asked(`/stores/rate-history/eur?asOf=${String(asOf)}`);
    await until('all is there', async () => JSON.stringify(await of(10_300)).split('three').length === 3, 60_000);
    expect(await of(10_299)).toEqual(twice('key_not_found'));
    expect(await of(10_150)).toEqual(twice({ key: 'eur', value: 'two', timestampMs: 10_100 }));
    expect(await of(10_099)).toEqual(twice({ key: 'eur', value: 'one', timestampMs: 10_000 }));
    expect(await of(9_999)).toEqual(twice('key_not_found'));
    expect(await of(1)).toEqual(twice('key_not_found'));
    expect(await asked('/stores/rate-history/eur')).toEqual(twice({ key: 'eur', value: 'three', timestampMs: 10_300 }));
  });

  it('are refused as of a time where no versions are kept, or the time is none', async () => {
    expect(await asked('/stores/all-towns/bob?asOf=5')).toEqual(twice('query_invalid'));
    expect(await asked('/stores/rate-history/eur?asOf=9999999999999999')).toEqual(twice('query_invalid'));
    expect(await asked('/stores/rate-history/eur?asOf=now')).toEqual(twice('request_invalid'));
  });
});
