/** An application as a process runs it: a topology, and what belongs to it. */
import type {
  InstanceView,
  Log,
  MetricSample,
  NewTopic,
  OutgoingRecord,
  Sql,
  Topic,
  Topology,
  WrittenRecord,
} from '../../index.ts';
import type { RecordFormat } from '../../schemas/app/record-format.ts';
import type { Routes } from '../routes.ts';
import type { TwoWays } from './customer-answers.ts';
import type { Backlog } from './backlog.ts';
import type { Projection } from './projection.ts';
import type { RequestRegister } from './request-register.ts';
import type { SourceWatch } from './source-routes.ts';

/** How topics are called here, and how values lie in them. */
export interface TopicScope {
  readonly topicPrefix: string;
  readonly format: RecordFormat;
}

/** What settings decide of a topology. */
export interface TopologyChoices {
  /** Somebody pays withdrawals out. */
  readonly paysOut: boolean;
}

/** What routes are given once the log is there. */
export interface RoutePorts extends TopicScope, TwoWays {
  /** Resolves when the record is in the log; rejects with `LOG_UNAVAILABLE`. */
  readonly write: (record: OutgoingRecord) => Promise<WrittenRecord>;
  /** Of what billing was asked for. */
  readonly register: RequestRegister;
  /** Of billing. */
  readonly backlog: Backlog;
  /** Of the systems that customers come from. */
  readonly sources: SourceWatch;
  /** For what is found in topics rather than in stores. */
  readonly log?: Log | undefined;
  /** The database with the tables, if there is one. */
  readonly view?: Sql | undefined;
}

/** A GET of the API of this process: the parsed answer, or `undefined` unless it is 200. */
export type Ask = (path: string) => Promise<unknown>;

/** The same object is the same routes. */
export interface SharedRoutes {
  readonly routes: (ports: RoutePorts) => Routes;
  /** The topology that those who `wait` wait for. */
  readonly awaited: string;
}

export interface Application {
  readonly name: string;
  /** Runs only where it is named. */
  readonly isOnRequest?: boolean;
  /** Absent: it only answers. */
  readonly topology?: (topicPrefix: string, format: RecordFormat, choices: TopologyChoices) => Topology;
  /** The topics it names, as they are to be created. */
  readonly topics: (topicPrefix: string) => readonly NewTopic[];
  readonly routes?: (ports: RoutePorts) => Routes;
  /** Answered by any process that runs one of those that share them. */
  readonly shared?: SharedRoutes;
  /** For one that writes nothing and can be made anew: what it reads, and the topic that says which generation answers. */
  readonly generations?: (topicPrefix: string) => { readonly topic: string; readonly inputs: readonly string[] };
  /** What of it can be asked for to be made anew, which makes all of it anew, and be compared with the events. */
  readonly projections?: (scope: TopicScope) => readonly Projection[];
  /** Made-up records for some of the topics. */
  readonly samples?: (scope: TopicScope) => Iterator<OutgoingRecord>;
  /** What `/metrics` shows of its stores, as far as these instances have them. */
  readonly measures?: (instances: readonly InstanceView[]) => Promise<readonly MetricSample[]>;
  /** Paths worth a look. */
  readonly examples: readonly string[];
  /** Looks for something that is worth a closer look; empty while there is nothing. */
  readonly findings?: (ask: Ask) => Promise<readonly string[]>;
}

/** What is measured of the stores of applications. */
export async function measuresOf(
  chosen: readonly Application[],
  instances: readonly InstanceView[],
): Promise<readonly MetricSample[]> {
  const samples: MetricSample[] = [];
  for (const { measures } of chosen) if (measures !== undefined) samples.push(...(await measures(instances)));
  return samples;
}

/** How topics that are declared together, by any names, are to be created. */
export function newTopics(declared: object): readonly NewTopic[] {
  const topics = Object.values<Pick<Topic<unknown, unknown>, 'name' | 'create'>>({ ...declared });
  return topics.map(({ name, create = { partitions: 1 } }) => ({ name, ...create }));
}
