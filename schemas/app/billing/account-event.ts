import { compact, readObject, type ObjectReader } from '../reader.ts';
import { accountStatuses, readTerms, type AccountStatus, type AccountTerms } from './account.ts';
import { moneyJsonSerde, readAmount, readLimit, readMoney } from './money.ts';
import { readCurrency, readId, readOrdinaryAccountId } from './names.ts';

/** One side of a movement. `account` is an account or a stripe. */
export interface Posting {
  readonly account: string;
  readonly amount: bigint;
}

interface EventBase {
  readonly eventId: string;
  readonly accountId: string;
  /** 1, 2, 3 … without gaps. */
  readonly aggregateVersion: number;
  readonly commandId: string;
  readonly txId: string;
  readonly currency: string;
  readonly balanceBefore: bigint;
  readonly balanceAfter: bigint;
  /** After the event. */
  readonly heldDebit: bigint;
  readonly heldCredit: bigint;
  /** Microseconds: the business date; and when the ledger recorded it, which never decreases within an account. */
  readonly effectiveAt: number;
  readonly recordedAt: number;
}

export interface AccountCreated extends EventBase {
  readonly type: 'AccountCreated';
  readonly terms: AccountTerms;
}

export interface HoldEvent extends EventBase {
  readonly type: 'FundsReserved' | 'CreditHeld' | 'ReservationReleased';
  readonly holdId: string;
  readonly amount: bigint;
  readonly isImport?: true;
}

/** Money moved: `postings` sum to zero. */
export interface BalanceChanged extends EventBase {
  readonly type: 'BalanceChanged';
  readonly reason: 'AccountDebited' | 'AccountCredited';
  readonly postings: readonly Posting[];
  /** The hold that ended by it. */
  readonly holdId?: string;
  readonly isImport?: true;
}

export interface LimitsChanged extends EventBase {
  readonly type: 'LimitsChanged';
  readonly minBalance?: bigint;
  readonly maxBalance?: bigint;
}

export interface StatusChanged extends EventBase {
  readonly type: 'StatusChanged';
  readonly status: AccountStatus;
}

/** The value of `billing.account.events`, keyed by account: one for each effect, none for a refusal. */
export type AccountEvent = AccountCreated | HoldEvent | BalanceChanged | LimitsChanged | StatusChanged;

export const accountEventTypes = [
  'AccountCreated',
  'FundsReserved',
  'CreditHeld',
  'ReservationReleased',
  'BalanceChanged',
  'LimitsChanged',
  'StatusChanged',
] as const satisfies readonly AccountEvent['type'][];

function readBase(reader: ObjectReader): EventBase {
  return {
    eventId: reader.with('eventId', readId),
    accountId: reader.with('accountId', readOrdinaryAccountId),
    aggregateVersion: reader.count('aggregateVersion'),
    commandId: reader.with('commandId', readId),
    txId: reader.with('txId', readId),
    currency: reader.with('currency', readCurrency),
    balanceBefore: reader.with('balanceBefore', readMoney),
    balanceAfter: reader.with('balanceAfter', readMoney),
    heldDebit: reader.with('heldDebit', readMoney),
    heldCredit: reader.with('heldCredit', readMoney),
    effectiveAt: reader.count('effectiveAt'),
    recordedAt: reader.count('recordedAt'),
  };
}

function readPosting(value: unknown, where: string): Posting {
  const reader = readObject(value, where);
  return { account: reader.text('account', 100), amount: reader.with('amount', readMoney) };
}

function readBalanceChange(reader: ObjectReader): BalanceChanged {
  return compact({
    type: 'BalanceChanged' as const,
    reason: reader.oneOf('reason', ['AccountDebited', 'AccountCredited']),
    postings: reader.list('postings', readPosting),
    holdId: reader.optionalWith('holdId', readId),
    ...(reader.flag('isImport') ? { isImport: true as const } : {}),
    ...readBase(reader),
  });
}

/** Throws `DESERIALIZATION_FAILED`. */
export function parseAccountEvent(value: unknown): AccountEvent {
  const reader = readObject(value, 'account event');
  const type = reader.oneOf('type', accountEventTypes);
  switch (type) {
    case 'AccountCreated':
      return { type, terms: readTerms(readObject(reader.raw('terms'), 'account event.terms')), ...readBase(reader) };
    case 'BalanceChanged':
      return readBalanceChange(reader);
    case 'LimitsChanged':
      return compact({
        type,
        minBalance: reader.optionalWith('minBalance', readLimit),
        maxBalance: reader.optionalWith('maxBalance', readLimit),
        ...readBase(reader),
      });
    case 'StatusChanged':
      return { type, status: reader.oneOf('status', accountStatuses), ...readBase(reader) };
    default:
      return {
        type,
        holdId: reader.with('holdId', readId),
        amount: reader.with('amount', readAmount),
        ...(reader.flag('isImport') ? { isImport: true as const } : {}),
        ...readBase(reader),
      };
  }
}

export const accountEventSerde = moneyJsonSerde(parseAccountEvent);
