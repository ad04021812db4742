/** What a command does to an account. Pure: functions of (account, hold, command, time of record). A refusal is a result, not an error. */
import { strict as assert } from 'node:assert';
import type { Account, AccountTerms, Hold } from '../../../schemas/app/billing/account.ts';
import type { AccountEvent, BalanceChanged, HoldEvent } from '../../../schemas/app/billing/account-event.ts';
import type {
  HoldCommand,
  LedgerCommand,
  PostCommand,
  PostHeldCommand,
  SetLimitsCommand,
  StatusCommand,
} from '../../../schemas/app/billing/ledger-command.ts';
import type { Refusal } from '../../../schemas/app/billing/ledger-result.ts';
import { amountMax } from '../../../schemas/app/billing/money.ts';
import { stripeName, uuid5 } from '../../../schemas/app/billing/names.ts';
import { compact } from '../../../schemas/app/reader.ts';

/** What the ledger knows when a command arrives. */
export interface LedgerView {
  readonly account: Account | undefined;
  /** The hold that the command names. */
  readonly hold: Hold | undefined;
}

export interface RecordedIn {
  /** The partition whose stripes take the other side. */
  readonly partition: number;
  /** Microseconds: of the command's record. */
  readonly at: number;
}

/** At most one event: what happened. None if there was nothing to do. */
export type Decision =
  | { readonly outcome: 'APPLIED'; readonly event?: AccountEvent }
  | { readonly outcome: 'REJECTED'; readonly code: Refusal };

const refused = (code: Refusal): Decision => ({ outcome: 'REJECTED', code });
const applied = (event?: AccountEvent): Decision => ({ outcome: 'APPLIED', ...(event === undefined ? {} : { event }) });

/** The lowest balance that an account may have: its own limit, else 0 for users. */
export function minEffective({ minBalance, ownerType }: Pick<AccountTerms, 'minBalance' | 'ownerType'>): bigint {
  return minBalance ?? (ownerType === 'USER' ? 0n : -amountMax);
}

export function maxEffective({ maxBalance }: Pick<AccountTerms, 'maxBalance'>): bigint {
  return maxBalance ?? amountMax;
}

type EventBase = Omit<BalanceChanged, 'type' | 'reason' | 'postings' | 'holdId' | 'isImport'>;

function baseOf(account: Account, command: LedgerCommand, at: number): EventBase {
  return {
    eventId: uuid5(command.commandId, 'event'),
    accountId: account.accountId,
    aggregateVersion: account.version + 1,
    commandId: command.commandId,
    txId: command.txId,
    currency: account.currency,
    balanceBefore: account.posted,
    balanceAfter: account.posted,
    heldDebit: account.heldDebit,
    heldCredit: account.heldCredit,
    effectiveAt: command.effectiveAt,
    recordedAt: Math.max(account.recordedAt, at),
  };
}

/** Decides on one command that was never carried out before. */
export function decide({ account, hold }: LedgerView, command: LedgerCommand, recorded: RecordedIn): Decision {
  if (command.kind === 'OPEN') return open(account, command, recorded);
  if (command.kind === 'VOID' && hold === undefined) return applied();
  if (account === undefined) return refused('account_not_found');
  if (command.expectedVersion !== undefined && command.expectedVersion !== account.version)
    return refused('version_conflict');
  return decideOn({ account, hold }, command, recorded);
}

/** What is known of an account that is there. */
type OpenedView = LedgerView & { readonly account: Account };
type OpenedCommand = Exclude<LedgerCommand, { kind: 'OPEN' }>;

function decideOn({ account, hold }: OpenedView, command: OpenedCommand, recorded: RecordedIn): Decision {
  switch (command.kind) {
    case 'HOLD_DEBIT':
    case 'HOLD_CREDIT':
      return setAside(account, command, recorded);
    case 'POST_DEBIT':
    case 'POST_CREDIT':
      if (command.holdId === undefined) return post(account, command, recorded);
      return postHeld({ account, hold }, command, recorded);
    case 'VOID':
      return release({ account, hold }, command, recorded);
    case 'SET_LIMITS':
      return setLimits(account, command, recorded);
    default:
      return setStatus(account, command, recorded);
  }
}

