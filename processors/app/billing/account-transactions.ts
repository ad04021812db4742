/** Each account's transactions, also those that failed or are under way. */
import { defineProcessor, defineStore, stringSerde } from '../../../index.ts';
import type { ProcessorContext, StreamRecord } from '../../../index.ts';
import {
  accountTransactionKey,
  accountTransactionSerde,
  type AccountTransaction,
} from '../../../schemas/app/billing/projection.ts';
import type { TransactionEvent } from '../../../schemas/app/billing/transaction.ts';
import { compact } from '../../../schemas/app/reader.ts';
import { rarelyRead } from './cache.ts';
import { legsOf, type Leg } from './legs.ts';

/** By `accountTransactionKey`, each in the partition of its transaction. */
export const accountTransactions = defineStore('account-transactions', {
  key: stringSerde,
  value: accountTransactionSerde,
  cache: rarelyRead,
});

const statusOf = { Requested: 'processing', Completed: 'completed', Failed: 'failed' } as const;

/** What an event says to each of the accounts that take part. */
function accountShares(event: TransactionEvent | null): readonly AccountTransaction[] {
  const [, type = '', phase] = /^(.*)(Requested|Completed|Failed)$/.exec(event?.type ?? '') ?? [];
  if (event === null || phase === undefined) return [];
  const status = statusOf[phase as keyof typeof statusOf];
  const { txId, idempotencyKey: trackingId, currency, reference, errorCode, requestedAt, effectiveAt, at } = event;
  const shareOf = ({ accountId, counterparty, amount }: Leg): AccountTransaction =>
    compact({
      accountId,
      counterparty,
      amount,
      txId,
      trackingId,
      type: type.toUpperCase(),
      status,
      currency,
      reference,
      errorCode,
      requestedAt,
      effectiveAt,
      endedAt: status === 'processing' ? undefined : at,
    });
  return legsOf(event).map(shareOf);
}

const stores = { accountTransactions };

/** Keeps the latest that was said of each: events of a transaction come in order. */
export const accountTransactionStep = defineProcessor({
  name: 'account-transactions',
  stores,
  process(
    { value: event }: StreamRecord<string | null, TransactionEvent | null>,
    { stores: { accountTransactions: rows } }: ProcessorContext<string, AccountTransaction, typeof stores>,
  ) {
    for (const share of accountShares(event))
      rows.put(accountTransactionKey(share.accountId, share.requestedAt, share.txId), share);
  },
});
