/** The applications that can run here: a topology each, with its topics, its routes and made-up input. */
import { newTopics, type Application } from '../api/app/application.ts';
import { billingApplications } from '../api/app/billing-application.ts';
import { customerRoutes } from '../api/app/customer-routes.ts';
import { findCustomer } from '../api/app/find-customer.ts';
import { shadowApplication } from '../api/app/shadow-application.ts';
import { sourceRoutes } from '../api/app/source-routes.ts';
import { stewardRoutes } from '../api/app/steward-routes.ts';
import { systemClock } from '../clock.ts';
import { Generations, type GenerationsOptions } from './generations.ts';
import { customerSamples } from '../connectors/app/customer-samples.ts';
import { customerStates } from '../processors/app/customer/processors.ts';
import { defaultPolicy } from '../schemas/app/customer/policy.ts';
import { connectorTopics } from '../schemas/app/connector-topics.ts';
import type { RecordFormat } from '../schemas/app/record-format.ts';
import { customerTopics } from '../schemas/app/customer/topics.ts';
import type { Settings } from './settings.ts';
import { legacySyncOfProgram } from './sync-connectors.ts';
import type { Topology } from '../topology/graph.ts';
import type { StreamInstance } from '../topology/runtime/stream-instance.ts';
import { customerMerge, customerMergeName } from '../topology/app/customer-merge.ts';

const nowMs = (): number => systemClock.nowMs();

export const applications: readonly Application[] = [
  {
    name: customerMergeName,
    topology: customerMerge,
    topics: (topicPrefix) => newTopics({ ...customerTopics(topicPrefix), ...connectorTopics(topicPrefix) }),
    routes: ({ sources, view, write, topicPrefix, format, shadow, rollout }) => {
      const about = { states: customerStates, policy: defaultPolicy };
      const { decisions } = customerTopics(topicPrefix, format);
      const all = [
        customerRoutes({ ...about, sources, view, shadow, rollout }),
        stewardRoutes({ ...about, decisions, write, clock: systemClock }),
        sourceRoutes(sources),
      ];
      return (scope) => {
        for (const routes of all) routes(scope);
      };
    },
    samples: ({ topicPrefix }) => customerSamples(topicPrefix, nowMs),
    examples: ['/customers?limit=5', '/customers?hasConflicts=true&limit=5', '/stores/customers?prefix=a&limit=2'],
    findings: findCustomer,
  },
  ...billingApplications(systemClock),
  legacySyncOfProgram,
  shadowApplication(systemClock),
];

/** What an application is called towards the log. */
export function applicationIdOf({ applicationId }: Pick<Settings, 'applicationId'>, name: string): string {
  return applicationId === undefined ? name : `${applicationId}-${name}`;
}

/** Makes the topology of an application as the settings have it; `undefined` for one that runs none. */
export function topologyOf(
  { topology }: Pick<Application, 'topology'>,
  { topicPrefix, payouts }: Pick<Settings, 'topicPrefix' | 'payouts'>,
  format: RecordFormat,
): (() => Topology) | undefined {
  if (topology === undefined) return undefined;
  return () => topology(topicPrefix, format, { paysOut: payouts !== undefined });
}

interface GenerationParts extends Omit<GenerationsOptions, 'name' | 'topic' | 'inputs' | 'create' | 'serve'> {
  readonly format: RecordFormat;
  readonly make: (applicationId: string, topology: Topology, isStrict?: () => boolean) => StreamInstance;
  /** Those that answer: one that takes the place of another is put there at once. */
  readonly instances: StreamInstance[];
}

/** For those of the applications whose state can be made anew, by name; not yet started. */
export function generationsOf(
  chosen: readonly Application[],
  settings: Pick<Settings, 'applicationId' | 'topicPrefix' | 'payouts'>,
  { make, instances, format, ...parts }: GenerationParts,
): ReadonlyMap<string, Generations> {
  const found = new Map<string, Generations>();
  for (const one of chosen) {
    const { name } = one;
    const declared = one.generations?.(settings.topicPrefix);
    const makeTopology = topologyOf(one, settings, format);
    if (declared === undefined || makeTopology === undefined) continue;
    const options: GenerationsOptions = {
      ...parts,
      ...declared,
      name: applicationIdOf(settings, name),
      create: (applicationId, isStrict) => make(applicationId, makeTopology(), isStrict),
      serve: (now, before) => {
        const place = before === undefined ? -1 : instances.indexOf(before);
        if (place < 0) instances.push(now);
        else instances[place] = now;
      },
    };
    found.set(name, new Generations(options));
  }
  return found;
}
