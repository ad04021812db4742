/** All rows of a publication as of one moment, from which a replication slot goes on without a gap. */
import pg from 'pg';
import { StreamError } from '../../errors.ts';
import type { Relation, TextRow } from './pgoutput.ts';
import { captureClient } from './replication-stream.ts';

/** Rows fetched at a time. */
const pageRows = 1_000;

export interface SnapshotPage {
  readonly relation: Relation;
  readonly rows: readonly TextRow[];
}

export interface SnapshotOptions {
  readonly connectionString: string;
  /** As the creation of the slot named it; it is there as long as that connection does nothing else. */
  readonly snapshot: string;
  readonly publication: string;
  /** Rows come in order of tables and keys, those behind this one only. */
  readonly after?: RowPosition | 'nothing';
}

/** A row by its table, as `schema.table`, and its key. */
export interface RowPosition {
  readonly table: string;
  readonly key: readonly string[];
}

export const tableName = ({ schema, table }: Relation): string => `${schema}.${table}`;

/** Makes a slot that goes with its connection, `client`, and all rows as of where it begins for others to read. */
export async function exportSnapshot(
  client: pg.Client,
  slot: string,
): Promise<{ readonly lsn: bigint; readonly snapshot: string }> {
  const { rows } = await client.query<{ consistent_point: string; snapshot_name: string }>(
    `CREATE_REPLICATION_SLOT ${pg.escapeIdentifier(slot)} TEMPORARY LOGICAL pgoutput (SNAPSHOT 'export')`,
  );
  const [row] = rows;
  if (row === undefined) throw new StreamError('DEPENDENCY_REFUSED', 'the server made no slot');
  return { lsn: lsnOf(row.consistent_point), snapshot: row.snapshot_name };
}

/** From text as `16/B374D848`. */
function lsnOf(text: string): bigint {
  const [high = '0', low = '0'] = text.split('/');
  return (BigInt(`0x${high}`) << 32n) + BigInt(`0x${low}`);
}

/** Reads page by page; also the moment in microseconds. */
export async function* readSnapshot(
  options: SnapshotOptions,
): AsyncGenerator<SnapshotPage & { readonly atMicros: number }> {
  const client = captureClient(options.connectionString);
  await client.connect();
  try {
    await client.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    await client.query(`SET TRANSACTION SNAPSHOT ${pg.escapeLiteral(options.snapshot)}`);
    const micros = await client.query<{ at: string }>('SELECT (extract(epoch FROM now()) * 1000000)::bigint AS at');
    const atMicros = Number(micros.rows[0]?.at);
    for (const relation of await relationsOf(client, options.publication)) {
      const order = orderOf(relation, options.after);
      if (order === undefined) continue;
      for await (const rows of pagesOf(client, relation, order)) yield { relation, rows, atMicros };
    }
    await client.query('COMMIT');
  } finally {
    await client.end();
  }
}

async function relationsOf(client: pg.Client, publication: string): Promise<readonly Relation[]> {
  const { rows } = await client.query<{ schema: string; table: string; columns: Relation['columns'] }>(
    `SELECT t.schemaname AS schema, t.tablename AS table,
            json_agg(json_build_object('name', a.attname, 'typeId', a.atttypid::int,
                                       'isKey', coalesce(a.attnum = ANY (i.indkey), false)) ORDER BY a.attnum) AS columns
       FROM pg_publication_tables t
       JOIN pg_class c ON c.relname = t.tablename AND c.relnamespace = quote_ident(t.schemaname)::regnamespace
       JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attname = ANY (t.attnames)
       LEFT JOIN pg_index i ON i.indrelid = c.oid AND i.indisprimary
      WHERE t.pubname = $1 GROUP BY 1, 2 ORDER BY 1, 2`,
    [publication],
  );
  return rows.map((row) => ({ id: 0, ...row }));
}

/** What comes behind the list of tables in the query; `undefined` for a table that was passed. */
function orderOf(relation: Relation, after: SnapshotOptions['after']): string | undefined {
  if (after === undefined) return '';
  const keys = relation.columns.filter(({ isKey }) => isKey).map(({ name }) => pg.escapeIdentifier(name));
  const order = `ORDER BY ${keys.join(', ')}`;
  if (after === 'nothing' || after.table < tableName(relation)) return order;
  if (after.table > tableName(relation)) return undefined;
  const values = after.key.map((value) => pg.escapeLiteral(value));
  return `WHERE (${keys.join(', ')}) > (${values.join(', ')}) ${order}`;
}

async function* pagesOf(
  client: pg.Client,
  { schema, table, columns }: Relation,
  order: string,
): AsyncGenerator<readonly TextRow[]> {
  const list = columns.map(({ name }) => `${pg.escapeIdentifier(name)}::text`).join(', ');
  const from = `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(table)}`;
  await client.query(`DECLARE page NO SCROLL CURSOR FOR SELECT ${list} FROM ${from} ${order}`);
  for (;;) {
    const { rows } = await client.query<(string | null)[]>({
      text: `FETCH ${String(pageRows)} FROM page`,
      rowMode: 'array',
    });
    if (rows.length === 0) break;
    yield rows;
  }
  await client.query('CLOSE page');
}
