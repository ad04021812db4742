/** Cuts a topology into sub-topologies, internal topics and tasks. */
import { StreamError } from '../errors.ts';
import { checkName } from '../schemas/topic.ts';
import type { AnyStoreSpec } from '../state-stores/spec.ts';
import type { GlobalStore, GraphNode, InternalTopicKind, SourceNode, Topology, TopicReference } from './graph.ts';
import { topicId } from './copartition.ts';
import { countPartitions } from './partitions.ts';
import { subTopologies } from './sub-topologies.ts';

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
  /** Reads the changelog, where that is the topic of a table: with an error policy in any case. */
  readonly source?: SourceNode;
}

/** An internal topic as it must exist. */
export interface InternalTopic {
  readonly name: string;
  readonly kind: 'changelog' | InternalTopicKind;
  readonly partitions: number;
  readonly configs: Readonly<Record<string, string>>;
}

export interface Plan {
  readonly applicationId: string;
  readonly topology: Topology;
  readonly subTopologies: readonly SubTopology[];
  /** What fills the global stores, one each: run whole by every instance, assigned to none. */
  readonly globals: readonly SubTopology[];
  readonly internalTopics: readonly InternalTopic[];
  /** Partition counts of all topics the topology names, physical names. */
  readonly partitions: ReadonlyMap<string, number>;
}

export interface PlanOptions {
  readonly applicationId: string;
  /** Partition counts of the user topics that exist. */
  readonly partitions: ReadonlyMap<string, number>;
}

/** A topic of one application: `<application.id>-<name>-<kind>`, of a store `<application.id>-<store>-changelog`. */
export function internalTopicName(applicationId: string, name: string, kind: InternalTopic['kind']): string {
  return `${applicationId}-${name}-${kind}`;
}

/** The name a topic has in the log. */
export function physicalName(applicationId: string, topic: TopicReference): string {
  return topic.internal === undefined ? topic.name : internalTopicName(applicationId, topic.name, topic.internal);
}

/**
 * Plans a topology for one application and the topics that exist.
 *
 * Throws `SOURCE_TOPIC_MISSING` naming all user topics that do not exist, `NOT_COPARTITIONED` for topics whose equal keys must meet but would
 * not, `TOPOLOGY_INVALID` for a bad application id.
 */
export function plan(topology: Topology, { applicationId, partitions: existing }: PlanOptions): Plan {
  checkName('application', applicationId);
  refuseMissing(topology, existing);
  const counts = countPartitions(topology, existing);
  const partitionsOf = (topic: TopicReference): number => counts.get(topicId(topic)) ?? 0;
  const specs = new Map(topology.stores.map((spec) => [spec.name, spec]));
  const sources = changelogSources(topology);
  const parts = subTopologies(topology.nodes).map((nodes, id) => {
    const topics = nodes.flatMap((node) => (node.kind === 'source' ? node.topics : []));
    const stores = new Set(nodes.flatMap((node) => node.stores));
    return Object.freeze({
      id,
      nodes: Object.freeze(nodes),
      sourceTopics: Object.freeze(topics.map((topic) => physicalName(applicationId, topic)).sort()),
      stores: Object.freeze(
        [...stores].flatMap((name) => plannedStore(applicationId, specs.get(name), sources.get(name))),
      ),
      partitions: Math.max(...topics.map(partitionsOf)),
    });
  });
  for (const part of parts) checkChangelogPartitions(topology, part, existing);
  const internalTopics = [
    ...topology.repartitions.map(({ name, kind }) =>
      consumedTopic(applicationId, { name, internal: kind }, partitionsOf),
    ),
    ...replayTopics(topology).map((topic) => consumedTopic(applicationId, topic, partitionsOf)),
    ...parts.flatMap(changelogTopics),
  ].sort((a, b) => (a.name < b.name ? -1 : 1));
  return Object.freeze({
    applicationId,
    topology,
    subTopologies: Object.freeze(parts),
    globals: Object.freeze(
      topology.globals.map((store, index) => plannedGlobal(store, parts.length + index, existing)),
    ),
    internalTopics: Object.freeze(internalTopics),
    partitions: new Map([...existing, ...internalTopics.map(({ name, partitions }) => [name, partitions] as const)]),
  });
}

function plannedGlobal(
  { spec, source, processor }: GlobalStore,
  id: number,
  existing: ReadonlyMap<string, number>,
): SubTopology {
  const sourceTopics = source.topics.map(({ name }) => name);
  return Object.freeze({
    id,
    nodes: Object.freeze([source, processor]),
    sourceTopics: Object.freeze(sourceTopics),
    stores: Object.freeze([Object.freeze({ spec, changelogTopic: undefined })]),
    partitions: Math.max(...sourceTopics.map((topic) => existing.get(topic) ?? 0)),
  });
}

