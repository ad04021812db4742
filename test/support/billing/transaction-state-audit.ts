/** Whether `billing-transactions` keeps what the events say: its changelogs against a fold in other code. That its stores are the fold of these is for others to check. */
import { isDeepStrictEqual } from 'node:util';
import { accountTransactionSerde, dailyTotalSerde } from '../../../schemas/app/billing/projection.ts';
import type { BillingTopics } from '../../../schemas/app/billing/topics.ts';
import type { TransactionEvent } from '../../../schemas/app/billing/transaction.ts';
import { compact } from '../../../schemas/app/reader.ts';
import { stringSerde } from '../../../schemas/serde.ts';
import { totalsOf, type ReadTopic } from './topic-audit.ts';

const changelog = (store: string) => ({
  name: `billing-transactions-${store}-changelog`,
  key: stringSerde,
});
export const transactionChangelogs = {
  accountTransactions: { ...changelog('account-transactions'), value: accountTransactionSerde },
  dailyParts: { ...changelog('daily-parts'), value: dailyTotalSerde },
};

/** Each names the invariant that is broken. Empty: all hold. */
export async function auditTransactionState(
  read: ReadTopic,
  { transactionEvents }: BillingTopics,
): Promise<readonly string[]> {
  const events = new Map<number, TransactionEvent[]>();
  for (const { partition, value } of await read(transactionEvents))
    if (value !== null) events.set(partition, [...(events.get(partition) ?? []), value]);
  const rows = new Map<string, object | null>();
  for (const { key, value } of await read(transactionChangelogs.accountTransactions)) rows.set(String(key), value);
  const parts = new Map<string, object | null>();
  for (const { key, value } of await read(transactionChangelogs.dailyParts))
    parts.set(String(key), value === null ? null : { amount: value.amount, count: value.count });
  return [
    ...differences('a transaction of an account', rows, rowsOf([...events.values()].flat())),
    ...differences('I-M9: a part of a day', parts, partsOf(events)),
  ];
}

function partsOf(events: ReadonlyMap<number, readonly TransactionEvent[]>): ReadonlyMap<string, object> {
  const parts = new Map<string, object>();
  for (const [partition, own] of events)
    for (const [key, total] of totalsOf(own)) parts.set(`${key}|${partition}`, total);
  return parts;
}

/** By account, time and transaction: what the last event says to each account that takes part. */
function rowsOf(events: readonly TransactionEvent[]): ReadonlyMap<string, object> {
  const rows = new Map<string, object>();
  for (const event of events)
    for (const side of sidesOf(event)) {
      if (side.accountId.includes(':')) continue;
      const key = `${side.accountId}|${String(event.requestedAt).padStart(16, '0')}|${event.txId}`;
      rows.set(key, { ...side, ...commonOf(event) });
    }
  return rows;
}

function sidesOf({ accountId, sourceAccountId: from, destinationAccountId: to, amount }: TransactionEvent) {
  if (accountId !== undefined) return [{ accountId }];
  if (from === undefined || to === undefined || amount === undefined) return [];
  return [
    { accountId: from, counterparty: to, amount: -amount },
    { accountId: to, counterparty: from, amount },
  ];
}

const statuses: Readonly<Record<string, string>> = {
  Requested: 'processing',
  Completed: 'completed',
  Failed: 'failed',
};

function commonOf(event: TransactionEvent): object {
  const { txId, idempotencyKey: trackingId, currency, reference, errorCode, requestedAt, effectiveAt, at } = event;
  const [, subject = '', phase = ''] = /^(.*)(Requested|Completed|Failed)$/.exec(event.type) ?? [];
  const endedAt = phase === 'Requested' ? undefined : at;
  const told = { txId, trackingId, type: subject.toUpperCase(), status: statuses[phase], currency, reference };
  return compact({ ...told, errorCode, requestedAt, effectiveAt, endedAt });
}

function differences(
  what: string,
  found: ReadonlyMap<string, object | null>,
  expected: ReadonlyMap<string, object>,
): readonly string[] {
  return [...new Set([...found.keys(), ...expected.keys()])]
    .filter((key) => !isDeepStrictEqual(found.get(key), expected.get(key)))
    .map((key) => `${what}, ${key}, is not what the events say`);
}
