/** From a row, as either system names its columns, to an image. */
import {
  contributedFields,
  idLengthMax,
  textLengthMax,
  type CustomerField,
  type Image,
  type SourceSystem,
} from '../../../schemas/app/customer/fields.ts';
import type { PresentField } from '../../../schemas/app/customer/change.ts';
import { dateFrom, microsFrom } from '../../../schemas/app/customer/instant.ts';
import { isStorableText, ownValue } from '../../../schemas/app/reader.ts';
import { noColumnTypes, plainValue, type ColumnTypes } from './connect-schema.ts';
import { isRejection, reject, type Rejection } from './rejection.ts';

type Column = CustomerField | 'id' | 'email' | 'updatedAt';

/** Names a column goes by; the first one a row has counts. */
const columnNames: Readonly<Record<Column, readonly string[]>> = {
  id: ['id'],
  email: ['email'],
  updatedAt: ['last_updated', 'lastUpdated', 'updated_at', 'updatedAt'],
  name: ['name'],
  address: ['address'],
  phone: ['phone'],
  contractStart: ['contract_start', 'contractStart', 'contract_start_date', 'contractStartDate'],
  contractType: ['contract_type', 'contractType'],
};

const idNames: Readonly<Record<SourceSystem, readonly string[]>> = { system_a: ['id'], system_b: ['uuid', 'id'] };

/** What Debezium writes for a value it was not sent: an unchanged out-of-line column. */
export const unavailable = '__debezium_unavailable_value';

const uuidForm = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** A row's say, before it is known what happened to it. */
export interface Row {
  /** As found; absent if the row has no id column. */
  readonly id?: string;
  readonly emailRaw?: string;
  readonly image: Image;
  readonly present: readonly PresentField[];
  /** Microseconds; absent if the row has no such column or its value is no instant. */
  readonly updatedAt?: number;
}

function columnValue(row: object, names: readonly string[], types: ColumnTypes): unknown {
  const name = names.find((candidate) => ownValue(row, candidate) !== undefined);
  return name === undefined ? undefined : plainValue(ownValue(row, name), types.get(name));
}

/** Text as it is and whole numbers as text; anything else is `undefined`. */
export function writtenOut(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  return typeof value === 'bigint' || (typeof value === 'number' && Number.isSafeInteger(value))
    ? String(value)
    : undefined;
}

/** Text of a column: blank is `null`, whole numbers are written out, not sent is `undefined`. */
function textFrom(value: unknown, column: string): string | null | undefined | Rejection {
  if (value === undefined || value === null) return value;
  const text = writtenOut(value);
  if (text === undefined) return reject('invalid_field', `${column} is not text`);
  if (text === unavailable) return undefined;
  if (text.length > textLengthMax || !isStorableText(text))
    return reject('invalid_field', `${column} is too long or holds NUL or a lone surrogate`);
  return text.trim() === '' ? null : text;
}

function fieldFrom(value: unknown, field: CustomerField): string | null | undefined | Rejection {
  if (field !== 'contractStart') return textFrom(value, field);
  const given = typeof value === 'number' || typeof value === 'bigint' ? value : textFrom(value, field);
  if (given === undefined || given === null || isRejection(given)) return given;
  return dateFrom(given) ?? reject('invalid_field', 'contractStart is not a date');
}

/** The id in a row or a key struct: `undefined` if it has no such column. */
export function idFrom(row: object, source: SourceSystem, types = noColumnTypes): string | undefined | Rejection {
  const value = columnValue(row, idNames[source], types);
  return value === undefined ? undefined : plainId(value);
}

/** An id as text: numbers written out, UUIDs in lower case. */
export function plainId(value: unknown): string | Rejection {
  const id = writtenOut(value);
  if (id === undefined || id.trim() === '' || id.length > idLengthMax || !isStorableText(id))
    return reject('invalid_id', 'the id is neither a whole number nor short text');
  return uuidForm.test(id) ? id.toLowerCase() : id;
}

function imageFrom(row: object, source: SourceSystem, types: ColumnTypes): Image | Rejection {
  const image: { [F in CustomerField]?: string | null } = {};
  for (const field of contributedFields[source]) {
    const value = fieldFrom(columnValue(row, columnNames[field], types), field);
    if (isRejection(value)) return value;
    if (value !== undefined) image[field] = value;
  }
  return image;
}

/** Reads the columns of one system; what the row does not have, or Debezium did not send, is not present. */
export function readRow(row: object, source: SourceSystem, types: ColumnTypes): Row | Rejection {
  const id = idFrom(row, source, types);
  const emailRaw = textFrom(columnValue(row, columnNames.email, types), 'email');
  const image = imageFrom(row, source, types);
  if (isRejection(id)) return id;
  if (isRejection(emailRaw)) return emailRaw;
  if (isRejection(image)) return image;
  const present: readonly PresentField[] = contributedFields[source].filter((field) => image[field] !== undefined);
  const updatedAt = microsFrom(columnValue(row, columnNames.updatedAt, types));
  return {
    ...(id === undefined ? {} : { id }),
    ...(typeof emailRaw === 'string' ? { emailRaw } : {}),
    image,
    present: emailRaw === undefined ? present : [...present, 'email'],
    ...(updatedAt === undefined || updatedAt < 0 ? {} : { updatedAt }),
  };
}

/** The column of a row that holds a field; `undefined` if it has none. */
export function columnOf(row: object, field: CustomerField): string | undefined {
  return columnNames[field].find((name) => ownValue(row, name) !== undefined);
}

/** Whether the row names its last update at all, readable or not. */
export function namesUpdate(row: object): boolean {
  return columnNames.updatedAt.some((name) => (ownValue(row, name) ?? undefined) !== undefined);
}
