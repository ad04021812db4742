/** Has withdrawals paid by a system outside, over HTTP. */
import { hasCode, type HttpSource } from '../../index.ts';
import { formatAmount } from '../../schemas/app/billing/money.ts';
import type { Payout } from '../../schemas/app/billing/payout.ts';
import { payoutRefused, type PayoutAnswer } from '../../schemas/app/billing/request.ts';
import { isoFromMicros } from '../../schemas/app/customer/instant.ts';
import { isObject, isStorableText, ownValue } from '../../schemas/app/reader.ts';

export interface PayoutProvider {
  readonly http: HttpSource;
  readonly url: string;
  readonly signal: AbortSignal;
}

/** `pending`: it will be decided later. `unclear`: the system answers something that says neither. Both are asked about again when the saga does. */
export const payoutOutcomes = ['paid', 'refused', 'pending', 'unclear'] as const;
export type PayoutOutcome = (typeof payoutOutcomes)[number];

export interface PayoutReport {
  readonly outcome: PayoutOutcome;
  /** For the saga, once it is decided. */
  readonly answer?: PayoutAnswer;
}

const referenceLengthMax = 500;

/**
 * Asks once. 2xx is paid, but 202, which is not decided yet; 422 is refused, for good; what any other answer means nobody knows, so the money stays held.
 * Rejects with `DEPENDENCY_UNAVAILABLE` if the system is away.
 */
export async function payOut({ http, url, signal }: PayoutProvider, payout: Payout): Promise<PayoutReport> {
  const { txId, commandId, amount, requestedAt, ...more } = payout;
  const told = { amount: formatAmount(amount), requestedAt: isoFromMicros(requestedAt), ...more };
  const body = JSON.stringify({ payoutId: commandId, transactionId: txId, ...told });
  const answer: PayoutAnswer = { type: 'PAYOUT_ANSWER', txId, commandId };
  try {
    const { status, body: said } = await http.post(url, { signal, idempotencyKey: commandId, body });
    return status === 202 ? { outcome: 'pending' } : { outcome: 'paid', answer: { ...answer, ...referenceIn(said) } };
  } catch (error) {
    if (!hasCode(error, 'DEPENDENCY_REFUSED')) throw error;
    if (error.facts['status'] !== 422) return { outcome: 'unclear' };
    return { outcome: 'refused', answer: { ...answer, code: payoutRefused } };
  }
}

/** What the system calls the payout, if it says so. */
function referenceIn(body: unknown): Pick<PayoutAnswer, 'reference'> {
  const id = isObject(body) ? ownValue(body, 'id') : undefined;
  const isFit = typeof id === 'string' && id.length <= referenceLengthMax && isStorableText(id);
  return isFit ? { reference: id } : {};
}
