import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { silentLogger, systemClock, systemRandom } from '../../../clock.ts';
import type { Carrier } from '../../../connectors/embedded/connection.ts';
import { memoryLog } from '../../../connectors/embedded/embedded-log.ts';
import type { EmbeddedLog } from '../../../connectors/embedded/embedded-log.ts';
import type { Log } from '../../../connectors/log.ts';
import { levelStores } from '../../../state-stores/level.ts';
import type { Stores } from '../../../state-stores/store.ts';
import type { StreamInstance } from '../../../topology/runtime/stream-instance.ts';
import { latest, metric, produce, readAll, testInstance, until } from '../../support/cluster.ts';
import type { TestInstanceOptions } from '../../support/cluster.ts';
import { counting } from '../../support/counting.ts';

const partitions = 4;
const { topology, events, counts, changelog } = counting('standby');
const store = 'counts-by-value';

let log: EmbeddedLog;
let directory: string;
const instances = new Set<StreamInstance>();

async function start(client: Log, instanceId: string, options: TestInstanceOptions = {}): Promise<StreamInstance> {
  const instance = testInstance(client, topology, { instanceId, applicationId: 'counting-standby', ...options });
  instances.add(instance);
  await instance.start();
  return instance;
}

async function stop(instance: StreamInstance, options: { leaveGroup?: boolean } = {}): Promise<void> {
  instances.delete(instance);
  await instance.close(options);
}

/** Stores on disk that belong to one instance, and outlive it. */
function disk(instanceId: string): Stores {
  return levelStores({ directory: join(directory, instanceId), logger: silentLogger, random: systemRandom });
}

/** `count` records, each with a value of its own to be counted. */
async function produceDistinct(count: number, from = 0): Promise<void> {
  const records = Array.from({ length: count }, (_, index) => ({
    key: `k${String(index)}`,
    value: `v${String(from + index)}`,
  }));
  await produce(log, events, records);
}

async function counted(): Promise<number> {
  let sum = 0;
  for (const count of latest(await readAll(log, counts)).values()) sum += count ?? 0;
  return sum;
}

/** Ids of the tasks with state that are in some state here. */
function stateful(instance: StreamInstance, state: string): readonly string[] {
  return instance
    .tasks()
    .filter((task) => task.state === state && task.id.startsWith('1_'))
    .map(({ id }) => id);
}

function standbysFollow(instance: StreamInstance, count: number): boolean {
  const standbys = instance.tasks().filter(({ state }) => state === 'standby');
  return standbys.length === count && standbys.every(({ standby }) => standby?.lag === 0);
}

const running = (instance: StreamInstance, count: number): boolean =>
  instance.isReady && stateful(instance, 'running').length === count;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'rivulet-standby-'));
  log = memoryLog({ clock: systemClock, random: systemRandom });
  await log.admin.createTopics([events, counts].map(({ name }) => ({ name, partitions })));
});

afterEach(async () => {
  for (const instance of instances) await instance.close({ leaveGroup: true });
  instances.clear();
  await log.close();
  await rm(directory, { recursive: true, force: true });
});

