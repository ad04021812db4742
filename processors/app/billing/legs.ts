/** Whom an event of a transaction concerns, and how. Pure. */
import { isStriped } from '../../../schemas/app/billing/names.ts';
import type { TransactionEvent } from '../../../schemas/app/billing/transaction.ts';
import { compact } from '../../../schemas/app/reader.ts';

/** A transaction from the side of one account. */
export interface Leg {
  readonly accountId: string;
  /** What the other side is, if money moves. */
  readonly counterparty?: string;
  /** Negative if it goes out. */
  readonly amount?: bigint;
  /** Of this account, if money has moved. */
  readonly balanceBefore?: bigint;
  readonly balanceAfter?: bigint;
}

/** One for each account that takes part, the source first: none for unbounded accounts, which have no history and nobody to be told. */
export function legsOf(event: TransactionEvent): readonly Leg[] {
  return sidesOf(event).filter(({ accountId }) => !isStriped(accountId));
}

function sidesOf(event: TransactionEvent): readonly Leg[] {
  const { accountId, sourceAccountId: from, destinationAccountId: to, amount } = event;
  if (accountId !== undefined) return [{ accountId }];
  // A refund does not know of its accounts before the original has told it.
  if (from === undefined || to === undefined || amount === undefined) return [];
  const { sourceBalanceBefore, sourceBalanceAfter, destinationBalanceBefore, destinationBalanceAfter } = event;
  const out = { balanceBefore: sourceBalanceBefore, balanceAfter: sourceBalanceAfter };
  const into = { balanceBefore: destinationBalanceBefore, balanceAfter: destinationBalanceAfter };
  return [
    compact({ accountId: from, counterparty: to, amount: -amount, ...out }),
    compact({ accountId: to, counterparty: from, amount, ...into }),
  ];
}
