import type { Header } from '../../../index.ts';
import type { SourceChange } from '../../../schemas/app/customer/change.ts';
import type { SourceSystem } from '../../../schemas/app/customer/fields.ts';
import { isObject, ownValue } from '../../../schemas/app/reader.ts';
import { idFrom, plainId } from './columns.ts';
import { isRejection, reject, type Rejection } from './rejection.ts';

/** A record of a change topic after its bytes were parsed, by whatever serde. Absent key or value: `undefined` or `null`. */
export interface ParsedRecord {
  readonly source: SourceSystem;
  readonly key: unknown;
  readonly value: unknown;
  readonly headers: readonly Header[];
  /** The record's own timestamp in the log. */
  readonly timestampMs: number;
}

/** Why a record is none of our business; counted, then forgotten. */
export type SkipReason =
  'heartbeat' | 'transaction' | 'schema_change' | 'signal' | 'logical_message' | 'foreign_table' | 'empty';

export type DecodeResult =
  | {
      readonly kind: 'ok';
      /** In the order in which they happened; more than one only where the primary key changed. */
      readonly changes: readonly SourceChange[];
      /** The source's clock was too far ahead of the log's and was held back. */
      readonly isClockSkewed: boolean;
    }
  | { readonly kind: 'skip'; readonly reason: SkipReason }
  | Rejection;

/** What a record key tells. A `struct` names its columns, so it must agree with the row. */
export interface KeyParts {
  readonly form: 'absent' | 'struct' | 'plain';
  readonly id?: string;
  readonly email?: string;
}

/** Everything the readers of the several forms need beside the value. */
export interface ChangeContext {
  readonly source: SourceSystem;
  readonly key: KeyParts;
  readonly headers: readonly Header[];
  /** Microseconds: the record's own timestamp, and the latest instant a source may claim. */
  readonly ingestedAt: number;
  readonly latest: number;
  readonly tables: RegExp;
}

function structKey(key: object, source: SourceSystem): KeyParts | Rejection {
  const payload = ownValue(key, 'payload');
  const struct = isObject(payload) && ownValue(key, 'schema') !== undefined ? payload : key;
  const id = idFrom(struct, source);
  if (isRejection(id)) return id;
  return id === undefined ? { form: 'struct' } : { form: 'struct', id };
}

/** Reads a key: a struct with the id column (Debezium), an e-mail address (pollers), or a bare id. */
export function readKey(key: unknown, source: SourceSystem): KeyParts | Rejection {
  if (key === undefined || key === null) return { form: 'absent' };
  if (isObject(key)) return structKey(key, source);
  if (typeof key === 'string' && key.includes('@')) return { form: 'plain', email: key };
  const id = plainId(key);
  return isRejection(id) ? { form: 'plain' } : { form: 'plain', id };
}

/** The id of row and key together: they must not contradict each other. */
export function agreedId(rowId: string | undefined, key: KeyParts): string | Rejection {
  if (rowId !== undefined && key.id !== undefined && key.form === 'struct' && key.id !== rowId)
    return reject('key_mismatch', 'the key and the row name different records');
  const id = rowId ?? key.id;
  return id ?? reject('missing_id', 'neither the row nor the key names the record');
}

/** The text of the last header of that name. */
export function headerText(headers: readonly Header[], name: string): string | undefined {
  const value = headers.findLast((header) => header.key === name)?.value;
  return value === undefined ? undefined : Buffer.from(value).toString('utf8');
}

/** Parses JSON text; `undefined` if it is none, however deeply it nests. */
export function parsedJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** Holds an instant of a source back to the latest plausible one: one wrong clock must not win every conflict. */
export function heldBack(micros: number, context: ChangeContext): number {
  return Math.min(micros, context.latest);
}