describe('standbys', () => {
  it('are promoted when the active instance leaves, and only what they had missed is restored', async () => {
    const one = await start(log.client(), 'one', { standbys: 1 });
    const two = await start(log.client(), 'two', { standbys: 1 });
    await until('tasks and standbys are shared', () =>
      [one, two].every((instance) => running(instance, 2) && standbysFollow(instance, 2)),
    );
    await produceDistinct(3_000);
    await until('all are counted', async () => (await counted()) === 3_000);
    // Each row is in one changelog, which one standby follows.
    const followed = (): number =>
      metric(one, 'rivulet_standby_records_total') + metric(two, 'rivulet_standby_records_total');
    await until('standbys follow', () => followed() >= 3_000);
    const before = metric(two, 'rivulet_restored_records_total');
    await stop(one);
    await until('two runs everything', () => running(two, partitions), 30_000);
    // What remained was in the last commits, or only their markers.
    expect(metric(two, 'rivulet_restored_records_total') - before).toBeLessThan(100);
    expect(metric(two, 'rivulet_restores_avoided_total')).toBe(2);
    await produce(log, events, [{ key: 'k', value: 'v0' }]);
    await until('counting goes on where it was', async () => latest(await readAll(log, counts)).get('v0') === 2);
  });

  it('answer with what is committed, and say how far behind they are', async () => {
    const one = await start(log.client(), 'one', { standbys: 1 });
    const two = await start(log.client(), 'two', { standbys: 1 });
    await produceDistinct(200);
    await until('standbys follow', async () => {
      const isShared = [one, two].every((instance) => running(instance, 2) && standbysFollow(instance, 2));
      return isShared && (await counted()) === 200;
    });
    const spec = one.storeSpec(store);
    const copies = async (): Promise<Map<unknown, unknown>> => {
      const found = new Map<unknown, unknown>();
      for (const { partition, owner } of one.locateAll(store)) {
        const copy = (owner?.isSelf === true ? two : one).standbyStore(store, partition);
        for await (const [key, value] of copy.scan({}))
          found.set(spec.key.deserialize(key), spec.value.deserialize(spec.format.toChangelog(value, 0).value));
      }
      return found;
    };
    const committed = latest(await readAll(log, changelog));
    await until('the copies have it all', async () => isDeepStrictEqual(await copies(), committed));
    for (const { partition, owner, standbys } of one.locateAll(store)) {
      const [active, other] = owner?.isSelf === true ? [one, two] : [two, one];
      expect(standbys.map(({ instanceId }) => instanceId)).toEqual([other.instanceId]);
      expect(other.standbyStore(store, partition).lag()).toBe(0);
      expect(active.localStore(store, partition).partition).toBe(partition);
      expect(() => other.localStore(store, partition)).toThrow(expect.objectContaining({ code: 'STORE_NOT_READY' }));
      expect(() => active.standbyStore(store, partition)).toThrow(expect.objectContaining({ code: 'STORE_NOT_READY' }));
    }
  });

  it('warm up a task that is far behind before it moves, and the task never stands still for its restore', async () => {
    const options = { acceptableRecoveryLag: 20, warmUpsMax: 1 };
    const one = await start(log.client(), 'one', options);
    await produceDistinct(4_000);
    await until('all are counted', async () => (await counted()) === 4_000);
    const two = await start(log.client(), 'two', options);
    await until('both have their share', () => running(one, 2) && running(two, 2), 40_000);
    expect(metric(two, 'rivulet_restores_whole_total')).toBe(0);
    expect(metric(two, 'rivulet_restores_avoided_total')).toBe(2);
    expect(metric(two, 'rivulet_restored_records_total')).toBeLessThan(100);
    expect(metric(two, 'rivulet_standby_records_total')).toBeGreaterThan(1_000);
  });

  it('keep the state of a task that moves away and is still wanted as a copy', async () => {
    const options = { standbys: 1, acceptableRecoveryLag: 1_000_000 };
    const one = await start(log.client(), 'one', options);
    await produceDistinct(1_000);
    await until('all are counted', async () => (await counted()) === 1_000);
    const two = await start(log.client(), 'two', options);
    await until('both have their share, and a copy of the other', () =>
      [one, two].every((instance) => running(instance, 2) && standbysFollow(instance, 2)),
    );
    // Stores in memory: had they been closed, all would have been read again.
    expect(metric(one, 'rivulet_standby_records_total')).toBeLessThan(100);
  });
});

