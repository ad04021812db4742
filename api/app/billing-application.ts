/** Billing as a process runs it: its topologies, each with what belongs to it. */
import type { Clock, NewTopic } from '../../index.ts';
import { billingSamples } from '../../connectors/app/billing-samples.ts';
import { accountTransactions } from '../../processors/app/billing/account-transactions.ts';
import { holds } from '../../processors/app/billing/ledger-processor.ts';
import {
  accountBalances,
  balanceHistory,
  dailyTotals,
  effectiveHistory,
} from '../../processors/app/billing/projections.ts';
import { sagaTimers, transactions } from '../../processors/app/billing/saga-processor.ts';
import { billingTopics } from '../../schemas/app/billing/topics.ts';
import { billingBalances, billingBalancesName } from '../../topology/app/billing-balances.ts';
import { billingLedger, billingLedgerName } from '../../topology/app/billing-ledger.ts';
import { billingProjections, billingProjectionsName } from '../../topology/app/billing-projections.ts';
import { billingSaga, billingSagaName } from '../../topology/app/billing-saga.ts';
import { newTopics, type Application, type RoutePorts } from './application.ts';
import type { Routes } from '../routes.ts';
import { holdsRoutes, transactionsOfAccountRoutes } from './account-routes.ts';
import { billingAdminRoutes } from './billing-admin-routes.ts';
import { billingProjectionRoutes, dailyRoutes } from './billing-projection-routes.ts';
import { billingRoutes } from './billing-routes.ts';
import { rebuildRoutes } from './rebuild-routes.ts';

/** Every topology names all topics: whichever starts first creates them. */
const topics = (topicPrefix: string): readonly NewTopic[] => newTopics(billingTopics(topicPrefix));

export function billingApplications(clock: Clock): readonly Application[] {
  return [
    { name: billingLedgerName, topology: billingLedger, topics, routes: () => holdsRoutes(holds), examples: [] },
    {
      name: billingSagaName,
      topology: billingSaga,
      topics,
      routes: ({ write, topicPrefix, format }) => {
        const { requests } = billingTopics(topicPrefix, format);
        const commands = billingRoutes({ transactions, requests, write, clock });
        const admin = billingAdminRoutes({ timers: sagaTimers, transactions, requests, write, clock });
        return (scope) => {
          commands(scope);
          admin(scope);
        };
      },
      samples: (scope) => billingSamples(scope, () => clock.nowMs()),
      examples: ['/transactions/status/sample-85'],
    },
    {
      name: billingProjectionsName,
      topology: billingProjections,
      topics,
      routes: () => projectionRoutes(),
      examples: ['/accounts/user-1/transactions?limit=5'],
    },
    {
      name: billingBalancesName,
      topology: billingBalances,
      topics,
      generations: (topicPrefix) => {
        const { generations, accountEvents } = billingTopics(topicPrefix);
        return { topic: generations.name, inputs: [accountEvents.name] };
      },
      routes: (ports) => balanceRoutes(ports, clock),
      examples: ['/accounts/user-1/balance', '/accounts/user-1/history?limit=5'],
    },
  ];
}

function projectionRoutes(): Routes {
  const days = dailyRoutes(dailyTotals);
  const ofAccounts = transactionsOfAccountRoutes(accountTransactions);
  return (scope) => {
    days(scope);
    ofAccounts(scope);
  };
}

function balanceRoutes({ topicPrefix, format, ...ports }: RoutePorts, clock: Clock): Routes {
  const { accountEvents } = billingTopics(topicPrefix, format);
  const balances = billingProjectionRoutes({
    balances: accountBalances,
    history: balanceHistory,
    effective: effectiveHistory,
    clock,
  });
  const rebuilding = rebuildRoutes({ ...ports, accountEvents });
  return (scope) => {
    balances(scope);
    rebuilding(scope);
  };
}
