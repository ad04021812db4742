/** From the bytes of the change topics to changes: which form a record has, and what is none of a customer's. */
import { stringSerde, type Header } from '../../../index.ts';
import { parseSourceChange, type SourceChange } from '../../../schemas/app/customer/change.ts';
import type { SourceSystem } from '../../../schemas/app/customer/fields.ts';
import { microsFromRecordTime } from '../../../schemas/app/customer/instant.ts';
import { isObject, ownObject, ownValue } from '../../../schemas/app/reader.ts';
import type { EdgeValue } from '../../../schemas/app/record-format.ts';
import {
  heldBack,
  readKey,
  type ChangeContext,
  type DecodeResult,
  type KeyParts,
  type ParsedRecord,
} from './change-input.ts';
import { avroColumnTypes, columnTypes, noColumnTypes, type ColumnTypes } from './connect-schema.ts';
import { controlRecord, decodeEnvelope, decodeFlattened, isEnvelope, isFlattened } from './debezium.ts';
import { decodeJsonEvent, isJsonEvent } from './json-event.ts';
import { canonicalEmail } from './normalise.ts';
import { isRejection, reject, type Rejection } from './rejection.ts';

export interface DecodeOptions {
  /** How far ahead of the record's own timestamp a source's clock may be; what exceeds it is held back. 5 minutes. */
  readonly maxSkewMs?: number;
  /** Names of source tables that hold customers; rows of others are skipped. Any name with `customer`. */
  readonly tables?: RegExp;
  /** What is known of the columns beside their values. */
  readonly types?: ColumnTypes;
}

/** A record of a change topic as it lies in the log, or as Avro was read; absent key or value: `undefined` or `null`. */
export interface RawRecord {
  readonly source: SourceSystem;
  readonly key: EdgeValue | null | undefined;
  readonly value: EdgeValue | null | undefined;
  readonly headers: readonly Header[];
  readonly timestampMs: number;
}

const defaultMaxSkewMs = 300_000;
const defaultTables = /customer/i;

/** The first byte of Avro in the wire format of a schema registry. */
const avroMagic = 0;

function textOf(bytes: Uint8Array): string | Rejection {
  if (bytes[0] === avroMagic)
    return reject('unsupported_encoding', 'the bytes are Avro, and no schema registry is set');
  try {
    return stringSerde.deserialize(bytes);
  } catch {
    return reject('invalid_utf8', 'the bytes are not UTF-8');
  }
}

function jsonOf(text: string | Rejection): unknown {
  if (isRejection(text)) return text;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return reject('invalid_json', 'the value is not JSON, or nests too deeply');
  }
}

