import { afterEach, describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { accounts, holds, stripes } from '../../../processors/app/billing/ledger-processor.ts';
import { accountBalances, dailyTotals } from '../../../processors/app/billing/projections.ts';
import { sagaPatienceMs, sagaTimers, transactions } from '../../../processors/app/billing/saga-processor.ts';
import { billingTopics } from '../../../schemas/app/billing/topics.ts';
import { BillingBench, startMs } from '../../support/billing/bench.ts';
import { money, reasonsOf } from '../../support/billing/commands.ts';

const benches: BillingBench[] = [];

afterEach(() => {
  for (const bench of benches.splice(0)) bench.close();
});

function open(): BillingBench {
  const bench = new BillingBench();
  benches.push(bench);
  return bench;
}

/** Ann has 50, Bob 10, each at most 100. */
function annAndBob(): BillingBench {
  const bench = open();
  bench.open('ann', '50');
  bench.open('bob', '10');
  return bench;
}

const transfer = { type: 'TRANSFER', from: 'ann', to: 'bob', amount: '20' } as const;

describe('transactions, as saga and ledger run them together', () => {
  it('a transfer holds both sides, then posts both, and tells balances before and after', () => {
    const bench = annAndBob();
    const txId = bench.ask('k', transfer);
    bench.settle();
    expect(bench.events.at(-1)).toMatchObject({
      type: 'TransferCompleted',
      idempotencyKey: 'k',
      sourceBalanceBefore: money('50'),
      sourceBalanceAfter: money('30'),
      destinationBalanceBefore: money('10'),
      destinationBalanceAfter: money('30'),
    });
    const states = bench.transitions.filter((transition) => transition.txId === txId).map(({ to }) => to);
    expect(states).toEqual(['HOLDING', 'DEBITING', 'CREDITING', 'COMPLETED']);
    const kinds = bench.accountEvents.filter((event) => event.txId === txId).map(({ type }) => type);
    expect([...kinds].sort()).toEqual(['BalanceChanged', 'BalanceChanged', 'CreditHeld', 'FundsReserved']);
    expect(bench.auditor.total('transit:')).toBe(0n);
    expect(bench.auditor.holds.size).toBe(0);
  });

  it('top-ups and withdrawals are one command beside a stripe of the unbounded account', () => {
    const bench = annAndBob();
    const before = bench.commands.length;
    bench.ask('in', { type: 'TOPUP', from: 'external:bank', to: 'ann', amount: '1.5' });
    bench.ask('out', { type: 'WITHDRAWAL', from: 'bob', to: 'external:bank', amount: '10' });
    bench.settle();
    expect(bench.commands.slice(before).map(({ kind }) => kind)).toEqual(['POST_CREDIT', 'POST_DEBIT']);
    expect([bench.balance('ann'), bench.balance('bob')]).toEqual([money('51.5'), 0n]);
    expect(bench.auditor.total('external:bank')).toBe(-money('51.5'));
  });

  it.each([
    ['more than there is', { ...transfer, amount: '50.00000001' }, 'insufficient_balance'],
    ['more than there is room for', { ...transfer, to: 'full' }, 'balance_limit_exceeded'],
    ['from nobody', { ...transfer, from: 'nobody' }, 'account_not_found'],
    ['to nobody', { ...transfer, to: 'nobody' }, 'account_not_found'],
    ['in a foreign currency', { ...transfer, currency: 'EUR' }, 'currency_mismatch'],
    ['to a closed account', { ...transfer, to: 'closed' }, 'account_closed'],
    [
      'a withdrawal of too much',
      { type: 'WITHDRAWAL', from: 'bob', to: 'external:b', amount: '11' },
      'insufficient_balance',
    ],
    ['a top-up of nobody', { type: 'TOPUP', from: 'external:b', to: 'nobody', amount: '1' }, 'account_not_found'],
  ] as const)('%s: fails with its code, moves nothing and holds nothing', (_what, asked, code) => {
    const bench = annAndBob();
    bench.open('full', '90');
    bench.open('closed');
    bench.change('close', 'closed', { kind: 'CLOSE' });
    bench.settle();
    const txId = bench.ask('k', asked);
    bench.settle();
    expect(bench.outcome(txId)).toBe(code);
    expect(bench.accountEvents.filter((event) => event.txId === txId && event.type === 'BalanceChanged')).toEqual([]);
    expect(bench.auditor.holds.size).toBe(0);
  });

  it('the same request again changes nothing, and another one under its key changes nothing either', async () => {
    const bench = annAndBob();
    const txId = bench.ask('k', transfer);
    bench.ask('k', transfer);
    bench.settle();
    bench.ask('k', transfer);
    bench.ask('k', { ...transfer, amount: '30' });
    bench.settle();
    expect(bench.outcome(txId)).toBe('TransferCompleted');
    expect(bench.balance('ann')).toBe(money('30'));
    expect(Object.fromEntries(bench.saga.drops())).toEqual({ duplicate: 2, refused: 1 });
    const kept = (await bench.saga.rows(transactions)).find(({ key }) => key === txId);
    expect(kept?.value.request).toMatchObject({ amount: money('20') });
  });

  it('every command three times over has the effect of one', () => {
    const bench = annAndBob();
    const txId = bench.ask('k', transfer);
    bench.settle(3);
    expect(bench.outcome(txId)).toBe('TransferCompleted');
    expect([bench.balance('ann'), bench.balance('bob')]).toEqual([money('30'), money('30')]);
  });

  it('gives up before the pivot when nobody answers, and lets go of what was held meanwhile', async () => {
    const bench = annAndBob();
    const txId = bench.ask('k', transfer);
    bench.saga.advanceWallClock(sagaPatienceMs + 1_000);
    bench.settle();
    expect(bench.outcome(txId)).toBe('timed_out');
    expect(bench.auditor.holds.size).toBe(0);
    expect(bench.balance('ann')).toBe(money('50'));
    expect(await bench.saga.rows(sagaTimers)).toEqual([]);
  });

  it('whoever has moved on is given its whole patience anew, then what is unanswered is sent again', async () => {
    const bench = annAndBob();
    const txId = bench.ask('k', transfer);
    bench.pass(sagaPatienceMs - 1_000);
    bench.carry();
    const sent = bench.commands.length;
    bench.pass(sagaPatienceMs - 2_000);
    bench.carry(0);
    expect(bench.commands).toHaveLength(sent);
    expect(await bench.saga.rows(sagaTimers)).toMatchObject([{ value: { txId } }]);
    bench.pass(3_000);
    bench.saga.commit();
    bench.settle();
    expect(bench.commands.slice(sent)).toMatchObject([{ kind: 'POST_DEBIT' }, { kind: 'POST_CREDIT' }]);
    expect([bench.balance('ann'), bench.balance('bob')]).toEqual([money('30'), money('30')]);
    expect(await bench.saga.rows(sagaTimers)).toEqual([]);
  });

  it('a request that waited in the log for long does not give up at once', () => {
    const bench = annAndBob();
    bench.pass(10 * sagaPatienceMs);
    const txId = bench.ask('k', transfer, startMs);
    bench.pass(2_000);
    bench.settle();
    expect(bench.outcome(txId)).toBe('TransferCompleted');
  });

  it('a command whose answer is late is sent again, as the same command', () => {
    const bench = annAndBob();
    const txId = bench.ask('k', { type: 'TOPUP', from: 'external:bank', to: 'ann', amount: '5' });
    bench.saga.advanceWallClock(sagaPatienceMs + 1_000);
    bench.settle();
    const sent = bench.commands.filter((command) => command.txId === txId);
    expect(sent).toHaveLength(2);
    expect(sent[1]).toEqual(sent[0]);
    expect(bench.outcome(txId)).toBe('TopupCompleted');
    expect(bench.balance('ann')).toBe(money('55'));
  });

  it('can be told to send again what is unanswered', () => {
    const bench = annAndBob();
    const txId = bench.ask('k', transfer);
    bench.request({ type: 'REDRIVE', txId });
    expect(bench.commands.filter((command) => command.txId === txId)).toHaveLength(4);
    bench.settle();
    expect(bench.outcome(txId)).toBe('TransferCompleted');
    expect(bench.balance('bob')).toBe(money('30'));
  });

  it('history that happened elsewhere is taken over beyond limits', () => {
    const bench = annAndBob();
    const txId = bench.ask('k', { ...transfer, type: 'IMPORT', amount: '95' });
    bench.settle();
    expect(bench.outcome(txId)).toBe('ImportCompleted');
    expect(bench.balance('ann')).toBe(-money('45'));
  });

  it('a record says what it is and what caused it, and passes on who asked', () => {
    const bench = annAndBob();
    const { requests } = billingTopics();
    const txId = bench.ask('k', transfer);
    bench.settle();
    bench.saga.read(requests);
    const headers = [
      { key: 'correlationId', value: Buffer.from('c-1') },
      { key: 'eventType', value: Buffer.from('REFUND') },
    ];
    const claim = { txId, refundTxId: 'r', commandId: 'claim', amount: money('1'), currency: 'USD' };
    bench.saga.pipe(requests, txId, { type: 'REFUND_AUTHORISE', ...claim }, { headers });
    const [answer] = bench.saga.read(requests);
    const told = answer?.headers.map(({ key, value }) => [key, Buffer.from(value ?? []).toString()]) ?? [];
    expect(Object.fromEntries(told)).toMatchObject({
      correlationId: 'c-1',
      eventType: 'REFUND_ANSWER',
      eventVersion: '1',
      causationId: 'claim',
    });
  });

  it('dead-letters what comes under a foreign key', () => {
    const bench = open();
    bench.saga.pipe(billingTopics().requests, 'other', { type: 'REDRIVE', txId: 't' });
    expect(reasonsOf(bench.saga.read(billingTopics().deadLetter))).toEqual(['key_mismatch']);
  });

  it.each(['requests', 'results'] as const)('dead-letters a record of %s that has no value', (topic) => {
    const bench = open();
    const topics = billingTopics();
    bench.saga.pipeBytes(topics[topic].name, Buffer.from('t'), undefined);
    expect(reasonsOf(bench.saga.read(topics.deadLetter))).toEqual(['value_missing']);
    expect(bench.saga.producedTopics()).toEqual([]);
  });

  it('dead-letters what claims a time that nobody could count in microseconds, and goes on', () => {
    const bench = open();
    bench.open('ann', '10');
    const microsForMillis = bench.saga.wallClockMs * 1_000;
    bench.ask('broken clock', { type: 'WITHDRAWAL', from: 'ann', to: 'external:bank', amount: '1' }, microsForMillis);
    const next = bench.ask('next', { type: 'WITHDRAWAL', from: 'ann', to: 'external:bank', amount: '1' });
    bench.settle();
    expect(reasonsOf(bench.saga.read(billingTopics().deadLetter))).toEqual(['TIMESTAMP_INVALID']);
    expect(bench.outcome(next)).toBe('WithdrawalCompleted');
  });

  const asChange = (change: object) => ({ type: 'ACCOUNT', accountId: 'ann', change });
  const good = {
    ...{ type: 'TRANSFER', txId: 't', idempotencyKey: 'k', fingerprint: 'f', actorId: 'a', correlationId: 'c' },
    ...{ requestedAt: 1, sourceAccountId: 'ann', destinationAccountId: 'bob', amount: '1', currency: 'USD' },
  };
  it.each([
    ['nothing wrong', {}, undefined],
    ['a negative amount', { amount: '-1' }, 'amount_negative'],
    ['zero', { amount: '0' }, 'amount_zero'],
    ['NaN', { amount: 'NaN' }, 'amount_invalid'],
    ['an exponent', { amount: '1e3' }, 'amount_invalid'],
    ['a number', { amount: 1.5 }, 'amount_invalid'],
    ['a limit that is no amount', asChange({ kind: 'SET_LIMITS', maxBalance: '1e3' }), 'amount_invalid'],
    ['a ninth decimal', { amount: '0.000000001' }, 'amount_precision'],
    ['a thirteenth digit', { amount: '1234567890123' }, 'amount_overflow'],
    ['one account twice', { destinationAccountId: 'ann' }, 'same_account'],
    ['unbounded accounts', { sourceAccountId: 'external:a', destinationAccountId: 'system:b' }, 'unbounded_accounts'],
    ['no currency', { currency: 'usd' }, 'currency_invalid'],
    ['no account', { sourceAccountId: 'transit:USD#0' }, 'account_invalid'],
    ['no key', { idempotencyKey: undefined }, 'field_invalid'],
    ['a type that there is not', { type: 'MINT' }, 'field_invalid'],
  ])('a record with %s is put aside with the reason, and causes nothing', (_what, change, reason) => {
    const bench = open();
    const { requests, deadLetter } = billingTopics();
    const value = Buffer.from(JSON.stringify({ ...good, ...change }));
    bench.saga.pipeBytes(requests.name, Buffer.from('t'), value);
    expect(reasonsOf(bench.saga.read(deadLetter))).toEqual(reason === undefined ? [] : [reason]);
    expect(bench.saga.producedTopics().length > 0).toBe(reason === undefined);
  });

  it.each([
    ['an account that nobody opened', { to: 'nobody' }, 'account_not_found'],
    ['another currency', { currency: 'EUR' }, 'currency_mismatch'],
    ['more than there is', { amount: '51' }, 'insufficient_balance'],
  ])('one with %s fails with its code, and nothing is posted', (_what, change, code) => {
    const bench = annAndBob();
    const txId = bench.ask('k', { ...transfer, ...change });
    bench.settle();
    expect(bench.outcome(txId)).toBe(code);
    expect(['ann', 'bob'].map((accountId) => bench.balance(accountId))).toEqual([money('50'), money('10')]);
  });

  it('one under the key of another is counted as refused, and changes nothing', () => {
    const bench = annAndBob();
    const txId = bench.ask('k', transfer);
    bench.settle();
    const before = bench.events.length;
    expect(bench.ask('k', { ...transfer, amount: '21' })).toBe(txId);
    bench.settle();
    expect([bench.events.length, bench.balance('ann'), bench.saga.drops().get('refused')]).toEqual([
      before,
      money('30'),
      1,
    ]);
  });
});

describe('refunds', () => {
  it('give back part after part, and never more than was moved', () => {
    const bench = annAndBob();
    const txId = bench.ask('k', transfer);
    bench.settle();
    const outcomes = ['5', '15.00000001', '15', '1'].map((amount) => {
      const refund = bench.refund(`r${amount}`, txId, amount);
      bench.settle();
      return bench.outcome(refund);
    });
    expect(outcomes).toEqual(['RefundCompleted', 'refund_exceeds_original', 'RefundCompleted', 'already_refunded']);
    expect([bench.balance('ann'), bench.balance('bob')]).toEqual([money('50'), money('10')]);
  });

  it('at the same time share what was moved', () => {
    const bench = annAndBob();
    const txId = bench.ask('k', transfer);
    bench.settle();
    const refunds = ['a', 'b', 'c'].map((key) => bench.refund(key, txId, '10'));
    bench.settle();
    expect(refunds.map((refund) => bench.outcome(refund)).sort()).toEqual([
      'RefundCompleted',
      'RefundCompleted',
      'already_refunded',
    ]);
    expect(bench.balance('ann')).toBe(money('50'));
  });

  it('that fail hand their share back', () => {
    const bench = annAndBob();
    const txId = bench.ask('k', transfer);
    bench.settle();
    bench.ask('spent', { type: 'WITHDRAWAL', from: 'bob', to: 'external:bank', amount: '30' });
    bench.settle();
    const failed = bench.refund('r', txId, '20');
    bench.settle();
    expect(bench.outcome(failed)).toBe('insufficient_balance');
    bench.ask('again', { type: 'TOPUP', from: 'external:bank', to: 'bob', amount: '20' });
    const second = bench.refund('s', txId, '20');
    bench.settle();
    expect(bench.outcome(second)).toBe('RefundCompleted');
    expect([bench.balance('ann'), bench.balance('bob')]).toEqual([money('50'), 0n]);
  });

  it('of what does not exist, has failed, or is itself a refund, are refused', () => {
    const bench = annAndBob();
    const txId = bench.ask('k', transfer);
    const bad = bench.ask('bad', { ...transfer, amount: '99' });
    bench.settle();
    const refund = bench.refund('r', txId, '1');
    bench.settle();
    const asked = ['none', bad, refund].map((original) => bench.refund(`of ${original}`, original, '1'));
    bench.settle();
    expect(asked.map((tx) => bench.outcome(tx))).toEqual([
      'original_not_found',
      'original_not_completed',
      'not_refundable',
    ]);
  });

  it('of a top-up go back to the unbounded account', () => {
    const bench = annAndBob();
    const txId = bench.ask('in', { type: 'TOPUP', from: 'external:bank', to: 'ann', amount: '5' });
    bench.settle();
    bench.refund('r', txId, '2');
    bench.settle();
    expect(bench.balance('ann')).toBe(money('53'));
    expect(bench.auditor.total('external:bank')).toBe(-money('63'));
  });
});

it('what is kept in memory of a row is exactly what its bytes say', async () => {
  const bench = annAndBob();
  const txId = bench.ask('k', transfer);
  bench.settle();
  bench.refund('r', txId, '5');
  bench.ask('more than there is', { ...transfer, amount: '90' });
  bench.settle();
  bench.ask('under way', transfer);
  bench.carry();
  const kept = [
    ...[transactions].map((spec) => ({ spec, driver: bench.saga })),
    ...[accounts, holds, stripes].map((spec) => ({ spec, driver: bench.ledger })),
    { spec: accountBalances, driver: bench.balances },
    { spec: dailyTotals, driver: bench.projections },
  ];
  for (const { spec, driver } of kept) {
    const rows = await driver.rows<string, unknown, unknown>(spec);
    expect(rows).not.toHaveLength(0);
    for (const { key, value } of rows) {
      const states = [0, 1].map((partition) => driver.state(spec.name, partition) as { get(key: string): unknown });
      expect(states.map((state) => state.get(key))).toContainEqual(value);
      for (const state of states) expect(state.get(key) ?? value).toStrictEqual(value);
    }
  }
});

describe('any mixture of requests', () => {
  const asked = fc.record({
    type: fc.constantFrom('TOPUP' as const, 'WITHDRAWAL' as const, 'TRANSFER' as const, 'REFUND' as const),
    from: fc.constantFrom('ann', 'bob', 'cid'),
    to: fc.constantFrom('ann', 'bob', 'cid', 'nobody'),
    amount: fc.constantFrom('1', '7', '40', '95'),
    original: fc.nat(10),
    settles: fc.boolean(),
    timesOut: fc.nat(5).map((n) => n === 0),
  });

  interface Request {
    readonly type: 'TOPUP' | 'WITHDRAWAL' | 'TRANSFER' | 'REFUND';
    readonly from: string;
    readonly to: string;
    readonly amount: string;
    /** Which of the earlier ones a refund is of. */
    readonly original: number;
  }

  /** Nothing for a transfer from an account to itself. */
  function askFor(bench: BillingBench, key: string, request: Request, earlier: readonly string[]): string | undefined {
    const { type, from, to, amount, original } = request;
    if (type === 'REFUND') return bench.refund(key, earlier[original % Math.max(1, earlier.length)] ?? 'none', amount);
    if (type === 'TOPUP') return bench.ask(key, { type, from: 'external:bank', to, amount });
    if (type === 'WITHDRAWAL') return bench.ask(key, { type, from, to: 'external:bank', amount });
    return from === to ? undefined : bench.ask(key, { type, from, to, amount });
  }

  it('I-M1 to I-M7: is sound at every prefix; each request has one outcome; a failed one has moved nothing, a completed one all of it', () => {
    fc.assert(
      fc.property(fc.array(asked, { maxLength: 14 }), (list) => {
        const bench = annAndBob();
        bench.open('cid', '5');
        const txIds: string[] = [];
        for (const [index, request] of list.entries()) {
          const txId = askFor(bench, `k${index}`, request, txIds);
          if (txId !== undefined) txIds.push(txId);
          if (request.timesOut) bench.saga.advanceWallClock(sagaPatienceMs + 1_000);
          if (request.settles) bench.settle(index % 3 === 0 ? 2 : 1);
        }
        bench.settle();
        expect(bench.auditor.total('transit:')).toBe(0n);
        expect(bench.auditor.holds.size).toBe(0);
        for (const txId of txIds) {
          const [outcome = '', ...more] = bench.outcome(txId).split(' ');
          expect([outcome === '', more]).toEqual([false, []]);
          const own = bench.accountEvents.filter((event) => event.txId === txId && event.type === 'BalanceChanged');
          expect(own.length > 0).toBe(outcome.endsWith('Completed'));
        }
      }),
      { numRuns: 25 },
    );
  });
});
