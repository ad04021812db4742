/** Tells system A's table of customers what was merged, unless the row says by now what the merge does not know. */
import { hasCode, refusesValues, type Database } from '../../index.ts';
import {
  changesOf,
  type FindRow,
  type WriteBack,
  type WriteBackOutcome,
} from '../../processors/app/customer/write-back.ts';
import { isObject, ownValue } from '../../schemas/app/reader.ts';

/** Ends a transaction that would change nothing, and so tell everybody of a change that is none. */
class NothingChanges extends Error {}

/**
 * The row is compared and changed under one lock, under which `find` is asked as well. Rejects with `DEPENDENCY_UNAVAILABLE` if the database is away, and with `DEPENDENCY_REFUSED` for
 * what it does not accept.
 */
export async function writeBackToA(database: Database, writeBack: WriteBack, find: FindRow): Promise<WriteBackOutcome> {
  const { id } = writeBack;
  try {
    return await database.transaction(async (sql) => {
      const found = await sql.run({
        text: 'SELECT to_jsonb(c) AS row FROM customers_a AS c WHERE id = $1 FOR UPDATE',
        values: [id],
      });
      const row = found.rows[0]?.['row'];
      if (!isObject(row)) return 'missing';
      const wanted = await changesOf(writeBack, row, find);
      if (typeof wanted === 'string') return wanted;
      const columns = Object.entries(wanted);
      // Of a closed list of names, none of which needs to be escaped.
      const changes = columns.map(([name], index) => `"${name}" = $${String(index + 2)}`).join(', ');
      const changed = await sql.run({
        text: `UPDATE customers_a AS c SET ${changes} WHERE id = $1 RETURNING to_jsonb(c) AS row`,
        values: [id, ...columns.map(([, value]) => value)],
      });
      const now = changed.rows[0]?.['row'];
      if (!isObject(now) || columns.every(([name]) => ownValue(now, name) === ownValue(row, name)))
        throw new NothingChanges();
      return 'written';
    });
  } catch (error) {
    if (error instanceof NothingChanges) return 'kept';
    throw error;
  }
}

/** Whether the database refuses these values, or a trigger does, rather than who writes them. */
export function refusesRow(error: unknown): boolean {
  if (!hasCode(error, 'DEPENDENCY_REFUSED')) return false;
  const { sqlState } = error.facts;
  return refusesValues(sqlState) || (typeof sqlState === 'string' && /^(P0|44)/.test(sqlState));
}
