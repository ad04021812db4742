/** What is shown of accounts and days: folds of the events. */
import { StreamError, defineProcessor, defineStore, stringSerde } from '../../../index.ts';
import type { ProcessorContext, StreamRecord } from '../../../index.ts';
import type { AccountEvent } from '../../../schemas/app/billing/account-event.ts';
import {
  balanceEntrySerde,
  balanceSerde,
  dailyPartKey,
  dailyTotalSerde,
  entryKey,
  type Balance,
  type BalanceEntry,
  type DailyShare,
  type DailyTotal,
} from '../../../schemas/app/billing/projection.ts';
import type { TransactionEvent } from '../../../schemas/app/billing/transaction.ts';
import { isoFromMicros } from '../../../schemas/app/customer/instant.ts';
import { keptRows, rarelyRead } from './cache.ts';
import { present } from './present.ts';

export const accountBalances = defineStore('account-balance', {
  key: stringSerde,
  value: balanceSerde,
  cache: keptRows,
});

/** Every balance an account ever had, by `entryKey`. */
export const balanceHistory = defineStore('balance-history', {
  key: stringSerde,
  value: balanceEntrySerde,
  cache: rarelyRead,
});

/** The same by business date: `entryKey` with that instead of the time of record. */
export const effectiveHistory = defineStore('effective-history', {
  key: stringSerde,
  value: balanceEntrySerde,
  cache: rarelyRead,
});

/** What each partition of transactions adds to a day, by `dailyPartKey`: they are added up when somebody asks. */
export const dailyParts = defineStore('daily-parts', { key: stringSerde, value: dailyTotalSerde, cache: keptRows });

/** Of `billing.daily-totals`, by `dailyKey`. */
export const dailyTotals = defineStore('daily-totals', { key: stringSerde, value: dailyTotalSerde, cache: keptRows });

/** The balance after an event: every event says it. */
export function balanceOf(event: AccountEvent | null): Balance {
  const told = present(event, 'an event');
  const { accountId, aggregateVersion: version, balanceAfter: balance, heldDebit: held, currency, recordedAt } = told;
  return { accountId, balance, available: balance - held, held, currency, version, recordedAt };
}

function entryOf(event: AccountEvent): BalanceEntry | undefined {
  if (event.type !== 'BalanceChanged' && event.type !== 'AccountCreated') return undefined;
  const { accountId, aggregateVersion: version, balanceBefore, balanceAfter: balance } = event;
  const { currency, txId, recordedAt, effectiveAt } = event;
  return { accountId, version, balance, change: balance - balanceBefore, currency, txId, recordedAt, effectiveAt };
}

const balanceStores = { accountBalances, balanceHistory, effectiveHistory };

/**
 * Keeps each account's balance and its history. An event that came before is skipped. Throws `RECORD_INVALID` if one is missing in between: no balance is
 * better than a wrong one.
 */
export const balanceStep = defineProcessor({
  name: 'balance',
  stores: balanceStores,
  process(
    { value }: StreamRecord<string | null, AccountEvent | null>,
    { stores, drop }: ProcessorContext<string, Balance, typeof balanceStores>,
  ) {
    const event = present(value, 'an event');
    const { accountId, aggregateVersion: version } = event;
    const expected = (stores.accountBalances.get(accountId)?.version ?? 0) + 1;
    if (version < expected) {
      drop('duplicate');
      return;
    }
    if (version > expected)
      throw new StreamError('RECORD_INVALID', 'an event of the account is missing', {
        facts: { reason: 'event_missing', expected, version },
      });
    stores.accountBalances.put(accountId, balanceOf(event));
    const entry = entryOf(event);
    if (entry === undefined) return;
    stores.balanceHistory.put(entryKey(accountId, entry.recordedAt, version), entry);
    stores.effectiveHistory.put(entryKey(accountId, entry.effectiveAt, version), entry);
  },
});

/** What a transaction adds to its day: what completed and moved money, by when it was completed; elsewhere, if it is taken over from there. */
export function dailyShare(event: TransactionEvent | null): readonly DailyShare[] {
  const type = event === null ? undefined : /^(.*)Completed$/.exec(event.type)?.[1];
  if (event?.amount === undefined || event.currency === undefined || type === undefined) return [];
  const { amount, currency } = event;
  const at = event.type === 'ImportCompleted' ? event.effectiveAt : event.at;
  return [{ day: isoFromMicros(at).slice(0, 'YYYY-MM-DD'.length), currency, type: type.toUpperCase(), amount }];
}

function withShare(before: DailyTotal | undefined, share: DailyShare): DailyTotal {
  return { count: 1 + (before?.count ?? 0), ...share, amount: share.amount + (before?.amount ?? 0n) };
}

const dailyStores = { dailyTotals };

/** Forwards each day's total. A late transaction changes its own day. */
export const dailyStep = defineProcessor({
  name: 'daily',
  stores: dailyStores,
  process(
    { key, value: share, timestampMs }: StreamRecord<string, DailyShare>,
    { stores, forward }: ProcessorContext<string, DailyTotal, typeof dailyStores>,
  ) {
    const total = withShare(stores.dailyTotals.get(key), share);
    stores.dailyTotals.put(key, total);
    forward({ key, value: total, timestampMs });
  },
});

const dailyPartStores = { dailyParts };

/** Keeps what this partition adds to each day. */
export const dailyPartStep = defineProcessor({
  name: 'daily-parts',
  stores: dailyPartStores,
  process(
    { value: event }: StreamRecord<string | null, TransactionEvent | null>,
    { stores, metadata }: ProcessorContext<string, DailyTotal, typeof dailyPartStores>,
  ) {
    for (const share of dailyShare(event)) {
      const key = dailyPartKey(share, metadata?.partition ?? 0);
      stores.dailyParts.put(key, withShare(stores.dailyParts.get(key), share));
    }
  },
});
