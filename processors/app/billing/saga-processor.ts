/** The saga as a step: the only one that decides what becomes of a transaction. */
import { StreamError, defineProcessor, defineStore, stringSerde } from '../../../index.ts';
import type { Header, ProcessorContext, StreamRecord } from '../../../index.ts';
import { envelopeHeaders } from '../../../schemas/app/billing/envelope.ts';
import type { LedgerCommand } from '../../../schemas/app/billing/ledger-command.ts';
import type { LedgerResult } from '../../../schemas/app/billing/ledger-result.ts';
import { uuid5 } from '../../../schemas/app/billing/names.ts';
import type { Payout } from '../../../schemas/app/billing/payout.ts';
import type {
  PayoutAnswer,
  RefundAnswer,
  RefundClaim,
  SagaRequest,
  SagaWake,
} from '../../../schemas/app/billing/request.ts';
import { sagaTimerSerde, stuckKey, timerKey } from '../../../schemas/app/billing/saga-timer.ts';
import {
  transactionSerde,
  type SagaTransition,
  type Transaction,
  type TransactionAnswer,
  type TransactionEvent,
} from '../../../schemas/app/billing/transaction.ts';
import { compact } from '../../../schemas/app/reader.ts';
import { keptRows, rarelyRead } from './cache.ts';
import { answerClaim } from './refund.ts';
import { payingState, stagesOf, stepOf, type TransactionMessage } from './saga-definitions.ts';
import {
  advanceSaga,
  isWaiting,
  sagaState,
  startSaga,
  stuckState,
  type SagaAdvance,
  type SagaInput,
} from './saga-engine.ts';
import { completedEvent, failedEvent, requestedEvent } from './transaction-events.ts';

/** Every transaction there ever was. */
export const transactions = defineStore('transactions', {
  key: stringSerde,
  value: transactionSerde,
  // Those under way; one that has ended is hardly ever asked for again.
  cache: { ...keptRows, entriesMax: 4_000 },
});

/** The sagas that wait for something, by `timerKey`, and those that are stuck, by `stuckKey`. */
export const sagaTimers = defineStore('saga-timers', {
  key: stringSerde,
  value: sagaTimerSerde,
  ordered: true,
  cache: rarelyRead,
});

export type SagaStepInput =
  | {
      readonly kind: 'request';
      readonly request: SagaRequest;
      /** Of a withdrawal that begins with it: somebody outside pays. */
      readonly isPaidOut?: true;
    }
  | { readonly kind: 'result'; readonly result: LedgerResult };

export type SagaOutput =
  | { readonly kind: 'command'; readonly command: LedgerCommand }
  | { readonly kind: 'request'; readonly request: SagaRequest }
  | { readonly kind: 'payout'; readonly payout: Payout }
  | { readonly kind: 'event'; readonly event: TransactionEvent }
  | { readonly kind: 'transition'; readonly transition: SagaTransition };

/** A saga that hears nothing for so long gives up before its pivot, and sends again after it. */
export const sagaPatienceMs = 30_000;
/** Somebody outside may take days to pay: they are asked again after twice as long each time, up to this. */
const payoutPatienceMsMax = 3_600_000;
const wakeEveryMs = 1_000;
/** Woken at one time and partition. */
const wokenMax = 1_000;

const sagaStores = { transactions, sagaTimers };
type Context = ProcessorContext<string, SagaOutput, typeof sagaStores>;

/** The record that is being dealt with. */
interface Cause {
  readonly id: string;
  readonly timestampMs: number;
  readonly headers: readonly Header[];
}

export const sagaStep = defineProcessor({
  name: 'saga',
  stores: sagaStores,
  init(context: Context) {
    context.schedule({ everyMs: wakeEveryMs, by: 'wall-clock' }, (nowMs) => {
      wakeDue(context, nowMs);
    });
  },
  process(record: StreamRecord<string | null, SagaStepInput>, context: Context) {
    const { key, value: input, timestampMs, headers } = record;
    const txId = input.kind === 'result' ? input.result.txId : input.request.txId;
    if (key !== txId)
      throw new StreamError('RECORD_INVALID', 'the key of a request is its transaction', {
        facts: { reason: 'key_mismatch' },
      });
    const cause = { timestampMs, headers };
    if (input.kind === 'result') takeResult(context, input.result, cause);
    else takeRequest(context, input, cause);
  },
});

type Uncaused = Omit<Cause, 'id'>;

type RequestInput = Extract<SagaStepInput, { kind: 'request' }>;

function takeRequest(context: Context, { request, isPaidOut }: RequestInput, uncaused: Uncaused): void {
  switch (request.type) {
    case 'TIMED_OUT':
    case 'REDRIVE':
      wake(context, request, uncaused);
      return;
    case 'REFUND_ANSWER':
      takeRefundAnswer(context, request, uncaused);
      return;
    case 'PAYOUT_ANSWER':
      takePayoutAnswer(context, request, uncaused);
      return;
    case 'REFUND_AUTHORISE':
    case 'REFUND_COMMIT':
    case 'REFUND_RELEASE':
      takeClaim(context, request, uncaused);
      return;
    default:
      begin(context, isPaidOut === true ? { request, isPaidOut } : { request }, uncaused);
  }
}

