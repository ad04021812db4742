import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { AccountEvent } from '../../../schemas/app/billing/account-event.ts';
import type { Balance, DailyTotal } from '../../../schemas/app/billing/projection.ts';
import type { SagaRequest } from '../../../schemas/app/billing/request.ts';
import { billingTopics } from '../../../schemas/app/billing/topics.ts';
import type { TransactionEvent } from '../../../schemas/app/billing/transaction.ts';
import type { Topic } from '../../../schemas/topic.ts';
import { BillingBench } from '../../support/billing/bench.ts';
import { money } from '../../support/billing/commands.ts';
import { auditTopics } from '../../support/billing/topic-audit.ts';

const topics = billingTopics();

/** What lies in the topics, to be tampered with. */
interface Contents {
  requests: SagaRequest[];
  accountEvents: AccountEvent[];
  transactionEvents: TransactionEvent[];
  balances: Balance[];
  dailyTotals: DailyTotal[];
}

let bench: BillingBench;
let contents: Contents;

/** Ann and Bob get 50 and 10; she gives him 20 and gets 5 back; one transfer fails. */
beforeEach(() => {
  bench = new BillingBench();
  const requests: SagaRequest[] = [];
  const request = bench.request.bind(bench);
  bench.request = (asked, at) => {
    requests.push(asked);
    request(asked, at);
  };
  bench.open('ann', '50');
  bench.open('bob', '10');
  const transfer = { type: 'TRANSFER', from: 'ann', to: 'bob', amount: '20' } as const;
  const txId = bench.ask('give', transfer);
  bench.settle();
  bench.refund('back', txId, '5');
  bench.ask('too much', { ...transfer, amount: '90' });
  bench.settle();
  contents = {
    requests,
    accountEvents: [...bench.accountEvents],
    transactionEvents: [...bench.events],
    balances: bench.projections.read(topics.balances).map(({ value }) => value!),
    dailyTotals: bench.projections.read(topics.dailyTotals).map(({ value }) => value!),
  };
});

afterEach(() => {
  bench.close();
});

async function audit(): Promise<readonly string[]> {
  const byName = new Map<string, readonly unknown[]>([
    [topics.requests.name, contents.requests],
    [topics.accountEvents.name, contents.accountEvents],
    [topics.transactionEvents.name, contents.transactionEvents],
    [topics.balances.name, contents.balances],
    [topics.dailyTotals.name, contents.dailyTotals],
    [topics.sagaEvents.name, bench.transitions],
  ]);
  const read = async <K, V>(topic: Topic<K, V>) =>
    (byName.get(topic.name) ?? []).map((value, offset) => {
      const place = { partition: 0, offset, timestampMs: 0 };
      return { ...place, key: null as K | null, value: value as V };
    });
  return (await auditTopics(read, topics)).violations;
}

const isMovement = ({ type }: AccountEvent): boolean => type === 'BalanceChanged';

describe('the audit of topics', () => {
  test('has nothing to say of what billing did', async () => {
    expect(await audit()).toEqual([]);
  });

  test.each<readonly [string, (contents: Contents) => void, RegExp]>([
    ['a movement that is missing', ({ accountEvents: e }) => e.splice(e.findLastIndex(isMovement), 1), /^I-M[24]/],
    ['a movement that came twice', ({ accountEvents: e }) => e.push(e.findLast(isMovement)!), /^I-M6/],
    [
      'money out of nothing',
      ({ accountEvents: e }) => {
        const [index, event] = [e.findLastIndex(isMovement), e.findLast(isMovement)];
        if (event?.type === 'BalanceChanged') e[index] = { ...event, postings: event.postings.slice(0, 1) };
      },
      /^I-M1/,
    ],
    ['a hold that nobody ends', ({ accountEvents: e }) => e.push(heldBy(e.at(-1)!)), /^I-M7: 1 holds/],
    ['an outcome that is missing', ({ transactionEvents: e }) => e.pop(), /^I-M5.*no outcome/],
    ['an outcome that came twice', ({ transactionEvents: e }) => e.push(e.at(-1)!), /^I-M5.*twice/],
    ['a transaction that nobody asked for', ({ requests }) => requests.pop(), /^I-M5.*nobody asked for/],
    [
      'a success that moved nothing',
      ({ transactionEvents: e }) => {
        const index = e.findIndex(({ type }) => type === 'TransferFailed');
        e[index] = { ...e[index]!, type: 'TransferCompleted' };
      },
      /^I-M7.*moved \[\] instead/,
    ],
    ['a balance that was not shown', ({ balances }) => balances.pop(), /^I-M8/],
    ['a balance that was shown twice', ({ balances }) => balances.push(balances.at(-1)!), /^I-M8/],
    ['a total that is too large', ({ dailyTotals: d }) => d.push({ ...d.at(-1)!, count: 9 }), /^I-M9/],
  ])('finds %s', async (_what, tamper, finding) => {
    tamper(contents);
    expect((await audit())[0]).toMatch(finding);
  });
});

function heldBy(last: AccountEvent): AccountEvent {
  const { type: _type, ...base } = last;
  const version = last.aggregateVersion + 1;
  const amount = money('1');
  return {
    ...base,
    type: 'FundsReserved',
    aggregateVersion: version,
    balanceBefore: last.balanceAfter,
    heldDebit: last.heldDebit + amount,
    commandId: 'never-ended',
    holdId: 'never-ended',
    amount,
  };
}
