/** Which topics must agree on their partitions: those whose records meet in one store. */
import type { CopartitionGroup, GraphNode, TopicReference } from './graph.ts';

/**
 * One group for each store that records of several topics reach. A row lives in the task of its key; it is found there from every topic only
 * if equal keys lie in equal partitions. This covers joins (the stream reads the table's store), tables and aggregations of merged streams,
 * and processors that share a store.
 */
export function copartitions(nodes: readonly GraphNode[]): readonly CopartitionGroup[] {
  const topicsOf = upstreamTopics(nodes);
  const groups = new Map<string, { step: string; topics: Map<string, TopicReference> }>();
  for (const node of nodes) {
    for (const store of node.stores) {
      const group = groups.get(store) ?? { step: node.name, topics: new Map<string, TopicReference>() };
      const topicCount = group.topics.size;
      for (const [id, topic] of topicsOf.get(node.name) ?? []) group.topics.set(id, topic);
      // The step that made the group grow is the one to name.
      if (group.topics.size > topicCount) group.step = node.name;
      groups.set(store, group);
    }
  }
  // Stores that the same topics reach say the same.
  const distinct = new Map([...groups.values()].map((group) => [[...group.topics.keys()].sort().join(), group]));
  return [...distinct.values()]
    .filter(({ topics }) => topics.size > 1)
    .map(({ step, topics }) => Object.freeze({ step, topics: Object.freeze([...topics.values()]) }));
}

/** For each node the topics whose records can reach it within its task. */
export function upstreamTopics(nodes: readonly GraphNode[]): ReadonlyMap<string, ReadonlyMap<string, TopicReference>> {
  const reached = new Map<string, ReadonlyMap<string, TopicReference>>();
  for (const node of nodes) {
    const topics = new Map<string, TopicReference>();
    if (node.kind === 'source') for (const topic of node.topics) topics.set(topicId(topic), topic);
    for (const parent of node.parents) for (const [id, topic] of reached.get(parent) ?? []) topics.set(id, topic);
    reached.set(node.name, topics);
  }
  return reached;
}

/** Tells an internal topic from a user's of the same name. */
export function topicId(topic: TopicReference): string {
  return topic.internal === undefined ? topic.name : `${topic.name}/${topic.internal}`;
}
