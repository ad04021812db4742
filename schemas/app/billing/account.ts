import { moneyJsonSerde, readAmount, readLimit, readMoney } from './money.ts';
import { readCurrency, readId, readOrdinaryAccountId } from './names.ts';
import { compact, readObject, type ObjectReader } from '../reader.ts';

export const ownerTypes = ['USER', 'MERCHANT', 'EXTERNAL', 'SYSTEM'] as const;
export const accountStatuses = ['ACTIVE', 'FROZEN', 'CLOSED'] as const;
export type AccountStatus = (typeof accountStatuses)[number];

/** What an account is opened with. */
export interface AccountTerms {
  readonly ownerId: string;
  readonly ownerType: (typeof ownerTypes)[number];
  readonly accountType: string;
  readonly currency: string;
  /** Absent: 0 for users, none for others. */
  readonly minBalance?: bigint;
  /** Absent: none. */
  readonly maxBalance?: bigint;
}

/** An account as the ledger keeps it. What may be spent is `posted - heldDebit`. */
export interface Account extends AccountTerms {
  readonly accountId: string;
  readonly status: AccountStatus;
  readonly posted: bigint;
  /** Reserved for debits that were promised; and for credits. */
  readonly heldDebit: bigint;
  readonly heldCredit: bigint;
  /** Of the latest event; the first is 1. */
  readonly version: number;
  /** Microseconds; never decreases. */
  readonly recordedAt: number;
}

/** An amount set aside on one account: to go out, or room for it to come in. */
export interface Hold {
  readonly accountId: string;
  readonly holdId: string;
  readonly txId: string;
  readonly side: 'debit' | 'credit';
  readonly amount: bigint;
  /** Admitted whatever the limits. */
  readonly isImport?: true;
}

/** Reads the terms out of a larger record. */
export function readTerms(reader: ObjectReader): AccountTerms {
  return compact({
    ownerId: reader.text('ownerId', 200),
    ownerType: reader.oneOf('ownerType', ownerTypes),
    accountType: reader.text('accountType', 64),
    currency: reader.with('currency', readCurrency),
    minBalance: reader.optionalWith('minBalance', readLimit),
    maxBalance: reader.optionalWith('maxBalance', readLimit),
  });
}

function parseAccount(value: unknown): Account {
  const reader = readObject(value, 'account');
  return {
    accountId: reader.with('accountId', readOrdinaryAccountId),
    status: reader.oneOf('status', accountStatuses),
    posted: reader.with('posted', readMoney),
    heldDebit: reader.with('heldDebit', readMoney),
    heldCredit: reader.with('heldCredit', readMoney),
    version: reader.count('version'),
    recordedAt: reader.count('recordedAt'),
    ...readTerms(reader),
  };
}

function parseHold(value: unknown): Hold {
  const reader = readObject(value, 'hold');
  return {
    accountId: reader.with('accountId', readOrdinaryAccountId),
    holdId: reader.with('holdId', readId),
    txId: reader.with('txId', readId),
    side: reader.oneOf('side', ['debit', 'credit']),
    amount: reader.with('amount', readAmount),
    ...(reader.flag('isImport') ? { isImport: true as const } : {}),
  };
}

export const accountSerde = moneyJsonSerde(parseAccount);
export const holdSerde = moneyJsonSerde(parseHold);
