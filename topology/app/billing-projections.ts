/** T6: what is shown of billing, folded from its events; it can be made anew from them at any time. */
import { defineTopology, stringSerde } from '../../index.ts';
import type { Topology } from '../../index.ts';
import { balanceStep, dailyShare, dailyStep } from '../../processors/app/billing/projections.ts';
import { dailyKey, dailyShareSerde } from '../../schemas/app/billing/projection.ts';
import { billingTopics } from '../../schemas/app/billing/topics.ts';

export const billingProjectionsName = 'billing-projections';

/** The topology over topics of this prefix. An event that cannot follow on what is known goes to `billing.dead-letter`. */
export function billingProjections(topicPrefix = ''): Topology {
  const topics = billingTopics(topicPrefix);
  return defineTopology(
    billingProjectionsName,
    (t) => {
      t.stream(topics.accountEvents, { name: 'account-events' }).process(balanceStep).to(topics.balances);
      t.stream(topics.transactionEvents, { name: 'transaction-events' })
        .flatMapValues('daily-shares', dailyShare)
        .repartition('by-day', { key: dailyKey, keySerde: stringSerde, valueSerde: dailyShareSerde })
        .process(dailyStep)
        .to(topics.dailyTotals);
    },
    { onError: 'dead-letter', deadLetterTopic: topics.deadLetter.name },
  );
}