/** A key that is not JSON is text: pollers write bare addresses. Most can be told from JSON by how they begin, without a failed parse. */
function keyOf(bytes: EdgeValue | null | undefined): unknown {
  if (bytes === undefined || bytes === null) return undefined;
  if (!(bytes instanceof Uint8Array)) return bytes.value;
  const text = textOf(bytes);
  if (isRejection(text)) return undefined;
  const parsed = /^\s*[{"\d[-]/.test(text) ? jsonOf(text) : undefined;
  return parsed === undefined || isRejection(parsed) ? text : parsed;
}

/**
 * Decodes one record of `customer.changes.system-a` or `-b`: Debezium's Avro, its JSON with or without schemas, its flattened rows, pollers'
 * events, `CustomerChange` itself, and tombstones. Never throws, whatever the bytes.
 */
export function decodeChange(record: RawRecord, options: DecodeOptions = {}): DecodeResult {
  const key = keyOf(record.key);
  if (record.value === undefined || record.value === null)
    return decodeParsed({ ...record, key, value: undefined }, options);
  if (!(record.value instanceof Uint8Array)) {
    const { value, schema } = record.value;
    return decodeParsed({ ...record, key, value }, { ...options, types: avroColumnTypes(schema) });
  }
  const value = jsonOf(textOf(record.value));
  return isRejection(value) ? value : decodeParsed({ ...record, key, value }, options);
}

/** As `decodeChange`, for records that another serde has parsed; whole numbers may be `bigint`. */
export function decodeParsed(record: ParsedRecord, options: DecodeOptions = {}): DecodeResult {
  const key = readKey(record.key, record.source);
  if (isRejection(key)) return key;
  const ingestedAt = microsFromRecordTime(record.timestampMs);
  const skew = (options.maxSkewMs ?? defaultMaxSkewMs) * 1000;
  const context: ChangeContext = {
    source: record.source,
    key,
    headers: record.headers,
    ingestedAt,
    latest: record.timestampMs < 0 ? Number.MAX_SAFE_INTEGER : Math.min(ingestedAt + skew, Number.MAX_SAFE_INTEGER),
    tables: options.tables ?? defaultTables,
  };
  return decodeValue(record.value ?? undefined, options.types ?? noColumnTypes, context);
}

function decodeValue(value: unknown, types: ColumnTypes, context: ChangeContext): DecodeResult {
  if (value === undefined) return tombstone(context.key, context);
  if (!isObject(value)) return reject('unknown_shape', 'the value is not an object');
  if (isJsonEvent(value)) return decodeJsonEvent(value, context);
  if (!isConnectWrapped(value)) return decodeObject(value, types, context);
  const payload = ownValue(value, 'payload');
  if (payload === null) return tombstone(context.key, context);
  return isObject(payload)
    ? decodeObject(payload, columnTypes(ownValue(value, 'schema')), context)
    : reject('unknown_shape', 'the payload is not an object');
}

/** Kafka Connect's JSON converter with schemas: the value lies beside its schema. */
function isConnectWrapped(value: object): boolean {
  return Object.hasOwn(value, 'schema') && Object.hasOwn(value, 'payload');
}

function decodeObject(value: object, types: ColumnTypes, context: ChangeContext): DecodeResult {
  const control = controlRecord(value);
  if (control !== undefined) return { kind: 'skip', reason: control };
  if (isCanonical(value)) return decodeCanonical(value, context);
  if (isEnvelope(value)) return decodeEnvelope(value, types, context);
  if (isFlattened(value)) return decodeFlattened(value, types, context);
  return reject('unknown_shape', 'the value has none of the known forms');
}

function isCanonical(value: object): boolean {
  return ownObject(value, 'image') !== undefined && ownObject(value, 'version') !== undefined;
}

function decodeCanonical(value: object, context: ChangeContext): DecodeResult {
  const change = parsedChange(value);
  if (isRejection(change)) return change;
  if (change.source !== context.source) return reject('wrong_source', 'the change names another system than its topic');
  if (change.op === 'TOMBSTONE') return { kind: 'ok', changes: [change], isClockSkewed: false };
  const ts = heldBack(change.version.ts, context);
  const updatedAt = change.updatedAt === undefined ? {} : { updatedAt: heldBack(change.updatedAt, context) };
  const { email: _, ...rest } = change;
  const email = canonicalEmail(change.email ?? change.emailRaw);
  const keyed = email === undefined ? {} : { email };
  const held = { ...rest, ...keyed, ...updatedAt, version: { ...change.version, ts } };
  return { kind: 'ok', changes: [held], isClockSkewed: ts < change.version.ts };
}

function parsedChange(value: object): SourceChange | Rejection {
  try {
    return parseSourceChange(value);
  } catch (error) {
    return reject('invalid_change', error instanceof Error ? error.message : 'not a change');
  }
}

function tombstone(key: KeyParts, context: ChangeContext): DecodeResult {
  if (key.form === 'absent') return { kind: 'skip', reason: 'empty' };
  if (key.id === undefined) return reject('tombstone_without_id', 'the key does not name the deleted record');
  const { source, ingestedAt } = context;
  return { kind: 'ok', changes: [{ op: 'TOMBSTONE', source, sourceId: key.id, ingestedAt }], isClockSkewed: false };
}
