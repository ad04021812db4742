/**
 * Rows of one group, in pages. A group that fits into one page is its head; a larger one has the places of its pages there.
 *
 *     rows          0 ‖ for each row: major (8) ‖ minor (8) ‖ length (4) ‖ value
 *     directory     1 ‖ for each page: major (8) ‖ minor (8)      of the position at which it begins
 */
import { StreamError } from '../errors.ts';
import { asBuffer, readUint64, writeUint64, type RowPosition } from './group-key.ts';

/** One row in memory. */
export interface Row<T> {
  readonly major: number;
  readonly minor: number;
  /** As stored; `undefined` once the row is deleted. */
  stored: Uint8Array | undefined;
  /** What `stored` stands for, if it may be shared. */
  value: T | undefined;
  /** Of the last write. */
  timestampMs: number;
  /** It is among the writes of the next commit. */
  isDirty: boolean;
}

/** A page may become this large before it is split; LevelDB's block is 4 KiB, and a commit writes whole pages. */
export const pageBytesMax = 32 * 1024;

const rowHeadBytes = 20;
const rowsKind = 0;
const directoryKind = 1;

export function rowBytes(stored: Uint8Array): number {
  return rowHeadBytes + stored.length;
}

export function encodeRows<T>(rows: readonly Row<T>[]): Buffer {
  let length = 1;
  for (const row of rows) length += rowBytes(row.stored ?? noBytes);
  const page = Buffer.allocUnsafe(length);
  page[0] = rowsKind;
  let offset = 1;
  for (const { major, minor, stored = noBytes } of rows) {
    writeUint64(page, major, offset);
    writeUint64(page, minor, offset + 8);
    page.writeUInt32BE(stored.length, offset + 16);
    page.set(stored, offset + rowHeadBytes);
    offset += rowHeadBytes + stored.length;
  }
  return page;
}

const noBytes = new Uint8Array();

export function encodeDirectory(places: readonly RowPosition[]): Buffer {
  const bytes = Buffer.allocUnsafe(1 + places.length * 16);
  bytes[0] = directoryKind;
  let offset = 1;
  for (const { major, minor } of places) {
    writeUint64(bytes, major, offset);
    writeUint64(bytes, minor, offset + 8);
    offset += 16;
  }
  return bytes;
}

export function isDirectory(bytes: Uint8Array): boolean {
  return bytes[0] === directoryKind;
}

/** Throws `STORE_CORRUPT`. */
export function decodeDirectory(bytes: Uint8Array): readonly RowPosition[] {
  const buffer = asBuffer(bytes);
  if (buffer.length % 16 !== 1) throw damaged();
  const places: RowPosition[] = [];
  for (let offset = 1; offset < buffer.length; offset += 16)
    places.push({ major: readUint64(buffer, offset), minor: readUint64(buffer, offset + 8) });
  return places;
}

/** Throws `STORE_CORRUPT`. Values are views of `bytes`. */
export function decodeRows<T>(bytes: Uint8Array): Row<T>[] {
  const buffer = asBuffer(bytes);
  if (buffer[0] !== rowsKind) throw damaged();
  const rows: Row<T>[] = [];
  let offset = 1;
  while (offset < buffer.length) {
    const start = offset + rowHeadBytes;
    if (start > buffer.length) throw damaged();
    const end = start + buffer.readUInt32BE(offset + 16);
    if (end > buffer.length) throw damaged();
    rows.push({
      major: readUint64(buffer, offset),
      minor: readUint64(buffer, offset + 8),
      stored: buffer.subarray(start, end),
      value: undefined,
      timestampMs: 0,
      isDirty: false,
    });
    offset = end;
  }
  return rows;
}

function damaged(): StreamError {
  return new StreamError('STORE_CORRUPT', 'a page of grouped rows is damaged');
}

/** Negative, zero or positive as the first position comes before, is, or comes after the other. */
export function comparePositions(a: RowPosition, major: number, minor: number): number {
  return a.major === major ? a.minor - minor : a.major - major;
}
