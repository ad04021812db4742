/** How far an application has come with what lies in its topics. */
import type { Log, Reader } from '../../connectors/log.ts';
import { partitionId, topicPartitions, type TopicPartition } from '../../schemas/record.ts';

const pollMs = 1_000;

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
    const offsets = await log.admin.offsets(all);
    if (offsets.some(({ stable, end }) => stable !== end)) return false;
    const committed = await log.admin.committed(applicationId, all, { requireStable: false });
    const from = offsets.map(({ start }, index) => Math.max(start, committed[index]?.offset ?? 0));
    const behind = all.flatMap((partition, index) => {
      const [offset = 0, end = 0] = [from[index], offsets[index]?.end];
      return offset < end ? [{ ...partition, offset, end }] : [];
    });
    if (await hasRecords(log, behind)) return false;
  }
  for (const topic of outputs) if (!(await isSettled(log, await partitionsOf(log, topic)))) return false;
  return true;
}

/** Whether no transaction is open. The offsets of one may be committed a moment before its records become visible: each partition gets a marker of its own. */
async function isSettled(log: Log, partitions: readonly TopicPartition[]): Promise<boolean> {
  return (await log.admin.offsets(partitions)).every(({ stable, end }) => stable === end);
}

type Span = TopicPartition & { readonly offset: number; readonly end: number };

/** Whether anything but markers and aborted records lies there. */
async function hasRecords(log: Log, spans: readonly Span[]): Promise<boolean> {
  const left = new Map(spans.map((span) => [partitionId(span.topic, span.partition), span]));
  const reader = log.reader({ isolation: 'read_committed' });
  try {
    for (const span of spans) reader.seek(span, span.offset);
    while (left.size > 0) if (await readOn(reader, left)) return true;
    return false;
  } finally {
    await reader.close();
  }
}

/** Whether there was a record; removes what has been read to its end. */
async function readOn(reader: Reader, left: Map<string, Span>): Promise<boolean> {
  const { batches, failures } = await reader.poll(pollMs);
  if (failures[0] !== undefined) throw failures[0].error;
  for (const batch of batches) {
    if (batch.cursor().next()) return true;
    const id = partitionId(batch.topic, batch.partition);
    if (batch.nextOffset >= (left.get(id)?.end ?? 0)) left.delete(id);
  }
  return false;
}

export async function partitionsOf(log: Log, topic: string): Promise<readonly TopicPartition[]> {
  return topicPartitions(topic, (await log.admin.describeTopics([topic])).get(topic)?.partitions);
}
