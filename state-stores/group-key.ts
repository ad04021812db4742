/**
 * Keys of grouped rows. A row is found by its group (bytes of the author's key) and two numbers: `major`, a time, by which rows expire, and
 * `minor`, which tells rows of one time apart.
 *
 *     changelog      group ‖ major (8 bytes) ‖ minor (4 or 8)                       as in Kafka Streams
 *     in the store   segment (8) ‖ group, escaped ‖ 0 0 ‖ place of the page         none for the head of the group
 *     of queries     segment (8) ‖ group, escaped ‖ 0 0 ‖ major (8) ‖ minor (8)
 *
 * Escaped, a zero byte is followed by 255: so the order of these keys is that of segment, group, major, minor, whatever bytes a group has.
 */
import { StreamError } from '../errors.ts';

const twoTo32 = 0x1_0000_0000;
const segmentBytes = 8;
const positionBytes = 16;
const escapeByte = 0xff;

/** Where a row lies within its group. */
export interface RowPosition {
  readonly major: number;
  readonly minor: number;
}

export interface GroupRow extends RowPosition {
  readonly group: Uint8Array;
}

/** `value` must be a safe integer of at least 0. */
export function writeUint64(bytes: Buffer, value: number, offset: number): void {
  bytes.writeUInt32BE(Math.floor(value / twoTo32), offset);
  bytes.writeUInt32BE(value % twoTo32, offset + 4);
}

export function readUint64(bytes: Buffer, offset: number): number {
  return bytes.readUInt32BE(offset) * twoTo32 + bytes.readUInt32BE(offset + 4);
}

export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The key of the group in its segment: all keys of its pages and rows begin with it, and no other ones do. */
export function headKey(segment: number, group: Uint8Array): Buffer {
  const escaped = group.includes(0) ? escape(group) : group;
  const key = Buffer.allocUnsafe(segmentBytes + escaped.length + 2);
  writeUint64(key, segment, 0);
  key.set(escaped, segmentBytes);
  key[key.length - 2] = 0;
  key[key.length - 1] = 0;
  return key;
}

/** The key of a page that begins at a position, and of a row in queries. */
export function positionKey(head: Uint8Array, { major, minor }: RowPosition): Buffer {
  const key = Buffer.allocUnsafe(head.length + positionBytes);
  key.set(head, 0);
  writeUint64(key, major, head.length);
  writeUint64(key, minor, head.length + 8);
  return key;
}

/** A key of queries that lies where all rows of a group lie, to find the partition. */
export function groupLocator(group: Uint8Array): Uint8Array {
  return positionKey(headKey(0, group), { major: 0, minor: 0 });
}

/** The first key of a segment. */
export function segmentKey(segment: number): Buffer {
  const key = Buffer.allocUnsafe(segmentBytes);
  writeUint64(key, segment, 0);
  return key;
}

/** The head within a key of the store or of queries; the whole key if it is too short to have one. */
export function headOf(key: Uint8Array): Uint8Array {
  return key.subarray(0, endOfHead(key));
}

/** The row that a key of queries names. Throws `DESERIALIZATION_FAILED` for anything else. */
export function rowOfQueryKey(bytes: Uint8Array): GroupRow {
  const key = asBuffer(bytes);
  const end = endOfHead(key);
  if (key.length !== end + positionBytes || end < segmentBytes + 2)
    throw new StreamError('DESERIALIZATION_FAILED', 'not the key of a grouped row');
  const group = groupOfHead(key.subarray(0, end));
  return { group, major: readUint64(key, end), minor: readUint64(key, end + 8) };
}

export function groupOfHead(head: Uint8Array): Uint8Array {
  return unescape(head.subarray(segmentBytes, head.length - 2));
}

/** The changelog's key of a row. */
export function changelogKey(group: Uint8Array, { major, minor }: RowPosition, minorBytes: 4 | 8): Buffer {
  const key = Buffer.allocUnsafe(group.length + 8 + minorBytes);
  key.set(group, 0);
  writeUint64(key, major, group.length);
  if (minorBytes === 4) key.writeUInt32BE(minor, group.length + 8);
  else writeUint64(key, minor, group.length + 8);
  return key;
}

/** Throws `STORE_CORRUPT` for a key that is too short. */
export function rowOfChangelogKey(bytes: Uint8Array, minorBytes: 4 | 8): GroupRow {
  const key = asBuffer(bytes);
  const end = key.length - 8 - minorBytes;
  if (end < 0) throw new StreamError('STORE_CORRUPT', 'a key of the changelog is too short');
  const minor = minorBytes === 4 ? key.readUInt32BE(end + 8) : readUint64(key, end + 8);
  return { group: key.subarray(0, end), major: readUint64(key, end), minor };
}

/** Behind the first zero byte that is not escaped, and the zero after it. */
function endOfHead(key: Uint8Array): number {
  for (let index = segmentBytes; index + 1 < key.length; index += 1) {
    if (key[index] !== 0) continue;
    if (key[index + 1] !== escapeByte) return index + 2;
    index += 1;
  }
  return key.length;
}

function escape(group: Uint8Array): Uint8Array {
  const bytes: number[] = [];
  for (const byte of group) {
    bytes.push(byte);
    if (byte === 0) bytes.push(escapeByte);
  }
  return Uint8Array.from(bytes);
}

function unescape(escaped: Uint8Array): Uint8Array {
  if (!escaped.includes(0)) return escaped;
  const bytes: number[] = [];
  for (let index = 0; index < escaped.length; index += 1) {
    const byte = escaped[index] ?? 0;
    bytes.push(byte);
    if (byte === 0) index += 1;
  }
  return Uint8Array.from(bytes);
}