function refuseMissing(topology: Topology, existing: ReadonlyMap<string, number>): void {
  const { deadLetterTopic } = topology.settings;
  const wanted = new Set(deadLetterTopic === undefined ? [] : [deadLetterTopic]);
  for (const node of [...topology.nodes, ...topology.globals.map(({ source }) => source)])
    for (const topic of topicsOf(node)) if (topic.internal === undefined) wanted.add(topic.name);
  const missing = [...wanted].filter((name) => !existing.has(name)).sort();
  if (missing.length > 0)
    throw new StreamError(
      'SOURCE_TOPIC_MISSING',
      `topics of topology ${topology.name} do not exist: ${missing.join(', ')}`,
      {
        facts: { topology: topology.name, topics: missing },
      },
    );
}

/** User topics that a node names; not those that a sink chooses by record. */
function topicsOf(node: GraphNode): readonly TopicReference[] {
  if (node.kind === 'source') return node.topics;
  return node.kind === 'sink' && typeof node.topic !== 'function' ? [node.topic] : [];
}

/** By store. */
function changelogSources({ nodes, sourceChangelogs, settings }: Topology): ReadonlyMap<string, SourceNode> {
  const sources = new Map<string, SourceNode>();
  for (const { store, source } of sourceChangelogs)
    for (const node of nodes)
      if (node.kind === 'source' && node.name === source)
        sources.set(store, Object.freeze({ ...node, onError: node.onError ?? settings.onError }));
  return sources;
}

function plannedStore(
  applicationId: string,
  spec: AnyStoreSpec | undefined,
  source: SourceNode | undefined,
): readonly PlannedStore[] {
  if (spec === undefined) return [];
  if (source !== undefined) return [Object.freeze({ spec, changelogTopic: source.topics[0]?.name, source })];
  const changelogTopic =
    spec.changelog === undefined ? undefined : internalTopicName(applicationId, spec.name, 'changelog');
  return [Object.freeze({ spec, changelogTopic })];
}

/** Each task needs a partition of the topic that its store is restored from. */
function checkChangelogPartitions(
  { name: topology }: Topology,
  { stores, partitions }: SubTopology,
  existing: ReadonlyMap<string, number>,
): void {
  for (const { spec, changelogTopic: topic, source } of stores)
    if (source !== undefined && topic !== undefined && existing.get(topic) !== partitions)
      throw new StreamError(
        'TOPOLOGY_INVALID',
        `topology ${topology}: store ${spec.name} cannot be restored from ${topic}: another topic of its tasks has more partitions`,
        { facts: { topology, store: spec.name, topic, partitions } },
      );
}

function changelogTopics({ stores, partitions }: SubTopology): readonly InternalTopic[] {
  return stores.flatMap(({ spec, changelogTopic: name, source }) =>
    name === undefined || source !== undefined
      ? []
      : [
          Object.freeze({
            name,
            kind: 'changelog' as const,
            partitions,
            configs: Object.freeze({ ...spec.changelog, ...createTime }),
          }),
        ],
  );
}

/** Event time is the record's own: it must not become the time of arrival. */
const createTime = { 'message.timestamp.type': 'CreateTime' };

/** Kept until every task has committed past it, then removed by the engine: never by time. Small segments, so that removal frees space soon. */
const consumedConfigs: Readonly<Record<string, string>> = Object.freeze({
  'cleanup.policy': 'delete',
  'retention.ms': '-1',
  'segment.bytes': String(50 * 1024 * 1024),
  ...createTime,
});

/** One that is read by this application only. */
function consumedTopic(
  applicationId: string,
  topic: TopicReference & Pick<Required<TopicReference>, 'internal'>,
  partitionsOf: (topic: TopicReference) => number,
): InternalTopic {
  return Object.freeze({
    name: internalTopicName(applicationId, topic.name, topic.internal),
    kind: topic.internal,
    partitions: partitionsOf(topic),
    configs: consumedConfigs,
  });
}

function replayTopics({ nodes }: Topology): readonly (TopicReference & Pick<Required<TopicReference>, 'internal'>)[] {
  return nodes
    .flatMap((node) => (node.kind === 'source' ? node.topics : []))
    .flatMap(({ name, internal }) => (internal === 'replay' ? [{ name, internal }] : []));
}
