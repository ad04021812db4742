import { compact, readObject } from '../reader.ts';
import { moneyJsonSerde, readMoney } from './money.ts';
import { readId, readOrdinaryAccountId } from './names.ts';

/** Why the ledger does not do what it was asked. */
export const refusals = [
  'account_not_found',
  'account_exists',
  'account_frozen',
  'account_closed',
  'currency_mismatch',
  'insufficient_balance',
  'below_min_balance',
  'balance_limit_exceeded',
  'overflow',
  'limits_invalid',
  'limits_broken',
  'status_conflict',
  'holds_open',
  'balance_not_zero',
  'version_conflict',
  'hold_not_found',
  'command_id_reused',
] as const;
export type Refusal = (typeof refusals)[number];

/** The value of `billing.results`, keyed by transaction: what became of one command. The same for every attempt. */
export interface LedgerResult {
  readonly txId: string;
  readonly commandId: string;
  readonly accountId: string;
  readonly outcome: 'APPLIED' | 'REJECTED';
  /** Of a refusal. */
  readonly code?: Refusal;
  /** Of the account, afterwards; 0 for one that is not there. */
  readonly version: number;
  /** If money moved. */
  readonly balanceBefore?: bigint;
  readonly balanceAfter?: bigint;
}

/** Throws `DESERIALIZATION_FAILED`. */
export function parseLedgerResult(value: unknown): LedgerResult {
  const reader = readObject(value, 'ledger result');
  return compact({
    txId: reader.with('txId', readId),
    commandId: reader.with('commandId', readId),
    accountId: reader.with('accountId', readOrdinaryAccountId),
    outcome: reader.oneOf('outcome', ['APPLIED', 'REJECTED']),
    code: reader.optionalOneOf('code', refusals),
    version: reader.count('version'),
    balanceBefore: reader.optionalWith('balanceBefore', readMoney),
    balanceAfter: reader.optionalWith('balanceAfter', readMoney),
  });
}

export const ledgerResultSerde = moneyJsonSerde(parseLedgerResult);

/** What the ledger remembers of a command: its answer, and what exactly it was. */
export interface AppliedCommand {
  readonly fingerprint: string;
  readonly result: LedgerResult;
}

export const appliedCommandSerde = moneyJsonSerde((value): AppliedCommand => {
  const reader = readObject(value, 'applied command');
  return { fingerprint: reader.text('fingerprint', 64), result: reader.with('result', parseLedgerResult) };
});
