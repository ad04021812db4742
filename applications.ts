/** The applications that can run here: a topology each, with its topics, its routes and made-up input. */
import { billingApplications, type RoutePorts } from './api/app/billing-application.ts';
import { customerRoutes } from './api/app/customer-routes.ts';
import { findCustomer, type Ask } from './api/app/find-customer.ts';
import { sourceRoutes } from './api/app/source-routes.ts';
import type { Routes } from './api/routes.ts';
import { systemClock } from './clock.ts';
import { customerSamples } from './connectors/app/customer-samples.ts';
import type { NewTopic } from './connectors/log.ts';
import { customerStates } from './processors/app/customer/processors.ts';
import type { OutgoingRecord } from './connectors/outgoing-record.ts';
import { defaultPolicy } from './schemas/app/customer/policy.ts';
import { connectorTopics } from './schemas/app/connector-topics.ts';
import { customerTopics } from './schemas/app/customer/topics.ts';
import type { Topic } from './schemas/topic.ts';
import { customerMerge, customerMergeName } from './topology/app/customer-merge.ts';
import type { Topology } from './topology/graph.ts';

/** A topology that can run here, with what belongs to it. */
export interface Application {
  readonly name: string;
  readonly topology: (topicPrefix: string) => Topology;
  /** The topics it names, as they are to be created. */
  readonly topics: (topicPrefix: string) => readonly NewTopic[];
  readonly routes?: (ports: RoutePorts) => Routes;
  /** Made-up records for some of the topics. */
  readonly samples?: (topicPrefix: string) => Iterator<OutgoingRecord>;
  /** Paths worth a look. */
  readonly examples: readonly string[];
  /** Looks for something that is worth a closer look; empty while there is nothing. */
  readonly findings?: (ask: Ask) => Promise<readonly string[]>;
}

const nowMs = (): number => systemClock.nowMs();

export const applications: readonly Application[] = [
  {
    name: customerMergeName,
    topology: customerMerge,
    topics: (topicPrefix) =>
      Object.values<DeclaredTopic>({ ...customerTopics(topicPrefix), ...connectorTopics(topicPrefix) }).map(asNewTopic),
    routes: ({ sources }) => {
      const customers = customerRoutes({ states: customerStates, policy: defaultPolicy, sources });
      const states = sourceRoutes(sources);
      return (scope) => {
        customers(scope);
        states(scope);
      };
    },
    samples: (topicPrefix) => customerSamples(topicPrefix, nowMs),
    examples: ['/customers?limit=5', '/customers?hasConflicts=true&limit=5', '/stores/customers?prefix=a&limit=2'],
    findings: findCustomer,
  },
  ...billingApplications(nowMs),
];

type DeclaredTopic = Pick<Topic<unknown, unknown>, 'name' | 'create'>;

function asNewTopic({ name, create = { partitions: 1 } }: DeclaredTopic): NewTopic {
  return { name, ...create };
}
