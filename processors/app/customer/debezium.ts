/** Debezium's change events: envelopes and flattened rows. */
import { compact, isObject, ownObject, ownValue } from '../../../schemas/app/reader.ts';
import type { ChangeOp, CustomerChange } from '../../../schemas/app/customer/change.ts';
import { sourceRef } from '../../../schemas/app/customer/fields.ts';
import type { Version } from '../../../schemas/app/customer/version.ts';
import {
  agreedId,
  headerText,
  heldBack,
  parsedJson,
  readKey,
  type ChangeContext,
  type DecodeResult,
  type SkipReason,
} from './change-input.ts';
import { readRow, type Row } from './columns.ts';
import type { ColumnTypes } from './connect-schema.ts';
import { canonicalEmail } from './normalise.ts';
import { isRejection, reject, type Rejection } from './rejection.ts';

const ops: ReadonlyMap<string, ChangeOp> = new Map([
  ['r', 'SNAPSHOT'],
  ['c', 'CREATE'],
  ['u', 'UPDATE'],
  ['d', 'DELETE'],
]);

function operationOf(letter: unknown): ChangeOp | undefined {
  return typeof letter === 'string' ? ops.get(letter) : undefined;
}

/** A whole number as JSON or Avro brings it; `undefined` if it is none or beyond the safe range. */
export function wholeNumber(value: unknown): number | undefined {
  const number = typeof value === 'bigint' ? Number(value) : value;
  return typeof number === 'number' && Number.isSafeInteger(number) && number >= 0 ? number : undefined;
}

/** Microseconds from a block with `ts_us` or `ts_ms` under a prefix. `ts_ns` is beyond 2^53 and never read. */
export function blockMicros(block: object, prefix = ''): number | undefined {
  const micros = wholeNumber(ownValue(block, `${prefix}ts_us`));
  if (micros !== undefined) return micros;
  const millis = wholeNumber(ownValue(block, `${prefix}ts_ms`));
  return millis === undefined || !Number.isSafeInteger(millis * 1000) ? undefined : millis * 1000;
}

/** The kind of a record that Debezium writes beside the rows of tables; `undefined` if it may be a row. */
export function controlRecord(value: object): SkipReason | undefined {
  const has = (name: string): boolean => ownValue(value, name) !== undefined;
  if (ownValue(value, 'op') === 'm') return 'logical_message';
  if (has('ddl') || has('tableChanges')) return 'schema_change';
  const status = ownValue(value, 'status');
  if ((status === 'BEGIN' || status === 'END') && typeof ownValue(value, 'id') === 'string') return 'transaction';
  const names = Object.keys(value);
  return names.length > 0 && names.every((name) => /^ts_(ms|us|ns)$/.test(name)) ? 'heartbeat' : undefined;
}

/** Whether the value is an envelope: `op` beside `before` or `after`. */
export function isEnvelope(value: object): boolean {
  return typeof ownValue(value, 'op') === 'string' && (Object.hasOwn(value, 'after') || Object.hasOwn(value, 'before'));
}

function tableSkip(block: object | undefined, context: ChangeContext): SkipReason | undefined {
  const table = block === undefined ? undefined : ownValue(block, 'table');
  if (typeof table !== 'string' || context.tables.test(table)) return undefined;
  return /signal/i.test(table) ? 'signal' : 'foreign_table';
}

interface Happening {
  readonly op: ChangeOp;
  readonly version: Version;
  readonly origin: string;
  readonly isSkewed: boolean;
}

function happening(
  op: ChangeOp,
  at: { readonly micros: number; readonly lsn: unknown; readonly origin: unknown },
  context: ChangeContext,
): Happening | Rejection {
  const seq = at.lsn === undefined || at.lsn === null ? 0 : wholeNumber(at.lsn);
  if (seq === undefined) return reject('invalid_field', 'lsn is not a safe whole number');
  const ts = heldBack(at.micros, context);
  const origin = typeof at.origin === 'string' ? at.origin.slice(0, 200) : 'cdc';
  return { op, version: { ts, seq, tie: '' }, origin, isSkewed: ts < at.micros };
}

function deletion(sourceId: string, happened: Happening, context: ChangeContext): CustomerChange {
  const { version } = happened;
  return {
    eventId: `${happened.origin}:${sourceRef(context.source, sourceId)}:DELETE:${version.ts}:${version.seq}`,
    source: context.source,
    sourceId,
    op: 'DELETE',
    version,
    image: {},
    present: [],
    ingestedAt: context.ingestedAt,
  };
}

/** A change to `row`, which must carry something beside its id: a row of another table could have one as well. */
function rowChange(
  row: Row,
  happened: Happening,
  context: ChangeContext,
  beforeEmail: string | undefined,
): CustomerChange | Rejection {
  const id = agreedId(row.id, context.key);
  if (isRejection(id)) return id;
  if (row.present.length === 0) return reject('unknown_shape', 'the row has no column of a customer');
  const { op, version } = happened;
  return compact({
    eventId: `${happened.origin}:${sourceRef(context.source, id)}:${op}:${version.ts}:${version.seq}`,
    source: context.source,
    sourceId: id,
    op,
    version,
    email: canonicalEmail(row.emailRaw),
    emailRaw: row.emailRaw,
    image: row.image,
    present: row.present,
    updatedAt: row.updatedAt === undefined ? undefined : heldBack(row.updatedAt, context),
    before: beforeEmail === undefined ? undefined : { email: beforeEmail },
    ingestedAt: context.ingestedAt,
  });
}

