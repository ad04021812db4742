import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { verifyBalances } from '../../api/app/balance-verification.ts';
import { verifyAccountTransactions, verifyDailyTotals } from '../../api/app/transaction-verification.ts';
import { silentLogger, systemClock, systemRandom } from '../../clock.ts';
import { memoryLog, type EmbeddedLog } from '../../connectors/embedded/embedded-log.ts';
import { Generations } from '../../program/generations.ts';
import {
  accountBalances,
  balanceHistory,
  dailyParts,
  effectiveHistory,
} from '../../processors/app/billing/projections.ts';
import type { TransactionEvent } from '../../schemas/app/billing/transaction.ts';
import type { AccountEvent } from '../../schemas/app/billing/account-event.ts';
import { billingTopics } from '../../schemas/app/billing/topics.ts';
import { levelStores } from '../../state-stores/level.ts';
import { memoryStores } from '../../state-stores/memory.ts';
import { billingBalances, billingBalancesName } from '../../topology/app/billing-balances.ts';
import { billingTransactions } from '../../topology/app/billing-transactions.ts';
import type { StreamInstance } from '../../topology/runtime/stream-instance.ts';
import type { MetricSample } from '../../topology/runtime/view.ts';
import { BillingBench } from '../support/billing/bench.ts';
import { produce, testInstance, until } from '../support/cluster.ts';

const { accountEvents, transactionEvents, generations } = billingTopics();
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
    { name: transactionEvents.name, partitions },
    { name: generations.name, partitions: 1 },
  ]);
});

afterEach(async () => {
  await closeAll();
  await log.close();
});

async function closeAll(): Promise<void> {
  for (const process of processes.splice(0)) await process.generations.close();
}

async function start(
  instanceId: string,
  { topology = billingBalances(), stores = memoryStores() } = {},
): Promise<Process> {
  const serving: StreamInstance[] = [];
  const client = log.client();
  const made = new Generations({
    name: 'balances',
    topic: generations.name,
    inputs: [topology.name === billingBalancesName ? accountEvents.name : transactionEvents.name],
    log: client,
    stores,
    clock: systemClock,
    logger: silentLogger,
    create: (applicationId, isStrict) =>
      testInstance(client, topology, { applicationId, instanceId, stores, isStrict }),
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
function happened(count: number): BillingBench {
  const bench = new BillingBench(partitions);
  for (const name of ['ann', 'bob', 'cid']) bench.open(name, '50');
  for (let index = 0; index < count; index += 1) {
    bench.pass(1_000);
    bench.ask(`k${index}`, { type: 'TRANSFER', from: 'ann', to: index % 2 === 0 ? 'bob' : 'cid', amount: '1' });
    bench.settle();
  }
  bench.close();
  return bench;
}

const events = (count: number): readonly AccountEvent[] => happened(count).accountEvents;

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
      const report = await verifyBalances(accountEvents, { view: serving[0]!, log, partition });
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

  test('a process that starts again goes on with what it had begun, and keeps no files of what was retired meanwhile', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'generations-'));
    try {
      const stores = levelStores({ directory, logger: silentLogger });
      await append(events(3));
      const begun = await start('one', { stores });
      await begun.generations.rebuild();
      await closeAll();
      await start('one', { stores });
      await isRebuilt(2);
      await closeAll();
      const other = await start('two');
      await other.generations.rebuild();
      await isRebuilt(3);
      await start('one', { stores });
      expect((await stores.list()).filter(({ path }) => path[0] !== 'balances-g3')).toEqual([]);
      await closeAll();
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }, 240_000);

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
      owned.map((partition) => verifyBalances(accountEvents, { view: wrong, log, partition })),
    );
    const found = reports.flatMap((report) => report.differences);
    expect(found.length).toBeGreaterThan(10);
    expect(found.every((line) => line.includes('history of version'))).toBe(true);
  }, 180_000);

  test('an event with a gap before it is counted as such, and so is what follows of the account', async () => {
    const one = await start('one');
    const [first, , third, ...rest] = events(1).filter(({ accountId }) => accountId === 'ann');
    await append([first!, third!, ...rest]);
    const gaps = (): readonly MetricSample[] =>
      one.serving.flatMap((instance) => instance.metrics().filter(({ name }) => name === 'rivulet_skips_total'));
    const left = 1 + rest.length;
    await until('all are counted', () => gaps().reduce((sum, { value }) => sum + value, 0) === left, patienceMs);
    expect(gaps()).toMatchObject([{ labels: { code: 'RECORD_INVALID', reason: 'event_missing' }, value: left }]);
  }, 180_000);

  test('what is skipped while it is shown ends the making of a generation; the one before goes on answering', async () => {
    const list = events(3);
    const [first] = list;
    const one = await start('one');
    await append([...list, { ...first!, accountId: 'dora', aggregateVersion: 2 }]);
    await until('it is shown', async () => (await rows().catch(() => new Map())).size === size(list), patienceMs);
    await one.generations.rebuild();
    const building = async () => (await one.generations.progress()).building;
    await until('it has failed', async () => (await building())?.hasFailed === true, patienceMs);
    expect((await building())?.failure).toBe('RECORD_INVALID');
    expect(await servingOf(one)).toBe(1);
    expect((await rows()).size).toBe(size(list));
    expect((await one.generations.rebuild()).building?.generation).toBe(3);
  }, 180_000);
});

describe('transactions of accounts, and totals of days', () => {
  const shown = async (): Promise<string> => {
    const [{ serving }] = processes as [Process];
    const view = serving[0]!;
    const reports = await Promise.all(
      view
        .locateAll(dailyParts.name)
        .flatMap(({ partition }) => [
          verifyAccountTransactions(transactionEvents, { view, log, partition }),
          verifyDailyTotals(transactionEvents, { view, log, partition }),
        ]),
    );
    const count = (name: 'entries' | 'differenceCount'): number => reports.reduce((sum, one) => sum + one[name], 0);
    return `${count('entries')} rows, ${count('differenceCount')} differences`;
  };
  const publish = (list: readonly TransactionEvent[]): Promise<void> =>
    produce(
      log,
      transactionEvents,
      list.map((value) => ({ key: value.txId, value })),
    );

  test('are what the events say, also made anew; what events say otherwise is found', async () => {
    const list = happened(9).events;
    await publish(list);
    const one = await start('one', { topology: billingTransactions() });
    const days = new Set(
      list.filter(({ amount, type }) => amount !== undefined && /Completed$/.test(type)).map(({ txId }) => txId),
    );
    expect(days.size).toBeGreaterThan(5);
    const complete = /^(2[4-9]|[3-9]\d) rows, 0 differences$/;
    await until('all is shown', async () => complete.test(await shown().catch(() => '')), patienceMs);
    const before = await shown();
    await one.generations.rebuild();
    await isRebuilt(2);
    await until('all is shown again', async () => (await shown().catch(() => '')) === before, patienceMs);

    const view = one.serving[0]!;
    const { partition } = view.locateAll(dailyParts.name)[0]!;
    const other = { ...transactionEvents, value: { ...transactionEvents.value, deserialize: changed } };
    for (const verify of [verifyAccountTransactions, verifyDailyTotals])
      expect((await verify(other, { view, log, partition })).differences[0]).toMatch(/is not what the events say$/);
  }, 180_000);

  function changed(bytes: Uint8Array): TransactionEvent {
    const event = transactionEvents.value.deserialize(bytes);
    return event.amount === undefined ? event : { ...event, amount: event.amount + 1n };
  }
});
