/** Cuts a topology into sub-topologies, internal topics and tasks. */
import type { AnyStoreSpec } from '../state-stores/spec.ts';
import type { GraphNode, Topology } from './graph.ts';

/** A connected part of the topology: what one task runs for one partition. */
export interface SubTopology {
  /** Position in the plan, by order of nodes. */
  readonly id: number;
  readonly nodes: readonly GraphNode[];
  /** Physical names of the topics it reads, sorted. */
  readonly sourceTopics: readonly string[];
  readonly stores: readonly PlannedStore[];
  /** Tasks: one per partition, the maximum over its source topics. */
  readonly partitions: number;
}

export interface PlannedStore {
  readonly spec: AnyStoreSpec;
  /** Physical name; `undefined` when the store is not logged. */
  readonly changelogTopic: string | undefined;
}

/** An internal topic as it must exist. */
export interface InternalTopic {
  readonly name: string;
  readonly kind: 'changelog' | 'repartition';
  readonly partitions: number;
  readonly configs: Readonly<Record<string, string>>;
}

export interface Plan {
  readonly applicationId: string;
  readonly topology: Topology;
  readonly subTopologies: readonly SubTopology[];
  readonly internalTopics: readonly InternalTopic[];
  /** Partition counts of all topics the topology names, physical names. */
  readonly partitions: ReadonlyMap<string, number>;
}
