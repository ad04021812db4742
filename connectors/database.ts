/** The port to a relational database: statements with parameters, inside transactions. */

export interface Statement {
  readonly text: string;
  readonly values: readonly unknown[];
}

export interface Rows {
  readonly rows: readonly Readonly<Record<string, unknown>>[];
  /** Rows that the statement changed, or returned. */
  readonly count: number;
}

export interface Sql {
  run(statement: Statement): Promise<Rows>;
}

/**
 * Every method rejects with `DEPENDENCY_UNAVAILABLE` if the database is away, overloaded, or gave up on a conflict: the same may be tried again; with
 * `DEPENDENCY_REFUSED` (fact `sqlState`) for what it does not accept.
 */
export interface Database extends Sql {
  /** All of `work`, or nothing. If the connection breaks at the end, nobody knows which; then it rejects with `DEPENDENCY_UNAVAILABLE`. */
  transaction<T>(work: (sql: Sql) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

/** Whether the database refused values rather than the statement: data exceptions and violated constraints. */
export function refusesValues(sqlState: unknown): boolean {
  return typeof sqlState === 'string' && /^(22|23)/.test(sqlState);
}
