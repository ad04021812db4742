/** How far records without a key may go. */
import type { GraphNode, TopicReference } from './graph.ts';
import { topicId } from './copartition.ts';

/** The steps on a way to one of `targets`, through repartition topics too, and the targets. Parents come before children in `nodes`. */
export function stepsBefore(nodes: readonly GraphNode[], targets: ReadonlySet<string>): ReadonlySet<string> {
  const before = new Set(targets);
  const topics = new Set<string>();
  for (const node of nodes.toReversed()) {
    if (node.kind === 'sink' && typeof node.topic !== 'function' && topics.has(topicId(node.topic)))
      before.add(node.name);
    if (!before.has(node.name)) continue;
    for (const parent of node.parents) before.add(parent);
    for (const topic of internalTopics(node)) topics.add(topicId(topic));
  }
  return before;
}

function internalTopics(node: GraphNode): readonly TopicReference[] {
  return node.kind === 'source' ? node.topics.filter(({ internal }) => internal !== undefined) : [];
}
