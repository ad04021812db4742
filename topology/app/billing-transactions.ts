/** The transactions of accounts, and what days add up to, as state that is only asked: made from the events, and anew from them whenever that is wanted. */
import { defineTopology } from '../../index.ts';
import type { Topology } from '../../index.ts';
import { accountTransactionStep } from '../../processors/app/billing/account-transactions.ts';
import { dailyPartStep } from '../../processors/app/billing/projections.ts';
import { billingTopics } from '../../schemas/app/billing/topics.ts';
import { jsonFormat, type RecordFormat } from '../../schemas/app/record-format.ts';

export const billingTransactionsName = 'billing-transactions';

/**
 * The topology over topics of this prefix. Nothing is repartitioned: each partition keeps what its transactions say of accounts and days, and who asks gets
 * it from all of them. So it writes nothing, and a second one can be filled beside the one that answers.
 */
export function billingTransactions(topicPrefix = '', format: RecordFormat = jsonFormat): Topology {
  const { transactionEvents } = billingTopics(topicPrefix, format);
  return defineTopology(
    billingTransactionsName,
    (t) => {
      const events = t.stream(transactionEvents, { name: 'transaction-events' });
      events.process(accountTransactionStep);
      events.process(dailyPartStep);
    },
    { onError: 'skip' },
  );
}
