import { afterEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import {
  accountBalances,
  balanceHistory,
  dailyParts,
  dailyTotals,
  effectiveHistory,
} from '../../../processors/app/billing/projections.ts';
import { formatAmount } from '../../../schemas/app/billing/money.ts';
import { billingTopics } from '../../../schemas/app/billing/topics.ts';
import { BillingBench, startMs } from '../../support/billing/bench.ts';

const topics = billingTopics();
const benches: BillingBench[] = [];

afterEach(() => {
  for (const bench of benches.splice(0)) bench.close();
});

const names = ['ann', 'bob', 'cid'];
const asked = fc.record({
  from: fc.constantFrom('external:bank', ...names),
  to: fc.constantFrom('external:bank', ...names),
  amount: fc.constantFrom('0.25', '7', '40'),
  waitMs: fc.constantFrom(0, 0, 1, 10_000, 86_400_000),
});

/** Runs what is asked, on several days. */
function run(list: readonly { from: string; to: string; amount: string; waitMs: number }[]): BillingBench {
  const bench = new BillingBench(3);
  benches.push(bench);
  for (const name of names) bench.open(name, '20');
  for (const [index, { from, to, amount, waitMs }] of list.entries()) {
    bench.pass(waitMs);
    if (from === to) continue;
    const type = from.startsWith('external') ? 'TOPUP' : to.startsWith('external') ? 'WITHDRAWAL' : 'TRANSFER';
    bench.ask(`k${index}`, { type, from, to, amount });
    bench.settle();
  }
  return bench;
}

describe('projections of billing', () => {
  it('I-M8: a balance is the sum of what was posted; its history leaves out no version that moved money, and is in order of time', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(asked, { maxLength: 15 }), async (list) => {
        const bench = run(list);
        const rows = await bench.balances.rows(balanceHistory);
        for (const { value: balance } of await bench.balances.rows(accountBalances)) {
          const { accountId } = balance;
          const history = rows.map(({ value }) => value).filter((entry) => entry.accountId === accountId);
          history.sort((a, b) => a.version - b.version);
          const events = bench.accountEvents.filter((event) => event.accountId === accountId);
          const moved = events.filter(({ type }) => type === 'BalanceChanged' || type === 'AccountCreated');
          expect(history.map(({ version }) => version)).toEqual(moved.map((event) => event.aggregateVersion));
          expect(history.reduce((sum, { change }) => sum + change, 0n)).toBe(bench.balance(accountId));
          expect(balance.balance).toBe(bench.balance(accountId));
          expect(balance.version).toBe(events.length);
          const times = history.map(({ recordedAt }) => recordedAt);
          expect(times).toEqual([...times].sort((a, b) => a - b));
        }
      }),
      { numRuns: 20 },
    );
  });

  it('I-M9: the totals of all days are what completed transactions moved on them', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(asked, { maxLength: 15 }), async (list) => {
        const bench = run(list);
        const expected = new Map<string, [bigint, number]>();
        for (const { type, amount, currency, at } of bench.events) {
          if (!type.endsWith('Completed') || amount === undefined) continue;
          const day = new Date(at / 1_000).toISOString().slice(0, 10);
          const key = `${day}|${currency!}|${type.slice(0, -'Completed'.length).toUpperCase()}`;
          const [sum, count] = expected.get(key) ?? [0n, 0];
          expected.set(key, [sum + amount, count + 1]);
        }
        const rows = await bench.projections.rows(dailyTotals);
        expect(new Map(rows.map(({ key, value }) => [key, [value.amount, value.count]]))).toEqual(expected);
        const added = new Map<string, [bigint, number]>();
        for (const { value } of await bench.transactions.rows(dailyParts)) {
          const key = `${value.day}|${value.currency}|${value.type}`;
          const [sum, count] = added.get(key) ?? [0n, 0];
          added.set(key, [sum + value.amount, count + value.count]);
        }
        expect(added).toEqual(expected);
      }),
      { numRuns: 10 },
    );
  });

  it('publishes balances and totals by key, each change once', () => {
    const bench = run([{ from: 'ann', to: 'bob', amount: '7', waitMs: 0 }]);
    const last = new Map(bench.projections.read(topics.balances).map(({ key, value }) => [key, value]));
    expect([...last].map(([key, value]) => [key, formatAmount(value!.balance)]).sort()).toEqual([
      ['ann', '13'],
      ['bob', '27'],
      ['cid', '20'],
    ]);
    const totals = bench.projections.read(topics.dailyTotals).map(({ value }) => value!.count);
    expect(totals).toHaveLength(4);
  });

  it('notify each account of what has ended with it: of its own leg and balance, once', () => {
    const bench = run([
      { from: 'ann', to: 'bob', amount: '7', waitMs: 0 },
      { from: 'bob', to: 'external:bank', amount: '40', waitMs: 0 },
    ]);
    const told = bench.projections.read(topics.notifications);
    const shown = told.map(({ key, value }) => {
      const { type, trackingId, amount = 0n, balanceAfter, errorCode } = value!;
      const balance = balanceAfter === undefined ? errorCode : formatAmount(balanceAfter);
      return [key, type, trackingId, formatAmount(amount), balance].join(' ');
    });
    expect(shown.filter((line) => line.includes(' k')).sort()).toEqual([
      'ann TransferCompleted k0 -7 13',
      'bob TransferCompleted k0 7 27',
      'bob WithdrawalFailed k1 -40 insufficient_balance',
    ]);
    expect(shown.filter((line) => line.startsWith('ann ')).slice(0, 2)).toEqual([
      'ann AccountChangeCompleted open ann 0 ',
      'ann TopupCompleted fund ann 20 20',
    ]);
    const headers = told.map((record) => new Map(record.headers.map(({ key, value }) => [key, String(value)])));
    expect(headers.map((header) => header.get('eventType'))).toEqual(told.map(({ value }) => value?.type));
    const ids = headers.map((header) => header.get('eventId'));
    expect(ids).toEqual(told.map(({ value }) => value?.notificationId));
    expect(new Set(ids).size).toBe(told.length);
    for (const event of bench.events) bench.projections.pipe(topics.transactionEvents, event.txId, event);
    const again = bench.projections.read(topics.notifications).map(({ value }) => value?.notificationId);
    expect(new Set(again)).toEqual(new Set(ids));
  });

  it('skips an event that came before, and leaves out all of an account after a gap', async () => {
    const bench = run([{ from: 'ann', to: 'bob', amount: '7', waitMs: 0 }]);
    const events = bench.accountEvents.filter(({ accountId }) => accountId === 'ann');
    const again = new BillingBench(1);
    benches.push(again);
    for (const index of [0, 0, 2, 3]) again.balances.pipe(topics.accountEvents, 'ann', events[index]!);
    expect(again.balances.drops().get('duplicate')).toBe(1);
    const rows = await again.balances.rows(accountBalances);
    expect(rows.map(({ value }) => value.version)).toEqual([1]);
    expect(events[0]?.recordedAt).toBe(startMs * 1_000);
  });

  it('built twice from the same events is the same', async () => {
    const bench = run([{ from: 'ann', to: 'bob', amount: '7', waitMs: 5 }]);
    const again = new BillingBench(3);
    benches.push(again);
    for (const event of bench.accountEvents) again.balances.pipe(topics.accountEvents, event.accountId, event);
    for (const spec of [balanceHistory, effectiveHistory])
      expect(await again.balances.rows(spec)).toEqual(await bench.balances.rows(spec));
  });
});
