/** T6: what is shown of billing, folded from its events; it can be made anew from them at any time. */
import { defineTopology, stringSerde } from '../../index.ts';
import type { Topology } from '../../index.ts';
import { accountShares, accountTransactionStep } from '../../processors/app/billing/account-transactions.ts';
import { balanceStep, dailyShare, dailyStep } from '../../processors/app/billing/projections.ts';
import { accountTransactionSerde, dailyKey, dailyShareSerde } from '../../schemas/app/billing/projection.ts';
import { billingTopics } from '../../schemas/app/billing/topics.ts';
import { jsonFormat, type RecordFormat } from '../../schemas/app/record-format.ts';

export const billingProjectionsName = 'billing-projections';

/** The topology over topics of this prefix. An event that cannot follow on what is known goes to `billing.dead-letter`. */
export function billingProjections(topicPrefix = '', format: RecordFormat = jsonFormat): Topology {
  const topics = billingTopics(topicPrefix, format);
  return defineTopology(
    billingProjectionsName,
    (t) => {
      t.stream(topics.accountEvents, { name: 'account-events' }).process(balanceStep).to(topics.balances);
      const transactions = t.stream(topics.transactionEvents, { name: 'transaction-events' });
      transactions
        .flatMapValues('daily-shares', dailyShare)
        .repartition('by-day', { key: dailyKey, keySerde: stringSerde, valueSerde: dailyShareSerde })
        .process(dailyStep)
        .to(topics.dailyTotals);
      transactions
        .flatMapValues('account-shares', accountShares)
        .repartition('by-account', {
          key: ({ accountId }) => accountId,
          keySerde: stringSerde,
          valueSerde: accountTransactionSerde,
        })
        .process(accountTransactionStep);
    },
    { onError: 'dead-letter', deadLetterTopic: topics.deadLetter.name },
  );
}