/** Of a deleted row only the key is true: the other columns of its image are invented defaults. */
function decodeDelete(image: object | undefined, happened: Happening, context: ChangeContext): DecodeResult {
  const row = image === undefined ? undefined : readKey(image, context.source);
  if (isRejection(row)) return row;
  const id = agreedId(row?.id, context.key);
  if (isRejection(id)) return id;
  const change = { ...deletion(id, happened, context), tombstoneFollows: true as const };
  return { kind: 'ok', changes: [change], isClockSkewed: happened.isSkewed };
}

/**
 * A changed primary key arrives as a deletion under the old key and a creation under the new one, with one log sequence number. The creation
 * names the old key, so it deletes the old record too, should its own deletion come later or never.
 */
function oldRecord(happened: Happening, context: ChangeContext, newId: string): CustomerChange | undefined {
  const text = happened.op === 'CREATE' ? headerText(context.headers, '__debezium.oldkey') : undefined;
  const oldKey = text === undefined ? undefined : readKey(parsedJson(text), context.source);
  if (oldKey === undefined || isRejection(oldKey) || oldKey.id === undefined || oldKey.id === newId) return undefined;
  return deletion(oldKey.id, happened, context);
}

function decodeRow(
  image: { readonly row: object; readonly types: ColumnTypes; readonly before?: object },
  happened: Happening,
  context: ChangeContext,
): DecodeResult {
  const { types, before } = image;
  const row = readRow(image.row, context.source, types);
  if (isRejection(row)) return row;
  const beforeRow = before === undefined ? undefined : readRow(before, context.source, types);
  const beforeEmail = beforeRow === undefined || isRejection(beforeRow) ? undefined : beforeRow.emailRaw;
  const change = rowChange(row, happened, context, canonicalEmail(beforeEmail));
  if (isRejection(change)) return change;
  const old = oldRecord(happened, context, change.sourceId);
  const isClockSkewed = happened.isSkewed || (row.updatedAt !== undefined && row.updatedAt > context.latest);
  return { kind: 'ok', changes: old === undefined ? [change] : [old, change], isClockSkewed };
}

/** Decodes an envelope. A truncation is refused: it would empty the view without naming a single record. */
export function decodeEnvelope(value: object, types: ColumnTypes, context: ChangeContext): DecodeResult {
  const block = ownObject(value, 'source');
  const skipped = tableSkip(block, context);
  if (skipped !== undefined) return { kind: 'skip', reason: skipped };
  const letter = ownValue(value, 'op');
  if (letter === 't') return reject('truncate', 'the source table was truncated');
  const op = operationOf(letter);
  if (op === undefined) return reject('invalid_operation', 'op is none of c, u, d, r, t, m');
  const happened = envelopeHappening(op, value, block ?? {}, context);
  if (isRejection(happened)) return happened;
  const before = ownObject(value, 'before');
  if (op === 'DELETE') return decodeDelete(before, happened, context);
  const after = ownObject(value, 'after');
  return after === undefined
    ? reject('missing_row', 'the envelope has no row after the change')
    : decodeRow({ row: after, types, ...(before === undefined ? {} : { before }) }, happened, context);
}

/** When the database did it; else when the connector saw it; else when the log got it. */
function envelopeHappening(
  op: ChangeOp,
  envelope: object,
  block: object,
  context: ChangeContext,
): Happening | Rejection {
  const micros = blockMicros(block) ?? blockMicros(envelope) ?? context.ingestedAt;
  return happening(op, { micros, lsn: ownValue(block, 'lsn'), origin: ownValue(block, 'name') }, context);
}

function flattenedOp(row: object, context: ChangeContext): ChangeOp | undefined {
  const deleted = ownValue(row, '__deleted');
  if (deleted === true || deleted === 'true') return 'DELETE';
  const letter = ownValue(row, '__op') ?? headerText(context.headers, '__op');
  return letter === undefined ? 'UPDATE' : operationOf(letter);
}

/** When it happened, by the fields that were added to the row, else by the row's own update, else by the log. */
function flattenedHappening(
  op: ChangeOp,
  row: object,
  updatedAt: number | undefined,
  context: ChangeContext,
): Happening | Rejection {
  const micros = blockMicros(row, '__source_') ?? blockMicros(row, '__') ?? updatedAt ?? context.ingestedAt;
  const lsn = ownValue(row, '__source_lsn') ?? ownValue(row, '__lsn');
  return happening(op, { micros, lsn, origin: undefined }, context);
}

/** Whether the value may be a row without envelope (Debezium's ExtractNewRecordState): it has an id of its own. */
export function isFlattened(value: object): boolean {
  return ['id', 'uuid'].some((name) => ownValue(value, name) !== undefined) && !isObject(ownValue(value, 'payload'));
}

/** Decodes a flattened row. Without the added source fields the row's own update time orders changes, else the record's timestamp. */
export function decodeFlattened(value: object, types: ColumnTypes, context: ChangeContext): DecodeResult {
  const op = flattenedOp(value, context);
  if (op === undefined) return reject('invalid_operation', '__op is none of c, u, d, r');
  if (op === 'DELETE') {
    const deleted = flattenedHappening(op, value, undefined, context);
    return isRejection(deleted) ? deleted : decodeDelete(value, deleted, context);
  }
  const row = readRow(value, context.source, types);
  if (isRejection(row)) return row;
  const happened = flattenedHappening(op, value, row.updatedAt, context);
  return isRejection(happened) ? happened : decodeRow({ row: value, types }, happened, context);
}
