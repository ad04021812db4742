import { afterEach, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { sagaPatienceMs, transactions } from '../../../processors/app/billing/saga-processor.ts';
import { jsonFormat } from '../../../schemas/app/record-format.ts';
import { BillingBench } from '../../support/billing/bench.ts';
import { money } from '../../support/billing/commands.ts';

const benches: BillingBench[] = [];

afterEach(() => {
  for (const bench of benches.splice(0)) bench.close();
});

/** Ann has 50. */
function open(paysOut = true): BillingBench {
  const bench = new BillingBench(2, jsonFormat, { paysOut });
  benches.push(bench);
  bench.open('ann', '50');
  return bench;
}

const withdrawal = { type: 'WITHDRAWAL', from: 'ann', to: 'external:bank', amount: '20' } as const;

function statesOf(bench: BillingBench, txId: string): readonly string[] {
  return bench.transitions.filter((transition) => transition.txId === txId).map(({ to }) => to);
}

test('a withdrawal is held, paid out, and posted once it is paid', () => {
  const bench = open();
  const txId = bench.ask('k', withdrawal);
  bench.settle();
  expect(bench.payouts).toMatchObject([
    { txId, sourceAccountId: 'ann', destinationAccountId: 'external:bank', amount: money('20'), currency: 'USD' },
  ]);
  expect([bench.outcome(txId), bench.balance('ann'), bench.auditor.holds.size]).toEqual(['', money('50'), 1]);
  bench.answer(bench.payouts[0]!, 'paid');
  bench.settle();
  expect(bench.events.at(-1)).toMatchObject({
    type: 'WithdrawalCompleted',
    sourceBalanceBefore: money('50'),
    sourceBalanceAfter: money('30'),
  });
  expect(statesOf(bench, txId)).toEqual(['HOLDING', 'PAYING', 'DEBITING', 'COMPLETED']);
  expect([bench.auditor.total('external:bank'), bench.auditor.holds.size]).toEqual([-money('30'), 0]);
});

test('one that whoever pays refuses moves nothing, and holds nothing afterwards', () => {
  const bench = open();
  const txId = bench.ask('k', withdrawal);
  bench.settle();
  bench.answer(bench.payouts[0]!, 'refused');
  bench.settle();
  expect(bench.outcome(txId)).toBe('payout_refused');
  expect(statesOf(bench, txId)).toEqual(['HOLDING', 'PAYING', 'RELEASING', 'FAILED']);
  expect([bench.balance('ann'), bench.auditor.holds.size]).toEqual([money('50'), 0]);
});

test('nobody is asked to pay what the account does not have, nor what does not leave', () => {
  const bench = open();
  bench.open('bob', '1');
  const tooMuch = bench.ask('k', { ...withdrawal, amount: '51' });
  const inside = bench.ask('fee', { ...withdrawal, to: 'system:fees' });
  const transfer = bench.ask('t', { type: 'TRANSFER', from: 'ann', to: 'bob', amount: '1' });
  bench.settle();
  expect(bench.payouts).toEqual([]);
  expect([tooMuch, inside, transfer].map((txId) => bench.outcome(txId))).toEqual([
    'insufficient_balance',
    'WithdrawalCompleted',
    'TransferCompleted',
  ]);
});

test('while nobody says whether it is paid, the money stays held and the same payout is asked for again, ever less often', () => {
  const bench = open();
  const txId = bench.ask('k', withdrawal);
  bench.settle();
  // In units of its patience, rounded down: it is looked for every ten seconds.
  const gaps: number[] = [];
  for (let [passedMs, askedMs] = [0, 0]; gaps.length < 9; passedMs += 10_000) {
    const before = bench.payouts.length;
    bench.saga.advanceWallClock(10_000);
    bench.settle();
    if (bench.payouts.length === before) continue;
    gaps.push(Math.floor((passedMs - askedMs) / sagaPatienceMs));
    askedMs = passedMs;
  }
  expect(gaps).toEqual([1, 2, 4, 8, 16, 32, 64, 120, 120]);
  expect(new Set(bench.payouts.map(({ commandId }) => commandId)).size).toBe(1);
  expect([bench.outcome(txId), bench.auditor.holds.size]).toEqual(['', 1]);
  bench.answer(bench.payouts[0]!, 'paid');
  bench.settle();
  expect([bench.outcome(txId), bench.balance('ann')]).toEqual(['WithdrawalCompleted', money('30')]);
});

test.each(['paid', 'refused'] as const)('of two answers the first counts: %s', (first) => {
  const bench = open();
  const txId = bench.ask('k', withdrawal);
  bench.settle();
  const [payout] = bench.payouts;
  bench.answer(payout!, first);
  bench.answer(payout!, first === 'paid' ? 'refused' : 'paid');
  bench.settle();
  bench.answer(payout!, first === 'paid' ? 'refused' : 'paid');
  bench.settle();
  expect(bench.outcome(txId)).toBe(first === 'paid' ? 'WithdrawalCompleted' : 'payout_refused');
  expect(bench.balance('ann')).toBe(money(first === 'paid' ? '30' : '50'));
});

test('an answer that belongs to no payout changes nothing', () => {
  const bench = open();
  const txId = bench.ask('k', withdrawal);
  bench.answer({ txId, commandId: 'other' } as never, 'paid');
  bench.answer({ txId: 'unknown', commandId: 'other' } as never, 'paid');
  bench.settle();
  expect([bench.outcome(txId), bench.auditor.holds.size]).toEqual(['', 1]);
  expect(bench.saga.drops().get('refused')).toBe(2);
});

test('how a withdrawal began is how it goes on, whoever pays by then', async () => {
  const paying = open();
  const txId = paying.ask('k', withdrawal);
  paying.settle();
  const known = (await paying.saga.rows(transactions)).find(({ key }) => key === txId);
  expect(known?.value.isPaidOut).toBe(true);
  const direct = open(false);
  direct.ask('k', withdrawal);
  direct.settle();
  const [other] = (await direct.saga.rows(transactions)).filter(({ key }) => key === txId);
  expect([other?.value.isPaidOut, direct.payouts, direct.outcome(txId)]).toEqual([
    undefined,
    [],
    'WithdrawalCompleted',
  ]);
});

test('whatever is repeated and in whatever order, what is paid is posted once and what is not moves nothing', () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('ask' as const), amount: fc.integer({ min: 1, max: 30 }), key: fc.nat(5) }),
    fc.record({
      kind: fc.constant('answer' as const),
      which: fc.nat(20),
      outcome: fc.constantFrom('paid' as const, 'refused' as const),
    }),
    fc.record({ kind: fc.constant('carry' as const), copies: fc.integer({ min: 1, max: 3 }) }),
    fc.record({ kind: fc.constant('pass' as const) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const bench = open();
      const decided = new Map<string, 'paid' | 'refused'>();
      const answer = (which: number, outcome: 'paid' | 'refused'): void => {
        const payout = bench.payouts[which % bench.payouts.length];
        if (payout === undefined) return;
        if (!decided.has(payout.txId)) decided.set(payout.txId, outcome);
        bench.answer(payout, decided.get(payout.txId)!);
      };
      for (const one of steps)
        if (one.kind === 'ask') bench.ask(`k${one.key}`, { ...withdrawal, amount: String(one.amount) });
        else if (one.kind === 'answer') answer(one.which, one.outcome);
        else if (one.kind === 'carry') bench.carry(one.copies);
        else bench.saga.advanceWallClock(sagaPatienceMs + 1_000);
      bench.settle();
      for (const [which, { txId }] of bench.payouts.entries()) if (!decided.has(txId)) answer(which, 'paid');
      bench.settle();
      let left = money('50');
      for (const { txId, amount } of new Map(bench.payouts.map((payout) => [payout.txId, payout])).values()) {
        const isPaid = decided.get(txId) === 'paid';
        // Who has waited for the hold too long has given up before anybody was asked.
        expect(bench.outcome(txId)).toBe(isPaid ? 'WithdrawalCompleted' : 'payout_refused');
        if (isPaid) left -= amount;
      }
      expect([bench.balance('ann'), bench.auditor.holds.size]).toEqual([left, 0]);
      expect(bench.auditor.total('external:bank')).toBe(-left);
    }),
    { numRuns: 200 },
  );
});
