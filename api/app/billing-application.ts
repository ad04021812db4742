/** Billing as a process runs it: its topologies, each with what belongs to it. */
import type { NewTopic, Topic, Topology } from '../../index.ts';
import { billingSamples } from '../../connectors/app/billing-samples.ts';
import { accountBalances, balanceHistory, dailyTotals } from '../../processors/app/billing/projections.ts';
import { sagaTimers, transactions } from '../../processors/app/billing/saga-processor.ts';
import { billingTopics } from '../../schemas/app/billing/topics.ts';
import { billingLedger, billingLedgerName } from '../../topology/app/billing-ledger.ts';
import { billingProjections, billingProjectionsName } from '../../topology/app/billing-projections.ts';
import { billingSaga, billingSagaName } from '../../topology/app/billing-saga.ts';
import type { Routes } from '../routes.ts';
import type { SourceWatch } from './source-routes.ts';
import { billingAdminRoutes } from './billing-admin-routes.ts';
import { billingProjectionRoutes } from './billing-projection-routes.ts';
import { billingRoutes, type BillingRouteOptions } from './billing-routes.ts';

/** What routes are given once the log is there. */
export interface RoutePorts extends Pick<BillingRouteOptions, 'write'> {
  readonly topicPrefix: string;
  /** Of the systems that customers come from. */
  readonly sources: SourceWatch;
}

interface BillingApplication {
  readonly name: string;
  readonly topology: (topicPrefix: string) => Topology;
  readonly topics: (topicPrefix: string) => readonly NewTopic[];
  readonly routes?: (ports: RoutePorts) => Routes;
  readonly samples?: (topicPrefix: string) => ReturnType<typeof billingSamples>;
  readonly examples: readonly string[];
}

/** Every topology names all topics: whichever starts first creates them. */
function topics(topicPrefix: string): readonly NewTopic[] {
  const declared = Object.values<Pick<Topic<unknown, unknown>, 'name' | 'create'>>({ ...billingTopics(topicPrefix) });
  return declared.map(({ name, create = { partitions: 1 } }) => ({ name, ...create }));
}

export function billingApplications(nowMs: () => number): readonly BillingApplication[] {
  return [
    { name: billingLedgerName, topology: billingLedger, topics, examples: [] },
    {
      name: billingSagaName,
      topology: billingSaga,
      topics,
      routes: ({ write, topicPrefix }) => {
        const { requests } = billingTopics(topicPrefix);
        const commands = billingRoutes({ transactions, requests, write, nowMs });
        const admin = billingAdminRoutes({ timers: sagaTimers, transactions, requests, write, nowMs });
        return (scope) => {
          commands(scope);
          admin(scope);
        };
      },
      samples: (topicPrefix) => billingSamples(topicPrefix, nowMs),
      examples: ['/transactions/status/sample-85'],
    },
    {
      name: billingProjectionsName,
      topology: billingProjections,
      topics,
      routes: () => billingProjectionRoutes({ balances: accountBalances, history: balanceHistory, dailyTotals }),
      examples: ['/accounts/user-1/balance', '/accounts/user-1/history?limit=5'],
    },
  ];
}
