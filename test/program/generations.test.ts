import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { verifyBalances } from '../../api/app/balance-verification.ts';
import { silentLogger, systemClock, systemRandom } from '../../clock.ts';
import { memoryLog, type EmbeddedLog } from '../../connectors/embedded/embedded-log.ts';
import { Generations } from '../../program/generations.ts';
import { accountBalances, balanceHistory, effectiveHistory } from '../../processors/app/billing/projections.ts';
import type { AccountEvent } from '../../schemas/app/billing/account-event.ts';
import { billingTopics } from '../../schemas/app/billing/topics.ts';
import { memoryStores } from '../../state-stores/memory.ts';
import { billingBalances } from '../../topology/app/billing-balances.ts';
import type { StreamInstance } from '../../topology/runtime/stream-instance.ts';
import { BillingBench } from '../support/billing/bench.ts';
import { produce, testInstance, until } from '../support/cluster.ts';

const { accountEvents, generations } = billingTopics();
const partitions = 3;
const patienceMs = 60_000;

/** One process: what answers there, and what makes it anew. */
interface Process {
  readonly serving: StreamInstance[];
  readonly generations: Generations;
}

let log: EmbeddedLog;
const processes: Process[] = [];

beforeEach(async () => {
  log = memoryLog({ clock: systemClock, random: systemRandom });
  await log.admin.createTopics([
    { name: accountEvents.name, partitions },
    { name: generations.name, partitions: 1 },
  ]);
});

afterEach(async () => {
  for (const process of processes.splice(0)) await process.generations.close();
  await log.close();
});

async function start(instanceId: string): Promise<Process> {
  const serving: StreamInstance[] = [];
  const stores = memoryStores();
  const client = log.client();
  const made = new Generations({
    name: 'balances',
    topic: generations.name,
    inputs: [accountEvents.name],
    log: client,
    stores,
    clock: systemClock,
    logger: silentLogger,
    create: (applicationId) => testInstance(client, billingBalances(), { applicationId, instanceId, stores }),
    serve: (now) => {
      serving.splice(0, 1, now);
    },
  });
  const process = { serving, generations: made };
  processes.push(process);
  await made.start();
  return process;
}

/** What happened on a few accounts. */
function events(count: number): readonly AccountEvent[] {
  const bench = new BillingBench(partitions);
  for (const name of ['ann', 'bob', 'cid']) bench.open(name, '50');
  for (let index = 0; index < count; index += 1) {
    bench.pass(1_000);
    bench.ask(`k${index}`, { type: 'TRANSFER', from: 'ann', to: index % 2 === 0 ? 'bob' : 'cid', amount: '1' });
    bench.settle();
  }
  bench.close();
  return bench.accountEvents;
}

async function append(list: readonly AccountEvent[]): Promise<void> {
  await produce(
    log,
    accountEvents,
    list.map((value) => ({ key: value.accountId, value })),
  );
}

const servingOf = async ({ generations: one }: Process): Promise<number> => (await one.progress()).serving;

async function isRebuilt(generation: number): Promise<void> {
  for (const process of processes)
    await until('it has changed over', async () => (await servingOf(process)) === generation, patienceMs);
}

/** All rows that answer, over all processes. */
async function rows(): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const spec of [accountBalances, balanceHistory, effectiveHistory])
    for (const { serving } of processes)
      for (const { partition, owner } of serving[0]!.locateAll(spec.name))
        if (owner?.isSelf === true)
          for await (const [key, value] of serving[0]!.localStore(spec.name, partition).scan({}))
            found.set(`${spec.name} ${spec.key.deserialize(key)}`, Buffer.from(value).toString());
  return found;
}

async function differences(): Promise<readonly string[]> {
  const found: string[] = [];
  const seen = new Set<number>();
  for (const { serving } of processes)
    for (const { partition, owner } of serving[0]!.locateAll(accountBalances.name)) {
      if (owner?.isSelf !== true) continue;
      seen.add(partition);
      const report = await verifyBalances({ view: serving[0]!, log, accountEvents }, partition);
      found.push(...report.differences);
    }
  expect(seen.size).toBe(partitions);
  return found;
}

const size = (list: readonly AccountEvent[]): number => {
  const entries = list.filter(({ type }) => type === 'BalanceChanged' || type === 'AccountCreated').length;
  return new Set(list.map(({ accountId }) => accountId)).size + 2 * entries;
};

describe('generations of a projection', () => {
  test('made anew twice in a row are the same, in two processes, while the one before answers until the change', async () => {
    const list = events(20);
    const half = Math.floor(list.length / 2);
    await append(list.slice(0, half));
    const one = await start('one');
    await start('two');
    await until(
      'everything is shown',
      async () => (await rows().catch(() => new Map())).size === size(list.slice(0, half)),
      patienceMs,
    );
    await append(list.slice(half));
    await until('the rest too', async () => (await rows().catch(() => new Map())).size === size(list), patienceMs);
    const before = await rows();
    for (const generation of [2, 3]) {
      const begun = await one.generations.rebuild();
      expect(begun.building).toMatchObject({ generation });
      expect((await one.generations.rebuild()).building?.generation ?? generation).toBe(generation);
      await isRebuilt(generation);
      await until(
        'all of it is shown',
        async () => (await rows().catch(() => new Map())).size === before.size,
        patienceMs,
      );
      expect(await rows()).toEqual(before);
      expect(await differences()).toEqual([]);
    }
    const internal = (await log.admin.listTopics()).filter((name) => name.startsWith('balances-g1-'));
    expect(internal).toEqual([]);
  }, 240_000);

  test('a process that starts before its topics waits for them, and can be closed meanwhile', async () => {
    await log.admin.deleteTopics([generations.name]);
    const waiting = start('one');
    await until('it waits', () => processes.length === 1);
    expect(processes[0]?.serving).toEqual([]);
    expect(await processes[0]?.generations.close()).toBe(true);
    expect((await waiting).serving).toEqual([]);
  });

  test('a process that comes later, or again, runs the one that answers', async () => {
    await append(events(3));
    const one = await start('one');
    await one.generations.rebuild();
    await isRebuilt(2);
    const two = await start('two');
    expect(two.serving[0]?.applicationId).toBe('balances-g2');
  }, 180_000);

  test('verification finds what is missing, and what no event says', async () => {
    const list = events(3);
    const one = await start('one');
    await append(list);
    await until(
      'everything is shown',
      async () => (await rows().catch(() => new Map())).size === size(list),
      patienceMs,
    );
    expect(await differences()).toEqual([]);
    const view = one.serving[0]!;
    const wrong = new Proxy(view, {
      get: (target, name) => {
        if (name !== 'localStore') return Reflect.get(target, name, target) as unknown;
        return (store: string, partition: number) => {
          const real = target.localStore(store, partition);
          const scan = async function* () {
            for await (const [key, value] of real.scan({}))
              if (store !== balanceHistory.name) yield [key, value] as const;
          };
          return { position: () => real.position(), scan };
        };
      },
    });
    const owned = view.locateAll(accountBalances.name).map(({ partition }) => partition);
    const reports = await Promise.all(
      owned.map((partition) => verifyBalances({ view: wrong, log, accountEvents }, partition)),
    );
    const found = reports.flatMap((report) => report.differences);
    expect(found.length).toBeGreaterThan(10);
    expect(found.every((line) => line.includes('history of version'))).toBe(true);
  }, 180_000);
});
