/** From Debezium's envelopes to rows as both sides understand them. */
import { StreamError, jsonSerde, type Header } from '../../../index.ts';
import { microsFrom } from '../../../schemas/app/customer/instant.ts';
import { isObject, isStorableText, ownObject, ownValue } from '../../../schemas/app/reader.ts';
import type { EdgeValue } from '../../../schemas/app/record-format.ts';
import { valueLengthMax } from '../../../schemas/app/sync/command.ts';
import {
  entityOfTable,
  parseRef,
  rowIdLengthMax,
  stampColumns,
  type Entity,
  type Side,
} from '../../../schemas/app/sync/entities.ts';
import type { RowImage, Stamp, Value, Values } from '../../../schemas/app/sync/values.ts';
import { headerText } from '../customer/change-input.ts';
import { unavailable, writtenOut } from '../customer/columns.ts';
import { blockMicros, controlRecord, isEnvelope, wholeNumber } from '../customer/debezium.ts';

/** How far ahead of the log's time a database's clock may be: one that is wrong must not win every conflict. */
const maxSkewMicros = 300_000_000;
/** A change that a sync service made has gone one hop; another one would be a circle. */
export const hopHeader = 'hop';

const json = jsonSerde<unknown>();

export interface ChangeRecord {
  readonly side: Side;
  readonly key: EdgeValue | null;
  readonly value: EdgeValue | null;
  readonly headers: readonly Header[];
  readonly timestampMs: number;
}

/** `undefined`: no row of ours. Throws `RECORD_INVALID` or `DESERIALIZATION_FAILED` for what cannot be understood. */
export function decodeImage(record: ChangeRecord): RowImage | undefined {
  if (Number(headerText(record.headers, hopHeader) ?? 0) >= 1)
    return refuse('it was made by a sync service already: another hop would be a circle');
  const envelope = record.value === null ? undefined : objectOf(record.value);
  // A tombstone only says again what its deletion has said.
  if (envelope === undefined || controlRecord(envelope) !== undefined) return undefined;
  if (!isEnvelope(envelope)) return refuse('it is no envelope of Debezium');
  const source = ownObject(envelope, 'source') ?? {};
  const table = ownValue(source, 'table');
  const entity = typeof table === 'string' ? entityOfTable(record.side, table) : undefined;
  return entity === undefined ? undefined : imageOf(entity, envelope, source, record);
}

function refuse(problem: string): never {
  throw new StreamError('RECORD_INVALID', `not a change that can be kept in sync: ${problem}`);
}

/** The object in a value, or in the payload that Connect puts beside a schema. */
function objectOf(value: EdgeValue): object | undefined {
  const parsed = value instanceof Uint8Array ? json.deserialize(value) : value.value;
  if (!isObject(parsed)) return refuse('it is no object');
  if (!Object.hasOwn(parsed, 'payload') || !Object.hasOwn(parsed, 'schema')) return parsed;
  const payload = ownValue(parsed, 'payload');
  return payload === null ? undefined : isObject(payload) ? payload : refuse('its payload is no object');
}

function imageOf(entity: Entity, envelope: object, source: object, record: ChangeRecord): RowImage {
  const { side } = record;
  const operation = ownValue(envelope, 'op');
  const happened = { position: positionOf(source), clock: clockOf(envelope, source, record) };
  if (operation === 'd') {
    const id = idOf(ownObject(envelope, 'before') ?? keyOf(record));
    return { entity: entity.name, side, id, kind: 'deletion', values: {}, stamp: { version: 0 }, ...happened };
  }
  if (operation !== 'c' && operation !== 'u' && operation !== 'r') return refuse('op is none of c, u, d, r, m');
  const row = ownObject(envelope, 'after') ?? refuse('it has no row after the change');
  return {
    entity: entity.name,
    side,
    id: idOf(row),
    kind: operation === 'r' ? 'snapshot' : 'change',
    values: valuesOf(entity, side, row),
    stamp: stampOf(entity, row),
    ...happened,
    clock: operation === 'r' ? foundClock(row, happened.clock) : happened.clock,
  };
}

function keyOf({ key }: ChangeRecord): object {
  return (key === null ? undefined : objectOf(key)) ?? {};
}

/** Of a row that was found it is not known when it became so; it may say. */
function foundClock(row: object, foundAt: number): number {
  const updatedAt = microsFrom(ownValue(row, stampColumns.updatedAt));
  return updatedAt === undefined || updatedAt < 0 ? foundAt : Math.min(updatedAt, foundAt);
}

function idOf(row: object): string {
  const id = writtenOut(ownValue(row, 'id'));
  if (id === undefined || id === '' || id.length > rowIdLengthMax || !isStorableText(id))
    return refuse('the row has no id that is a whole number or short text');
  return id;
}

function valuesOf(entity: Entity, side: Side, row: object): Values {
  const values: Record<string, Value> = {};
  for (const { name, columns } of entity.fields) {
    const column = columns[side];
    const given = ownValue(row, column);
    // Absent: Debezium did not send it, because it is stored out of line and did not change.
    if (given === undefined || given === unavailable) continue;
    const value = given === null ? null : writtenOut(given);
    if (value === undefined || (value !== null && (value.length > valueLengthMax || !isStorableText(value))))
      return refuse(`${column} is neither text nor a whole number, or too long`);
    values[name] = value;
  }
  return values;
}

function stampOf(entity: Entity, row: object): Stamp {
  const version = wholeNumber(ownValue(row, stampColumns.version)) ?? 0;
  const eventId = ownValue(row, stampColumns.eventId);
  const mapId = ownValue(row, stampColumns.mapId);
  const isMark = typeof mapId === 'string' && parseRef(mapId)?.entity === entity.name;
  return {
    version,
    ...(typeof eventId === 'string' ? { eventId } : {}),
    ...(isMark ? { mapId } : {}),
  };
}

/** PostgreSQL's log sequence number, or MySQL's file, position and row. */
function positionOf(source: object): readonly number[] {
  const lsn = wholeNumber(ownValue(source, 'lsn'));
  if (lsn !== undefined) return [lsn];
  const file = ownValue(source, 'file');
  const number = typeof file === 'string' ? /\.(\d{1,9})$/.exec(file)?.[1] : undefined;
  const position = wholeNumber(ownValue(source, 'pos'));
  if (number === undefined || position === undefined)
    return refuse('its source has neither lsn nor file and pos, so a repeated one could not be told from a new one');
  return [Number(number), position, wholeNumber(ownValue(source, 'row')) ?? 0];
}

/** When the database did it; else when the connector saw it; else when the log got it. */
function clockOf(envelope: object, source: object, { timestampMs }: ChangeRecord): number {
  const latest = Math.max(0, timestampMs) * 1_000 + maxSkewMicros;
  return Math.min(blockMicros(source) ?? blockMicros(envelope) ?? Math.max(0, timestampMs) * 1_000, latest);
}