describe('rebalancing', () => {
  it('goes on processing the tasks that stay', async () => {
    const gate: { open?: () => void; wait?: Promise<void> } = {};
    const held: Carrier = async (request, effect) => {
      if (request === 'sync') await gate.wait;
      return effect();
    };
    const one = await start(log.client(held), 'one');
    await until('one runs everything', () => running(one, partitions));
    const before = metric(one, 'rivulet_records_consumed_total');
    gate.wait = new Promise((resolve) => {
      gate.open = resolve;
    });
    const two = await start(log.client(), 'two');
    // The leader hands out nothing: the rebalance lasts until the gate opens.
    await produceDistinct(500);
    await until('input is processed meanwhile', () => metric(one, 'rivulet_records_consumed_total') >= before + 500);
    expect(two.tasks()).toEqual([]);
    gate.open?.();
    await until('both have their share', () => running(one, 2) && running(two, 2));
    await until('all are counted once', async () => (await counted()) === 500);
  });

  it('lets at least four of five tasks find their state over a rolling restart of three instances', async () => {
    const ids = ['one', 'two', 'three'];
    const options = (id: string): TestInstanceOptions => ({ standbys: 1, stores: disk(id) });
    const members = new Map<string, StreamInstance>();
    for (const id of ids) members.set(id, await start(log.client(), id, options(id)));
    const isShared = (): boolean => {
      const all = [...members.values()];
      const active = all.reduce((sum, instance) => sum + stateful(instance, 'running').length, 0);
      const copies = all.filter(({ isReady }) => isReady).flatMap((instance) => stateful(instance, 'standby'));
      return active === partitions && all.every(({ isReady }) => isReady) && copies.length === partitions;
    };
    await until('three share the work', isShared, 40_000);
    await produceDistinct(1_000);
    await until('all are counted', async () => (await counted()) === 1_000);
    // The first tasks of an empty application have nothing to find.
    const sum = (name: string): number =>
      [...members.values()].reduce((total, instance) => total + metric(instance, name), 0);
    const baseline = { whole: sum('rivulet_restores_whole_total'), avoided: sum('rivulet_restores_avoided_total') };
    const past = { whole: 0, avoided: 0 };
    for (const id of ids) {
      const old = members.get(id);
      if (old === undefined) continue;
      past.whole += metric(old, 'rivulet_restores_whole_total');
      past.avoided += metric(old, 'rivulet_restores_avoided_total');
      members.delete(id);
      await stop(old);
      await until('the others took over', isShared, 40_000);
      members.set(id, await start(log.client(), id, options(id)));
      await until('three share the work again', isShared, 40_000);
    }
    const whole = past.whole + sum('rivulet_restores_whole_total') - baseline.whole;
    const avoided = past.avoided + sum('rivulet_restores_avoided_total') - baseline.avoided;
    expect(avoided).toBeGreaterThan(0);
    expect(avoided / (avoided + whole)).toBeGreaterThanOrEqual(0.8);
    await produceDistinct(500, 1_000);
    await until('nothing is lost or counted twice', async () => (await counted()) === 1_500);
  }, 180_000);

  it('removes the state of tasks that left, after a while', async () => {
    const stores = disk('one');
    const options = { stateCleanupDelayMs: 200, acceptableRecoveryLag: 1_000_000 };
    const one = await start(log.client(), 'one', { ...options, stores });
    await produceDistinct(100);
    await until('one runs everything', () => running(one, partitions));
    expect(await stores.list()).toHaveLength(partitions);
    await start(log.client(), 'two', options);
    await until('what left is gone', async () => (await stores.list()).length === 2);
    expect((await stores.list()).map(({ path }) => path[1]).sort()).toEqual([...stateful(one, 'running')].sort());
  });
});

describe('static membership', () => {
  it('gives an instance that restarts its tasks back without a rebalance of the others, and nothing when it left for good', async () => {
    const options = { staticMembership: true, sessionTimeoutMs: 20_000 };
    const one = await start(log.client(), 'one', options);
    let two = await start(log.client(), 'two', { ...options, stores: disk('two') });
    await until('both have their share', () => running(one, 2) && running(two, 2), 40_000);
    const tasks = stateful(two, 'running');
    const rebalances = metric(one, 'rivulet_rebalances_total');
    await stop(two);
    two = await start(log.client(), 'two', { ...options, stores: disk('two') });
    await until('two is back', () => running(two, 2));
    expect(stateful(two, 'running')).toEqual(tasks);
    expect(metric(one, 'rivulet_rebalances_total')).toBe(rebalances);
    await stop(two, { leaveGroup: true });
    await until('one runs everything', () => running(one, partitions), 15_000);
  });

  it('stops the older one of two instances with one id', async () => {
    const options = { staticMembership: true };
    const old = await start(log.client(), 'same', options);
    await until('it runs', () => running(old, partitions));
    const young = await start(log.client(), 'same', options);
    await until('the younger one runs', () => running(young, partitions));
    await until('the older one has stopped', () => old.state === 'failed');
    expect(old.failure).toMatchObject({ code: 'INSTANCE_ID_TAKEN' });
    expect(running(young, partitions)).toBe(true);
  });
});
