/** Shows topics as tables of a database: every partition by one process at a time, rows and progress in one transaction. */
import type { Clock, Logger, Random } from '../clock.ts';
import { StreamError } from '../errors.ts';
import type { Database } from './database.ts';
import type { Log } from './log.ts';
import { migrate, type Migration } from './migrations.ts';
import type { OutgoingRecord } from './outgoing-record.ts';
import { preparedWork } from './prepared-work.ts';
import { SharedWork } from './shared-work.ts';
import { parseShard, shardsOf } from './partition-shards.ts';
import { progressMigration } from './sink-progress.ts';
import type { SinkTable } from './sink-table.ts';
import { SinkTurn, type SinkCounts } from './sink-turn.ts';

export interface TableSinkOptions {
  /** Names the sink in its group, in metrics, and in the table of progress. Tables of one sink go on from where they are under this name. */
  readonly name: string;
  readonly log: Log;
  readonly database: Database;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** The group of all processes that share the work. */
  readonly groupId: string;
  readonly migrations: readonly Migration[];
  /** One for each topic. */
  readonly tables: readonly SinkTable[];
  /** Where records go that make no sense, or whose values the database refuses. */
  readonly deadLetters: {
    readonly topic: string;
    /** Resolves once the record is in the log. */
    readonly write: (record: OutgoingRecord) => Promise<unknown>;
  };
  /** Times of the group, for tests. */
  readonly sessionTimeoutMs?: number;
  readonly heartbeatIntervalMs?: number;
}

export interface TableSink {
  start(): void;
  close(): Promise<void>;
  readonly counts: SinkCounts;
  /** Of the partitions shown by this process. */
  lags(): readonly SinkLag[];
}

export interface SinkLag {
  readonly topic: string;
  readonly partition: number;
  readonly records: number;
  /** How long the oldest record that is not shown has waited, if any. */
  readonly seconds: number;
}

/** Until topics and database are there for the first time. */
const preparing = { retryMs: 2_000 } as const;

export function createTableSink(options: TableSinkOptions): TableSink {
  const counts: SinkCounts = { records: 0, transactions: 0, errors: 0, deadLetters: 0, isWaiting: false };
  const turns = new Map<string, SinkTurn>();

  const run = async (shard: string, signal: AbortSignal): Promise<void> => {
    const { topic, partition } = parseShard(shard);
    const table = options.tables.find((candidate) => candidate.topic === topic);
    if (table === undefined) return;
    const turn = new SinkTurn({ ...options, table, counts, at: { topic, partition } });
    turns.set(shard, turn);
    try {
      await turn.run(signal);
    } finally {
      if (turns.get(shard) === turn) turns.delete(shard);
    }
  };

  const work = preparedWork(async (signal) => {
    const shards = await prepared(options, counts, signal);
    return shards === undefined
      ? undefined
      : new SharedWork({ ...options, topics: options.tables.map(({ topic }) => topic), shards, run });
  });
  return { ...work, counts, lags: () => [...turns.values()].map((turn) => turn.lag()) };
}

/** Waits for database and topics, however long they are away; then what there is to do, or `undefined` if it was ended before. */
async function prepared(
  options: TableSinkOptions,
  counts: SinkCounts,
  signal: AbortSignal,
): Promise<readonly string[] | undefined> {
  const { name, database, clock, logger } = options;
  while (!signal.aborted) {
    try {
      const shards = await shardsOf(
        options.log,
        options.tables.map(({ topic }) => topic),
      );
      const applied = await migrate(database, [progressMigration, ...options.migrations]);
      if (applied.length > 0) logger.info('tables were migrated', { sink: name, applied });
      counts.isWaiting = false;
      return shards;
    } catch (error) {
      if (!(error instanceof StreamError)) throw error;
      counts.errors += 1;
      counts.isWaiting = true;
      logger.warn('a sink cannot begin yet', { sink: name, code: error.code, error: error.message, ...error.facts });
      await clock.sleep(preparing.retryMs, signal);
    }
  }
  return undefined;
}
