/** For comparisons: a partition of events from its first one on, and what is stored of it. */
import type { InstanceView, Log, StoreSpec, Topic } from '../../index.ts';

const pollMs = 500;

/** Hands over every event that is committed by now, in order, with its offset. */
export async function eachEvent<V>(
  log: Log,
  { topic, partition }: { readonly topic: Topic<string, V>; readonly partition: number },
  visit: (event: V, offset: number) => void,
): Promise<void> {
  const input = { topic: topic.name, partition };
  const [range] = await log.admin.offsets([input]);
  if (range === undefined || range.start >= range.stable) return;
  const reader = log.reader({ isolation: 'read_committed' });
  try {
    reader.seek(input, range.start);
    for (let next = range.start; next < range.stable;) {
      const { batches, failures } = await reader.poll(pollMs);
      if (failures[0] !== undefined) throw failures[0].error;
      for (const batch of batches) {
        const cursor = batch.cursor();
        while (cursor.next()) {
          const value = cursor.value();
          if (value !== undefined) visit(topic.value.deserialize(value), cursor.offset);
        }
        next = batch.nextOffset;
      }
    }
  } finally {
    await reader.close();
  }
}

/** What a store of this process has of a partition, by key. */
export async function rowsOf<V, S>(
  view: InstanceView,
  spec: StoreSpec<string, V, S>,
  partition: number,
): Promise<ReadonlyMap<string, V>> {
  const rows = new Map<string, V>();
  for await (const [key, value] of view.localStore(spec.name, partition).scan({}))
    rows.set(spec.key.deserialize(key), spec.value.deserialize(spec.format.toChangelog(value, 0).value));
  return rows;
}
