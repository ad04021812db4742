/** The Avro schemas of the billing topics. Unions of events are one record each: what only some of them have is optional, and `type` or `kind` says which it is. */
import {
  count,
  field,
  flag,
  instant,
  money,
  oneOf,
  optional,
  optionalList,
  record,
  text,
  topicSchema,
  total,
  type AvroField,
} from '../avro-fields.ts';
import type { DeclaredValue } from '../record-format.ts';
import { accountEventSerde, accountEventTypes, parseAccountEvent, type AccountEvent } from './account-event.ts';
import { accountStatuses, ownerTypes } from './account.ts';
import { ledgerCommandKinds, ledgerCommandSerde, parseLedgerCommand, type LedgerCommand } from './ledger-command.ts';
import { ledgerResultSerde, parseLedgerResult, type LedgerResult } from './ledger-result.ts';
import { notificationSerde, parseNotification, type Notification } from './notification.ts';
import { parsePayout, payoutSerde, type Payout } from './payout.ts';
import {
  balanceSerde,
  dailyTotalSerde,
  parseBalance,
  parseDailyTotal,
  type Balance,
  type DailyTotal,
} from './projection.ts';
import { parseSagaRequest, sagaRequestSerde, sagaRequestTypes, type SagaRequest } from './request.ts';
import {
  parseSagaTransition,
  parseTransactionEvent,
  sagaTransitionSerde,
  transactionEventSerde,
  transactionEventTypes,
  type SagaTransition,
  type TransactionEvent,
} from './transaction.ts';

const limits: readonly AvroField[] = [optional('minBalance', money), optional('maxBalance', money)];

const terms = record(
  'AccountTerms',
  field('ownerId', text),
  field('ownerType', oneOf('OwnerType', ownerTypes)),
  field('accountType', text),
  field('currency', text),
  ...limits,
);

export const sagaRequestValue: DeclaredValue<SagaRequest> = {
  json: sagaRequestSerde,
  avro: {
    level: 'BACKWARD_TRANSITIVE',
    parse: parseSagaRequest,
    schema: topicSchema(
      'SagaRequest',
      field('type', oneOf('RequestType', sagaRequestTypes)),
      field('txId', text),
      optional('idempotencyKey', text),
      optional('fingerprint', text),
      optional('reference', text),
      optional('actorId', text),
      optional('correlationId', text),
      optional('requestedAt', instant),
      optional('effectiveAt', instant),
      optional('sourceAccountId', text),
      optional('destinationAccountId', text),
      optional('amount', money),
      optional('currency', text),
      optional('originalTxId', text),
      optional('accountId', text),
      optional('change', record('AccountChange', field('kind', text), optional('terms', terms), ...limits)),
      optional('expectedVersion', count),
      optional('seq', count),
      optional('refundTxId', text),
      optional('commandId', text),
      optional('code', text),
      optional(
        'original',
        record(
          'Movement',
          field('sourceAccountId', text),
          field('destinationAccountId', text),
          field('amount', money),
          field('currency', text),
        ),
      ),
    ),
  },
};

export const ledgerCommandValue: DeclaredValue<LedgerCommand> = {
  json: ledgerCommandSerde,
  avro: {
    level: 'BACKWARD_TRANSITIVE',
    parse: parseLedgerCommand,
    schema: topicSchema(
      'LedgerCommand',
      field('kind', oneOf('CommandKind', ledgerCommandKinds)),
      field('commandId', text),
      field('txId', text),
      field('accountId', text),
      field('effectiveAt', instant),
      optional('expectedVersion', count),
      optional('terms', terms),
      optional('amount', money),
      optional('currency', text),
      flag('isImport'),
      optional('holdId', text),
      optional('counter', text),
      ...limits,
    ),
  },
};

export const ledgerResultValue: DeclaredValue<LedgerResult> = {
  json: ledgerResultSerde,
  avro: {
    level: 'BACKWARD_TRANSITIVE',
    parse: parseLedgerResult,
    schema: topicSchema(
      'LedgerResult',
      field('txId', text),
      field('commandId', text),
      field('accountId', text),
      field('outcome', oneOf('Outcome', ['APPLIED', 'REJECTED'])),
      optional('code', text),
      field('version', count),
      optional('balanceBefore', money),
      optional('balanceAfter', money),
    ),
  },
};

