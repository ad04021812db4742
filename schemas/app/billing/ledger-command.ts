import { compact, readObject, type ObjectReader } from '../reader.ts';
import { readTerms, type AccountTerms } from './account.ts';
import { moneyJsonSerde, readAmount, readLimit } from './money.ts';
import { readCounter, readCurrency, readId, readOrdinaryAccountId } from './names.ts';

interface CommandBase {
  /** The same for every attempt at the same step: the ledger carries it out once, for ever. */
  readonly commandId: string;
  readonly txId: string;
  readonly accountId: string;
  /** Microseconds: the business date. */
  readonly effectiveAt: number;
  /** The version the account must have. */
  readonly expectedVersion?: number;
}

export interface OpenCommand extends CommandBase {
  readonly kind: 'OPEN';
  readonly terms: AccountTerms;
}

/** Sets an amount aside; the hold is called as the command. */
export interface HoldCommand extends CommandBase {
  readonly kind: 'HOLD_DEBIT' | 'HOLD_CREDIT';
  readonly amount: bigint;
  readonly currency: string;
  /** History that happened elsewhere: limits and status do not count. */
  readonly isImport?: true;
}

/** Moves the amount of a hold between the account and the partition's stripe of `counter`, and ends the hold. */
export interface PostHeldCommand extends CommandBase {
  readonly kind: 'POST_DEBIT' | 'POST_CREDIT';
  readonly holdId: string;
  readonly counter: string;
}

/** Moves an amount that was not held. */
export interface PostCommand extends Omit<HoldCommand, 'kind'> {
  readonly kind: 'POST_DEBIT' | 'POST_CREDIT';
  readonly holdId?: undefined;
  readonly counter: string;
}

/** Ends a hold; never refused, also if there is none. */
export interface VoidCommand extends CommandBase {
  readonly kind: 'VOID';
  readonly holdId: string;
}

/** Both limits anew: an absent one is none. */
export interface SetLimitsCommand extends CommandBase {
  readonly kind: 'SET_LIMITS';
  readonly minBalance?: bigint;
  readonly maxBalance?: bigint;
}

export interface StatusCommand extends CommandBase {
  readonly kind: 'FREEZE' | 'UNFREEZE' | 'CLOSE';
}

/** The value of `billing.commands`, keyed by account. */
export type LedgerCommand =
  OpenCommand | HoldCommand | PostHeldCommand | PostCommand | VoidCommand | SetLimitsCommand | StatusCommand;

export const ledgerCommandKinds = [
  'OPEN',
  'HOLD_DEBIT',
  'HOLD_CREDIT',
  'POST_DEBIT',
  'POST_CREDIT',
  'VOID',
  'SET_LIMITS',
  'FREEZE',
  'UNFREEZE',
  'CLOSE',
] as const satisfies readonly LedgerCommand['kind'][];

function readBase(reader: ObjectReader): CommandBase {
  return compact({
    commandId: reader.with('commandId', readId),
    txId: reader.with('txId', readId),
    accountId: reader.with('accountId', readOrdinaryAccountId),
    effectiveAt: reader.count('effectiveAt'),
    expectedVersion: reader.optionalCount('expectedVersion'),
  });
}

function readMovement(reader: ObjectReader): Pick<HoldCommand, 'amount' | 'currency' | 'isImport'> {
  return {
    amount: reader.with('amount', readAmount),
    currency: reader.with('currency', readCurrency),
    ...(reader.flag('isImport') ? { isImport: true as const } : {}),
  };
}

function parsePost(reader: ObjectReader, kind: PostCommand['kind']): PostCommand | PostHeldCommand {
  const counter = reader.with('counter', readCounter);
  const holdId = reader.optionalWith('holdId', readId);
  return holdId === undefined
    ? { kind, counter, ...readMovement(reader), ...readBase(reader) }
    : { kind, counter, holdId, ...readBase(reader) };
}

/** Throws `DESERIALIZATION_FAILED`. */
export function parseLedgerCommand(value: unknown): LedgerCommand {
  const reader = readObject(value, 'ledger command');
  const kind = reader.oneOf('kind', ledgerCommandKinds);
  switch (kind) {
    case 'OPEN':
      return { kind, terms: reader.with('terms', readTermsOf), ...readBase(reader) };
    case 'HOLD_DEBIT':
    case 'HOLD_CREDIT':
      return { kind, ...readMovement(reader), ...readBase(reader) };
    case 'POST_DEBIT':
    case 'POST_CREDIT':
      return parsePost(reader, kind);
    case 'VOID':
      return { kind, holdId: reader.with('holdId', readId), ...readBase(reader) };
    case 'SET_LIMITS':
      return compact({
        kind,
        minBalance: reader.optionalWith('minBalance', readLimit),
        maxBalance: reader.optionalWith('maxBalance', readLimit),
        ...readBase(reader),
      });
    default:
      return { kind, ...readBase(reader) };
  }
}

function readTermsOf(value: unknown, where: string): AccountTerms {
  return readTerms(readObject(value, where));
}

export const ledgerCommandSerde = moneyJsonSerde(parseLedgerCommand);
