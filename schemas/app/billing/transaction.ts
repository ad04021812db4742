import { canonicalJsonSerde, type Serde } from '../../../index.ts';
import { compact, readObject, type ObjectReader } from '../reader.ts';
import { moneyJsonSerde, readAmount, readMoney } from './money.ts';
import { readAccountId, readCurrency, readId } from './names.ts';
import {
  parseSagaRequest,
  payoutRefused,
  readSum,
  refundRefusals,
  type Movement,
  type TransactionRequest,
} from './request.ts';
import { refusals, type Refusal } from './ledger-result.ts';
import type { RefundRefusal } from './request.ts';

/** How one step of a transaction ended. */
export interface TransactionAnswer {
  readonly outcome: 'APPLIED' | 'REJECTED';
  readonly code?: Refusal | RefundRefusal | typeof payoutRefused;
  /** Of the account, afterwards. */
  readonly version?: number;
  readonly balanceBefore?: bigint;
  readonly balanceAfter?: bigint;
}

const phases = ['forward', 'undoing', 'completed', 'failed', 'stuck'] as const;

/** A refund as the transaction that it gives back knows it; once decided, its fate never changes back. */
export interface RefundShare {
  readonly amount: bigint;
  readonly state: 'granted' | 'committed' | 'released' | 'denied';
  readonly code?: RefundRefusal;
}

/** Everything that is known of a transaction: the state of its saga. */
export interface Transaction {
  readonly request: TransactionRequest;
  readonly phase: (typeof phases)[number];
  readonly state: string;
  readonly seq: number;
  readonly stage: number;
  readonly sent: number;
  readonly answers: Readonly<Record<string, TransactionAnswer>>;
  readonly undoing: readonly string[];
  readonly failure?: string;
  /** Of a withdrawal: somebody outside pays it out before it is posted. */
  readonly isPaidOut?: true;
  /** Of a refund: what the original moved. */
  readonly original?: Movement;
  /** By the refund's `txId`. */
  readonly refunds: Readonly<Record<string, RefundShare>>;
  /** Microseconds. */
  readonly updatedAt: number;
  /** Milliseconds: when it is to be woken, if it still waits. */
  readonly dueMs: number;
  /** Milliseconds: when it is looked whether it is to be woken; 0 for never. */
  readonly timerMs: number;
}

function parseAnswer(value: unknown, where: string): TransactionAnswer {
  const reader = readObject(value, where);
  return compact({
    outcome: reader.oneOf('outcome', ['APPLIED', 'REJECTED']),
    code: reader.optionalOneOf('code', [...refusals, ...refundRefusals, payoutRefused]),
    version: reader.optionalCount('version'),
    balanceBefore: reader.optionalWith('balanceBefore', readMoney),
    balanceAfter: reader.optionalWith('balanceAfter', readMoney),
  });
}

function parseShare(value: unknown, where: string): RefundShare {
  const reader = readObject(value, where);
  return compact({
    amount: reader.with('amount', readAmount),
    state: reader.oneOf('state', ['granted', 'committed', 'released', 'denied']),
    code: reader.optionalOneOf('code', refundRefusals),
  });
}

function parseMovement(value: unknown, where: string): Movement {
  const reader = readObject(value, where);
  return {
    sourceAccountId: reader.with('sourceAccountId', readAccountId),
    destinationAccountId: reader.with('destinationAccountId', readAccountId),
    ...readSum(reader),
  };
}

export const transactionSerde = moneyJsonSerde((value): Transaction => {
  const reader = readObject(value, 'transaction');
  return compact({
    // Only the saga writes it, and it keeps nothing else here.
    request: parseSagaRequest(reader.raw('request')) as TransactionRequest,
    phase: reader.oneOf('phase', phases),
    state: reader.text('state', 40),
    seq: reader.count('seq'),
    stage: reader.count('stage'),
    // Rows of before any stage was sent ahead have none.
    sent: reader.optionalCount('sent') ?? reader.count('stage') + 1,
    answers: reader.map('answers', parseAnswer),
    undoing: reader.list('undoing', readStepName),
    failure: reader.optionalText('failure', 64),
    isPaidOut: reader.flag('isPaidOut') ? (true as const) : undefined,
    original: reader.optionalWith('original', parseMovement),
    refunds: reader.map('refunds', parseShare),
    updatedAt: reader.count('updatedAt'),
    dueMs: reader.count('dueMs'),
    // Rows of before there were two have their timer there.
    timerMs: reader.optionalCount('timerMs') ?? reader.count('dueMs'),
  });
});

