/** T6: what others are shown of billing, made from its events: balances, daily totals and notifications as topics. */
import { defineTopology, stringSerde } from '../../index.ts';
import type { Topology } from '../../index.ts';
import { notificationStep } from '../../processors/app/billing/notifications.ts';
import { balanceOf, dailyShare, dailyStep } from '../../processors/app/billing/projections.ts';
import { dailyKey, dailyShareSerde } from '../../schemas/app/billing/projection.ts';
import { billingTopics } from '../../schemas/app/billing/topics.ts';
import { jsonFormat, type RecordFormat } from '../../schemas/app/record-format.ts';

export const billingProjectionsName = 'billing-projections';

/** The topology over topics of this prefix. What is no event goes to `billing.dead-letter`. */
export function billingProjections(topicPrefix = '', format: RecordFormat = jsonFormat): Topology {
  const topics = billingTopics(topicPrefix, format);
  return defineTopology(
    billingProjectionsName,
    (t) => {
      t.stream(topics.accountEvents, { name: 'account-events' }).mapValues('balances', balanceOf).to(topics.balances);
      const transactions = t.stream(topics.transactionEvents, { name: 'transaction-events' });
      transactions.process(notificationStep).to(topics.notifications);
      transactions
        .flatMapValues('daily-shares', dailyShare)
        .repartition('by-day', { key: dailyKey, keySerde: stringSerde, valueSerde: dailyShareSerde })
        .process(dailyStep)
        .to(topics.dailyTotals);
    },
    {
      onError: 'dead-letter',
      deadLetterTopic: topics.deadLetter.name,
      retired: ['by-account', 'account-transactions'],
    },
  );
}
