/** A table that triggers fill, with ascending ids, as a source: rows in order of ids, none passed by that is committed late. */
import { StreamError } from '../errors.ts';
import type { Database } from './database.ts';
import { migrate, type Migration } from './migrations.ts';
import type { OutgoingRecord } from './outgoing-record.ts';
import type { PollContext, PollPage, PollSource, PollState } from './poll-source.ts';

export interface OutboxOptions {
  readonly name: string;
  readonly database: Database;
  /** Make the table and its triggers. */
  readonly migrations: readonly Migration[];
  /** Our own name, not quoted. */
  readonly table: string;
  /**
   * Ascending, from a sequence without CACHE, given by a trigger: whoever has changed a row has a transaction number before the row that tells of it gets
   * its id, and that is what late ones are known by.
   */
  readonly idColumn: string;
  /** The row as records; it may be one for the dead letters. */
  readonly toRecords: (row: OutboxRow, nowMs: number) => readonly OutgoingRecord[];
  /** Rows that are told are deleted once they are so old. Absent: never. */
  readonly pruning?: { readonly timeColumn: string; readonly afterMs: number } | undefined;
}

export type OutboxRow = Readonly<Record<string, unknown>>;

/** Where the poller stands. Ids and transactions are numbers of PostgreSQL, as text beyond 2^53. */
interface Position {
  /** Every row up to this one is told. */
  readonly id: string;
  /** Ids up to `id` are complete, however many are missing, once all transactions before `before` have ended. */
  readonly gap?: { readonly id: string; readonly before: string };
}

interface Row {
  readonly id: bigint;
  readonly row: OutboxRow;
}

/** Rows and the snapshot in which they were read: its oldest running transaction, and the first that had not begun. */
interface Found {
  readonly rows: readonly Row[];
  readonly oldest: bigint;
  readonly next: bigint;
}

const positionKey = 'position';
/** Rows of one page. */
const rowsMax = 500;
/** Of one statement, so that it is short; and statements of one poll. */
const pruned = { rowsMax: 1_000, statementsMax: 10 } as const;

/** To be run by `createPoller`. Each poll goes on behind the last row that was told, up to the first that may still come. */
export function outboxSource(options: OutboxOptions): PollSource {
  let isMigrated = false;
  return {
    name: options.name,
    poll: async function* (state, context) {
      if (!isMigrated) await migrate(options.database, options.migrations);
      isMigrated = true;
      // What the log has: it may not be as far yet as this poll comes.
      const { id } = positionOf(state);
      yield* pages(options, state, context);
      await prune(options, id);
    },
  };
}

async function* pages(options: OutboxOptions, state: PollState, context: PollContext): AsyncGenerator<PollPage> {
  for (let isFull = true; isFull && !context.signal.aborted;) {
    const position = positionOf(state);
    const found = await read(options, position);
    const told = complete(found.rows, position, found.oldest);
    const text = JSON.stringify(moved(position, told, found));
    if (text === state.get(positionKey)) return;
    const records = told.flatMap(({ row }) => options.toRecords(row, context.nowMs));
    yield { records, state: new Map([[positionKey, text]]) };
    isFull = told.length === rowsMax;
  }
}

/** Whoever was given an id that is missing has begun: when all who had begun have ended, a later look sees what they left. */
function moved(position: Position, told: readonly Row[], { rows, next }: Found): Position {
  const last = told.at(-1)?.id ?? BigInt(position.id);
  const behind = rows.at(-1)?.id ?? last;
  if (behind === last) return { id: String(last) };
  return { id: String(last), gap: openGap(position, last) ?? { id: String(behind), before: String(next) } };
}

/** The gap that is waited for already, if it still lies ahead. */
function openGap({ gap }: Position, last: bigint): Position['gap'] {
  return gap !== undefined && BigInt(gap.id) > last ? gap : undefined;
}

/** Rows up to the first that is missing, unless nobody can commit it any more. */
function complete(rows: readonly Row[], { id, gap }: Position, oldest: bigint): readonly Row[] {
  const settled = gap !== undefined && oldest >= BigInt(gap.before) ? BigInt(gap.id) : BigInt(0);
  let expected = BigInt(id) + 1n;
  const end = rows.findIndex((row) => {
    const isNext = row.id === expected || row.id <= settled;
    expected = row.id + 1n;
    return !isNext;
  });
  return end < 0 ? rows : rows.slice(0, end);
}

function positionOf(state: PollState): Position {
  const text = state.get(positionKey);
  return text === undefined ? { id: '0' } : (JSON.parse(text) as Position);
}

async function read({ database, table, idColumn }: OutboxOptions, { id }: Position): Promise<Found> {
  const { rows } = await database.run({
    text: `SELECT pg_snapshot_xmin(s.taken)::text AS oldest, pg_snapshot_xmax(s.taken)::text AS next, t.*
             FROM (SELECT pg_current_snapshot() AS taken) s
             LEFT JOIN LATERAL (SELECT * FROM ${table} WHERE ${idColumn} > $1 ORDER BY ${idColumn} LIMIT ${rowsMax}) t ON true
            ORDER BY t.${idColumn}`,
    values: [id],
  });
  const [first] = rows;
  const found = rows.filter((row) => row[idColumn] !== null);
  return {
    rows: found.map((row) => ({ id: numberOf(row[idColumn]), row })),
    oldest: numberOf(first?.['oldest']),
    next: numberOf(first?.['next']),
  };
}

/** In order of ids, as they were noted: what is young keeps what lies behind it for a while, and nothing is searched for. */
async function prune({ database, table, idColumn, pruning }: OutboxOptions, toldId: string): Promise<void> {
  if (pruning === undefined) return;
  const { timeColumn, afterMs } = pruning;
  const text = `DELETE FROM ${table} WHERE ${idColumn} IN (
    SELECT ${idColumn} FROM (SELECT ${idColumn}, ${timeColumn} FROM ${table} WHERE ${idColumn} <= $1 ORDER BY ${idColumn} LIMIT ${pruned.rowsMax}) first
     WHERE ${timeColumn} < now() - $2 * interval '1 millisecond')`;
  for (let statements = 0; statements < pruned.statementsMax; statements += 1) {
    const { count } = await database.run({ text, values: [toldId, afterMs] });
    if (count < pruned.rowsMax) return;
  }
}

/** The driver gives numbers of 64 bits as text. */
function numberOf(value: unknown): bigint {
  if (typeof value === 'string' || typeof value === 'number') return BigInt(value);
  throw new StreamError('DEPENDENCY_REFUSED', 'a table that is polled has ids that are no numbers');
}
