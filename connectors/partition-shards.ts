/** Partitions as shards of work that processes share: `<topic>/<partition>`. */
import { StreamError } from '../errors.ts';
import type { TopicPartition } from '../schemas/record.ts';
import type { Log } from './log.ts';

/** All partitions of these topics. Rejects with `TOPIC_UNKNOWN` if one is not there. */
export async function shardsOf(log: Pick<Log, 'admin'>, topics: readonly string[]): Promise<readonly string[]> {
  const described = await log.admin.describeTopics(topics);
  return [...described].flatMap(([topic, description]) => {
    if (description === undefined)
      throw new StreamError('TOPIC_UNKNOWN', 'a topic that a sink reads is not there', { facts: { topic } });
    return Array.from({ length: description.partitions }, (_, partition) => `${topic}/${partition}`);
  });
}

export function parseShard(shard: string): TopicPartition {
  const at = shard.lastIndexOf('/');
  return { topic: shard.slice(0, at), partition: Number(shard.slice(at + 1)) };
}
