import { compact, readObject, refuseFor, type ObjectReader } from '../reader.ts';
import { readTerms, type AccountTerms } from './account.ts';
import { moneyJsonSerde, readAmount, readLimit } from './money.ts';
import { isStriped, readAccountId, readCurrency, readId, readOrdinaryAccountId } from './names.ts';

interface RequestBase {
  /** Follows from the idempotency key: the same key is the same transaction, for ever. */
  readonly txId: string;
  readonly idempotencyKey: string;
  /** SHA-256 of what was asked for: the same key with another one is refused. */
  readonly fingerprint: string;
  readonly reference?: string;
  readonly actorId: string;
  readonly correlationId: string;
  /** Microseconds. */
  readonly requestedAt: number;
  /** Microseconds: the business date, if it is another. */
  readonly effectiveAt?: number;
}

/** What moves where. At most one of the accounts is unbounded. */
export interface Movement {
  readonly sourceAccountId: string;
  readonly destinationAccountId: string;
  readonly amount: bigint;
  readonly currency: string;
}

const movementTypes = ['TOPUP', 'WITHDRAWAL', 'TRANSFER', 'IMPORT'] as const;

export interface MovementRequest extends RequestBase, Movement {
  readonly type: (typeof movementTypes)[number];
}

/** Gives back all or part of what an earlier transaction moved. */
export interface RefundRequest extends RequestBase {
  readonly type: 'REFUND';
  readonly originalTxId: string;
  readonly amount: bigint;
  readonly currency: string;
}

export type AccountChange =
  | { readonly kind: 'OPEN'; readonly terms: AccountTerms }
  | { readonly kind: 'SET_LIMITS'; readonly minBalance?: bigint; readonly maxBalance?: bigint }
  | { readonly kind: 'FREEZE' | 'UNFREEZE' | 'CLOSE' };

/** Opens or changes an account. */
export interface AccountRequest extends RequestBase {
  readonly type: 'ACCOUNT';
  readonly accountId: string;
  readonly change: AccountChange;
  /** The version the account must have. */
  readonly expectedVersion?: number;
}

export type TransactionRequest = MovementRequest | RefundRequest | AccountRequest;

/** Time ran out for a saga, as of its change number `seq`; or someone asks it to send again what is unanswered. */
export type SagaWake =
  | { readonly type: 'TIMED_OUT'; readonly txId: string; readonly seq: number }
  | { readonly type: 'REDRIVE'; readonly txId: string };

/** What a refund asks of the transaction that it gives back, which is `txId` here. */
export interface RefundClaim {
  readonly type: 'REFUND_AUTHORISE' | 'REFUND_COMMIT' | 'REFUND_RELEASE';
  readonly txId: string;
  readonly refundTxId: string;
  readonly commandId: string;
  readonly amount: bigint;
  readonly currency: string;
}

export const refundRefusals = [
  'original_not_found',
  'original_not_completed',
  'not_refundable',
  'currency_mismatch',
  'already_refunded',
  'refund_exceeds_original',
  'too_many_refunds',
] as const;
export type RefundRefusal = (typeof refundRefusals)[number];

/** What it answers; `txId` is the refund. */
export interface RefundAnswer {
  readonly type: 'REFUND_ANSWER';
  readonly txId: string;
  readonly commandId: string;
  /** Absent: granted. */
  readonly code?: RefundRefusal;
  /** What the original moved; absent if there is none. */
  readonly original?: Movement;
}

export const payoutRefused = 'payout_refused';

/** What became of a payout, from whoever pays out; `txId` is the withdrawal. */
export interface PayoutAnswer {
  readonly type: 'PAYOUT_ANSWER';
  readonly txId: string;
  /** Of the payout. */
  readonly commandId: string;
  /** Absent: it is paid. */
  readonly code?: typeof payoutRefused;
  /** What whoever pays out calls it. */
  readonly reference?: string;
}

/** The value of `billing.requests`, keyed by `txId`: what users ask for, what sagas tell each other and themselves, and what became of payouts. */
export type SagaRequest = TransactionRequest | SagaWake | RefundClaim | RefundAnswer | PayoutAnswer;

export const sagaRequestTypes = [
  ...movementTypes,
  'REFUND',
  'ACCOUNT',
  'TIMED_OUT',
  'REDRIVE',
  'REFUND_AUTHORISE',
  'REFUND_COMMIT',
  'REFUND_RELEASE',
  'REFUND_ANSWER',
  'PAYOUT_ANSWER',
] as const satisfies readonly SagaRequest['type'][];

