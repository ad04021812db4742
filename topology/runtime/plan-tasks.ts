/** Looks things up in a plan: which task reads what, and back. */
import { StreamError } from '../../errors.ts';
import type { TopicReference } from '../graph.ts';
import type { Plan, SubTopology } from '../plan.ts';

/** Where the global stores of an instance lie, among its tasks. */
export const globalDirectory = 'global';

/** The name a topic has in the log. */
export function physicalTopicName(applicationId: string, topic: TopicReference): string {
  return topic.internal === undefined ? topic.name : `${applicationId}-${topic.name}-${topic.internal}`;
}

/** All task ids, `<sub-topology>_<partition>`. */
export function taskIds(plan: Plan): readonly string[] {
  return plan.subTopologies.flatMap((sub) =>
    Array.from({ length: sub.partitions }, (_, partition) => taskId(sub.id, partition)),
  );
}

export function taskId(subTopology: number, partition: number): string {
  return `${String(subTopology)}_${String(partition)}`;
}

/** Throws `TOPOLOGY_INVALID` for an id that the plan does not have. */
export function subTopologyOfTask(
  plan: Plan,
  id: string,
): { readonly subTopology: SubTopology; readonly partition: number } {
  const separator = id.indexOf('_');
  const subTopology = plan.subTopologies[Number(id.slice(0, separator))];
  const partition = Number(id.slice(separator + 1));
  if (subTopology === undefined || !(partition >= 0 && partition < subTopology.partitions))
    throw new StreamError('TOPOLOGY_INVALID', 'assigned a task that the plan does not have', { facts: { taskId: id } });
  return { subTopology, partition };
}

/** The task that reads a topic partition; `undefined` if none does. */
export function taskIdOf(plan: Plan, topic: string, partition: number): string | undefined {
  const sub = plan.subTopologies.find((candidate) => candidate.sourceTopics.includes(topic));
  return sub === undefined || partition >= (plan.partitions.get(topic) ?? 0) ? undefined : taskId(sub.id, partition);
}

/** Source topics of a sub-topology that have this partition. */
export function sourceTopicsOfPartition(plan: Plan, sub: SubTopology, partition: number): readonly string[] {
  return sub.sourceTopics.filter((topic) => partition < (plan.partitions.get(topic) ?? 0));
}

/** Physical names of the topics that nobody needs once they are consumed. */
export function consumedTopics(plan: Plan): ReadonlySet<string> {
  return new Set(plan.internalTopics.filter((topic) => topic.kind !== 'changelog').map((topic) => topic.name));
}
