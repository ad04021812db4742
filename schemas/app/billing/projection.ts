import { compact, readObject } from '../reader.ts';
import { moneyJsonSerde, readMoney } from './money.ts';
import { readAccountId, readCurrency, readId, readOrdinaryAccountId } from './names.ts';

/** An account as others see it: the value of `billing.balances`, keyed by account. */
export interface Balance {
  readonly accountId: string;
  readonly balance: bigint;
  /** What may be spent: the balance without what is promised to others. */
  readonly available: bigint;
  readonly held: bigint;
  readonly currency: string;
  readonly version: number;
  /** Microseconds: when the ledger recorded it. */
  readonly recordedAt: number;
}

/** Throws `DESERIALIZATION_FAILED`. */
export function parseBalance(value: unknown): Balance {
  const reader = readObject(value, 'balance');
  return {
    accountId: reader.with('accountId', readOrdinaryAccountId),
    balance: reader.with('balance', readMoney),
    available: reader.with('available', readMoney),
    held: reader.with('held', readMoney),
    currency: reader.with('currency', readCurrency),
    version: reader.count('version'),
    recordedAt: reader.count('recordedAt'),
  };
}

export const balanceSerde = moneyJsonSerde(parseBalance);

/** The balance from `recordedAt` on, until the next entry of the account. */
export interface BalanceEntry {
  readonly accountId: string;
  readonly version: number;
  readonly balance: bigint;
  readonly currency: string;
  /** What moved by it; 0 for the opening. */
  readonly change: bigint;
  readonly txId: string;
  /** Microseconds; and the business date. */
  readonly recordedAt: number;
  readonly effectiveAt: number;
}

export const balanceEntrySerde = moneyJsonSerde((value): BalanceEntry => {
  const reader = readObject(value, 'balance entry');
  return {
    accountId: reader.with('accountId', readOrdinaryAccountId),
    version: reader.count('version'),
    balance: reader.with('balance', readMoney),
    currency: reader.with('currency', readCurrency),
    change: reader.with('change', readMoney),
    txId: reader.with('txId', readId),
    recordedAt: reader.count('recordedAt'),
    effectiveAt: reader.count('effectiveAt'),
  };
});

const statuses = ['processing', 'completed', 'failed'] as const;

/** A transaction as one of the accounts that take part in it sees it. */
export interface AccountTransaction {
  readonly accountId: string;
  readonly txId: string;
  readonly trackingId: string;
  /** `TOPUP`, `TRANSFER`, … */
  readonly type: string;
  readonly status: (typeof statuses)[number];
  /** What the other side is, if money moves. */
  readonly counterparty?: string;
  /** Negative if it goes out. */
  readonly amount?: bigint;
  readonly currency?: string;
  readonly reference?: string;
  readonly errorCode?: string;
  /** Microseconds; `endedAt` once it has ended. */
  readonly requestedAt: number;
  readonly effectiveAt: number;
  readonly endedAt?: number;
}

export const accountTransactionSerde = moneyJsonSerde((value): AccountTransaction => {
  const reader = readObject(value, 'account transaction');
  return compact({
    accountId: reader.with('accountId', readOrdinaryAccountId),
    txId: reader.with('txId', readId),
    trackingId: reader.text('trackingId', 200),
    type: reader.text('type', 40),
    status: reader.oneOf('status', statuses),
    counterparty: reader.optionalWith('counterparty', readAccountId),
    amount: reader.optionalWith('amount', readMoney),
    currency: reader.optionalWith('currency', readCurrency),
    reference: reader.optionalText('reference', 500),
    errorCode: reader.optionalText('errorCode', 64),
    requestedAt: reader.count('requestedAt'),
    effectiveAt: reader.count('effectiveAt'),
    endedAt: reader.optionalCount('endedAt'),
  });
});

/** What one transaction adds to its day. */
export interface DailyShare {
  /** UTC, `YYYY-MM-DD`. */
  readonly day: string;
  readonly currency: string;
  readonly type: string;
  readonly amount: bigint;
}

/** All completed transactions of a day, a currency and a type: the value of `billing.daily-totals`, keyed by `day|currency|type`. */
export interface DailyTotal extends DailyShare {
  readonly count: number;
}

function parseShare(value: unknown): DailyShare {
  const reader = readObject(value, 'daily share');
  return {
    day: reader.text('day', 10),
    currency: reader.with('currency', readCurrency),
    type: reader.text('type', 40),
    amount: reader.with('amount', readMoney),
  };
}

export const dailyShareSerde = moneyJsonSerde(parseShare);

/** Throws `DESERIALIZATION_FAILED`. */
export function parseDailyTotal(value: unknown): DailyTotal {
  return { count: readObject(value, 'daily total').count('count'), ...parseShare(value) };
}

export const dailyTotalSerde = moneyJsonSerde(parseDailyTotal);

/** Key of a day's total; days sort first. */
export function dailyKey({ day, currency, type }: DailyShare): string {
  return `${day}|${currency}|${type}`;
}

/** Key of what one partition of transactions adds to a day's total. */
export function dailyPartKey(share: DailyShare, partition: number): string {
  return `${dailyKey(share)}|${partition}`;
}

const microsDigits = 16;
const versionDigits = 10;

/** Key of an entry: those of an account sort by when they were recorded. With a version of 0: before all that was recorded then. */
export function entryKey(accountId: string, recordedAt: number, version: number): string {
  const [at, count] = [String(recordedAt).padStart(microsDigits, '0'), String(version).padStart(versionDigits, '0')];
  return `${accountId}|${at}|${count}`;
}

/** Key of a transaction of an account: they sort by when they were asked for. */
export function accountTransactionKey(accountId: string, requestedAt: number, txId: string): string {
  return `${accountId}|${String(requestedAt).padStart(microsDigits, '0')}|${txId}`;
}
