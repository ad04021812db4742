import type { OutgoingBatch } from '../../connectors/log.ts';
import { partitionForKey } from '../../schemas/murmur2.ts';
import { noHeaders } from '../../schemas/record.ts';
import { BatchBuilder } from '../../schemas/record-batch.ts';
import type { Topic } from '../../schemas/topic.ts';

export interface InputRecord<K, V> {
  readonly key: K;
  readonly value: V | null;
  readonly timestampMs: number;
}

/** Records by the partitions that their keys choose, as any producer would. */
export function batchesOf<K, V>(
  topic: Topic<K, V>,
  partitions: number,
  records: readonly InputRecord<K, V>[],
): readonly OutgoingBatch[] {
  const builders = new Map<number, BatchBuilder>();
  for (const { key, value, timestampMs } of records) {
    const keyBytes = topic.key.serialize(key);
    const partition = partitionForKey(keyBytes, partitions);
    const builder = builders.get(partition) ?? new BatchBuilder();
    builders.set(partition, builder);
    builder.append(timestampMs, keyBytes, value === null ? undefined : topic.value.serialize(value), noHeaders);
  }
  return [...builders].map(([partition, records]) => ({ topic: topic.name, partition, records }));
}
