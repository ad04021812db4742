/** How far a sink is in each partition, kept in the database it writes to: moved in the same transaction as the rows, by one writer at a time. */
import { StreamError } from '../errors.ts';
import type { TopicPartition } from '../schemas/record.ts';
import type { Database, Sql } from './database.ts';
import type { Migration } from './migrations.ts';

export const progressMigration: Migration = {
  name: 'rivulet-001-progress',
  statements: [
    `CREATE TABLE rivulet_progress (
      sink text NOT NULL,
      topic text NOT NULL,
      partition integer NOT NULL,
      next_offset bigint NOT NULL,
      epoch bigint NOT NULL,
      updated_at timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (sink, topic, partition)
    )`,
  ],
};

/** The right to write what comes from one partition, until somebody else claims it. */
export interface Claim extends TopicPartition {
  readonly sink: string;
  readonly epoch: string;
  /** The first record that is not in the tables; `undefined`: none is. */
  readonly nextOffset: number | undefined;
}

/** Takes the partition over: whoever had it can write no more. */
export async function claimProgress(database: Database, sink: string, at: TopicPartition): Promise<Claim> {
  const { rows } = await database.run({
    text: `INSERT INTO rivulet_progress AS p (sink, topic, partition, next_offset, epoch) VALUES ($1, $2, $3, -1, 1)
      ON CONFLICT (sink, topic, partition) DO UPDATE SET epoch = p.epoch + 1, updated_at = now()
      RETURNING epoch, next_offset`,
    values: [sink, at.topic, at.partition],
  });
  const [row] = rows;
  const nextOffset = Number(row?.['next_offset']);
  return {
    ...at,
    sink,
    epoch: String(row?.['epoch']),
    nextOffset: nextOffset < 0 ? undefined : nextOffset,
  };
}

/** Within the transaction that writes the rows. Rejects with `TASK_MIGRATED` if somebody else has claimed the partition, or the step was made before. */
export async function moveProgress(
  sql: Sql,
  { sink, topic, partition, epoch }: Claim,
  { from, to }: { readonly from: number | undefined; readonly to: number },
): Promise<void> {
  const { count } = await sql.run({
    text: `UPDATE rivulet_progress SET next_offset = $5, updated_at = now()
      WHERE sink = $1 AND topic = $2 AND partition = $3 AND epoch = $4 AND next_offset = $6`,
    values: [sink, topic, partition, epoch, to, from ?? -1],
  });
  if (count !== 1)
    throw new StreamError('TASK_MIGRATED', 'the rows of this partition are written by somebody else', {
      facts: { sink, topic, partition },
    });
}
