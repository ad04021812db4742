/** How far an application has come with what lies in its topics. */
import type { Log, TopicDescription } from '../../connectors/log.ts';
import type { TopicPartition } from '../../schemas/record.ts';
import { rawBytesOf } from './raw-read.ts';

/**
 * Whether everything in `topics`, and all that it led to, is processed, committed and visible to readers of committed records. `topics` are inputs and
 * repartition topics in the order in which records pass through them, then outputs, which nobody commits.
 */
export async function isThrough(
  log: Log,
  applicationId: string,
  { topics, outputs }: { readonly topics: readonly string[]; readonly outputs: readonly string[] },
): Promise<boolean> {
  for (const topic of topics) {
    const all = await partitionsOf(log, topic);
    if (!(await isSettled(log, all))) return false;
    const records = await rawBytesOf(log, topic, { isolation: 'read_committed' });
    const committed = await log.admin.committed(applicationId, all, { requireStable: false });
    if (records.some(({ partition, offset }) => (committed[partition]?.offset ?? 0) <= offset)) return false;
  }
  for (const topic of outputs) if (!(await isSettled(log, await partitionsOf(log, topic)))) return false;
  return true;
}

/** Whether no transaction is open. The offsets of one may be committed a moment before its records become visible: each partition gets a marker of its own. */
async function isSettled(log: Log, partitions: readonly TopicPartition[]): Promise<boolean> {
  return (await log.admin.offsets(partitions)).every(({ stable, end }) => stable === end);
}

async function partitionsOf(log: Log, topic: string): Promise<readonly TopicPartition[]> {
  const described: ReadonlyMap<string, TopicDescription | undefined> = await log.admin.describeTopics([topic]);
  return Array.from({ length: described.get(topic)?.partitions ?? 0 }, (_, partition) => ({ topic, partition }));
}