export const payoutValue: DeclaredValue<Payout> = {
  json: payoutSerde,
  avro: {
    level: 'BACKWARD_TRANSITIVE',
    parse: parsePayout,
    schema: topicSchema(
      'Payout',
      field('txId', text),
      field('commandId', text),
      field('sourceAccountId', text),
      field('destinationAccountId', text),
      field('amount', money),
      field('currency', text),
      optional('reference', text),
      field('requestedAt', instant),
    ),
  },
};

const posting = record('Posting', field('account', text), field('amount', money));

export const accountEventValue: DeclaredValue<AccountEvent> = {
  json: accountEventSerde,
  avro: {
    level: 'BACKWARD_TRANSITIVE',
    parse: parseAccountEvent,
    schema: topicSchema(
      'AccountEvent',
      field('type', oneOf('AccountEventType', accountEventTypes)),
      field('eventId', text),
      field('accountId', text),
      field('aggregateVersion', count),
      field('commandId', text),
      field('txId', text),
      field('currency', text),
      field('balanceBefore', money),
      field('balanceAfter', money),
      field('heldDebit', money),
      field('heldCredit', money),
      field('effectiveAt', instant),
      field('recordedAt', instant),
      optional('terms', terms),
      optional('holdId', text),
      optional('amount', money),
      flag('isImport'),
      optional('reason', oneOf('BalanceReason', ['AccountDebited', 'AccountCredited'])),
      optionalList('postings', posting),
      optional('status', oneOf('AccountStatus', accountStatuses)),
      ...limits,
    ),
  },
};

export const transactionEventValue: DeclaredValue<TransactionEvent> = {
  json: transactionEventSerde,
  avro: {
    level: 'BACKWARD_TRANSITIVE',
    parse: parseTransactionEvent,
    schema: topicSchema(
      'TransactionEvent',
      field('type', oneOf('TransactionEventType', transactionEventTypes)),
      field('eventId', text),
      field('txId', text),
      field('idempotencyKey', text),
      optional('sourceAccountId', text),
      optional('destinationAccountId', text),
      optional('accountId', text),
      optional('originalTxId', text),
      optional('amount', money),
      optional('currency', text),
      optional('reference', text),
      optional('errorCode', text),
      optional('sourceBalanceBefore', money),
      optional('sourceBalanceAfter', money),
      optional('destinationBalanceBefore', money),
      optional('destinationBalanceAfter', money),
      field('effectiveAt', instant),
      optional('requestedAt', instant),
      field('at', instant),
    ),
  },
};

export const notificationValue: DeclaredValue<Notification> = {
  json: notificationSerde,
  avro: {
    level: 'BACKWARD_TRANSITIVE',
    parse: parseNotification,
    schema: topicSchema(
      'Notification',
      field('notificationId', text),
      field('accountId', text),
      field('type', oneOf('TransactionEventType', transactionEventTypes)),
      field('txId', text),
      field('trackingId', text),
      optional('counterparty', text),
      optional('amount', money),
      optional('currency', text),
      optional('reference', text),
      optional('balanceBefore', money),
      optional('balanceAfter', money),
      optional('errorCode', text),
      field('requestedAt', instant),
      field('effectiveAt', instant),
      field('at', instant),
    ),
  },
};

export const sagaTransitionValue: DeclaredValue<SagaTransition> = {
  json: sagaTransitionSerde,
  avro: {
    level: 'BACKWARD_TRANSITIVE',
    parse: parseSagaTransition,
    schema: topicSchema(
      'SagaTransition',
      field('txId', text),
      field('seq', count),
      field('from', text),
      field('to', text),
      field('cause', text),
      field('at', instant),
    ),
  },
};

export const balanceValue: DeclaredValue<Balance> = {
  json: balanceSerde,
  avro: {
    level: 'FULL_TRANSITIVE',
    parse: parseBalance,
    schema: topicSchema(
      'Balance',
      field('accountId', text),
      field('balance', money),
      field('available', money),
      field('held', money),
      field('currency', text),
      field('version', count),
      field('recordedAt', instant),
    ),
  },
};

export const dailyTotalValue: DeclaredValue<DailyTotal> = {
  json: dailyTotalSerde,
  avro: {
    level: 'FULL_TRANSITIVE',
    parse: parseDailyTotal,
    schema: topicSchema(
      'DailyTotal',
      field('day', text),
      field('currency', text),
      field('type', text),
      field('amount', total),
      field('count', count),
    ),
  },
};