function readBase(reader: ObjectReader): RequestBase {
  return compact({
    txId: reader.with('txId', readId),
    idempotencyKey: reader.text('idempotencyKey', 200),
    fingerprint: reader.text('fingerprint', 64),
    reference: reader.optionalText('reference', 500),
    actorId: reader.text('actorId', 200),
    correlationId: reader.text('correlationId', 64),
    requestedAt: reader.count('requestedAt'),
    effectiveAt: reader.optionalCount('effectiveAt'),
  });
}

function readMovement(reader: ObjectReader): Movement {
  const sourceAccountId = reader.with('sourceAccountId', readAccountId);
  const destinationAccountId = reader.with('destinationAccountId', readAccountId);
  if (sourceAccountId === destinationAccountId) refuseFor('same_account', 'request', 'from an account to itself');
  if (isStriped(sourceAccountId) && isStriped(destinationAccountId))
    refuseFor('unbounded_accounts', 'request', 'between unbounded accounts');
  return { sourceAccountId, destinationAccountId, ...readSum(reader) };
}

export function readSum(reader: ObjectReader): Pick<Movement, 'amount' | 'currency'> {
  return { amount: reader.with('amount', readAmount), currency: reader.with('currency', readCurrency) };
}

function readChange(value: unknown, where: string): AccountChange {
  const reader = readObject(value, where);
  const kind = reader.oneOf('kind', ['OPEN', 'SET_LIMITS', 'FREEZE', 'UNFREEZE', 'CLOSE']);
  if (kind === 'OPEN') return { kind, terms: readTerms(readObject(reader.raw('terms'), `${where}.terms`)) };
  if (kind !== 'SET_LIMITS') return { kind };
  const minBalance = reader.optionalWith('minBalance', readLimit);
  return compact({ kind, minBalance, maxBalance: reader.optionalWith('maxBalance', readLimit) });
}

function parseAccountRequest(reader: ObjectReader): AccountRequest {
  return compact({
    type: 'ACCOUNT' as const,
    accountId: reader.with('accountId', readOrdinaryAccountId),
    change: reader.with('change', readChange),
    expectedVersion: reader.optionalCount('expectedVersion'),
    ...readBase(reader),
  });
}

function parseRefundAnswer(reader: ObjectReader): RefundAnswer {
  return compact({
    type: 'REFUND_ANSWER' as const,
    txId: reader.with('txId', readId),
    commandId: reader.with('commandId', readId),
    code: reader.optionalOneOf('code', refundRefusals),
    original: reader.optionalWith('original', (value, where) => readMovement(readObject(value, where))),
  });
}

function parsePayoutAnswer(reader: ObjectReader): PayoutAnswer {
  return compact({
    type: 'PAYOUT_ANSWER' as const,
    txId: reader.with('txId', readId),
    commandId: reader.with('commandId', readId),
    code: reader.optionalOneOf('code', [payoutRefused]),
    reference: reader.optionalText('reference', 500),
  });
}

/** Throws `DESERIALIZATION_FAILED`. */
export function parseSagaRequest(value: unknown): SagaRequest {
  const reader = readObject(value, 'request');
  const type = reader.oneOf('type', sagaRequestTypes);
  switch (type) {
    case 'REFUND':
      return { type, originalTxId: reader.with('originalTxId', readId), ...readSum(reader), ...readBase(reader) };
    case 'ACCOUNT':
      return parseAccountRequest(reader);
    case 'TIMED_OUT':
      return { type, txId: reader.with('txId', readId), seq: reader.count('seq') };
    case 'REDRIVE':
      return { type, txId: reader.with('txId', readId) };
    case 'REFUND_ANSWER':
      return parseRefundAnswer(reader);
    case 'PAYOUT_ANSWER':
      return parsePayoutAnswer(reader);
    case 'REFUND_AUTHORISE':
    case 'REFUND_COMMIT':
    case 'REFUND_RELEASE':
      return {
        type,
        txId: reader.with('txId', readId),
        refundTxId: reader.with('refundTxId', readId),
        commandId: reader.with('commandId', readId),
        ...readSum(reader),
      };
    default:
      return { type, ...readMovement(reader), ...readBase(reader) };
  }
}

export const sagaRequestSerde = moneyJsonSerde(parseSagaRequest);