function open(
  account: Account | undefined,
  command: Extract<LedgerCommand, { kind: 'OPEN' }>,
  { at }: RecordedIn,
): Decision {
  if (account !== undefined) return refused('account_exists');
  const { accountId, terms } = command;
  if (minEffective(terms) > 0n || maxEffective(terms) < 0n) return refused('limits_invalid');
  const blank = blankAccount(accountId, terms);
  return applied({ type: 'AccountCreated', terms, ...baseOf(blank, command, at) });
}

function blankAccount(accountId: string, terms: AccountTerms): Account {
  return {
    ...terms,
    accountId,
    status: 'ACTIVE',
    posted: 0n,
    heldDebit: 0n,
    heldCredit: 0n,
    version: 0,
    recordedAt: 0,
  };
}

/** Whether the account takes something new of this amount; a side is refused on its own terms. */
function admission(
  account: Account,
  command: HoldCommand | PostCommand,
  side: 'debit' | 'credit',
): Refusal | undefined {
  if (command.currency !== account.currency) return 'currency_mismatch';
  const isImport = command.isImport === true;
  if (!isImport && account.status === 'CLOSED') return 'account_closed';
  if (!isImport && account.status === 'FROZEN') return 'account_frozen';
  return side === 'debit'
    ? debitRefusal(account, command.amount, isImport)
    : creditRefusal(account, command.amount, isImport);
}

function debitRefusal(account: Account, amount: bigint, isImport: boolean): Refusal | undefined {
  const left = account.posted - account.heldDebit - amount;
  if (left < -amountMax) return 'overflow';
  if (isImport || left >= minEffective(account)) return undefined;
  return account.minBalance === undefined ? 'insufficient_balance' : 'below_min_balance';
}

function creditRefusal(account: Account, amount: bigint, isImport: boolean): Refusal | undefined {
  const full = account.posted + account.heldCredit + amount;
  if (full > amountMax) return 'overflow';
  return isImport || full <= maxEffective(account) ? undefined : 'balance_limit_exceeded';
}

function setAside(account: Account, command: HoldCommand, { at }: RecordedIn): Decision {
  const isDebit = command.kind === 'HOLD_DEBIT';
  const refusal = admission(account, command, isDebit ? 'debit' : 'credit');
  if (refusal !== undefined) return refused(refusal);
  const { commandId: holdId, amount, isImport } = command;
  const base = compact({ holdId, amount, isImport, ...baseOf(account, command, at) });
  return applied(
    isDebit
      ? { type: 'FundsReserved', ...base, heldDebit: account.heldDebit + amount }
      : { type: 'CreditHeld', ...base, heldCredit: account.heldCredit + amount },
  );
}

/** The hold that an event of setting aside begins. */
export function holdOf({ type, accountId, holdId, txId, amount, isImport }: HoldEvent): Hold {
  const side = type === 'FundsReserved' ? 'debit' : 'credit';
  return compact({ accountId, holdId, txId, amount, side, isImport } as const);
}

/** The event of an amount that moves between the account and a stripe of this partition. */
function movement(
  account: Account,
  command: PostCommand | PostHeldCommand,
  amount: bigint,
  { partition, at }: RecordedIn,
): BalanceChanged {
  const isDebit = command.kind === 'POST_DEBIT';
  const change = isDebit ? -amount : amount;
  const stripe = stripeName(command.counter, account.currency, partition);
  return {
    type: 'BalanceChanged',
    reason: isDebit ? 'AccountDebited' : 'AccountCredited',
    postings: [
      { account: account.accountId, amount: change },
      { account: stripe, amount: -change },
    ],
    ...baseOf(account, command, at),
    balanceAfter: account.posted + change,
  };
}

function post(account: Account, command: PostCommand, recorded: RecordedIn): Decision {
  const refusal = admission(account, command, command.kind === 'POST_DEBIT' ? 'debit' : 'credit');
  if (refusal !== undefined) return refused(refusal);
  const event = movement(account, command, command.amount, recorded);
  return applied(command.isImport === true ? { isImport: true, ...event } : event);
}

