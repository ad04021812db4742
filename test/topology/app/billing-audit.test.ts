import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import type { AccountEvent } from '../../../schemas/app/billing/account-event.ts';
import type { Notification } from '../../../schemas/app/billing/notification.ts';
import type { AccountTransaction, Balance, DailyTotal } from '../../../schemas/app/billing/projection.ts';
import type { SagaRequest } from '../../../schemas/app/billing/request.ts';
import { billingTopics } from '../../../schemas/app/billing/topics.ts';
import type { TransactionEvent } from '../../../schemas/app/billing/transaction.ts';
import type { Topic } from '../../../schemas/topic.ts';
import { BillingBench } from '../../support/billing/bench.ts';
import { money } from '../../support/billing/commands.ts';
import { auditTopics } from '../../support/billing/topic-audit.ts';
import { auditTransactionState, transactionChangelogs } from '../../support/billing/transaction-state-audit.ts';

const topics = billingTopics();

/** What lies in the topics, to be tampered with. */
interface Contents {
  requests: SagaRequest[];
  accountEvents: AccountEvent[];
  transactionEvents: TransactionEvent[];
  balances: Balance[];
  dailyTotals: DailyTotal[];
  notifications: Notification[];
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
    notifications: bench.projections.read(topics.notifications).map(({ value }) => value!),
  };
});

afterEach(() => {
  bench.close();
});

/** Reads these instead of topics. */
const reading =
  (byName: ReadonlyMap<string, readonly { readonly key?: string | null; readonly value: unknown }[]>) =>
  <K, V>(topic: Topic<K, V>) => {
    const place = { partition: 0, timestampMs: 0 };
    return Promise.resolve(
      (byName.get(topic.name) ?? []).map(({ key = null, value }, offset) => ({
        ...place,
        offset,
        key: key as K | null,
        value: value as V,
      })),
    );
  };
const valuesOnly = (values: readonly unknown[]) => values.map((value) => ({ value }));

async function audit(): Promise<readonly string[]> {
  const read = reading(
    new Map([
      [topics.requests.name, valuesOnly(contents.requests)],
      [topics.accountEvents.name, valuesOnly(contents.accountEvents)],
      [topics.transactionEvents.name, valuesOnly(contents.transactionEvents)],
      [topics.balances.name, valuesOnly(contents.balances)],
      [topics.dailyTotals.name, valuesOnly(contents.dailyTotals)],
      [topics.notifications.name, valuesOnly(contents.notifications)],
      [topics.sagaEvents.name, valuesOnly(bench.transitions)],
    ]),
  );
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
    ['an account that was told nothing', ({ notifications: n }) => n.pop(), /^notification .*nobody was told/],
    ['an account that was told twice', ({ notifications: n }) => n.push(n.at(-1)!), /^notification .*twice/],
  ])('finds %s', async (_what, tamper, finding) => {
    tamper(contents);
    expect((await audit())[0]).toMatch(finding);
  });
});

describe('the audit of what is kept of transactions', () => {
  type Kept<V> = { key: string; value: V }[];

  test.each<readonly [string, (rows: Kept<AccountTransaction>, parts: Kept<DailyTotal>) => void, readonly unknown[]]>([
    ['nothing to say of what was kept', () => undefined, []],
    ['a transaction that is missing', (rows) => rows.splice(0), Array(10).fill(/^a transaction/)],
    [
      'one that never ended',
      (rows) => rows.push({ ...rows.at(-1)!, value: { ...rows.at(-1)!.value, status: 'processing' } }),
      [/^a transaction of an account, .*is not what/],
    ],
    [
      'a day that was counted twice',
      (_rows, parts) => parts.push({ ...parts.at(-1)!, value: { ...parts.at(-1)!.value, count: 9 } }),
      [/^I-M9/],
    ],
  ])('has or finds %s', async (_what, tamper, findings) => {
    const whole = new BillingBench(1);
    for (const event of contents.transactionEvents)
      whole.transactions.pipe(topics.transactionEvents, event.txId, event);
    const { accountTransactions, dailyParts } = transactionChangelogs;
    const kept = <V>(topic: Topic<string, V>): Kept<V> =>
      whole.transactions.read(topic).map(({ key, value }) => ({ key: key!, value: value! }));
    const [rows, parts] = [kept(accountTransactions), kept(dailyParts)];
    whole.close();
    tamper(rows, parts);
    const read = reading(
      new Map<string, readonly { readonly key?: string; readonly value: unknown }[]>([
        [topics.transactionEvents.name, valuesOnly(contents.transactionEvents)],
        [accountTransactions.name, rows],
        [dailyParts.name, parts],
      ]),
    );
    const found = await auditTransactionState(read, topics);
    expect(found).toEqual(findings.map((finding): unknown => expect.stringMatching(finding as RegExp)));
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
