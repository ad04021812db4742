/** Where a page of a range query ended, as text that clients hand back without looking into it. */
import { createHash } from 'node:crypto';
import { StreamError } from '../errors.ts';
import { limits } from './limits.ts';

/** The last row of a page: rows are ordered by key, then by partition. */
export interface RowPosition {
  readonly key: Uint8Array;
  readonly partition: number;
}

const version = 1;
const headBytes = 13;

/** Which query a cursor belongs to: it is refused by any other. */
function digestOf(query: string): Buffer {
  return createHash('sha256').update(query).digest().subarray(0, 8);
}

/** Layout: version, partition (4 bytes), digest of the query (8), key. Throws `QUERY_INVALID` for a key too long to travel in a URL. */
export function formatCursor(query: string, row: RowPosition): string {
  if (row.key.byteLength > limits.cursorKeyBytes)
    throw new StreamError(
      'QUERY_INVALID',
      'the page ends at a key that is too long for a cursor; choose another limit',
    );
  const bytes = Buffer.alloc(headBytes + row.key.byteLength);
  bytes.writeUInt8(version, 0);
  bytes.writeUInt32BE(row.partition, 1);
  digestOf(query).copy(bytes, 5);
  bytes.set(row.key, headBytes);
  return bytes.toString('base64url');
}

/** Throws `QUERY_INVALID` for anything that is not a cursor of this query. */
export function parseCursor(query: string, text: string): RowPosition {
  const bytes = Buffer.from(text, 'base64url');
  const isWhole = bytes.length >= headBytes && bytes.toString('base64url') === text && bytes[0] === version;
  if (!isWhole || !bytes.subarray(5, headBytes).equals(digestOf(query)))
    throw new StreamError('QUERY_INVALID', 'the cursor does not belong to this query');
  return { key: bytes.subarray(headBytes), partition: bytes.readUInt32BE(1) };
}
