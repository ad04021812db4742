/** Changes of rows in the form of Debezium's events without schemas, so that one decoder reads both. */
import type { Header } from '../../schemas/record.ts';
import type { Column, Relation, TextRow, TextValue } from './pgoutput.ts';

/** What a change event is made of. */
export interface ChangeSource {
  /** Logical name of the database: the first part of what events are named. */
  readonly name: string;
  readonly database: string;
  readonly transactionId: number;
  readonly lsn: bigint;
  /** When the transaction was committed, or the snapshot taken. */
  readonly commitMicros: number;
  readonly isSnapshot: boolean;
}

export interface ChangeRecord {
  readonly key: Uint8Array;
  /** Absent: a tombstone, after the deletion of the key. */
  readonly value: Uint8Array | undefined;
  readonly headers: readonly Header[];
}

export type RowChange =
  | { readonly op: 'r' | 'c'; readonly after: TextRow }
  | { readonly op: 'u'; readonly before?: TextRow; readonly after: TextRow }
  | { readonly op: 'd'; readonly before: TextRow };

/** What Debezium writes for a value that was not sent. */
const unavailable = '__debezium_unavailable_value';
const dayMicros = 86_400_000_000;

/** Object ids of PostgreSQL's built-in types whose JSON is not their text. */
const converters: ReadonlyMap<number, (text: string) => unknown> = new Map<number, (text: string) => unknown>([
  [16, (text) => text === 't' || text === 'true'],
  [20, (text) => exactNumber(text)],
  [21, Number],
  [23, Number],
  [700, finiteNumber],
  [701, finiteNumber],
  [1082, (text) => daysOf(text) ?? text],
  [1114, (text) => microsOf(text) ?? text],
  [1184, (text) => text.replace(' ', 'T').replace(/\+00$/, 'Z')],
]);

function exactNumber(text: string): number | string {
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : text;
}

function finiteNumber(text: string): number | string {
  const number = Number(text);
  return Number.isFinite(number) ? number : text;
}

/** Days since 1970-01-01 of a date in the years 0001 to 9999; `undefined` for others, and for `infinity`. Years begin in March: a leap day is the last. */
function daysOf(text: string): number | undefined {
  const [, year, month, day] = (/^(\d{4})-(\d\d)-(\d\d)$/.exec(text) ?? []).map(Number);
  if (year === undefined || month === undefined || day === undefined) return undefined;
  const isEarly = month <= 2;
  const y = isEarly ? year - 1 : year;
  const dayOfYear = Math.floor((153 * (month + (isEarly ? 9 : -3)) + 2) / 5) + day - 1;
  return y * 365 + Math.floor(y / 4) - Math.floor(y / 100) + Math.floor(y / 400) + dayOfYear - 719_468;
}

/** Microseconds of a time without zone, taken as UTC. */
function microsOf(text: string): number | undefined {
  const [, date = '', hours, minutes, seconds, fraction = ''] =
    /^([\d-]+) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?$/.exec(text) ?? [];
  const days = daysOf(date);
  if (days === undefined) return undefined;
  const ofDay = (Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds);
  return days * dayMicros + ofDay * 1_000_000 + Number(fraction.padEnd(6, '0'));
}

function jsonValue({ typeId }: Column, value: TextValue): unknown {
  if (value === null) return null;
  return value === undefined ? unavailable : (converters.get(typeId)?.(value) ?? value);
}

function rowObject(columns: readonly Column[], row: TextRow): Readonly<Record<string, unknown>> {
  return Object.fromEntries(columns.map((column, index) => [column.name, jsonValue(column, row[index])]));
}

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value), 'utf8');

function keyOf({ columns }: Relation, row: TextRow): Readonly<Record<string, unknown>> {
  const all = rowObject(columns, row);
  return Object.fromEntries(columns.filter(({ isKey }) => isKey).map(({ name }) => [name, all[name]]));
}

function envelope(relation: Relation, change: RowChange, source: ChangeSource): Buffer {
  const { schema, table, columns } = relation;
  const ms = Math.floor(source.commitMicros / 1_000);
  return json({
    // Of a row before its change only the key is known, unless the table says REPLICA IDENTITY FULL.
    before: change.op === 'd' ? keyOf(relation, change.before) : null,
    after: change.op === 'd' ? null : rowObject(columns, change.after),
    source: {
      connector: 'rivulet',
      name: source.name,
      ts_ms: ms,
      ts_us: source.commitMicros,
      snapshot: source.isSnapshot ? 'true' : 'false',
      db: source.database,
      schema,
      table,
      txId: source.transactionId,
      lsn: exactNumber(String(source.lsn)),
    },
    op: change.op,
    ts_ms: ms,
    transaction: null,
  });
}

const header = (name: string, value: unknown): Header => ({ key: name, value: json(value) });

/** The records of one change: a deletion is followed by its tombstone, a changed key is a deletion and a creation that name each other. */
export function recordsOf(relation: Relation, change: RowChange, source: ChangeSource): readonly ChangeRecord[] {
  const record = (row: TextRow, part: RowChange, headers: readonly Header[] = []): ChangeRecord => ({
    key: json(keyOf(relation, row)),
    value: envelope(relation, part, source),
    headers,
  });
  const removal = (row: TextRow, headers: readonly Header[] = []): readonly ChangeRecord[] => {
    const deletion = record(row, { op: 'd', before: row }, headers);
    return [deletion, { key: deletion.key, value: undefined, headers: [] }];
  };
  if (change.op === 'd') return removal(change.before);
  const before = change.op === 'u' ? change.before : undefined;
  if (before === undefined) return [record(change.after, change)];
  const [oldKey, newKey] = [keyOf(relation, before), keyOf(relation, change.after)];
  if (JSON.stringify(oldKey) === JSON.stringify(newKey)) return [record(change.after, change)];
  return [
    ...removal(before, [header('__debezium.newkey', newKey)]),
    record(change.after, { op: 'c', after: change.after }, [header('__debezium.oldkey', oldKey)]),
  ];
}
