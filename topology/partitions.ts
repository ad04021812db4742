/** How many partitions each topic of a topology has or must get. */
import { StreamError } from '../errors.ts';
import { topicId, upstreamTopics } from './copartition.ts';
import type { CopartitionGroup, Topology, TopicReference } from './graph.ts';
import { DisjointSets } from './sub-topologies.ts';

/** Topics that must agree on one count. */
interface Group {
  /** Counts that nobody can change: of user topics, and of repartition topics whose author chose one. */
  readonly fixed: Map<string, number>;
  /** Topics whose records flow into repartition topics of the group. */
  readonly upstream: Set<string>;
  partitions: number;
}

/**
 * Counts by `topicId`. A repartition topic takes the count its author chose, else that of the topics it must be co-partitioned with, else the
 * highest of the topics it is filled from. Throws `NOT_COPARTITIONED`.
 */
export function countPartitions(
  topology: Topology,
  existing: ReadonlyMap<string, number>,
): ReadonlyMap<string, number> {
  const groups = groupsOf(topology, existing);
  for (const group of new Set(groups.values())) group.partitions = agreed(topology, group);
  // Counts only grow and never beyond the highest fixed one, so this ends.
  for (let changed = true; changed;) {
    changed = false;
    for (const group of groups.values()) {
      if (group.fixed.size > 0) continue;
      const partitions = Math.max(
        group.partitions,
        ...[...group.upstream].map((id) => groups.get(id)?.partitions ?? 0),
      );
      changed ||= partitions > group.partitions;
      group.partitions = partitions;
    }
  }
  return new Map([...groups].map(([id, group]) => [id, group.partitions]));
}

function groupsOf(topology: Topology, existing: ReadonlyMap<string, number>): ReadonlyMap<string, Group> {
  const groups = emptyGroups(topology);
  for (const [id, partitions] of fixedCounts(topology, existing)) groups.get(id)?.fixed.set(id, partitions);
  const upstream = upstreamTopics(topology.nodes);
  for (const node of topology.nodes) {
    if (node.kind !== 'sink' || typeof node.topic === 'function') continue;
    const group = groups.get(topicId(node.topic));
    for (const id of upstream.get(node.name)?.keys() ?? []) group?.upstream.add(id);
  }
  return groups;
}

/** Of the topics that are read and whose count is not ours to choose. */
function fixedCounts(topology: Topology, existing: ReadonlyMap<string, number>): ReadonlyMap<string, number> {
  const chosen = new Map(
    topology.repartitions.map(({ name, kind, partitions }) => [topicId({ name, internal: kind }), partitions]),
  );
  const counts = new Map<string, number>();
  for (const topic of sourceTopics(topology)) {
    // A replay topic has as many as the topic that its records come from.
    const isExisting = topic.internal === undefined || topic.internal === 'replay';
    const partitions = isExisting ? existing.get(topic.name) : chosen.get(topicId(topic));
    if (partitions !== undefined) counts.set(topicId(topic), partitions);
  }
  return counts;
}

function sourceTopics(topology: Topology): readonly TopicReference[] {
  return topology.nodes.flatMap((node) => (node.kind === 'source' ? node.topics : []));
}

/** Every topic that is read, with the ones it must agree with. */
function emptyGroups(topology: Topology): ReadonlyMap<string, Group> {
  const sets = new DisjointSets();
  for (const { topics } of topology.copartitions)
    for (const topic of topics) sets.join(idOfFirst(topics), topicId(topic));
  const byRoot = new Map<string, Group>();
  const groups = new Map<string, Group>();
  for (const topic of sourceTopics(topology)) {
    const root = sets.find(topicId(topic));
    const group = byRoot.get(root) ?? { fixed: new Map(), upstream: new Set(), partitions: 0 };
    byRoot.set(root, group);
    groups.set(topicId(topic), group);
  }
  return groups;
}

function idOfFirst(topics: CopartitionGroup['topics']): string {
  const [first] = topics;
  return first === undefined ? '' : topicId(first);
}

/** The count on which all fixed topics of the group agree; 0 if none is fixed. */
function agreed(topology: Topology, group: Group): number {
  const counts = new Set(group.fixed.values());
  if (counts.size > 1) {
    const ids = new Set(group.fixed.keys());
    const steps = topology.copartitions.filter(({ topics }) => topics.some((topic) => ids.has(topicId(topic))));
    const listed = [...group.fixed].map(([id, partitions]) => `${id} has ${String(partitions)}`).sort();
    throw new StreamError(
      'NOT_COPARTITIONED',
      `topics whose equal keys meet in ${steps.map(({ step }) => step).join(', ')} need the same number of partitions: ${listed.join(', ')}`,
      { facts: { topology: topology.name, topics: listed, steps: steps.map(({ step }) => step) } },
    );
  }
  const [partitions = 0] = counts;
  return partitions;
}
