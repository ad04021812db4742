import { bytesSerde, defineTopic, stringSerde, type Topic, type TopicSettings } from '../../../index.ts';
import { jsonFormat, type DeclaredValue, type RecordFormat } from '../record-format.ts';
import type { AccountEvent } from './account-event.ts';
import {
  accountEventValue,
  balanceValue,
  dailyTotalValue,
  ledgerCommandValue,
  ledgerResultValue,
  notificationValue,
  payoutValue,
  sagaRequestValue,
  sagaTransitionValue,
  transactionEventValue,
} from './avro.ts';
import type { LedgerCommand } from './ledger-command.ts';
import type { LedgerResult } from './ledger-result.ts';
import type { Notification } from './notification.ts';
import type { Payout } from './payout.ts';
import type { Balance, DailyTotal } from './projection.ts';
import type { SagaRequest } from './request.ts';
import type { SagaTransition, TransactionEvent } from './transaction.ts';

/** All topics of billing. */
export interface BillingTopics {
  /** By transaction. */
  readonly requests: Topic<string, SagaRequest>;
  /** By account. */
  readonly commands: Topic<string, LedgerCommand>;
  /** By transaction. */
  readonly results: Topic<string, LedgerResult>;
  /** By transaction. */
  readonly payouts: Topic<string, Payout>;
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
  /** By account. */
  readonly notifications: Topic<string, Notification>;
  /** Which generation of an application's state answers. */
  readonly generations: Topic<Uint8Array, Uint8Array>;
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
export function billingTopics(prefix = '', format: RecordFormat = jsonFormat): BillingTopics {
  const topic = <T>(suffix: string, declared: DeclaredValue<T>, create: TopicSettings): Topic<string, T> => {
    const name = `${prefix}billing.${suffix}`;
    return defineTopic({ name, key: stringSerde, value: format.value(name, declared), create });
  };
  return Object.freeze({
    requests: topic('requests', sagaRequestValue, { partitions, configs: forEver }),
    commands: topic('commands', ledgerCommandValue, { partitions, configs: kept(sevenDaysMs) }),
    results: topic('results', ledgerResultValue, { partitions, configs: kept(sevenDaysMs) }),
    payouts: topic('payouts', payoutValue, { partitions, configs: kept(sevenDaysMs) }),
    accountEvents: topic('account.events', accountEventValue, { partitions, configs: forEver }),
    transactionEvents: topic('transaction.events', transactionEventValue, { partitions, configs: forEver }),
    sagaEvents: topic('saga.events', sagaTransitionValue, { partitions: sagaEventPartitions, configs: forEver }),
    balances: topic('balances', balanceValue, { partitions, configs: compacted }),
    dailyTotals: topic('daily-totals', dailyTotalValue, { partitions, configs: compacted }),
    notifications: topic('notifications', notificationValue, { partitions, configs: kept(sevenDaysMs) }),
    ...bytesTopics(prefix),
  });
}

function bytesTopics(prefix: string): Pick<BillingTopics, 'generations' | 'deadLetter'> {
  const bytes = { key: bytesSerde, value: bytesSerde };
  return {
    generations: defineTopic({
      ...bytes,
      name: `${prefix}billing.generations`,
      create: { partitions: 1, configs: compacted },
    }),
    deadLetter: defineTopic({
      ...bytes,
      name: `${prefix}billing.dead-letter`,
      create: { partitions: 1, configs: kept(thirtyDaysMs) },
    }),
  };
}
