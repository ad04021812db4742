import { afterEach, describe, expect, test } from '@jest/globals';
import { FakeCluster, FakeInstance, Servers, hurriedClock } from './fake-instance.ts';

const servers = new Servers();
afterEach(() => servers.close());

/** Partition 0 runs on `one`, with a copy on `two` that is behind by 7. */
function cluster(): { readonly cluster: FakeCluster; readonly one: FakeInstance; readonly two: FakeInstance } {
  const group = new FakeCluster({ partitions: 1 });
  const one = new FakeInstance(group, 'one');
  const two = new FakeInstance(group, 'two');
  group.standbys.set(0, { instanceIds: ['two'], lag: 7 });
  group.put('words', 'a', { count: 1 });
  return { cluster: group, one, two };
}

describe('answers of copies', () => {
  test('are given where asked for, without a hop, and say so', async () => {
    const { one, two } = cluster();
    await servers.listen(one);
    const url = await servers.listen(two);
    const stale = await fetch(`${url}/stores/words/a?stale=ok`);
    expect(await stale.json()).toMatchObject({ value: { count: 1 } });
    expect(Object.fromEntries(stale.headers)).toMatchObject({
      'x-stale': 'true',
      'x-stale-lag': '7',
      'x-served-by': 'two',
    });
    expect(stale.headers.get('x-position')).toBeNull();
    const page = await fetch(`${url}/stores/words?stale=ok`);
    expect(Object.fromEntries(page.headers)).toMatchObject({ 'x-stale': 'true', 'x-stale-lag': '7' });
    const missing = await fetch(`${url}/stores/words/b?stale=ok`);
    expect([missing.status, missing.headers.get('x-stale')]).toEqual([404, 'true']);
  });

  test('are not given unasked, nor where a position is asked for: the owner answers', async () => {
    const { one, two } = cluster();
    await servers.listen(one);
    const url = await servers.listen(two);
    const fresh = await fetch(`${url}/stores/words/a`);
    expect([fresh.headers.get('x-served-by'), fresh.headers.get('x-stale')]).toEqual(['one', null]);
    const headers = { 'x-min-position': 'input/0=1' };
    const positioned = await fetch(`${url}/stores/words/a?stale=ok`, { headers });
    expect([positioned.headers.get('x-served-by'), positioned.headers.get('x-stale')]).toEqual(['one', null]);
  });

  test('stand in for an owner elsewhere that does not answer', async () => {
    const { cluster: group, one, two } = cluster();
    const three = new FakeInstance(group, 'three');
    // Nobody listens there.
    one.url = 'http://127.0.0.1:1';
    await servers.listen(two);
    // Unhurried: it has to find out that the owner does not answer.
    const url = await servers.listen(three);
    for (const path of ['/stores/words/a', '/stores/words']) {
      const stale = await fetch(`${url}${path}?stale=ok`);
      expect([stale.status, stale.headers.get('x-served-by'), stale.headers.get('x-stale-lag')]).toEqual([
        200,
        'two',
        '7',
      ]);
      expect((await fetch(`${url}${path}`)).status).toBe(503);
    }
  });

  test('are what there is while nobody owns a partition', async () => {
    const { cluster: group, two } = cluster();
    group.owners.clear();
    const url = await servers.listen(two, { clock: hurriedClock });
    expect((await fetch(`${url}/stores/words/a?stale=ok`)).status).toBe(200);
    expect((await fetch(`${url}/stores/words/a`)).status).toBe(503);
  });
});
