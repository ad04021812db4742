/** Writes to one side what the other side said: each event once, however often it is told. */
import { StreamError, hasCode, refusesValues, type Database, type Sql } from '../../index.ts';
import { compact } from '../../schemas/app/reader.ts';
import { syncOutcomes, type SyncCommand, type SyncResult } from '../../schemas/app/sync/command.ts';
import {
  claimStatement,
  deleteStatement,
  insertStatement,
  mapStatement,
  mappedStatement,
  noteStatement,
  notedStatement,
  updateStatement,
  upsertStatement,
  versionStatement,
} from './sync-statements.ts';

const dialect = 'postgresql';

type Written = Pick<SyncResult, 'outcome' | 'id' | 'version' | 'sqlState'>;

/**
 * Event, row and mapping in one transaction of the database. What it refuses is an outcome too; rejects with `DEPENDENCY_UNAVAILABLE` if it is
 * away, and with `DEPENDENCY_REFUSED` for what no other row would change: a missing table, a missing right.
 */
export async function carryOut(database: Database, command: SyncCommand): Promise<SyncResult> {
  const { eventId, mapId, side } = command;
  const result = await database
    .transaction((sql) => once(sql, command, () => write(sql, command)))
    .catch((error: unknown) => {
      const sqlState = refusedWith(error);
      if (sqlState === undefined) throw error;
      const refusal: Written = { outcome: 'refused', sqlState };
      return database.transaction((sql) => once(sql, command, () => Promise.resolve(refusal)));
    });
  return { eventId, mapId, side, ...result };
}

function refusedWith(error: unknown): string | undefined {
  if (!hasCode(error, 'DEPENDENCY_REFUSED')) return undefined;
  const { sqlState } = error.facts;
  return typeof sqlState === 'string' && refusesValues(sqlState) ? sqlState : undefined;
}

/** The event is claimed first: whoever comes second waits, and then finds what the first one did. */
async function once(sql: Sql, command: SyncCommand, work: () => Promise<Written>): Promise<Written> {
  const { count } = await sql.run(claimStatement(command, dialect));
  if (count === 0) return await noted(sql, command);
  const outcome = await work();
  await sql.run(noteStatement(command, outcome, dialect));
  return outcome;
}

async function noted(sql: Sql, command: SyncCommand): Promise<Written> {
  const [row] = (await sql.run(notedStatement(command, dialect))).rows;
  const outcome = syncOutcomes.find((word) => word === row?.['outcome']);
  if (row === undefined || outcome === undefined)
    throw new StreamError('DEPENDENCY_REFUSED', 'the table of processed events is not ours');
  const [id, version, sqlState] = [row['row_id'], row['row_version'], row['sql_state']];
  return compact({
    outcome,
    id: textOf(id),
    version: textOf(version) === undefined ? undefined : Number(version),
    sqlState: textOf(sqlState),
  });
}

function textOf(value: unknown): string | undefined {
  return value === null || value === undefined ? undefined : typeof value === 'string' ? value : JSON.stringify(value);
}

async function write(sql: Sql, command: SyncCommand): Promise<Written> {
  if (command.operation === 'insert') return await insert(sql, command);
  const { id } = command;
  if (id === undefined) throw new StreamError('RECORD_INVALID', 'a change of a row that is not known');
  const change = command.operation === 'update' ? updateStatement : deleteStatement;
  const { count } = await sql.run(change(command, id, dialect));
  return count > 0 ? { outcome: 'written', id } : await unchanged(sql, command, id);
}

async function unchanged(sql: Sql, command: SyncCommand, id: string): Promise<Written> {
  const [row] = (await sql.run(versionStatement(command, id, dialect))).rows;
  return row === undefined ? { outcome: 'missing' } : { outcome: 'stale', id, version: Number(row['version']) };
}

/** A pair that has a row here, or had one, keeps its id. */
async function insert(sql: Sql, command: SyncCommand): Promise<Written> {
  const known = command.id ?? textOf((await sql.run(mappedStatement(command, dialect))).rows[0]?.['id']);
  if (known !== undefined) {
    const { count } = await sql.run(upsertStatement(command, known, dialect));
    return count > 0 ? { outcome: 'written', id: known } : await unchanged(sql, command, known);
  }
  const id = textOf((await sql.run(insertStatement(command, dialect))).rows[0]?.['id']);
  if (id === undefined) throw new StreamError('DEPENDENCY_REFUSED', 'the database made a row without an id');
  await sql.run(mapStatement(command, id, dialect));
  return { outcome: 'written', id };
}
