/** Transactions in the old and in the new system, compared by their correlation id. Pure. */
import { formatAmount } from '../../../schemas/app/billing/money.ts';
import type { TransactionEvent } from '../../../schemas/app/billing/transaction.ts';
import { compact } from '../../../schemas/app/reader.ts';
import { shadowFacts, type Comparison, type ShadowResult } from '../../../schemas/app/shadow.ts';
import { differences } from './difference.ts';

/** What an event of the billing in the shadow says of how a transaction ended; nothing if it did not. */
export function resultsOf(event: TransactionEvent | null): readonly (readonly [string, ShadowResult])[] {
  const [, phase] = /(Completed|Failed)$/.exec(event?.type ?? '') ?? [];
  if (event === null || phase === undefined) return [];
  const { idempotencyKey: correlationId, currency, at } = event;
  const facts = shadowFacts
    .filter((fact) => fact !== 'currency')
    .map((fact) => [fact, event[fact] === undefined ? undefined : formatAmount(event[fact])] as const);
  const outcome = phase === 'Completed' ? 'completed' : 'failed';
  const result: ShadowResult = { correlationId, side: 'new', outcome, at };
  return [[correlationId, compact({ ...Object.fromEntries(facts), currency, ...result })]];
}

/**
 * How the two ended. A fact that one side does not have is not compared: an unbounded account has no one balance, and a failure moves nothing.
 * Why a transaction failed each system calls by names of its own.
 */
export function compareResults(left: ShadowResult | null, right: ShadowResult | null): Comparison {
  const base = { subject: 'billing', pair: 'old|new', at: Math.max(left?.at ?? 0, right?.at ?? 0) } as const;
  if (left === null || right === null)
    return { ...base, outcome: left === null ? 'missing_left' : 'missing_right', fields: [] };
  const known = shadowFacts.filter((fact) => left[fact] !== undefined && right[fact] !== undefined);
  const factsOf = (result: ShadowResult): object =>
    Object.fromEntries([['outcome', result.outcome], ...known.map((fact) => [fact, result[fact]] as const)]);
  const fields = differences(factsOf(left), factsOf(right));
  const delayMs = Math.round(Math.abs(left.at - right.at) / 1_000);
  return { ...base, outcome: fields.length === 0 ? 'match' : 'mismatch', fields, delayMs };
}
