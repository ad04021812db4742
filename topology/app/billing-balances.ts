/** The balances of accounts, now and at any time, as state that is only asked: made from the events, and anew from them whenever that is wanted. */
import { defineTopology } from '../../index.ts';
import type { Topology } from '../../index.ts';
import { balanceStep } from '../../processors/app/billing/projections.ts';
import { billingTopics } from '../../schemas/app/billing/topics.ts';
import { jsonFormat, type RecordFormat } from '../../schemas/app/record-format.ts';

export const billingBalancesName = 'billing-balances';

/**
 * The topology over topics of this prefix. It writes nothing, so that a second one can be filled beside the one that answers. An event that cannot follow
 * on what is known is left out and counted, and so are all that follow of the account.
 */
export function billingBalances(topicPrefix = '', format: RecordFormat = jsonFormat): Topology {
  const { accountEvents } = billingTopics(topicPrefix, format);
  return defineTopology(
    billingBalancesName,
    (t) => {
      t.stream(accountEvents, { name: 'account-events' }).process(balanceStep);
    },
    { onError: 'skip' },
  );
}
