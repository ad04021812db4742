import { compact, readObject } from '../reader.ts';
import { moneyJsonSerde, readMoney } from './money.ts';
import { readAccountId, readCurrency, readId, readOrdinaryAccountId } from './names.ts';
import { transactionEventTypes, type TransactionEvent } from './transaction.ts';

/** That a transaction in which an account takes part has ended: the value of `billing.notifications`, keyed by account. */
export interface Notification {
  /** Follows from the event and the account: who is told twice can see it. */
  readonly notificationId: string;
  readonly accountId: string;
  /** `TransferCompleted`, `TopupFailed`, … */
  readonly type: TransactionEvent['type'];
  readonly txId: string;
  readonly trackingId: string;
  /** What the other side is, if money was to move. */
  readonly counterparty?: string;
  /** Negative if it goes out. */
  readonly amount?: bigint;
  readonly currency?: string;
  readonly reference?: string;
  /** Of this account, if money has moved. */
  readonly balanceBefore?: bigint;
  readonly balanceAfter?: bigint;
  /** Of a failure. */
  readonly errorCode?: string;
  /** Microseconds: when it was asked for; the business date; and when this was decided. */
  readonly requestedAt: number;
  readonly effectiveAt: number;
  readonly at: number;
}

/** Throws `DESERIALIZATION_FAILED`. */
export function parseNotification(value: unknown): Notification {
  const reader = readObject(value, 'notification');
  return compact({
    notificationId: reader.with('notificationId', readId),
    accountId: reader.with('accountId', readOrdinaryAccountId),
    type: reader.oneOf('type', transactionEventTypes),
    txId: reader.with('txId', readId),
    trackingId: reader.text('trackingId', 200),
    counterparty: reader.optionalWith('counterparty', readAccountId),
    amount: reader.optionalWith('amount', readMoney),
    currency: reader.optionalWith('currency', readCurrency),
    reference: reader.optionalText('reference', 500),
    balanceBefore: reader.optionalWith('balanceBefore', readMoney),
    balanceAfter: reader.optionalWith('balanceAfter', readMoney),
    errorCode: reader.optionalText('errorCode', 64),
    requestedAt: reader.count('requestedAt'),
    effectiveAt: reader.count('effectiveAt'),
    at: reader.count('at'),
  });
}

export const notificationSerde = moneyJsonSerde(parseNotification);
