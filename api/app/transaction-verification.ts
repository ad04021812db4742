/** Compares the transactions of accounts and the totals of days with the events, folded once more in other code. */
import { isDeepStrictEqual } from 'node:util';
import type { StoreSpec, Topic } from '../../index.ts';
import { accountTransactions } from '../../processors/app/billing/account-transactions.ts';
import { dailyParts } from '../../processors/app/billing/projections.ts';
import { formatAmount } from '../../schemas/app/billing/money.ts';
import type { AccountTransaction, DailyTotal } from '../../schemas/app/billing/projection.ts';
import type { TransactionEvent } from '../../schemas/app/billing/transaction.ts';
import { eachEvent, rowsOf } from './partition-events.ts';
import { differencesShownMax, type Verification, type VerifiedPartition } from './projection.ts';

type Events = Topic<string, TransactionEvent>;

/** What a row may be: the last one that was due when the stores were read, or any that came after. */
interface Candidates<T> {
  list: T[];
  isDue: boolean;
}

class Rows<T> {
  readonly byKey = new Map<string, Candidates<T>>();

  latest(key: string): T | undefined {
    return this.byKey.get(key)?.list.at(-1);
  }

  put(key: string, row: T, isDue: boolean): void {
    const known = this.byKey.get(key);
    if (known === undefined || isDue) this.byKey.set(key, { list: [row], isDue });
    else known.list.push(row);
  }
}

interface Fold<V, S> {
  readonly spec: StoreSpec<string, V, S>;
  /** Adds what an event says. */
  readonly fold: (rows: Rows<Shown>, event: TransactionEvent, more: { partition: number; isDue: boolean }) => void;
  /** As `fold` shows it. */
  readonly show: (row: V) => Shown;
  /** In words that hold no value of a record. */
  readonly what: string;
}

type Shown = readonly (string | number | undefined)[];

async function verify<V, S>(
  { spec, fold, show, what }: Fold<V, S>,
  transactionEvents: Events,
  { view, log, partition }: VerifiedPartition,
): Promise<Verification> {
  // First: everything below was in the stores when they are read.
  const offset = view.localStore(spec.name, partition).position().get(`${transactionEvents.name}/${partition}`) ?? 0;
  const stored = await rowsOf(view, spec, partition);
  const rows = new Rows<Shown>();
  await eachEvent(log, { topic: transactionEvents, partition }, (event, at) =>
    fold(rows, event, { partition, isDue: at < offset }),
  );
  const differences: string[] = [];
  for (const [key, { list, isDue }] of rows.byKey) {
    const found = stored.get(key);
    if (found === undefined ? isDue : !list.some((row) => isDeepStrictEqual(row, show(found))))
      differences.push(`${key}: ${what} is not what the events say`);
  }
  for (const key of stored.keys()) if (!rows.byKey.has(key)) differences.push(`${key}: ${what}, but no event`);
  return {
    partition,
    offset,
    accounts: 0,
    entries: stored.size,
    differenceCount: differences.length,
    differences: differences.slice(0, differencesShownMax),
  };
}

export function verifyAccountTransactions(events: Events, verified: VerifiedPartition): Promise<Verification> {
  return verify(
    { spec: accountTransactions, fold: foldAccounts, show: shownTransaction, what: 'a transaction' },
    events,
    verified,
  );
}

export function verifyDailyTotals(events: Events, verified: VerifiedPartition): Promise<Verification> {
  return verify({ spec: dailyParts, fold: foldDays, show: shownDay, what: 'a total' }, events, verified);
}

// ---- accounts -------------------------------------------------------------------------------------------------------

const phaseForm = /^([A-Za-z]+?)(Requested|Completed|Failed)$/;

function foldAccounts(rows: Rows<Shown>, event: TransactionEvent, { isDue }: { isDue: boolean }): void {
  const [, subject = '', phase = ''] = phaseForm.exec(event.type) ?? [];
  const { sourceAccountId: from, destinationAccountId: to, accountId, amount, txId, requestedAt } = event;
  const status = { Requested: 'processing', Completed: 'completed', Failed: 'failed' }[phase];
  const about = (account: string, other: string | undefined, change: bigint | undefined): void => {
    if (/^(external|system):/.test(account)) return;
    const row = [
      account,
      txId,
      event.idempotencyKey,
      subject.toUpperCase(),
      status,
      other,
      change === undefined ? undefined : formatAmount(change),
    ];
    const more = [event.currency, event.reference, event.errorCode, requestedAt, event.effectiveAt];
    const key = [account, String(requestedAt).padStart(16, '0'), txId].join('|');
    rows.put(key, [...row, ...more, phase === 'Requested' ? undefined : event.at], isDue);
  };
  if (accountId !== undefined) about(accountId, undefined, undefined);
  else if (from !== undefined && to !== undefined && amount !== undefined) {
    about(from, to, -amount);
    about(to, from, amount);
  }
}

function shownTransaction(row: AccountTransaction): Shown {
  const { accountId, txId, trackingId, type, status, counterparty, amount, currency, reference, errorCode } = row;
  const { requestedAt, effectiveAt, endedAt } = row;
  const moved = amount === undefined ? undefined : formatAmount(amount);
  const who = [accountId, txId, trackingId, type, status, counterparty, moved];
  return [...who, currency, reference, errorCode, requestedAt, effectiveAt, endedAt];
}

// ---- days -----------------------------------------------------------------------------------------------------------

function foldDays(
  rows: Rows<Shown>,
  { type, amount, currency, at, effectiveAt }: TransactionEvent,
  { partition, isDue }: { partition: number; isDue: boolean },
): void {
  if (amount === undefined || currency === undefined || !type.endsWith('Completed')) return;
  const subject = type.slice(0, -'Completed'.length).toUpperCase();
  const day = new Date((subject === 'IMPORT' ? effectiveAt : at) / 1_000).toISOString().slice(0, 10);
  const key = [day, currency, subject, partition].join('|');
  const [, , , sum = '0', count = 0] = rows.latest(key) ?? [];
  rows.put(key, [day, currency, subject, String(BigInt(sum) + amount), Number(count) + 1], isDue);
}

function shownDay({ day, currency, type, amount, count }: DailyTotal): Shown {
  return [day, currency, type, String(amount), count];
}
