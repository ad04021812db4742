/** Where history comes from: a file, or a table of a PostgreSQL database. Each may be gone through several times. */
import type { Database, Sql } from '../connectors/database.ts';
import { StreamError } from '../errors.ts';
import { csvRows, jsonRows, textRow, type Row } from './history-rows.ts';

export interface HistorySource {
  /** In order, one row at a time: the next one is read when `visit` has resolved. */
  each(visit: (row: Row) => Promise<void> | void): Promise<void>;
}

export interface HistoryPorts {
  /** The text of a file, piece by piece. */
  readonly openFile: (path: string) => AsyncIterable<string>;
  readonly database: Database | undefined;
}

const fetchedRows = 1_000;
const tableForm = /^table:((?:[A-Za-z_][A-Za-z0-9_]*\.)?[A-Za-z_][A-Za-z0-9_]*)$/;
const rowsOf = { csv: csvRows, jsonl: jsonRows, ndjson: jsonRows };

/** `….csv`, `….jsonl`, `….ndjson` or `table:schema.name`; `undefined` for anything else. `order`: the columns by which a table is read. */
export function historySource(
  name: string,
  order: readonly string[],
  { openFile, database }: HistoryPorts,
): HistorySource | undefined {
  const table = tableForm.exec(name)?.[1];
  if (table !== undefined) return { each: (visit) => eachOfTable(database, { table, order }, visit) };
  const extension = /\.(csv|jsonl|ndjson)$/.exec(name)?.[1] as keyof typeof rowsOf | undefined;
  if (extension === undefined) return undefined;
  return {
    each: async (visit) => {
      for await (const row of rowsOf[extension](readable(openFile(name), name))) await visit(row);
    },
  };
}

async function* readable(chunks: AsyncIterable<string>, name: string): AsyncGenerator<string> {
  try {
    yield* chunks;
  } catch (cause) {
    throw new StreamError('CONFIG_INVALID', `${name} cannot be read`, { cause });
  }
}

/** One snapshot, some rows at a time. */
async function eachOfTable(
  database: Database | undefined,
  { table, order }: { readonly table: string; readonly order: readonly string[] },
  visit: (row: Row) => Promise<void> | void,
): Promise<void> {
  if (database === undefined)
    throw new StreamError('CONFIG_INVALID', 'set HISTORY_POSTGRES_URL, or POSTGRES_URL, to read from a table');
  await database.transaction(async (sql) => {
    await openCursor(sql, table, order);
    let line = 0;
    while (true) {
      const { rows } = await sql.run({ text: `FETCH ${fetchedRows} FROM history`, values: [] });
      if (rows.length === 0) return;
      for (const { fields } of rows) {
        line += 1;
        // Made by the query: an object of texts and nulls.
        await visit(textRow(line, fields as Readonly<Record<string, unknown>>));
      }
    }
  });
}

/** Every column as the text that the database writes: digits stay as they are, instants have all their microseconds. */
async function openCursor(sql: Sql, table: string, order: readonly string[]): Promise<void> {
  const quoted = table
    .split('.')
    .map((part) => `"${part}"`)
    .join('.');
  const texts = '(SELECT jsonb_object_agg(key, value) FROM jsonb_each_text(to_jsonb(source)))';
  const by = order.map((column) => `source."${column}"`).join(', ');
  await sql.run({ text: `SET LOCAL TIME ZONE 'UTC'`, values: [] });
  const query = `SELECT ${texts} AS fields FROM ${quoted} AS source ORDER BY ${by}`;
  await sql.run({ text: `DECLARE history NO SCROLL CURSOR FOR ${query}`, values: [] });
}
