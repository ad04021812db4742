/** PostgreSQL's logical replication messages, protocol version 1 of `pgoutput`: documentation, "Logical Replication Message Formats". */
import { StreamError } from '../../errors.ts';

export interface Column {
  readonly name: string;
  readonly typeId: number;
  /** Part of the replica identity. */
  readonly isKey: boolean;
}

export interface Relation {
  readonly id: number;
  readonly schema: string;
  readonly table: string;
  readonly columns: readonly Column[];
}

/** A column's value as text; `undefined`: not sent, because it is stored out of line and did not change. */
export type TextValue = string | null | undefined;
export type TextRow = readonly TextValue[];

export type ReplicationMessage =
  | { readonly kind: 'begin'; readonly commitMicros: number; readonly transactionId: number }
  | { readonly kind: 'commit'; readonly endLsn: bigint }
  | { readonly kind: 'relation'; readonly relation: Relation }
  | { readonly kind: 'insert'; readonly relationId: number; readonly after: TextRow }
  | { readonly kind: 'update'; readonly relationId: number; readonly before?: TextRow; readonly after: TextRow }
  | { readonly kind: 'delete'; readonly relationId: number; readonly before: TextRow }
  | { readonly kind: 'other' };

/** PostgreSQL counts from 2000-01-01. */
const epochMicros = 946_684_800_000_000n;

/** Reads one message; throws `RECORD_CORRUPT` if it is none. */
export function readMessage(bytes: Buffer): ReplicationMessage {
  const cursor = new MessageCursor(bytes);
  try {
    return read(cursor);
  } catch (cause) {
    throw new StreamError('RECORD_CORRUPT', 'not a message of logical replication', { cause });
  }
}

function read(cursor: MessageCursor): ReplicationMessage {
  switch (cursor.letter()) {
    case 'B':
      cursor.int64();
      return { kind: 'begin', commitMicros: Number(cursor.int64() + epochMicros), transactionId: cursor.int32() >>> 0 };
    case 'C':
      cursor.int8();
      cursor.int64();
      return { kind: 'commit', endLsn: cursor.int64() };
    case 'R':
      return { kind: 'relation', relation: readRelation(cursor) };
    case 'I':
      return { kind: 'insert', relationId: cursor.int32(), after: readMarkedRow(cursor).row };
    case 'U':
      return readUpdate(cursor);
    case 'D':
      return { kind: 'delete', relationId: cursor.int32(), before: readMarkedRow(cursor).row };
    default:
      return { kind: 'other' };
  }
}

function readRelation(cursor: MessageCursor): Relation {
  const [id, schema, table] = [cursor.int32(), cursor.text(), cursor.text()];
  cursor.int8();
  const columns = Array.from({ length: cursor.int16() }, (): Column => {
    const isKey = (cursor.int8() & 1) === 1;
    const [name, typeId] = [cursor.text(), cursor.int32()];
    cursor.int32();
    return { name, typeId, isKey };
  });
  return { id, schema, table, columns };
}

function readUpdate(cursor: MessageCursor): ReplicationMessage {
  const relationId = cursor.int32();
  const first = readMarkedRow(cursor);
  if (first.mark === 'N') return { kind: 'update', relationId, after: first.row };
  return { kind: 'update', relationId, before: first.row, after: readMarkedRow(cursor).row };
}

/** `N`: the new row; `O`: the old one; `K`: the key of the old one, other columns null. */
function readMarkedRow(cursor: MessageCursor): { readonly mark: string; readonly row: TextRow } {
  const mark = cursor.letter();
  const row = Array.from({ length: cursor.int16() }, (): TextValue => {
    const kind = cursor.letter();
    return kind === 'n' ? null : kind === 'u' ? undefined : cursor.sized();
  });
  return { mark, row };
}

class MessageCursor {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  letter(): string {
    return String.fromCharCode(this.int8());
  }

  int8(): number {
    return this.#bytes.readUInt8(this.#at++);
  }

  int16(): number {
    this.#at += 2;
    return this.#bytes.readInt16BE(this.#at - 2);
  }

  int32(): number {
    this.#at += 4;
    return this.#bytes.readInt32BE(this.#at - 4);
  }

  int64(): bigint {
    this.#at += 8;
    return this.#bytes.readBigInt64BE(this.#at - 8);
  }

  /** Up to a zero byte. */
  text(): string {
    const end = this.#bytes.indexOf(0, this.#at);
    if (end < 0) throw new RangeError('text without end');
    const text = this.#bytes.toString('utf8', this.#at, end);
    this.#at = end + 1;
    return text;
  }

  sized(): string {
    const length = this.int32();
    const end = this.#at + length;
    if (length < 0 || end > this.#bytes.length) throw new RangeError('text beyond the message');
    const text = this.#bytes.toString('utf8', this.#at, end);
    this.#at = end;
    return text;
  }
}
