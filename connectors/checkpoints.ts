/** What pollers and command sinks remember: one compacted topic, keys of the form `<source>|<name>`. */
import { stringSerde } from '../schemas/serde.ts';
import { noHeaders } from '../schemas/record.ts';
import type { FetchedBatch, Log } from './log.ts';
import type { OutgoingRecord } from './outgoing-record.ts';
import { scanPartition } from './partition-scan.ts';
import type { PollPage } from './poll-source.ts';

const nothing = { start: 0, stable: 0 };

/** One key and value of a small compacted topic. */
export interface TableRow {
  readonly key: string;
  readonly value: string | undefined;
}

/** Calls `onRow` for every committed record of the partition, from its start to its end as of the call; returns where that was. */
export async function readTopic(
  log: Pick<Log, 'reader' | 'admin'>,
  at: { readonly topic: string; readonly partition: number },
  onRow: (row: TableRow) => void,
): Promise<number> {
  const [{ start, stable } = nothing] = await log.admin.offsets([at]);
  return await scanPartition(log, at, { from: start, to: stable, onBatch: (batch) => readRows(batch, onRow) });
}

function readRows(batch: FetchedBatch, onRow: (row: TableRow) => void): void {
  const cursor = batch.cursor();
  while (cursor.next()) {
    const [key, value] = [cursor.key(), cursor.value()];
    if (key === undefined) continue;
    onRow({ key: stringSerde.deserialize(key), value: value && stringSerde.deserialize(value) });
  }
}

/** Everything `source` remembers. */
export async function readCheckpoint(
  log: Pick<Log, 'reader' | 'admin'>,
  topic: string,
  source: string,
): Promise<Map<string, string>> {
  const prefix = `${source}|`;
  const state = new Map<string, string>();
  await readTopic(log, { topic, partition: 0 }, ({ key, value }) => {
    if (!key.startsWith(prefix)) return;
    const name = key.slice(prefix.length);
    if (value === undefined) state.delete(name);
    else state.set(name, value);
  });
  return state;
}

/** The records that make the log remember what a page asks for. */
export function checkpointRecords(
  state: PollPage['state'],
  { topic, source, nowMs }: { readonly topic: string; readonly source: string; readonly nowMs: number },
): readonly OutgoingRecord[] {
  return [...state].map(([name, value]) => ({
    topic,
    key: stringSerde.serialize(`${source}|${name}`),
    value: value === undefined ? undefined : stringSerde.serialize(value),
    headers: noHeaders,
    timestampMs: nowMs,
  }));
}
