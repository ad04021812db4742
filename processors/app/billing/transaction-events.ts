/** What the world is told of a transaction. Pure. */
import { uuid5 } from '../../../schemas/app/billing/names.ts';
import type { Movement, TransactionRequest } from '../../../schemas/app/billing/request.ts';
import type { Transaction, TransactionEvent } from '../../../schemas/app/billing/transaction.ts';
import { compact } from '../../../schemas/app/reader.ts';

const subjects = {
  TOPUP: 'Topup',
  WITHDRAWAL: 'Withdrawal',
  TRANSFER: 'Transfer',
  IMPORT: 'Import',
  REFUND: 'Refund',
  ACCOUNT: 'AccountChange',
} as const satisfies Record<TransactionRequest['type'], string>;

type Phase = 'Requested' | 'Completed' | 'Failed';

function eventOf(request: TransactionRequest, phase: Phase, at: number): TransactionEvent {
  const { txId, idempotencyKey, reference, requestedAt, effectiveAt } = request;
  const parties =
    request.type === 'ACCOUNT'
      ? { accountId: request.accountId }
      : request.type === 'REFUND'
        ? { originalTxId: request.originalTxId, amount: request.amount, currency: request.currency }
        : {
            sourceAccountId: request.sourceAccountId,
            destinationAccountId: request.destinationAccountId,
            amount: request.amount,
            currency: request.currency,
          };
  return compact({
    eventId: uuid5(txId, phase),
    type: `${subjects[request.type]}${phase}` as const,
    txId,
    idempotencyKey,
    reference,
    ...parties,
    effectiveAt: effectiveAt ?? requestedAt,
    requestedAt,
    at,
  });
}

export function requestedEvent(request: TransactionRequest, timestampMs: number): TransactionEvent {
  return eventOf(request, 'Requested', timestampMs * 1_000);
}

export function failedEvent({ request, original, failure, updatedAt }: Transaction): TransactionEvent {
  return { errorCode: failure ?? 'rejected', ...eventOf(request, 'Failed', updatedAt), ...partiesOf(original) };
}

/** Between whom a refund moves money: the other way round. */
function partiesOf(original: Movement | undefined): Partial<TransactionEvent> {
  if (original === undefined) return {};
  return { sourceAccountId: original.destinationAccountId, destinationAccountId: original.sourceAccountId };
}

/** With the balances on both sides, as far as they are one account's. */
export function completedEvent({ request, answers, original, updatedAt }: Transaction): TransactionEvent {
  const { debit, credit } = answers;
  return compact({
    sourceBalanceBefore: debit?.balanceBefore,
    sourceBalanceAfter: debit?.balanceAfter,
    destinationBalanceBefore: credit?.balanceBefore,
    destinationBalanceAfter: credit?.balanceAfter,
    ...eventOf(request, 'Completed', updatedAt),
    ...partiesOf(original),
  });
}
