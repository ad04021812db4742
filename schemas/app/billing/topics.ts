import { bytesSerde, defineTopic, stringSerde, type Topic } from '../../../index.ts';
import { accountEventSerde, type AccountEvent } from './account-event.ts';
import { ledgerCommandSerde, type LedgerCommand } from './ledger-command.ts';
import { ledgerResultSerde, type LedgerResult } from './ledger-result.ts';
import { balanceSerde, dailyTotalSerde, type Balance, type DailyTotal } from './projection.ts';
import { sagaRequestSerde, type SagaRequest } from './request.ts';
import {
  sagaTransitionSerde,
  transactionEventSerde,
  type SagaTransition,
  type TransactionEvent,
} from './transaction.ts';

/** All topics of billing. */
export interface BillingTopics {
  /** By transaction. */
  readonly requests: Topic<string, SagaRequest>;
  /** By account. */
  readonly commands: Topic<string, LedgerCommand>;
  /** By transaction. */
  readonly results: Topic<string, LedgerResult>;
  /** By account. */
  readonly accountEvents: Topic<string, AccountEvent>;
  /** By transaction. */
  readonly transactionEvents: Topic<string, TransactionEvent>;
  /** By transaction. */
  readonly sagaEvents: Topic<string, SagaTransition>;
  /** By account. */
  readonly balances: Topic<string, Balance>;
  /** By `day|currency|type`. */
  readonly dailyTotals: Topic<string, DailyTotal>;
  readonly deadLetter: Topic<Uint8Array, Uint8Array>;
}
const sevenDaysMs = 604_800_000;
const thirtyDaysMs = 2_592_000_000;

/** Commands and results are exchanged between topologies by account and by transaction: equally many partitions throughout. */
const partitions = 10;
/** Only written, never joined. */
const sagaEventPartitions = 5;

const kept = (retentionMs: number): Readonly<Record<string, string>> => ({
  'cleanup.policy': 'delete',
  'retention.ms': String(retentionMs),
});
/** Nothing that happened to money is ever forgotten. */
const forEver = kept(-1);
const compacted = { 'cleanup.policy': 'compact' };

/** The topics under their names, each with `prefix` (empty, or e.g. `staging.`) before it. */
export function billingTopics(prefix = ''): BillingTopics {
  const byKey = { key: stringSerde };
  return Object.freeze({
    requests: defineTopic({
      ...byKey,
      name: `${prefix}billing.requests`,
      value: sagaRequestSerde,
      create: { partitions, configs: forEver },
    }),
    commands: defineTopic({
      ...byKey,
      name: `${prefix}billing.commands`,
      value: ledgerCommandSerde,
      create: { partitions, configs: kept(sevenDaysMs) },
    }),
    results: defineTopic({
      ...byKey,
      name: `${prefix}billing.results`,
      value: ledgerResultSerde,
      create: { partitions, configs: kept(sevenDaysMs) },
    }),
    accountEvents: defineTopic({
      ...byKey,
      name: `${prefix}billing.account.events`,
      value: accountEventSerde,
      create: { partitions, configs: forEver },
    }),
    transactionEvents: defineTopic({
      ...byKey,
      name: `${prefix}billing.transaction.events`,
      value: transactionEventSerde,
      create: { partitions, configs: forEver },
    }),
    sagaEvents: defineTopic({
      ...byKey,
      name: `${prefix}billing.saga.events`,
      value: sagaTransitionSerde,
      create: { partitions: sagaEventPartitions, configs: forEver },
    }),
    balances: defineTopic({
      ...byKey,
      name: `${prefix}billing.balances`,
      value: balanceSerde,
      create: { partitions, configs: compacted },
    }),
    dailyTotals: defineTopic({
      ...byKey,
      name: `${prefix}billing.daily-totals`,
      value: dailyTotalSerde,
      create: { partitions, configs: compacted },
    }),
    deadLetter: defineTopic({
      key: bytesSerde,
      value: bytesSerde,
      name: `${prefix}billing.dead-letter`,
      create: { partitions: 1, configs: kept(thirtyDaysMs) },
    }),
  });
}