function readStepName(value: unknown, where: string): string {
  return readId(value, where);
}

/** What a transaction became, or that it began: the value of `billing.transaction.events`, keyed by transaction. */
export interface TransactionEvent {
  readonly eventId: string;
  readonly type: `${'Topup' | 'Withdrawal' | 'Transfer' | 'Refund' | 'Import' | 'AccountChange'}${'Requested' | 'Completed' | 'Failed'}`;
  readonly txId: string;
  readonly idempotencyKey: string;
  readonly sourceAccountId?: string;
  readonly destinationAccountId?: string;
  readonly accountId?: string;
  readonly originalTxId?: string;
  readonly amount?: bigint;
  readonly currency?: string;
  readonly reference?: string;
  /** Of a failure. */
  readonly errorCode?: string;
  /** Of a completion; not of unbounded accounts, which have no one balance. */
  readonly sourceBalanceBefore?: bigint;
  readonly sourceBalanceAfter?: bigint;
  readonly destinationBalanceBefore?: bigint;
  readonly destinationBalanceAfter?: bigint;
  /** Microseconds: the business date; when it was asked for; and when this was decided. */
  readonly effectiveAt: number;
  readonly requestedAt: number;
  readonly at: number;
}

const subjects = ['Topup', 'Withdrawal', 'Transfer', 'Refund', 'Import', 'AccountChange'] as const;
export const transactionEventTypes = subjects.flatMap(
  (subject) => [`${subject}Requested`, `${subject}Completed`, `${subject}Failed`] as const,
);

function readParties(reader: ObjectReader): Partial<TransactionEvent> {
  return compact({
    sourceAccountId: reader.optionalWith('sourceAccountId', readAccountId),
    destinationAccountId: reader.optionalWith('destinationAccountId', readAccountId),
    accountId: reader.optionalWith('accountId', readAccountId),
    originalTxId: reader.optionalWith('originalTxId', readId),
    amount: reader.optionalWith('amount', readAmount),
    currency: reader.optionalWith('currency', readCurrency),
  });
}

/** Throws `DESERIALIZATION_FAILED`. */
export function parseTransactionEvent(value: unknown): TransactionEvent {
  const reader = readObject(value, 'transaction event');
  return compact({
    eventId: reader.with('eventId', readId),
    type: reader.oneOf('type', transactionEventTypes),
    txId: reader.with('txId', readId),
    idempotencyKey: reader.text('idempotencyKey', 200),
    ...readParties(reader),
    reference: reader.optionalText('reference', 500),
    errorCode: reader.optionalText('errorCode', 64),
    sourceBalanceBefore: reader.optionalWith('sourceBalanceBefore', readMoney),
    sourceBalanceAfter: reader.optionalWith('sourceBalanceAfter', readMoney),
    destinationBalanceBefore: reader.optionalWith('destinationBalanceBefore', readMoney),
    destinationBalanceAfter: reader.optionalWith('destinationBalanceAfter', readMoney),
    effectiveAt: reader.count('effectiveAt'),
    // Events of before it was told have none.
    requestedAt: reader.optionalCount('requestedAt') ?? reader.count('effectiveAt'),
    at: reader.count('at'),
  });
}

export const transactionEventSerde = moneyJsonSerde(parseTransactionEvent);

/** One change of a saga's state: the value of `billing.saga.events`, keyed by transaction. */
export interface SagaTransition {
  readonly txId: string;
  readonly seq: number;
  readonly from: string;
  readonly to: string;
  /** The answer, request or timer that caused it. */
  readonly cause: string;
  /** Microseconds. */
  readonly at: number;
}

/** Throws `DESERIALIZATION_FAILED`. */
export function parseSagaTransition(value: unknown): SagaTransition {
  const reader = readObject(value, 'saga transition');
  return {
    txId: reader.with('txId', readId),
    seq: reader.count('seq'),
    from: reader.text('from', 40),
    to: reader.text('to', 40),
    cause: reader.text('cause', 100),
    at: reader.count('at'),
  };
}

export const sagaTransitionSerde: Serde<SagaTransition> = canonicalJsonSerde(parseSagaTransition);
