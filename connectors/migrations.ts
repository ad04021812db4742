/** Brings the tables of a database to what this version needs: each step once, in order, whichever process is first. */
import { StreamError } from '../errors.ts';
import type { Database, Sql } from './database.ts';

export interface Migration {
  /** Never changed once released. */
  readonly name: string;
  readonly statements: readonly string[];
}

/** Names the lock that all processes take; any constant of our own. */
const lockId = 7_268_540;

/** Applies what is missing, in one transaction. Rejects with `DEPENDENCY_REFUSED` if the database does not allow it. */
export async function migrate(database: Database, migrations: readonly Migration[]): Promise<readonly string[]> {
  return await database.transaction(async (sql) => {
    await sql.run({ text: 'SELECT pg_advisory_xact_lock($1)', values: [lockId] });
    await sql.run({
      text: `CREATE TABLE IF NOT EXISTS rivulet_migrations (
        name text PRIMARY KEY,
        applied_at timestamptz NOT NULL DEFAULT now()
      )`,
      values: [],
    });
    const applied = new Set(
      (await sql.run({ text: 'SELECT name FROM rivulet_migrations', values: [] })).rows.map(nameOf),
    );
    const missing = migrations.filter(({ name }) => !applied.has(name));
    for (const migration of missing) await apply(sql, migration);
    return missing.map(({ name }) => name);
  });
}

async function apply(sql: Sql, { name, statements }: Migration): Promise<void> {
  for (const text of statements) await sql.run({ text, values: [] });
  await sql.run({ text: 'INSERT INTO rivulet_migrations (name) VALUES ($1)', values: [name] });
}

function nameOf({ name }: Readonly<Record<string, unknown>>): string {
  if (typeof name === 'string') return name;
  throw new StreamError('DEPENDENCY_REFUSED', 'the table of migrations is not ours');
}
