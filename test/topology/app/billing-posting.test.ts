import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { transactions } from '../../../processors/app/billing/saga-processor.ts';
import { moneyJson } from '../../../schemas/app/billing/money.ts';
import { transactionSerde, type Transaction } from '../../../schemas/app/billing/transaction.ts';
import type { KeyValueState } from '../../../index.ts';
import { BillingBench } from '../../support/billing/bench.ts';
import { money } from '../../support/billing/commands.ts';

describe('a transfer past its pivot', () => {
  let bench: BillingBench;
  let txId: string;

  /** Both posts are sent; what becomes of them is up to each test. */
  beforeEach(() => {
    bench = new BillingBench();
    bench.open('ann', '50');
    bench.open('bob', '10');
    txId = bench.ask('k', { type: 'TRANSFER', from: 'ann', to: 'bob', amount: '20' });
    bench.carry();
    bench.carry(0);
  });

  afterEach(() => {
    bench.close();
  });

  function expectCompleted(): void {
    expect(bench.outcome(txId)).toBe('TransferCompleted');
    expect([bench.balance('ann'), bench.balance('bob')]).toEqual([money('30'), money('30')]);
    expect(bench.auditor.total('transit:')).toBe(0n);
    expect(bench.auditor.holds.size).toBe(0);
  }

  it('has sent both posts at once', () => {
    expect(bench.commands.slice(-2).map(({ kind }) => kind)).toEqual(['POST_DEBIT', 'POST_CREDIT']);
  });

  it('waits for the debit if the credit is answered first', () => {
    bench.carryOne('POST_CREDIT');
    expect([bench.balance('ann'), bench.balance('bob')]).toEqual([money('50'), money('30')]);
    expect(bench.outcome(txId)).toBe('');
    bench.carryOne('POST_DEBIT');
    const states = bench.transitions.filter((transition) => transition.txId === txId).map(({ to }) => to);
    expect(states).toEqual(['HOLDING', 'DEBITING', 'COMPLETED']);
    expectCompleted();
  });

  /** The saga's row without what a version does not know that posts one after the other. */
  function asBefore(): Transaction {
    const partitions = [0, 1].map((partition) => bench.saga.state(transactions.name, partition));
    const states = partitions as KeyValueState<string, Transaction>[];
    const state = states.find((one) => one.get(txId) !== undefined)!;
    const { sent: _sent, ...left } = state.get(txId)!;
    state.put(txId, transactionSerde.deserialize(Buffer.from(moneyJson(left)!)));
    return left as Transaction;
  }

  it('is finished if a version left it that had sent the debit only', () => {
    expect(asBefore().state).toBe('DEBITING');
    bench.carryOne('POST_DEBIT');
    bench.settle();
    expectCompleted();
  });

  it('is finished if a version left it that had sent the credit after the debit', () => {
    bench.carryOne('POST_DEBIT');
    expect(asBefore().state).toBe('CREDITING');
    bench.carryOne('POST_CREDIT');
    bench.settle();
    expectCompleted();
  });
});
