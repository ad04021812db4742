/** A file of SQLite that others write, as something to be asked. */
import { access } from 'node:fs/promises';
import Sqlite from 'libsql';
import type { Rows, Sql, Statement } from '../connectors/database.ts';
import { StreamError } from '../errors.ts';

/** The library waits on the thread of everything else: whoever is locked out tries again later. */
const lockWaitMs = 50;
/** Results that another try cannot change; the rest (busy, locked, cannot open, I/O) may pass. */
const lasting = /^SQLITE_(ERROR|NOTADB|CORRUPT|SCHEMA|MISMATCH|RANGE|AUTH|PERM|TOOBIG)/;

/** Opened for each statement, so that a file that was moved away or replaced is noticed. A statement blocks the process: ask for little at a time. */
export function sqliteFile(path: string): Sql {
  return {
    run: async (statement) => {
      // The library would make the file.
      await access(path).catch((cause: unknown) => {
        throw new StreamError('DEPENDENCY_UNAVAILABLE', 'the database file cannot be read', { cause });
      });
      return ask(path, statement);
    },
  };
}

function ask(path: string, { text, values }: Statement): Rows {
  let file: Sqlite.Database | undefined;
  try {
    file = new Sqlite(path, { timeout: lockWaitMs });
    const rows = file.prepare(text).all(...values) as Record<string, unknown>[];
    return { rows, count: rows.length };
  } catch (error) {
    throw sqliteError(error);
  } finally {
    file?.close();
  }
}

function sqliteError(error: unknown): StreamError {
  const code: unknown = (error as { readonly code?: unknown }).code;
  return typeof code === 'string' && lasting.test(code)
    ? new StreamError('DEPENDENCY_REFUSED', `the database file refuses a statement with ${code}`)
    : new StreamError('DEPENDENCY_UNAVAILABLE', 'the database file does not answer', { cause: error });
}