/** A hold has been admitted: whatever the account has become, it can be posted. */
function postHeld({ account, hold }: OpenedView, command: PostHeldCommand, recorded: RecordedIn): Decision {
  const side = command.kind === 'POST_DEBIT' ? 'debit' : 'credit';
  if (hold?.side !== side) return refused('hold_not_found');
  const held =
    side === 'debit'
      ? { heldDebit: account.heldDebit - hold.amount }
      : { heldCredit: account.heldCredit - hold.amount };
  const { holdId, amount, isImport } = hold;
  return applied(compact({ holdId, isImport, ...movement(account, command, amount, recorded), ...held }));
}

function release({ account, hold }: OpenedView, command: LedgerCommand, { at }: RecordedIn): Decision {
  if (hold === undefined) return applied();
  const { holdId, amount, side } = hold;
  const held =
    side === 'debit' ? { heldDebit: account.heldDebit - amount } : { heldCredit: account.heldCredit - amount };
  return applied({ type: 'ReservationReleased', holdId, amount, ...baseOf(account, command, at), ...held });
}

function setLimits(account: Account, command: SetLimitsCommand, { at }: RecordedIn): Decision {
  if (account.status === 'CLOSED') return refused('account_closed');
  const { minBalance, maxBalance } = command;
  const limits = compact({ ownerType: account.ownerType, minBalance, maxBalance });
  if (minEffective(limits) > maxEffective(limits)) return refused('limits_invalid');
  if (account.posted - account.heldDebit < minEffective(limits)) return refused('limits_broken');
  if (account.posted + account.heldCredit > maxEffective(limits)) return refused('limits_broken');
  return applied(compact({ type: 'LimitsChanged' as const, minBalance, maxBalance, ...baseOf(account, command, at) }));
}

const statusAfter = { FREEZE: 'FROZEN', UNFREEZE: 'ACTIVE', CLOSE: 'CLOSED' } as const;
const statusesBefore = { FREEZE: ['ACTIVE'], UNFREEZE: ['FROZEN'], CLOSE: ['ACTIVE', 'FROZEN'] } as const;

function setStatus(account: Account, command: StatusCommand, { at }: RecordedIn): Decision {
  const { kind } = command;
  if (!statusesBefore[kind].some((status) => status === account.status)) return refused('status_conflict');
  if (kind === 'CLOSE' && (account.heldDebit !== 0n || account.heldCredit !== 0n)) return refused('holds_open');
  if (kind === 'CLOSE' && account.posted !== 0n) return refused('balance_not_zero');
  return applied({ type: 'StatusChanged', status: statusAfter[kind], ...baseOf(account, command, at) });
}

/** The account after an event. An event that does not follow on what is known is a bug: better to stop than to keep a wrong balance. */
export function evolve(account: Account | undefined, event: AccountEvent): Account {
  const before = event.type === 'AccountCreated' ? blankAccount(event.accountId, event.terms) : account;
  assert(before !== undefined, 'an account begins by being created');
  assert(event.aggregateVersion === before.version + 1, 'versions of an account have no gaps');
  assert(event.balanceBefore === before.posted, 'an event begins where the last one ended');
  if (event.type === 'BalanceChanged') assertBalanced(event);
  const after = {
    ...before,
    posted: event.balanceAfter,
    heldDebit: event.heldDebit,
    heldCredit: event.heldCredit,
    version: event.aggregateVersion,
    recordedAt: event.recordedAt,
  };
  if (event.type === 'StatusChanged') return { ...after, status: event.status };
  if (event.type !== 'LimitsChanged') return after;
  const { minBalance: _min, maxBalance: _max, ...unlimited } = after;
  const { minBalance, maxBalance } = event;
  return compact({ ...unlimited, minBalance, maxBalance });
}

function assertBalanced(event: BalanceChanged): void {
  const sum = event.postings.reduce((total, { amount }) => total + amount, 0n);
  assert(sum === 0n, 'postings sum to zero');
}