/** A transaction begins once; asked for again it goes on as it is, and another request under its id changes nothing. */
function begin(context: Context, given: Pick<Transaction, 'request' | 'isPaidOut'>, uncaused: Uncaused): void {
  const { request } = given;
  const known = context.stores.transactions.get(request.txId);
  if (known !== undefined) {
    context.drop(known.request.fingerprint === request.fingerprint ? 'duplicate' : 'refused');
    return;
  }
  const stages = stagesOf(given);
  const advance = startSaga<TransactionAnswer, TransactionMessage>(stages);
  const blank: Transaction = {
    ...given,
    state: 'REQUESTED',
    refunds: {},
    updatedAt: uncaused.timestampMs * 1_000,
    dueMs: 0,
    timerMs: 0,
    ...advance.progress,
  };
  const cause = { id: request.txId, ...uncaused };
  sendEvent(context, requestedEvent(request, uncaused.timestampMs), cause);
  settle(context, { transaction: blank, stages }, advance, cause);
}

function takeResult(context: Context, result: LedgerResult, uncaused: Uncaused): void {
  const { txId, commandId, outcome, code, version, balanceBefore, balanceAfter } = result;
  const answer: TransactionAnswer = compact({ outcome, code, version, balanceBefore, balanceAfter });
  takeAnswer(context, context.stores.transactions.get(txId), { commandId, answer }, uncaused);
}

function takeRefundAnswer(
  context: Context,
  { txId, commandId, code, original }: RefundAnswer,
  uncaused: Uncaused,
): void {
  const transaction = context.stores.transactions.get(txId);
  const informed = transaction === undefined || original === undefined ? transaction : { ...transaction, original };
  takeAnswer(context, informed, { commandId, answer: answerBy(code) }, uncaused);
}

function takePayoutAnswer(context: Context, { txId, commandId, code }: PayoutAnswer, uncaused: Uncaused): void {
  takeAnswer(context, context.stores.transactions.get(txId), { commandId, answer: answerBy(code) }, uncaused);
}

/** Of one that says no more than why not. */
function answerBy(code: TransactionAnswer['code']): TransactionAnswer {
  return code === undefined ? { outcome: 'APPLIED' } : { outcome: 'REJECTED', code };
}

function takeAnswer(
  context: Context,
  transaction: Transaction | undefined,
  { commandId, answer }: { readonly commandId: string; readonly answer: TransactionAnswer },
  uncaused: Uncaused,
): void {
  const running = transaction === undefined ? undefined : runningOf(transaction);
  const name = running === undefined ? undefined : stepNamed(running, commandId);
  if (running === undefined || name === undefined) {
    context.drop('refused');
    return;
  }
  advance(context, running, { kind: 'answer', name, answer }, { id: `${name}:${answer.outcome}`, ...uncaused });
}

function wake(context: Context, request: SagaWake, uncaused: Uncaused): void {
  const transaction = context.stores.transactions.get(request.txId);
  if (transaction === undefined) {
    context.drop('refused');
    return;
  }
  const input: SagaInput<TransactionAnswer> =
    request.type === 'TIMED_OUT' ? { kind: 'timed-out', seq: request.seq } : { kind: 'redrive' };
  const running = runningOf(transaction);
  // Again: one that got stuck before this was noted has no row yet.
  if (transaction.phase === 'stuck') noteStuck(context, running);
  advance(context, running, input, { id: request.type, ...uncaused });
}

function takeClaim(context: Context, claim: RefundClaim, uncaused: Uncaused): void {
  const before = context.stores.transactions.get(claim.txId);
  const { original, answer } = answerClaim(before, claim);
  if (original !== undefined && original !== before) context.stores.transactions.put(claim.txId, original);
  const cause = { id: claim.commandId, ...uncaused };
  sendOn(context, answer.txId, { kind: 'request', request: answer }, answer.type, cause);
}

/** A transaction with the stages that it runs through. */
interface Running {
  readonly transaction: Transaction;
  readonly stages: ReturnType<typeof stagesOf>;
}

function runningOf(transaction: Transaction): Running {
  return { transaction, stages: stagesOf(transaction) };
}

function stepNamed({ transaction: { request, stage }, stages }: Running, commandId: string): string | undefined {
  return stepOf(stages, { txId: request.txId, stage }, commandId);
}

function advance(context: Context, running: Running, input: SagaInput<TransactionAnswer>, cause: Cause): void {
  const next = advanceSaga(running.stages, running.transaction, input);
  if (next.progress === running.transaction && next.send.length === 0) context.drop('duplicate');
  else settle(context, running, next, cause);
}

