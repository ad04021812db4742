/**
 * Rows of a versioned store.
 *
 *     latest     0 ‖ key                    →  int64 from ‖ 1, or 0 if deleted ‖ value
 *     history    1 ‖ int64 segment ‖ key    →  for each version: int64 from ‖ int64 to ‖ int32 length, -1 if deleted ‖ value
 *     time       2                          →  int64 latest timestamp put
 */
import { StreamError } from '../errors.ts';

/** What a key was from a time on; `value` `undefined`: deleted. */
export interface Version {
  readonly from: number;
  readonly value: Uint8Array | undefined;
}

/** A version that another one has ended. */
export interface PastVersion extends Version {
  /** Exclusive. */
  readonly to: number;
}

export const timeKey: Uint8Array = Buffer.of(2);
const latestPrefix = Buffer.of(0);
const historyPrefix = Buffer.of(1);
const int64Bytes = 8;
const pastHeadBytes = 2 * int64Bytes + 4;

export function latestKey(key: Uint8Array): Uint8Array {
  return Buffer.concat([latestPrefix, key]);
}

/** The key within the key of a latest row. */
export function keyOfLatest(row: Uint8Array): Uint8Array {
  return row.subarray(1);
}

export function historyKey(segment: number, key: Uint8Array): Uint8Array {
  return Buffer.concat([historyPrefix, int64(segment), key]);
}

/** The key within the key of a history row. */
export function keyOfHistory(row: Uint8Array): Uint8Array {
  return row.subarray(1 + int64Bytes);
}

export function encodeLatest({ from, value }: Version): Uint8Array {
  return Buffer.concat([int64(from), Buffer.of(value === undefined ? 0 : 1), value ?? new Uint8Array()]);
}

export function decodeLatest(row: Uint8Array): Version {
  if (row.length <= int64Bytes) throw damaged();
  const from = readInt64(row);
  return { from, value: row[int64Bytes] === 1 ? row.subarray(int64Bytes + 1) : undefined };
}

/** In the order given. */
export function encodeHistory(versions: readonly PastVersion[]): Uint8Array {
  return Buffer.concat(
    versions.flatMap(({ from, to, value }) => [
      int64(from),
      int64(to),
      int32(value === undefined ? -1 : value.length),
      value ?? new Uint8Array(),
    ]),
  );
}

export function decodeHistory(row: Uint8Array): readonly PastVersion[] {
  const bytes = Buffer.from(row.buffer, row.byteOffset, row.byteLength);
  const versions: PastVersion[] = [];
  for (let at = 0; at < bytes.length;) {
    if (at + pastHeadBytes > bytes.length) throw damaged();
    const length = bytes.readInt32BE(at + 2 * int64Bytes);
    const valueAt = at + pastHeadBytes;
    const next = valueAt + Math.max(0, length);
    if (next > bytes.length) throw damaged();
    versions.push({
      from: readInt64(bytes.subarray(at)),
      to: readInt64(bytes.subarray(at + int64Bytes)),
      value: length < 0 ? undefined : bytes.subarray(valueAt, next),
    });
    at = next;
  }
  return versions;
}

/** `value` must be a safe integer. */
export function int64(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(int64Bytes);
  bytes.writeBigInt64BE(BigInt(value), 0);
  return bytes;
}

export function readInt64(bytes: Uint8Array): number {
  if (bytes.length < int64Bytes) throw damaged();
  return Number(Buffer.from(bytes.buffer, bytes.byteOffset, int64Bytes).readBigInt64BE(0));
}

function int32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeInt32BE(value, 0);
  return bytes;
}

function damaged(): StreamError {
  return new StreamError('STORE_CORRUPT', 'not a row of a versioned store');
}
