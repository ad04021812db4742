/** A PostgreSQL database behind a pool of connections. */
import pg from 'pg';
import type { Logger } from '../../clock.ts';
import { StreamError } from '../../errors.ts';
import type { Database, Rows, Sql, Statement } from '../database.ts';

export interface PostgresOptions {
  /** `postgresql://user:password@host:port/database`. */
  readonly url: string;
  readonly logger: Logger;
  readonly connectionsMax?: number;
  /** The server ends a statement after this. */
  readonly statementTimeoutMs?: number;
  readonly connectTimeoutMs?: number;
}

const defaults = { connectionsMax: 10, statementTimeoutMs: 30_000, connectTimeoutMs: 5_000 } as const;

/** Classes and codes of errors that another try may get over: connection, resources, shutdown, conflicts between transactions. */
const passing = /^(08|53|57P|58)|^(40001|40P01|55P03|57014|25006)$/;

/** Connects when first used. */
export function postgresDatabase(options: PostgresOptions): Database {
  const { url, logger, connectionsMax, statementTimeoutMs, connectTimeoutMs } = { ...defaults, ...options };
  const pool = new pg.Pool({
    connectionString: url,
    max: connectionsMax,
    statement_timeout: statementTimeoutMs,
    // A server that hangs without closing the connection answers nothing at all.
    query_timeout: statementTimeoutMs + connectTimeoutMs,
    connectionTimeoutMillis: connectTimeoutMs,
    keepAlive: true,
    application_name: 'rivulet',
  });
  // Idle connections break when the server goes away; the next use finds out by itself.
  pool.on('error', (error) => logger.debug('an idle database connection broke', { error: error.message }));
  // One in use tells of it by this event too, even between two statements; whoever uses it meets it there.
  pool.on('connect', (client) => client.on('error', () => undefined));
  return {
    run: (statement) => runOn(pool, statement),
    transaction: (work) => transactionOn(pool, work),
    close: () => pool.end(),
  };
}

async function runOn(target: pg.Pool | pg.PoolClient, { text, values }: Statement): Promise<Rows> {
  try {
    const { rows, rowCount } = await target.query<Record<string, unknown>>(text, [...values]);
    return { rows, count: rowCount ?? 0 };
  } catch (error) {
    throw databaseError(error);
  }
}

async function transactionOn<T>(pool: pg.Pool, work: (sql: Sql) => Promise<T>): Promise<T> {
  const client = await pool.connect().catch((error: unknown) => {
    throw databaseError(error);
  });
  let isUsable = false;
  try {
    await runOn(client, { text: 'BEGIN', values: [] });
    try {
      const result = await work({ run: (statement) => runOn(client, statement) });
      await runOn(client, { text: 'COMMIT', values: [] });
      isUsable = true;
      return result;
    } catch (error) {
      isUsable = await runOn(client, { text: 'ROLLBACK', values: [] }).then(
        () => true,
        () => false,
      );
      throw error;
    }
  } finally {
    client.release(!isUsable);
  }
}

/** Without an SQL state the connection is at fault. Never the message of a refusal: it may quote values. */
function databaseError(error: unknown): StreamError {
  const sqlState = stateOf(error);
  const isPassing = sqlState === undefined || passing.test(sqlState);
  return isPassing
    ? new StreamError('DEPENDENCY_UNAVAILABLE', 'the database does not answer', { facts: { sqlState }, cause: error })
    : new StreamError('DEPENDENCY_REFUSED', `the database refuses a statement with ${sqlState}`, {
        facts: { sqlState, ...placeOf(error) },
      });
}

function stateOf(error: unknown): string | undefined {
  const code: unknown = error instanceof pg.DatabaseError ? error.code : undefined;
  return typeof code === 'string' ? code : undefined;
}

function placeOf(error: unknown): Readonly<Record<string, string | undefined>> {
  if (!(error instanceof pg.DatabaseError)) return {};
  const { table, column, constraint, routine } = error;
  return { table, column, constraint, routine };
}
