/** What each kind of transaction consists of: holds on both sides, the pivot, then posts. Pure. */
import type { LedgerCommand } from '../../../schemas/app/billing/ledger-command.ts';
import { isStriped, transit, uuid5 } from '../../../schemas/app/billing/names.ts';
import type { Payout } from '../../../schemas/app/billing/payout.ts';
import type {
  AccountRequest,
  Movement,
  MovementRequest,
  RefundClaim,
  RefundRequest,
  SagaRequest,
  TransactionRequest,
} from '../../../schemas/app/billing/request.ts';
import type { Transaction } from '../../../schemas/app/billing/transaction.ts';
import { compact } from '../../../schemas/app/reader.ts';
import type { SagaMessage, SagaStage, SagaStep } from './saga-engine.ts';

export type TransactionMessage =
  | { readonly to: 'ledger'; readonly command: LedgerCommand }
  | { readonly to: 'saga'; readonly claim: RefundClaim }
  | { readonly to: 'payout'; readonly payout: Payout };

type Stage = SagaStage<TransactionMessage>;
type Step = SagaStep<TransactionMessage>;
type Message = SagaMessage<TransactionMessage>;

/** The id of a step's command: to send a step again is to send the same command again. */
export function commandIdOf(txId: string, step: string): string {
  return uuid5(txId, step);
}

/** What its commands have in common. */
interface Origin {
  readonly txId: string;
  readonly effectiveAt: number;
  readonly isImport?: true;
}

function originOf({ txId, effectiveAt, requestedAt, type }: TransactionRequest): Origin {
  return {
    txId,
    effectiveAt: effectiveAt ?? requestedAt,
    ...(type === 'IMPORT' ? { isImport: true as const } : {}),
  };
}

/** The stages of a transaction; those of a refund grow once the original has said what it moved. */
export function stagesOf({
  request,
  original,
  isPaidOut,
}: Pick<Transaction, 'request' | 'original' | 'isPaidOut'>): readonly Stage[] {
  if (request.type === 'ACCOUNT') return [accountStage(request)];
  if (request.type === 'REFUND') return refundStages(request, original);
  return isPaidOut === true ? payoutStages(request) : movementStages(originOf(request), request);
}

/** Whether somebody outside would have to pay for it: money that leaves for an account of the world. */
export function leavesTheBooks(request: SagaRequest): boolean {
  return request.type === 'WITHDRAWAL' && request.destinationAccountId.startsWith('external:');
}

/** Made when it is asked for: a saga has its messages at hand with every answer, and sends few of them; each has ids that cost a hash. */
function toLedger(name: string, command: () => LedgerCommand): Message;
function toLedger(name: string, command: () => LedgerCommand, undo: Message): Step;
function toLedger(name: string, command: () => LedgerCommand, undo?: Message): Message | Step {
  return {
    name,
    get message() {
      return { to: 'ledger', command: command() } as const;
    },
    ...(undo === undefined ? {} : { undo }),
  };
}

function accountStage(request: AccountRequest): Stage {
  const { accountId, change, expectedVersion } = request;
  const { txId, effectiveAt } = originOf(request);
  const command = (): LedgerCommand => {
    const base = { commandId: commandIdOf(txId, 'change'), txId, accountId, effectiveAt, expectedVersion };
    return { ...compact(base), ...change };
  };
  return { state: 'APPLYING', isAfterPivot: true, steps: [toLedger('change', command)] };
}

/**
 * Between two ordinary accounts: hold both sides, then post both at once. Until the pivot there are only holds, and to void one cannot be refused;
 * after it both posts are covered by holds and cannot be refused either. An unbounded account has a stripe beside every account: one command does.
 */
function movementStages(origin: Origin, movement: Movement): readonly Stage[] {
  const { sourceAccountId, destinationAccountId } = movement;
  if (isStriped(sourceAccountId)) return [directStage(origin, movement, 'credit')];
  if (isStriped(destinationAccountId)) return [directStage(origin, movement, 'debit')];
  return [
    holdingStage(origin, movement),
    postingStage(origin, movement, 'debit'),
    { isSentAhead: true, ...postingStage(origin, movement, 'credit') },
  ];
}

const sides = {
  debit: {
    account: 'sourceAccountId',
    other: 'destinationAccountId',
    hold: 'HOLD_DEBIT',
    post: 'POST_DEBIT',
    state: 'DEBITING',
  },
  credit: {
    account: 'destinationAccountId',
    other: 'sourceAccountId',
    hold: 'HOLD_CREDIT',
    post: 'POST_CREDIT',
    state: 'CREDITING',
  },
} as const;
type Side = keyof typeof sides;

