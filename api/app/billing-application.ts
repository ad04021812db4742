/** Billing as a process runs it: its topologies, each with what belongs to it. */
import type { Clock, NewTopic } from '../../index.ts';
import { billingSamples } from '../../connectors/app/billing-samples.ts';
import { accountTransactions } from '../../processors/app/billing/account-transactions.ts';
import { holds, stripes } from '../../processors/app/billing/ledger-processor.ts';
import {
  accountBalances,
  balanceHistory,
  dailyParts,
  effectiveHistory,
} from '../../processors/app/billing/projections.ts';
import { sagaTimers, transactions } from '../../processors/app/billing/saga-processor.ts';
import { connectorTopics } from '../../schemas/app/connector-topics.ts';
import { billingTopics } from '../../schemas/app/billing/topics.ts';
import { billingBalances, billingBalancesName } from '../../topology/app/billing-balances.ts';
import { billingLedger, billingLedgerName } from '../../topology/app/billing-ledger.ts';
import { billingProjections, billingProjectionsName } from '../../topology/app/billing-projections.ts';
import { billingTransactions, billingTransactionsName } from '../../topology/app/billing-transactions.ts';
import { billingSaga, billingSagaName } from '../../topology/app/billing-saga.ts';
import { newTopics, type Application, type SharedRoutes } from './application.ts';
import type { Routes } from '../routes.ts';
import { holdsRoutes, stripesRoutes, transactionsOfAccountRoutes } from './account-routes.ts';
import { analyticsRoutes } from './analytics-routes.ts';
import { verifyBalances } from './balance-verification.ts';
import { billingAdminRoutes } from './billing-admin-routes.ts';
import { billingProjectionRoutes } from './billing-projection-routes.ts';
import { billingCommandRoutes, transactionStatusRoutes } from './billing-routes.ts';
import type { Projection } from './projection.ts';
import { stuckSagas } from './stuck-sagas.ts';
import { verifyAccountTransactions, verifyDailyTotals } from './transaction-verification.ts';

/** Takes commands in, and runs nothing. */
const billingIntakeName = 'billing-intake';

/** Every topology names all topics: whichever starts first creates them. */
const topics = (topicPrefix: string): readonly NewTopic[] => {
  const { checkpoints } = connectorTopics(topicPrefix);
  return newTopics({ ...billingTopics(topicPrefix), checkpoints });
};

export function billingApplications(clock: Clock): readonly Application[] {
  const shared: SharedRoutes = {
    awaited: billingSagaName,
    routes: ({ write, register, backlog, topicPrefix, format }) => {
      const { requests } = billingTopics(topicPrefix, format);
      return billingCommandRoutes({ transactions, requests, register, backlog, write, clock });
    },
  };
  const intake: Application = { name: billingIntakeName, isOnRequest: true, topics, examples: [] };
  return [...billingTopologies(clock), intake].map((one) => ({ ...one, shared }));
}

function billingTopologies(clock: Clock): readonly Application[] {
  return [
    {
      name: billingLedgerName,
      topology: billingLedger,
      topics,
      routes: () => ledgerRoutes(),
      examples: ['/accounts/external:bank/stripes'],
    },
    {
      name: billingSagaName,
      topology: billingSaga,
      topics,
      routes: ({ write, register, topicPrefix, format }) => {
        const { requests } = billingTopics(topicPrefix, format);
        const status = transactionStatusRoutes({ transactions, register, clock });
        const admin = billingAdminRoutes({ timers: sagaTimers, transactions, requests, write, clock });
        return (scope) => {
          status(scope);
          admin(scope);
        };
      },
      measures: (instances) => stuckSagas(sagaTimers, instances),
      samples: (scope) => billingSamples(scope, () => clock.nowMs()),
      examples: ['/transactions/status/sample-85'],
    },
    {
      name: billingProjectionsName,
      topology: billingProjections,
      topics,
      examples: [],
    },
    transactionsApplication,
    balancesApplication(clock),
  ];
}

const transactionsApplication: Application = {
  name: billingTransactionsName,
  topology: billingTransactions,
  topics,
  generations: (topicPrefix) => {
    const { generations, transactionEvents } = billingTopics(topicPrefix);
    return { topic: generations.name, inputs: [transactionEvents.name] };
  },
  projections: ({ topicPrefix, format }) => {
    const { transactionEvents } = billingTopics(topicPrefix, format);
    return [
      {
        name: 'account-transactions',
        storeName: accountTransactions.name,
        verify: (verified) => verifyAccountTransactions(transactionEvents, verified),
      },
      {
        name: 'daily-totals',
        storeName: dailyParts.name,
        verify: (verified) => verifyDailyTotals(transactionEvents, verified),
      },
    ];
  },
  routes: () => transactionRoutes(),
  examples: ['/accounts/user-1/transactions?limit=5'],
};

function balancesApplication(clock: Clock): Application {
  return {
    name: billingBalancesName,
    topology: billingBalances,
    topics,
    generations: (topicPrefix) => {
      const { generations, accountEvents } = billingTopics(topicPrefix);
      return { topic: generations.name, inputs: [accountEvents.name] };
    },
    projections: ({ topicPrefix, format }) => {
      const { accountEvents } = billingTopics(topicPrefix, format);
      const verify: Projection['verify'] = (verified) => verifyBalances(accountEvents, verified);
      return [{ name: 'balance', storeName: accountBalances.name, verify }];
    },
    routes: () =>
      billingProjectionRoutes({
        balances: accountBalances,
        history: balanceHistory,
        effective: effectiveHistory,
        clock,
      }),
    examples: ['/accounts/user-1/balance', '/accounts/user-1/history?limit=5'],
  };
}

function ledgerRoutes(): Routes {
  const held = holdsRoutes(holds);
  const ofUnbounded = stripesRoutes(stripes);
  return (scope) => {
    held(scope);
    ofUnbounded(scope);
  };
}

function transactionRoutes(): Routes {
  const days = analyticsRoutes(dailyParts);
  const ofAccounts = transactionsOfAccountRoutes(accountTransactions);
  return (scope) => {
    days(scope);
    ofAccounts(scope);
  };
}
