/** What Kafka Connect's JSON converter says about columns when schemas travel with the records. */
import { isObject, ownObject, ownValue } from '../../../schemas/app/reader.ts';
import { isoFromMicros } from '../../../schemas/app/customer/instant.ts';

/** Column name to Connect's logical type and, for decimals, its scale. */
export type ColumnTypes = ReadonlyMap<string, { readonly name: string; readonly scale: number }>;

export const noColumnTypes: ColumnTypes = new Map();

const columnsMax = 2000;

function fieldsOf(schema: object | undefined): readonly unknown[] {
  const fields = schema === undefined ? undefined : ownValue(schema, 'fields');
  return Array.isArray(fields) ? (fields as readonly unknown[]).slice(0, columnsMax) : [];
}

function integerFrom(value: unknown): number | undefined {
  const number = typeof value === 'string' && /^-?\d{1,4}$/.test(value) ? Number(value) : value;
  return typeof number === 'number' && Number.isInteger(number) && Math.abs(number) <= 1000 ? number : undefined;
}

/** The logical types of a row: those of the schema itself, or of its field `after` if it describes an envelope. */
export function columnTypes(schema: unknown): ColumnTypes {
  if (typeof schema !== 'object' || schema === null) return noColumnTypes;
  const fields = fieldsOf(schema).filter((field): field is object => typeof field === 'object' && field !== null);
  const row = fields.find((field) => ownValue(field, 'field') === 'after');
  if (row !== undefined) return columnTypes(row);
  const types = new Map<string, { name: string; scale: number }>();
  for (const field of fields) {
    const column = ownValue(field, 'field');
    const name = ownValue(field, 'name');
    const parameters = ownObject(field, 'parameters');
    const scale = parameters === undefined ? undefined : integerFrom(ownValue(parameters, 'scale'));
    if (typeof column === 'string' && typeof name === 'string') types.set(column, { name, scale: scale ?? 0 });
  }
  return types;
}

/** The type of a nullable field behind its union. */
function branchOf(type: unknown): object | undefined {
  const branches: readonly unknown[] = Array.isArray(type) ? type : [type];
  return branches.find((branch): branch is object => isObject(branch) && !Array.isArray(branch));
}

/** As `columnTypes`, of the Avro schema that Connect's converters make of theirs: the logical type is an attribute of the field's type. */
export function avroColumnTypes(schema: unknown): ColumnTypes {
  if (!isObject(schema)) return noColumnTypes;
  return typesOfFields(fieldsOf(schema).filter(isObject), namedRecords(schema));
}

function typesOfFields(fields: readonly object[], named: ReadonlyMap<string, object>): ColumnTypes {
  const after = fields.find((field) => ownValue(field, 'name') === 'after');
  if (after !== undefined) {
    const row = recordOf(ownValue(after, 'type'), named);
    return row === undefined ? noColumnTypes : typesOfFields(fieldsOf(row).filter(isObject), new Map());
  }
  const types = new Map<string, { name: string; scale: number }>();
  for (const field of fields) {
    const column = ownValue(field, 'name');
    const type = branchOf(ownValue(field, 'type'));
    const name = type === undefined ? undefined : ownValue(type, 'connect.name');
    const scale = type === undefined ? undefined : integerFrom(ownValue(type, 'scale'));
    if (typeof column === 'string' && typeof name === 'string') types.set(column, { name, scale: scale ?? 0 });
  }
  return types;
}

/** The row's record stands where it is named first: in `before`. */
function namedRecords(envelope: object): ReadonlyMap<string, object> {
  const records = fieldsOf(envelope)
    .filter(isObject)
    .map((field) => branchOf(ownValue(field, 'type')))
    .filter((type) => type !== undefined && typeof ownValue(type, 'name') === 'string');
  return new Map(records.map((type) => [String(ownValue(type as object, 'name')), type as object]));
}

function recordOf(type: unknown, named: ReadonlyMap<string, object>): object | undefined {
  const branches: readonly unknown[] = Array.isArray(type) ? type : [type];
  const name = branches.find((branch) => typeof branch === 'string' && branch !== 'null');
  return branchOf(type) ?? (typeof name === 'string' ? named.get(name.slice(name.lastIndexOf('.') + 1)) : undefined);
}

/** Big-endian two's complement in base64, as decimal text with `scale` decimals; `undefined` if it is not base64 of 1 to 64 bytes. */
export function decimalFromBase64(text: string, scale: number): string | undefined {
  if (text.length > 88 || !/^[A-Za-z0-9+/]+={0,2}$/.test(text)) return undefined;
  const bytes = Buffer.from(text, 'base64');
  if (bytes.length === 0) return undefined;
  return scaledText(BigInt.asIntN(bytes.length * 8, BigInt(`0x${bytes.toString('hex')}`)), scale);
}

/** From JSON its bytes come in base64, from Avro the unscaled number. */
function decimalText(value: unknown, scale: number): unknown {
  if (typeof value === 'bigint') return scaledText(value, scale);
  return typeof value === 'string' ? decimalFromBase64(value, scale) : plainDecimal(value);
}

function scaledText(unscaled: bigint, scale: number): string {
  if (scale <= 0) return String(unscaled * 10n ** BigInt(-scale));
  const digits = String(unscaled < 0n ? -unscaled : unscaled).padStart(scale + 1, '0');
  return `${unscaled < 0n ? '-' : ''}${digits.slice(0, -scale)}.${digits.slice(-scale)}`;
}

/** Debezium's decimal of any scale is a struct with both parts; other values are returned as they are. */
function plainDecimal(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const scale = integerFrom(ownValue(value, 'scale'));
  const unscaled = ownValue(value, 'value');
  return scale === undefined || typeof unscaled !== 'string' ? value : decimalFromBase64(unscaled, scale);
}

const microsPerUnit: ReadonlyMap<string, (value: number) => number> = new Map([
  ['io.debezium.time.Timestamp', (value) => value * 1000],
  ['org.apache.kafka.connect.data.Timestamp', (value) => value * 1000],
  ['io.debezium.time.MicroTimestamp', (value) => value],
  ['io.debezium.time.NanoTimestamp', (value) => Math.floor(value / 1000)],
]);

/** A column's value with its logical type applied: decimals as text, timestamps as ISO 8601 text; everything else unchanged. */
export function plainValue(
  value: unknown,
  type: { readonly name: string; readonly scale: number } | undefined,
): unknown {
  if (type === undefined) return plainDecimal(value);
  if (type.name === 'org.apache.kafka.connect.data.Decimal') return decimalText(value, type.scale);
  const toMicros = microsPerUnit.get(type.name);
  if (toMicros === undefined || (typeof value !== 'number' && typeof value !== 'bigint')) return plainDecimal(value);
  const micros = toMicros(Number(value));
  return Number.isSafeInteger(micros) ? isoFromMicros(micros) : undefined;
}
