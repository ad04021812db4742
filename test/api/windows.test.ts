import { afterEach, describe, expect, test } from '@jest/globals';
import { systemClock, systemRandom } from '../../clock.ts';
import { memoryLog } from '../../connectors/embedded/embedded-log.ts';
import { sessionWindows, tumblingWindows } from '../../processors/windows.ts';
import { int64Serde, stringSerde } from '../../schemas/serde.ts';
import { defineTopic } from '../../schemas/topic.ts';
import { defineSessionStore, defineWindowStore } from '../../state-stores/window-spec.ts';
import { defineTopology } from '../../topology/builder.ts';
import { produce, testInstance, until } from '../support/cluster.ts';
import { apiOf, FakeCluster, FakeInstance, Servers } from './fake-instance.ts';

const dayMs = 24 * 60 * 60 * 1000;
const words = defineTopic({ name: 'words', key: stringSerde, value: stringSerde });
const counts = defineWindowStore('counts', { key: stringSerde, value: int64Serde, sizeMs: 10, retentionMs: dayMs });
const visits = defineSessionStore('visits', { key: stringSerde, value: int64Serde, retentionMs: dayMs });

const topology = defineTopology('windowed', (t) => {
  const stream = t.stream(words).groupByKey();
  stream.windowedBy(tumblingWindows({ sizeMs: 10, graceMs: 0 })).count(counts);
  stream.windowedBy(sessionWindows({ gapMs: 5, graceMs: 0 })).count(visits);
});

const closing: (() => Promise<unknown>)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** An API over an instance that has counted these times of key `a`, and one of `b`. */
async function counted(times: readonly number[]): Promise<ReturnType<typeof apiOf>> {
  const log = memoryLog({ clock: systemClock, random: systemRandom });
  closing.push(() => log.close());
  await log.admin.createTopics([{ name: words.name, partitions: 3 }]);
  const records = [
    ...times.map((timestampMs) => ({ key: 'a', value: 'v', timestampMs })),
    { key: 'b', value: 'v', timestampMs: 7 },
  ];
  await produce(log, words, records);
  const instance = testInstance(log.client(), topology);
  closing.push(() => instance.close());
  await instance.start();
  const lags = (): readonly (number | undefined)[] =>
    instance.tasks().flatMap(({ inputs }) => inputs.map(({ lag }) => lag));
  await until(
    'all counted',
    () => instance.isReady && lags().length === 3 && lags().every((lag) => lag === 0),
    120_000,
  );
  const api = apiOf([instance]);
  closing.push(() => api.close());
  // What was processed is visible once it is committed.
  await until('all committed', async () => {
    const response = await api.inject(`/stores/counts/windows/a`);
    return response.json<Page>().items.reduce((sum, { value }) => sum + value, 0) === times.length;
  });
  return api;
}

interface Page {
  readonly items: readonly {
    readonly key: { readonly startMs: number; readonly endMs: number };
    readonly value: number;
  }[];
  readonly next: string | null;
}

describe('GET /stores/:store/windows/:key', () => {
  test('answers the windows of a key in order of time, by page', async () => {
    const api = await counted([1, 2, 15, 25, 25, 47]);
    const first = (await api.inject('/stores/counts/windows/a?limit=2')).json<Page>();
    expect(first.items).toMatchObject([
      { key: { key: 'a', startMs: 0, endMs: 10 }, value: 2, timestampMs: 2 },
      { key: { key: 'a', startMs: 10, endMs: 20 }, value: 1, timestampMs: 15 },
    ]);
    const second = await api.inject(`/stores/counts/windows/a?limit=2&cursor=${String(first.next)}`);
    expect(second.json<Page>().items.map(({ key, value }) => [key.startMs, value])).toEqual([
      [20, 2],
      [40, 1],
    ]);
    expect(second.json<Page>().next).toBeNull();
    expect(second.headers['x-position']).toMatch(/^words\/\d=\d$/);
  }, 200_000);

  test('bounds windows by their start, both bounds included, and sessions by overlap', async () => {
    const api = await counted([1, 2, 15, 25, 25, 47]);
    const starts = async (url: string): Promise<readonly number[]> =>
      (await api.inject(url)).json<Page>().items.map(({ key }) => key.startMs);
    expect(await starts('/stores/counts/windows/a?from=10&to=20')).toEqual([10, 20]);
    expect(await starts('/stores/visits/windows/a?from=2&to=25')).toEqual([1, 15, 25]);
    expect(await starts('/stores/visits/windows/a?from=3&to=24')).toEqual([15]);
    expect(await starts('/stores/counts/windows/none')).toEqual([]);
  }, 200_000);

  test('single windows and all rows are read as those of any store', async () => {
    const api = await counted([1, 15]);
    const key = encodeURIComponent(JSON.stringify({ key: 'a', startMs: 10, endMs: 20 }));
    expect((await api.inject(`/stores/counts/${key}?keyFormat=json`)).json()).toMatchObject({
      value: 1,
      timestampMs: 15,
    });
    expect((await api.inject('/stores/counts')).json<Page>().items).toHaveLength(3);
  }, 200_000);

  test('is refused for stores without windows and for what are no times', async () => {
    const api = apiOf([new FakeInstance(new FakeCluster(), 'one')]);
    closing.push(() => api.close());
    expect((await api.inject('/stores/words/windows/a')).json()).toMatchObject({ code: 'query_invalid' });
    expect((await api.inject('/stores/words/windows/a?from=soon')).statusCode).toBe(400);
  });

  test('is asked of the instance that has the key', async () => {
    const cluster = new FakeCluster({ specs: [counts], partitions: 2 });
    const [one, two] = [new FakeInstance(cluster, 'one'), new FakeInstance(cluster, 'two')];
    cluster.owners.set(0, 'one').set(1, 'two');
    const servers = new Servers();
    closing.push(() => servers.close());
    const [url] = [await servers.listen(one), await servers.listen(two)];
    const answered = new Set<string | null>();
    for (const key of ['a', 'b', 'c', 'd', 'e', 'f']) {
      for (const startMs of [0, 10, 20]) cluster.put('counts', { key, startMs, endMs: startMs + 10 }, startMs);
      const seen: number[] = [];
      let cursor = '';
      do {
        const response = await fetch(`${url}/stores/counts/windows/${key}?limit=2${cursor}`);
        const page = (await response.json()) as Page;
        seen.push(...page.items.map((item) => item.key.startMs));
        answered.add(response.headers.get('x-served-by'));
        cursor = page.next === null ? '' : `&cursor=${page.next}`;
      } while (cursor !== '');
      expect(seen).toEqual([0, 10, 20]);
    }
    expect([...answered].sort()).toEqual(['one', 'two']);
  }, 60_000);
});
