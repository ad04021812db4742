/** How a transaction shares out what it moved among its refunds. Pure. */
import type { Movement, RefundAnswer, RefundClaim, RefundRefusal } from '../../../schemas/app/billing/request.ts';
import type { RefundShare, Transaction } from '../../../schemas/app/billing/transaction.ts';

/** Of one transaction: its state must not outgrow a message. */
const refundsMax = 200;

export interface ClaimResult {
  /** The very object passed in if nothing changed. */
  readonly original: Transaction | undefined;
  readonly answer: RefundAnswer;
}

/** Answers a claim on a transaction. The same claim again gets the same answer. */
export function answerClaim(original: Transaction | undefined, claim: RefundClaim): ClaimResult {
  const known = original?.refunds[claim.refundTxId];
  const share = known === undefined ? firstShare(original, claim) : nextShare(known, claim);
  const isKept = original !== undefined && share !== known && share.code !== 'too_many_refunds';
  const after = isKept ? { ...original, refunds: { ...original.refunds, [claim.refundTxId]: share } } : original;
  const isRefused = claim.type === 'REFUND_AUTHORISE' && share.code !== undefined;
  const moved = movementOf(original);
  return {
    original: after,
    answer: {
      type: 'REFUND_ANSWER',
      txId: claim.refundTxId,
      commandId: claim.commandId,
      ...(isRefused ? { code: share.code } : {}),
      ...(moved === undefined ? {} : { original: moved }),
    },
  };
}

function firstShare(original: Transaction | undefined, claim: RefundClaim): RefundShare {
  const { amount } = claim;
  if (claim.type !== 'REFUND_AUTHORISE') return { amount, state: 'released' };
  const code = refusalOf(original, claim);
  return code === undefined ? { amount, state: 'granted' } : { amount, state: 'denied', code };
}

function nextShare(share: RefundShare, { type }: RefundClaim): RefundShare {
  if (share.state !== 'granted' || type === 'REFUND_AUTHORISE') return share;
  return { ...share, state: type === 'REFUND_COMMIT' ? 'committed' : 'released' };
}

function movementOf(original: Transaction | undefined): Movement | undefined {
  if (original === undefined || original.request.type === 'REFUND' || original.request.type === 'ACCOUNT')
    return undefined;
  const { sourceAccountId, destinationAccountId, amount, currency } = original.request;
  return { sourceAccountId, destinationAccountId, amount, currency };
}

function refusalOf(original: Transaction | undefined, { amount, currency }: RefundClaim): RefundRefusal | undefined {
  if (original === undefined) return 'original_not_found';
  const moved = movementOf(original);
  if (moved === undefined) return 'not_refundable';
  if (original.phase !== 'completed') return 'original_not_completed';
  if (moved.currency !== currency) return 'currency_mismatch';
  const shares = Object.values(original.refunds);
  if (shares.length >= refundsMax) return 'too_many_refunds';
  const taken = shares
    .filter(({ state }) => state === 'granted' || state === 'committed')
    .reduce((sum, share) => sum + share.amount, 0n);
  if (taken === moved.amount) return 'already_refunded';
  return taken + amount > moved.amount ? 'refund_exceeds_original' : undefined;
}
