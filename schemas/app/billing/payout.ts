import { compact, readObject } from '../reader.ts';
import { moneyJsonSerde } from './money.ts';
import { readAccountId, readId, readOrdinaryAccountId } from './names.ts';
import { readSum, type Movement } from './request.ts';

/** The value of `billing.payouts`, keyed by `txId`: what is to be paid out for a withdrawal, whose money is held meanwhile. */
export interface Payout extends Movement {
  readonly txId: string;
  /** The same for every attempt: whoever pays out does it once. */
  readonly commandId: string;
  readonly reference?: string;
  /** Microseconds. */
  readonly requestedAt: number;
}

/** Throws `DESERIALIZATION_FAILED`. */
export function parsePayout(value: unknown): Payout {
  const reader = readObject(value, 'payout');
  return compact({
    txId: reader.with('txId', readId),
    commandId: reader.with('commandId', readId),
    sourceAccountId: reader.with('sourceAccountId', readOrdinaryAccountId),
    destinationAccountId: reader.with('destinationAccountId', readAccountId),
    ...readSum(reader),
    reference: reader.optionalText('reference', 500),
    requestedAt: reader.count('requestedAt'),
  });
}

export const payoutSerde = moneyJsonSerde(parsePayout);
