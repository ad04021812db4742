/** The applications that can run here: a topology each, with its topics, its routes and made-up input. */
import { newTopics, type Application } from './api/app/application.ts';
import { billingApplications } from './api/app/billing-application.ts';
import { customerRoutes } from './api/app/customer-routes.ts';
import { findCustomer } from './api/app/find-customer.ts';
import { sourceRoutes } from './api/app/source-routes.ts';
import { systemClock } from './clock.ts';
import { customerSamples } from './connectors/app/customer-samples.ts';
import { customerStates } from './processors/app/customer/processors.ts';
import { defaultPolicy } from './schemas/app/customer/policy.ts';
import { connectorTopics } from './schemas/app/connector-topics.ts';
import { customerTopics } from './schemas/app/customer/topics.ts';
import { customerMerge, customerMergeName } from './topology/app/customer-merge.ts';

const nowMs = (): number => systemClock.nowMs();

export const applications: readonly Application[] = [
  {
    name: customerMergeName,
    topology: customerMerge,
    topics: (topicPrefix) => newTopics({ ...customerTopics(topicPrefix), ...connectorTopics(topicPrefix) }),
    routes: ({ sources, view }) => {
      const customers = customerRoutes({ states: customerStates, policy: defaultPolicy, sources, view });
      const states = sourceRoutes(sources);
      return (scope) => {
        customers(scope);
        states(scope);
      };
    },
    samples: ({ topicPrefix }) => customerSamples(topicPrefix, nowMs),
    examples: ['/customers?limit=5', '/customers?hasConflicts=true&limit=5', '/stores/customers?prefix=a&limit=2'],
    findings: findCustomer,
  },
  ...billingApplications(systemClock),
];
