/** A topology as data: what the builder makes, the planner cuts and the runtime instantiates. Frozen; nothing here runs. */
import type { TimestampExtractor } from '../schemas/timestamp.ts';
import type { RecordMetadata } from '../schemas/record.ts';
import type { Serde } from '../schemas/serde.ts';
import type { AnyStoreSpec } from '../state-stores/spec.ts';
import type { CreateNode } from '../processors/node.ts';
import type { ProcessorWrapper } from '../processors/wrapped.ts';
import type { ErrorPolicy } from './error-policy.ts';

/**
 * Topics of the engine that are read by the application alone: what their names end with. `replay`: dead letters of the user's topic
 * of that name that are to be processed again; the others carry records from task to task.
 */
export const internalTopicKinds = [
  'repartition',
  'replay',
  'subscription-registration-topic',
  'subscription-response-topic',
] as const;

export type InternalTopicKind = (typeof internalTopicKinds)[number];

/** A topic as a topology names it. An internal one gets its physical name from the application id when the plan is made. */
export interface TopicReference {
  readonly name: string;
  /** Present for a topic the engine owns: `<application.id>-<name>-<kind>`. */
  readonly internal?: InternalTopicKind;
}

export type OffsetReset = 'earliest' | 'latest';

interface NodeBase {
  /** Unique in the topology; also its name in metrics and descriptions. */
  readonly name: string;
  readonly parents: readonly string[];
  /** Names of stores this node reads or writes. */
  readonly stores: readonly string[];
}

export interface SourceNode extends NodeBase {
  readonly kind: 'source';
  readonly topics: readonly TopicReference[];
  readonly key: Serde<unknown>;
  readonly value: Serde<unknown>;
  readonly timestamp: TimestampExtractor;
  readonly offsetReset: OffsetReset;
  /** For records that cannot be decoded or have no valid timestamp. Absent: the topology's default. */
  readonly onError?: ErrorPolicy;
}

export interface ProcessorNode extends NodeBase {
  readonly kind: 'processor';
  readonly create: CreateNode;
  /** Names of global stores that this node reads. */
  readonly globals?: readonly string[];
  /** For records whose processing throws. Absent: the topology's default. */
  readonly onError?: ErrorPolicy;
}

/** Chooses the topic of one output record. */
export type TopicNameExtractor = (key: unknown, value: unknown, metadata: RecordMetadata | undefined) => string;

/** Chooses the partition; `undefined` falls back to murmur2 of the key (of a null key: a fixed partition per task, so that a retry lands in the same place). */
export type Partitioner = (key: unknown, value: unknown, partitions: number) => number | undefined;

export interface SinkNode extends NodeBase {
  readonly kind: 'sink';
  readonly topic: TopicReference | TopicNameExtractor;
  readonly key: Serde<unknown>;
  readonly value: Serde<unknown>;
  readonly partitioner?: Partitioner;
}

export type GraphNode = SourceNode | ProcessorNode | SinkNode;

/** An internal topic that carries records to the partition of their new key. */
export interface RepartitionTopic {
  readonly name: string;
  readonly kind: InternalTopicKind;
  /** Fixed by the author, else derived by the plan. */
  readonly partitions?: number;
}

/** Topics of which equal keys must lie in equal partitions: same count, same partitioner. */
export interface CopartitionGroup {
  /** The step that needs it, for the message. */
  readonly step: string;
  readonly topics: readonly TopicReference[];
}

/** A store that every instance keeps whole: filled from all partitions of a topic, which is its log. */
export interface GlobalStore {
  readonly spec: AnyStoreSpec;
  readonly source: SourceNode;
  /** Writes the store. */
  readonly processor: ProcessorNode;
}

/** The topic of a table that is the changelog of its store as well: read as its source reads it, never written. */
export interface SourceChangelog {
  readonly store: string;
  /** The name of the source. */
  readonly source: string;
}

export interface Topology {
  readonly name: string;
  /** In order of declaration; parents come before children. */
  readonly nodes: readonly GraphNode[];
  readonly stores: readonly AnyStoreSpec[];
  readonly globals: readonly GlobalStore[];
  readonly sourceChangelogs: readonly SourceChangelog[];
  readonly repartitions: readonly RepartitionTopic[];
  readonly copartitions: readonly CopartitionGroup[];
  readonly settings: TopologySettings;
}

export interface TopologySettings {
  /** Default for sources and steps that name none. */
  readonly onError: ErrorPolicy;
  /** User topic for dead letters, on existing partitions. */
  readonly deadLetterTopic?: string;
  /** A hook around every step. */
  readonly wrapProcessor?: ProcessorWrapper;
  /** Steps' internal names that earlier versions used and whose topics may still exist. */
  readonly retired: readonly string[];
}