function directStage({ txId, ...origin }: Origin, movement: Movement, side: Side): Stage {
  const { amount, currency } = movement;
  const { account, other, post } = sides[side];
  const command = (): LedgerCommand => ({
    txId,
    commandId: commandIdOf(txId, side),
    kind: post,
    accountId: movement[account],
    counter: movement[other],
    amount,
    currency,
    ...origin,
  });
  return { state: 'POSTING', isAfterPivot: true, steps: [toLedger(side, command)] };
}

/** Of a saga that waits for a payout. */
export const payingState = 'PAYING';

/**
 * Held, paid out by somebody outside, then posted. While nobody knows whether it is paid, the money stays held, and who pays is asked again: so the
 * pivot is the payout, though it may be refused, and then the hold is voided.
 */
function payoutStages(request: MovementRequest): readonly Stage[] {
  const { txId, sourceAccountId, destinationAccountId, amount, currency, reference, requestedAt } = request;
  const origin = originOf(request);
  const name = 'payout';
  const payout: Message = {
    name,
    get message() {
      const commandId = commandIdOf(txId, name);
      const about = { txId, commandId, sourceAccountId, destinationAccountId, amount, currency };
      return { to: 'payout', payout: compact({ ...about, reference, requestedAt }) } as const;
    },
  };
  return [
    { state: 'HOLDING', isAfterPivot: false, steps: [holdStep(origin, request, 'debit')] },
    { state: payingState, isAfterPivot: true, steps: [payout] },
    postingStage(origin, request, 'debit', destinationAccountId),
  ];
}

const holdOf = (txId: string, side: Side): string => commandIdOf(txId, `hold-${side}`);

function holdingStage(origin: Origin, movement: Movement): Stage {
  const steps = [holdStep(origin, movement, 'debit'), holdStep(origin, movement, 'credit')];
  return { state: 'HOLDING', isAfterPivot: false, steps };
}

function holdStep({ txId, ...origin }: Origin, movement: Movement, side: Side): Step {
  const { amount, currency } = movement;
  const accountId = movement[sides[side].account];
  const { effectiveAt } = origin;
  const { hold: kind } = sides[side];
  const undo = `void-${side}`;
  return toLedger(
    `hold-${side}`,
    () => ({ txId, commandId: holdOf(txId, side), kind, accountId, amount, currency, ...origin }),
    toLedger(undo, () => {
      const commandId = commandIdOf(txId, undo);
      return { txId, effectiveAt, commandId, kind: 'VOID', accountId, holdId: holdOf(txId, side) };
    }),
  );
}

/** `counter`: where the money comes from or goes to, in this partition. */
function postingStage({ txId, effectiveAt }: Origin, movement: Movement, side: Side, counter = transit): Stage {
  const { account, post, state } = sides[side];
  const command = (): LedgerCommand => ({
    txId,
    effectiveAt,
    commandId: commandIdOf(txId, side),
    kind: post,
    accountId: movement[account],
    counter,
    holdId: holdOf(txId, side),
  });
  return { state, isAfterPivot: true, steps: [toLedger(side, command)] };
}

/** The original grants the share first, so that all refunds together never exceed it; at the end it is told that the share is spent. */
function refundStages(request: RefundRequest, original: Movement | undefined): readonly Stage[] {
  const { txId, originalTxId, amount, currency } = request;
  const claim = (name: string, type: RefundClaim['type']): Message => {
    const commandId = commandIdOf(txId, name);
    const told: RefundClaim = { type, txId: originalTxId, refundTxId: txId, commandId, amount, currency };
    return { name, message: { to: 'saga', claim: told } };
  };
  const authorise = { undo: claim('release', 'REFUND_RELEASE'), ...claim('authorise', 'REFUND_AUTHORISE') };
  const authorising: Stage = { state: 'AUTHORISING', isAfterPivot: false, steps: [authorise] };
  const committing: Stage = {
    state: 'COMMITTING',
    isAfterPivot: true,
    steps: [claim('commit', 'REFUND_COMMIT')],
  };
  if (original === undefined) return [authorising, committing];
  const back: Movement = {
    sourceAccountId: original.destinationAccountId,
    destinationAccountId: original.sourceAccountId,
    amount,
    currency,
  };
  return [authorising, ...movementStages(originOf(request), back), committing];
}

/** The step, or undoing of one, that a command id belongs to; found soonest if it is of the stage that runs. */
export function stepOf(
  stages: readonly Stage[],
  { txId, stage }: { readonly txId: string; readonly stage: number },
  commandId: string,
): string | undefined {
  const nearest = [...stages.slice(stage), ...stages.slice(0, stage)].flatMap(({ steps }) => steps);
  const names = [...nearest.map(({ name }) => name), ...nearest.flatMap(({ undo }) => undo?.name ?? [])];
  return names.find((name) => commandIdOf(txId, name) === commandId);
}
