/** The ledger as a step: each account's commands in order, each carried out once. */
import { hash } from 'node:crypto';
import { StreamError, defineProcessor, defineStore, stringSerde } from '../../../index.ts';
import type { ProcessorContext, StoreStates, StreamRecord } from '../../../index.ts';
import { accountSerde, holdSerde } from '../../../schemas/app/billing/account.ts';
import type { AccountEvent } from '../../../schemas/app/billing/account-event.ts';
import { envelopeHeaders } from '../../../schemas/app/billing/envelope.ts';
import { ledgerCommandSerde, type LedgerCommand } from '../../../schemas/app/billing/ledger-command.ts';
import { appliedCommandSerde, type LedgerResult } from '../../../schemas/app/billing/ledger-result.ts';
import { moneyJsonSerde, readMoney } from '../../../schemas/app/billing/money.ts';
import { uuid5 } from '../../../schemas/app/billing/names.ts';
import { compact } from '../../../schemas/app/reader.ts';
import { keptRows, rarelyRead } from './cache.ts';
import { decide, evolve, holdOf, type Decision } from './ledger.ts';
import { present } from './present.ts';

export const accounts = defineStore('accounts', { key: stringSerde, value: accountSerde, cache: keptRows });

/** Open holds, by `accountId|holdId`. */
export const holds = defineStore('holds', { key: stringSerde, value: holdSerde, cache: keptRows });

/** The answers to all commands there ever were, by `accountId|commandId`. */
export const appliedCommands = defineStore('applied', {
  key: stringSerde,
  value: appliedCommandSerde,
  cache: rarelyRead,
});

/** Balances of stripes: what this partition adds to unbounded accounts, and to the money in transit. */
export const stripes = defineStore('stripes', {
  key: stringSerde,
  value: moneyJsonSerde((value) => readMoney(value, 'stripe')),
  cache: keptRows,
});

export type LedgerOutput =
  { readonly kind: 'event'; readonly event: AccountEvent } | { readonly kind: 'result'; readonly result: LedgerResult };

const ledgerStores = { accounts, holds, appliedCommands, stripes };
type Stores = StoreStates<typeof ledgerStores>;
type Context = ProcessorContext<string, LedgerOutput, typeof ledgerStores>;

const rowKey = (accountId: string, id: string): string => `${accountId}|${id}`;

function fingerprintOf(command: LedgerCommand): string {
  return hash('sha256', ledgerCommandSerde.serialize(command));
}

function keepEvent(stores: Stores, event: AccountEvent): void {
  stores.accounts.put(event.accountId, evolve(stores.accounts.get(event.accountId), event));
  if (event.type === 'FundsReserved' || event.type === 'CreditHeld') {
    stores.holds.put(rowKey(event.accountId, event.holdId), holdOf(event));
  }
  if (event.type === 'ReservationReleased') stores.holds.delete(rowKey(event.accountId, event.holdId));
  if (event.type !== 'BalanceChanged') return;
  if (event.holdId !== undefined) stores.holds.delete(rowKey(event.accountId, event.holdId));
  for (const { account, amount } of event.postings)
    if (account !== event.accountId) stores.stripes.put(account, (stores.stripes.get(account) ?? 0n) + amount);
}

function resultOf(stores: Stores, command: LedgerCommand, decision: Decision): LedgerResult {
  const { txId, commandId, accountId } = command;
  const event = decision.outcome === 'APPLIED' ? decision.event : undefined;
  return compact({
    txId,
    commandId,
    accountId,
    outcome: decision.outcome,
    code: decision.outcome === 'REJECTED' ? decision.code : undefined,
    version: stores.accounts.get(accountId)?.version ?? 0,
    balanceBefore: event?.type === 'BalanceChanged' ? event.balanceBefore : undefined,
    balanceAfter: event?.type === 'BalanceChanged' ? event.balanceAfter : undefined,
  });
}

function heldBy(command: LedgerCommand): string | undefined {
  return 'holdId' in command ? command.holdId : undefined;
}

/** A new command: decide, keep what happened and what was answered. */
function carryOut(record: StreamRecord<string, LedgerCommand>, context: Context, fingerprint: string): LedgerResult {
  const { stores, forward, metadata } = context;
  const { value: command, timestampMs, headers } = record;
  const holdId = heldBy(command);
  const view = {
    account: stores.accounts.get(command.accountId),
    hold: holdId === undefined ? undefined : stores.holds.get(rowKey(command.accountId, holdId)),
  };
  const decision = decide(view, command, { partition: metadata?.partition ?? 0, at: timestampMs * 1_000 });
  const event = decision.outcome === 'APPLIED' ? decision.event : undefined;
  if (event !== undefined) {
    keepEvent(stores, event);
    const envelope = { eventType: event.type, eventId: event.eventId, causationId: command.commandId };
    const value: LedgerOutput = { kind: 'event', event };
    forward({ key: event.accountId, value, timestampMs, headers: envelopeHeaders(headers, envelope) });
  }
  const result = resultOf(stores, command, decision);
  stores.appliedCommands.put(rowKey(command.accountId, command.commandId), { fingerprint, result });
  return result;
}

/**
 * A command that was carried out before gets its first answer again, and nothing happens; another one under the same id is refused,
 * and nothing happens either.
 */
function answer(record: StreamRecord<string, LedgerCommand>, context: Context): LedgerResult {
  const { txId, commandId, accountId } = record.value;
  const fingerprint = fingerprintOf(record.value);
  const before = context.stores.appliedCommands.get(rowKey(accountId, commandId));
  if (before === undefined) return carryOut(record, context, fingerprint);
  const isSame = before.fingerprint === fingerprint;
  context.drop(isSame ? 'duplicate' : 'refused');
  if (isSame) return before.result;
  const version = context.stores.accounts.get(accountId)?.version ?? 0;
  return { txId, commandId, accountId, outcome: 'REJECTED', code: 'command_id_reused', version };
}

export const ledgerStep = defineProcessor({
  name: 'ledger',
  stores: ledgerStores,
  process(record: StreamRecord<string | null, LedgerCommand | null>, context: Context) {
    const { key, value, timestampMs, headers } = record;
    const command = present(value, 'a command');
    if (key !== command.accountId)
      throw new StreamError('RECORD_INVALID', 'the key of a command is its account', {
        facts: { reason: 'key_mismatch' },
      });
    const result = answer({ ...record, key, value: command }, context);
    const { commandId, txId } = command;
    const envelope = { eventType: 'LedgerResult', eventId: uuid5(commandId, 'result'), causationId: commandId };
    const output: LedgerOutput = { kind: 'result', result };
    context.forward({ key: txId, value: output, timestampMs, headers: envelopeHeaders(headers, envelope) });
  },
});
