/** Whether everything that users did has led to all that it leads to: judged by positions, not by time. */
import type pg from 'pg';
import type { Log } from '../../../connectors/log.ts';
import { entities, sides, type Side } from '../../../schemas/app/sync/entities.ts';
import { syncTopics } from '../../../schemas/app/sync/topics.ts';
import { bytesSerde } from '../../../schemas/serde.ts';
import { latest, readAll, until } from '../cluster.ts';
import { isThrough } from '../progress.ts';
import { rawBytesOf } from '../raw-read.ts';
import type { SyncedDatabases } from './two-databases.ts';

const topics = syncTopics();
const names = Object.values<{ readonly name: string }>({ ...topics }).map(({ name }) => name);
const patienceMs = 120_000;
/** For one look at how far a capture has come. */
const captureMs = 2_000;

/**
 * Waits until both databases are captured to their ends, every change, signal and result is processed, every command carried out, no pair waits,
 * and what was found captured after that has led to no command.
 */
export async function untilQuiet(log: Log, databases: SyncedDatabases, applicationId: string): Promise<void> {
  const inputs = [
    topics.legacyEvents.name,
    topics.revampEvents.name,
    ...['by-row', 'by-map'].map((step) => `${applicationId}-${step}-repartition`),
    topics.signals.name,
    topics.results.name,
  ];
  /** How many commands there ever were, if all are done. */
  const settled = async (): Promise<number | undefined> => {
    for (const side of sides) if (!(await isCaptured(databases.clients[side], side))) return undefined;
    if (!(await isThrough(log, applicationId, { topics: inputs, outputs: names }))) return undefined;
    const [commands, results] = [await countOf(log, topics.commands.name), await countOf(log, topics.results.name)];
    return commands === results && (await waitingCount(log, applicationId)) === 0 ? commands : undefined;
  };
  await until(
    'nothing happens any more',
    async () => {
      const first = await settled();
      return first !== undefined && (await settled()) === first;
    },
    patienceMs,
  );
}

/** A row is written as it is: once that is captured, so is all before it. */
export async function isCaptured(client: pg.Client, side: Side): Promise<boolean> {
  const table = entities.user.tables[side];
  await client.query(`UPDATE ${table} SET source = source WHERE id = (SELECT min(id) FROM ${table})`);
  const { rows } = await client.query<{ at: string }>('SELECT pg_current_wal_insert_lsn() AS at');
  const behind = async (): Promise<number> => {
    const slots = await client.query<{ is_behind: boolean }>(
      'SELECT confirmed_flush_lsn < $1::pg_lsn AS is_behind FROM pg_replication_slots WHERE database = current_database()',
      [rows[0]?.at],
    );
    return slots.rows.length === 0 ? 1 : slots.rows.filter((slot) => slot.is_behind).length;
  };
  return await until('captured', async () => (await behind()) === 0, captureMs).then(
    () => true,
    () => false,
  );
}

async function countOf(log: Log, topic: string): Promise<number> {
  return (await rawBytesOf(log, topic, { isolation: 'read_committed' })).length;
}

async function waitingCount(log: Log, applicationId: string): Promise<number> {
  const changelog = { name: `${applicationId}-pending-refs-changelog`, key: bytesSerde, value: bytesSerde };
  const rows = (await readAll(log, changelog)).map((row) => ({
    ...row,
    key: Buffer.from(row.key ?? []).toString('hex'),
  }));
  return [...latest(rows).values()].filter((value) => value !== null).length;
}
