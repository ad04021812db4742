/** All rows of a publication as of one moment, from which a replication slot goes on without a gap. */
import pg from 'pg';
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
    for (const relation of await relationsOf(client, options.publication))
      for await (const rows of pagesOf(client, relation)) yield { relation, rows, atMicros };
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

async function* pagesOf(client: pg.Client, { schema, table, columns }: Relation): AsyncGenerator<readonly TextRow[]> {
  const list = columns.map(({ name }) => `${pg.escapeIdentifier(name)}::text`).join(', ');
  const from = `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(table)}`;
  await client.query(`DECLARE page NO SCROLL CURSOR FOR SELECT ${list} FROM ${from}`);
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
