/** What is said to a database to keep its rows in sync, in the dialects of both sides. */
import type { Statement } from '../../index.ts';
import type { SyncCommand } from '../../schemas/app/sync/command.ts';
import { entities, otherSide, stampColumns, syncSource, type Side } from '../../schemas/app/sync/entities.ts';

export type Dialect = 'postgresql' | 'mysql';

interface Column {
  readonly name: string;
  readonly value: unknown;
}

/** Joins text and parameters; each dialect numbers parameters in its own way. */
class StatementText {
  readonly #dialect: Dialect;
  readonly #values: unknown[] = [];

  constructor(dialect: Dialect) {
    this.#dialect = dialect;
  }

  parameter(value: unknown): string {
    this.#values.push(value);
    return this.#dialect === 'mysql' ? '?' : `$${String(this.#values.length)}`;
  }

  done(text: string): Statement {
    return { text, values: this.#values };
  }
}

const now = (dialect: Dialect): string => (dialect === 'mysql' ? 'now(6)' : 'now()');

function tableOf({ entity, side }: SyncCommand): string {
  return entities[entity].tables[side];
}

/** What is written, under the names of this side. */
function columnsOf({ entity, side, values }: SyncCommand): readonly Column[] {
  return entities[entity].fields.flatMap(({ name, columns }) => {
    const value = values[name];
    return value === undefined ? [] : [{ name: columns[side], value }];
  });
}

/** By which everybody knows the write again, on insertion and on update. */
function stampsOf({ eventId, version }: SyncCommand): readonly Column[] {
  return [
    { name: stampColumns.source, value: syncSource },
    { name: stampColumns.eventId, value: eventId },
    { name: stampColumns.version, value: version },
  ];
}

/** A new row; the database gives it its id. */
export function insertStatement(command: SyncCommand, dialect: Dialect): Statement {
  const text = new StatementText(dialect);
  const columns = insertedColumns(command);
  const insert = insertText(command, columns, text, dialect);
  return text.done(dialect === 'mysql' ? insert : `${insert} RETURNING id`);
}

/** A row under an id that it had, or has: whatever is older is overwritten. */
export function upsertStatement(command: SyncCommand, id: string, dialect: Dialect): Statement {
  const text = new StatementText(dialect);
  const columns = [{ name: 'id', value: id }, ...insertedColumns(command)];
  const names = [...columnsOf(command), ...stampsOf(command)].map(({ name }) => name);
  const insert = insertText(command, columns, text, dialect);
  const { version, updatedAt } = stampColumns;
  const table = tableOf(command);
  if (dialect === 'postgresql') {
    const changes = [...names, updatedAt].map((name) => `${name} = excluded.${name}`);
    return text.done(
      `${insert} ON CONFLICT (id) DO UPDATE SET ${changes.join(', ')} ` +
        `WHERE coalesce(${table}.${version}, 0) < excluded.${version} RETURNING id`,
    );
  }
  // MySQL assigns from left to right: the version that all are compared with comes last.
  const ordered = [...names.filter((name) => name !== version), updatedAt, version];
  const isNewer = `coalesce(${table}.${version}, 0) < given.${version}`;
  const changes = ordered.map((name) => `${name} = if(${isNewer}, given.${name}, ${table}.${name})`);
  return text.done(`${insert} AS given ON DUPLICATE KEY UPDATE ${changes.join(', ')}`);
}

function insertedColumns(command: SyncCommand): readonly Column[] {
  const mark = { name: stampColumns.mapId, value: command.mapId };
  return [...columnsOf(command), ...stampsOf(command), mark];
}

function insertText(command: SyncCommand, columns: readonly Column[], text: StatementText, dialect: Dialect): string {
  const names = [...columns.map(({ name }) => name), stampColumns.updatedAt];
  const values = [...columns.map(({ value }) => text.parameter(value)), now(dialect)];
  // An identity column takes ids of ours as well.
  const how = dialect === 'postgresql' ? ' OVERRIDING SYSTEM VALUE' : '';
  return `INSERT INTO ${tableOf(command)} (${names.join(', ')})${how} VALUES (${values.join(', ')})`;
}

/** Changes what the command names, unless the row has its version or a later one. */
export function updateStatement(command: SyncCommand, id: string, dialect: Dialect): Statement {
  const text = new StatementText(dialect);
  const changes = [...columnsOf(command), ...stampsOf(command)].map(
    ({ name, value }) => `${name} = ${text.parameter(value)}`,
  );
  changes.push(`${stampColumns.updatedAt} = ${now(dialect)}`);
  return text.done(`UPDATE ${tableOf(command)} SET ${changes.join(', ')} WHERE ${isOlder(command, id, text)}`);
}

export function deleteStatement(command: SyncCommand, id: string, dialect: Dialect): Statement {
  const text = new StatementText(dialect);
  return text.done(`DELETE FROM ${tableOf(command)} WHERE ${isOlder(command, id, text)}`);
}

function isOlder({ version }: SyncCommand, id: string, text: StatementText): string {
  return `id = ${text.parameter(id)} AND coalesce(${stampColumns.version}, 0) < ${text.parameter(version)}`;
}

/** The version of a row that was not changed, if there is one. */
export function versionStatement(command: SyncCommand, id: string, dialect: Dialect): Statement {
  const text = new StatementText(dialect);
  return text.done(
    `SELECT coalesce(${stampColumns.version}, 0) AS version FROM ${tableOf(command)} WHERE id = ${text.parameter(id)}`,
  );
}

const idColumns: Readonly<Record<Side, string>> = { legacy: 'legacy_id', revamp: 'revamp_id' };

/** The row of this side that belongs to one of the other. */
export function mappedStatement({ entity, side, otherId }: SyncCommand, dialect: Dialect): Statement {
  const text = new StatementText(dialect);
  return text.done(
    `SELECT ${idColumns[side]} AS id FROM entity_mappings WHERE entity_type = ${text.parameter(entity)} ` +
      `AND ${idColumns[otherSide(side)]} = ${text.parameter(otherId)}`,
  );
}

export function mapStatement({ entity, side, otherId }: SyncCommand, id: string, dialect: Dialect): Statement {
  const text = new StatementText(dialect);
  const values = [entity, id, otherId].map((value) => text.parameter(value));
  return text.done(
    `INSERT INTO entity_mappings (entity_type, ${idColumns[side]}, ${idColumns[otherSide(side)]}) ` +
      `VALUES (${values.join(', ')})`,
  );
}

/** Changes one row iff the event was not dealt with before; waits for whoever is about to. */
export function claimStatement({ eventId }: SyncCommand, dialect: Dialect): Statement {
  const text = new StatementText(dialect);
  const insert = `INSERT ${dialect === 'mysql' ? 'IGNORE ' : ''}INTO processed_events (event_id)`;
  const otherwise = dialect === 'mysql' ? '' : ' ON CONFLICT (event_id) DO NOTHING';
  return text.done(`${insert} VALUES (${text.parameter(eventId)})${otherwise}`);
}

export interface Outcome {
  readonly outcome: string;
  readonly id?: string;
  readonly version?: number;
  readonly sqlState?: string;
}

export function noteStatement({ eventId }: SyncCommand, outcome: Outcome, dialect: Dialect): Statement {
  const text = new StatementText(dialect);
  const { outcome: word, id = null, version = null, sqlState = null } = outcome;
  const changes = Object.entries({ outcome: word, row_id: id, row_version: version, sql_state: sqlState }).map(
    ([name, value]) => `${name} = ${text.parameter(value)}`,
  );
  return text.done(`UPDATE processed_events SET ${changes.join(', ')} WHERE event_id = ${text.parameter(eventId)}`);
}

export function notedStatement({ eventId }: SyncCommand, dialect: Dialect): Statement {
  const text = new StatementText(dialect);
  return text.done(
    `SELECT outcome, row_id, row_version, sql_state FROM processed_events WHERE event_id = ${text.parameter(eventId)}`,
  );
}
