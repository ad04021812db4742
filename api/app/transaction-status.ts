/** A transaction as clients see it, and how they wait for what becomes of it. */
import type { Clock } from '../../index.ts';
import { formatAmount } from '../../schemas/app/billing/money.ts';
import { isStriped } from '../../schemas/app/billing/names.ts';
import type { Movement } from '../../schemas/app/billing/request.ts';
import type { Transaction, TransactionAnswer } from '../../schemas/app/billing/transaction.ts';
import { isoFromMicros } from '../../schemas/app/customer/instant.ts';
import { compact } from '../../schemas/app/reader.ts';
import { limits } from '../limits.ts';
import type { QueryContext } from '../placement.ts';
import type { StoreQueries, TypedAnswer, TypedStore } from '../store-queries.ts';
import { awaitAnswer } from './await-answer.ts';

const outcomes: Readonly<Record<Transaction['phase'], 'processing' | 'completed' | 'failed'>> = {
  forward: 'processing',
  undoing: 'processing',
  stuck: 'processing',
  completed: 'completed',
  failed: 'failed',
};

export const outcomeWait = {
  type: 'string',
  pattern: '^\\d{1,5}$',
  description: `ms to wait for the outcome, at most ${limits.positionWaitMs}; default 0`,
} as const;

export function outcomeOf({ phase }: Transaction): 'processing' | 'completed' | 'failed' {
  return outcomes[phase];
}

export interface StatusPorts {
  readonly queries: StoreQueries;
  readonly transactions: TypedStore<string, Transaction>;
  readonly clock: Clock;
}

/** The transaction once it has ended, or as it is after `waitMs`. */
export async function awaitOutcome(
  { queries, transactions, clock }: StatusPorts,
  { txId, waitMs, context }: { readonly txId: string; readonly waitMs: number; readonly context: QueryContext },
): Promise<TypedAnswer<Transaction>> {
  const isOver = (transaction: Transaction): boolean => outcomeOf(transaction) !== 'processing';
  return await awaitAnswer({ queries, store: transactions, key: txId, clock, context, waitMs, isOver });
}

export function shownTransaction(transaction: Transaction): object {
  const { request, phase, state, failure, updatedAt } = transaction;
  return compact({
    trackingId: request.idempotencyKey,
    transactionId: request.txId,
    correlationId: request.correlationId,
    type: request.type,
    status: outcomes[phase],
    state,
    errorCode: phase === 'failed' ? failure : undefined,
    updatedAt: isoFromMicros(updatedAt),
    steps: stepsOf(transaction),
    accounts: phase === 'completed' ? accountsOf(transaction) : undefined,
  });
}

/** Of a request that lies in the log, and that the saga has not read yet. */
export function shownRequest(
  trackingId: string,
  { txId, correlationId }: { readonly txId: string; readonly correlationId: string },
): object {
  return { trackingId, transactionId: txId, correlationId, status: 'processing', state: 'REQUESTED', steps: [] };
}

/** Those that were answered, in order of their names. */
function stepsOf({ answers }: Transaction): readonly object[] {
  const names = Object.keys(answers).sort();
  return names.map((name) => compact({ step: name, outcome: answers[name]?.outcome, code: answers[name]?.code }));
}

/** What became of each ordinary account; `token` asks a balance to reflect it. */
function accountsOf({ request, answers, original }: Transaction): readonly object[] {
  if (request.type === 'ACCOUNT') return shownAccount(request.accountId, answers['change']);
  const movement = request.type === 'REFUND' ? reversed(original) : request;
  if (movement === undefined) return [];
  return [
    ...shownAccount(movement.sourceAccountId, answers['debit']),
    ...shownAccount(movement.destinationAccountId, answers['credit']),
  ];
}

type Sides = Pick<Movement, 'sourceAccountId' | 'destinationAccountId'>;

function reversed(original: Movement | undefined): Sides | undefined {
  if (original === undefined) return undefined;
  return { sourceAccountId: original.destinationAccountId, destinationAccountId: original.sourceAccountId };
}

function shownAccount(accountId: string, answer: TransactionAnswer | undefined): readonly object[] {
  if (answer === undefined || isStriped(accountId)) return [];
  const { version, balanceBefore, balanceAfter } = answer;
  return [
    compact({
      accountId,
      balanceBefore: balanceBefore === undefined ? undefined : formatAmount(balanceBefore),
      balanceAfter: balanceAfter === undefined ? undefined : formatAmount(balanceAfter),
      token: version === undefined ? undefined : `${accountId}@${version}`,
    }),
  ];
}
