/** Transactions that each write one number to two partitions and commit it as an offset: whatever happens, these three agree. */
import type { Isolation, Log, Producer } from '../../../connectors/log.ts';
import { BatchBuilder } from '../../../schemas/record-batch.ts';

export const pairTopic = 'pairs';
export const groupId = 'group';
export const transactionalId = 'pair-producer';
export const sides = [0, 1].map((partition) => ({ topic: pairTopic, partition }));
const input = { topic: 'input', partition: 0 };

export async function createPairTopics(log: Log, configs: Record<string, string> = {}): Promise<void> {
  await log.admin.createTopics([
    { name: input.topic, partitions: 1 },
    { name: pairTopic, partitions: 2, configs },
  ]);
}

export function recordsOf(...values: readonly string[]): BatchBuilder {
  const records = new BatchBuilder();
  for (const value of values) records.append(1_700_000_000_000, Buffer.from(`key ${value}`), Buffer.from(value), []);
  return records;
}

export async function writePair(producer: Producer, number: number): Promise<void> {
  producer.begin();
  await producer.send(sides.map((side) => ({ ...side, records: recordsOf(String(number)) })));
  await producer.sendOffsets([{ ...input, offset: number }], { groupId, memberId: '', generation: -1 });
  await producer.commit();
}

export interface Pairs {
  readonly left: readonly string[];
  readonly right: readonly string[];
  readonly offset: number;
}

/** What is committed. Fails if anything is still open. */
export async function readPairs(log: Log): Promise<Pairs> {
  const [left, right] = await Promise.all(sides.map(({ partition }) => readAll(log, pairTopic, partition)));
  const [committed] = await log.admin.committed(groupId, [input], { requireStable: true });
  return { left: left!, right: right!, offset: committed?.offset ?? 0 };
}

export async function readAll(
  log: Log,
  topic: string,
  partition: number,
  isolation: Isolation = 'read_committed',
): Promise<string[]> {
  const at = { topic, partition };
  const [offsets] = await log.admin.offsets([at]);
  if (offsets!.stable !== offsets!.end) throw new Error(`a transaction is open in ${topic}/${String(partition)}`);
  const reader = log.reader({ isolation });
  reader.seek(at, offsets!.start);
  const values: string[] = [];
  while (reader.position(at)!.offset < offsets!.end) {
    const { batches, failures } = await reader.poll(0);
    for (const { error } of failures) throw error;
    for (const batch of batches) {
      const cursor = batch.cursor();
      while (cursor.next()) values.push(Buffer.from(cursor.value() ?? '').toString());
    }
  }
  await reader.close();
  return values;
}

export function numbersUpTo(last: number): string[] {
  return Array.from({ length: last }, (_, index) => String(index + 1));
}