/** Keeps what the saga has become, and sends what follows. */
function settle(
  context: Context,
  { transaction: before, stages }: Running,
  { progress, send }: SagaAdvance<TransactionAnswer, TransactionMessage>,
  cause: Cause,
): void {
  const { txId } = before.request;
  const at = cause.timestampMs * 1_000;
  const state = sagaState(stages, progress);
  // By the clock, not the record: what waited in the log has not waited for an answer.
  const dueMs = context.wallClockMs + patienceMs(state, progress.seq);
  const after = timed(context, { ...before, ...progress, state, updatedAt: at, dueMs });
  context.stores.transactions.put(txId, after);
  if (after.phase === 'stuck') noteStuck(context, { transaction: after, stages });
  if (state !== before.state) {
    const transition = { txId, seq: after.seq, from: before.state, to: state, cause: cause.id, at };
    sendOn(context, txId, { kind: 'transition', transition }, 'SagaTransition', cause);
  }
  for (const { message } of send) sendMessage(context, message, cause);
  if (after.phase === 'completed') sendEvent(context, completedEvent(after), cause);
  if (after.phase === 'failed') sendEvent(context, failedEvent(after), cause);
}

function sendMessage(context: Context, message: TransactionMessage, cause: Cause): void {
  if (message.to === 'ledger') {
    const { command } = message;
    sendOn(context, command.accountId, { kind: 'command', command }, command.kind, cause);
  } else if (message.to === 'saga') {
    const { claim } = message;
    sendOn(context, claim.txId, { kind: 'request', request: claim }, claim.type, cause);
  } else {
    const { payout } = message;
    sendOn(context, payout.txId, { kind: 'payout', payout }, 'PayoutRequested', cause);
  }
}

function sendEvent(context: Context, event: TransactionEvent, cause: Cause): void {
  sendOn(context, event.txId, { kind: 'event', event }, event.type, cause);
}

function sendOn(context: Context, key: string, value: SagaOutput, eventType: string, cause: Cause): void {
  const { timestampMs, headers, id } = cause;
  const eventId = ownIdOf(value) ?? uuid5(key, eventType, id);
  const envelope = { eventType, eventId, causationId: id };
  context.forward({ key, value, timestampMs, headers: envelopeHeaders(headers, envelope) });
}

function ownIdOf(value: SagaOutput): string | undefined {
  if (value.kind === 'event') return value.event.eventId;
  if (value.kind === 'payout') return value.payout.commandId;
  return value.kind === 'command' ? value.command.commandId : undefined;
}

// ---- timers ---------------------------------------------------------------------------------------------------------

/** A payout is asked for with the second change of its saga; from then on each change is another time that it was waited for in vain. */
function patienceMs(state: string, seq: number): number {
  return state === payingState
    ? Math.min(sagaPatienceMs * 2 ** Math.max(0, seq - 2), payoutPatienceMsMax)
    : sagaPatienceMs;
}

/** With the timer that it needs. One that is set stays while it is not too late: whoever finds it due looks again, which costs less than to move it each time. */
function timed({ stores }: Context, transaction: Transaction): Transaction {
  const { timerMs, dueMs } = transaction;
  if (isWaiting(transaction) && timerMs !== 0 && timerMs <= dueMs) return transaction;
  const { txId } = transaction.request;
  if (timerMs !== 0) stores.sagaTimers.delete(timerKey(timerMs, txId));
  if (!isWaiting(transaction)) return { ...transaction, timerMs: 0 };
  stores.sagaTimers.put(timerKey(dueMs, txId), { txId });
  return { ...transaction, timerMs: dueMs };
}

/** Somebody has to look at it: so it is found without reading every transaction there ever was. */
function noteStuck({ stores }: Context, { transaction, stages }: Running): void {
  const { txId } = transaction.request;
  stores.sagaTimers.put(stuckKey(stuckState(stages, transaction), txId), { txId });
}

/** Time only ever writes a record: what it means is decided when the saga reads that, once and in order. */
function wakeDue(context: Context, nowMs: number): void {
  const { stores } = context;
  for (const [key, { txId }] of stores.sagaTimers.range({ to: timerKey(nowMs, ''), limit: wokenMax })) {
    const transaction = stores.transactions.get(txId);
    stores.sagaTimers.delete(key);
    if (transaction === undefined) continue;
    const isDue = transaction.dueMs <= nowMs;
    const dueMs = isDue ? nowMs + sagaPatienceMs : transaction.dueMs;
    stores.transactions.put(txId, timed(context, { ...transaction, dueMs, timerMs: 0 }));
    if (!isDue) continue;
    const request: SagaRequest = { type: 'TIMED_OUT', txId, seq: transaction.seq };
    const cause = { timestampMs: nowMs, headers: [], id: `${txId}:${transaction.seq}` };
    sendOn(context, txId, { kind: 'request', request }, request.type, cause);
  }
}
