import { assert } from '../errors.ts';
import { headKey, positionKey, type RowPosition } from './group-key.ts';
import {
  comparePositions,
  decodeDirectory,
  decodeRows,
  encodeDirectory,
  encodeRows,
  isDirectory,
  pageBytesMax,
  rowBytes,
  type Row,
} from './group-page.ts';

/** What is known of the memory of a row beyond its bytes. */
const rowMemoryBytes = 120;
const groupMemoryBytes = 300;

interface Page<T> {
  /** The position at which it begins; of the first page of a group: no row comes before it, whatever it says. */
  readonly place: RowPosition;
  /** `undefined` while they are in the store only. */
  rows: Row<T>[] | undefined;
  /** As encoded; known once the rows are here. */
  bytes: number;
  isDirty: boolean;
}

const origin: RowPosition = Object.freeze({ major: 0, minor: 0 });

/** What names a group: the bytes of a key, and the same as a binary key. */
export interface GroupName {
  readonly bytes: Uint8Array;
  readonly name: string;
}

/** Reads a page of the store as of the last seal. */
export type ReadPage = (key: Uint8Array) => Uint8Array | undefined;

/** Takes what a page has become; `undefined`: it is gone. */
export type WritePage = (key: Uint8Array, bytes: Uint8Array | undefined) => void;

/** The rows of one group in one segment, in order of their positions, as the task sees them: uncommitted ones included. */
export class Group<T> {
  readonly segment: number;
  readonly name: GroupName;
  /** It is among those that the next seal writes. */
  isDirty = false;
  readonly #head: Uint8Array;
  readonly #read: ReadPage;
  readonly #pages: Page<T>[];
  /** The head holds the places of pages rather than rows. */
  #hasDirectory = false;

  constructor(segment: number, name: GroupName, read: ReadPage) {
    this.segment = segment;
    this.name = name;
    this.#read = read;
    this.#head = headKey(segment, name.bytes);
    const head = read(this.#head);
    if (head !== undefined && isDirectory(head)) {
      this.#hasDirectory = true;
      this.#pages = decodeDirectory(head).map((place) => ({ place, rows: undefined, bytes: 0, isDirty: false }));
    } else {
      const rows = head === undefined ? [] : decodeRows<T>(head);
      this.#pages = [{ place: origin, rows, bytes: head?.length ?? 1, isDirty: false }];
    }
  }

  /** An estimate of the heap it takes. */
  get memoryBytes(): number {
    let bytes = groupMemoryBytes;
    for (const { rows, bytes: encoded } of this.#pages)
      if (rows !== undefined) bytes += encoded + rows.length * rowMemoryBytes;
    return bytes;
  }

  get(major: number, minor: number): Row<T> | undefined {
    const rows = this.#rowsOf(this.#pageOf(major, minor));
    const row = rows[lowerBound(rows, major, minor)];
    return row !== undefined && row.major === major && row.minor === minor ? row : undefined;
  }

  /** The row of a position, to be written to: an empty one if there was none. */
  claim(major: number, minor: number): Row<T> {
    const page = this.#pageOf(major, minor);
    const rows = this.#rowsOf(page);
    const index = lowerBound(rows, major, minor);
    const present = rows[index];
    if (present !== undefined && present.major === major && present.minor === minor) return present;
    const row: Row<T> = { major, minor, stored: undefined, value: undefined, timestampMs: 0, isDirty: false };
    if (index === rows.length) rows.push(row);
    else rows.splice(index, 0, row);
    page.bytes += rowBytes(emptyBytes);
    return row;
  }

  /** Puts a row back that was removed. */
  putBack(row: Row<T>, stored: Uint8Array): void {
    const page = this.#pageOf(row.major, row.minor);
    const rows = this.#rowsOf(page);
    rows.splice(lowerBound(rows, row.major, row.minor), 0, row);
    page.bytes += rowBytes(emptyBytes);
    this.write(row, stored);
  }

  /** Replaces the bytes of a row that is there. */
  write(row: Row<T>, stored: Uint8Array): void {
    const page = this.#pageOf(row.major, row.minor);
    page.bytes += stored.length - (row.stored?.length ?? 0);
    row.stored = stored;
    page.isDirty = true;
    if (page.bytes > pageBytesMax) this.#split(page);
  }

  /** Removes a row that is there. */
  remove(row: Row<T>): void {
    const page = this.#pageOf(row.major, row.minor);
    const rows = this.#rowsOf(page);
    rows.splice(lowerBound(rows, row.major, row.minor), 1);
    page.bytes -= rowBytes(row.stored ?? emptyBytes);
    page.isDirty = true;
    row.stored = undefined;
    row.value = undefined;
  }

  /** The rows with `from <= major <= to`, in order; as of the call. */
  range(from: number, to: number): Row<T>[] {
    const found: Row<T>[] = [];
    for (let at = this.#indexOf(from, 0); at < this.#pages.length; at += 1) {
      const page = this.#pages[at];
      if (page === undefined || page.place.major > to) break;
      const rows = this.#rowsOf(page);
      for (let index = lowerBound(rows, from, 0); index < rows.length; index += 1) {
        const row = rows[index];
        if (row === undefined || row.major > to) return found;
        found.push(row);
      }
    }
    return found;
  }

  /** Hands over all pages that changed since the last seal, and forgets those of a large group that did not. */
  seal(write: WritePage): void {
    this.isDirty = false;
    this.#dropEmptyPages(write);
    const isLarge = this.#hasDirectory;
    for (const page of this.#pages) {
      const { rows, place } = page;
      if (!page.isDirty || rows === undefined) {
        if (isLarge) page.rows = undefined;
        continue;
      }
      page.isDirty = false;
      const key = isLarge ? positionKey(this.#head, place) : this.#head;
      write(key, rows.length === 0 ? undefined : encodeRows(rows));
    }
    if (isLarge) this.#writeDirectory(write);
  }

  #writeDirectory(write: WritePage): void {
    const places = this.#pages.map(({ place }) => place);
    write(this.#head, encodeDirectory(places));
  }

  /** All but the first, which takes whatever comes before the others. A large group that is empty becomes an empty small one. */
  #dropEmptyPages(write: WritePage): void {
    if (!this.#hasDirectory) return;
    for (let at = this.#pages.length - 1; at > 0; at -= 1) {
      const page = this.#pages[at];
      if (page?.rows?.length !== 0) continue;
      write(positionKey(this.#head, page.place), undefined);
      this.#pages.splice(at, 1);
    }
    const [first] = this.#pages;
    if (first?.rows?.length !== 0 || this.#pages.length > 1) return;
    write(positionKey(this.#head, first.place), undefined);
    this.#hasDirectory = false;
    first.isDirty = true;
  }

  /** Rows that come in order of time leave full pages behind. */
  #split(page: Page<T>): void {
    const rows = this.#rowsOf(page);
    if (rows.length < 2) return;
    const at = this.#pages.indexOf(page);
    const isAppend = at === this.#pages.length - 1;
    const upper = rows.splice(isAppend ? rows.length - 1 : rows.length >>> 1);
    const [first = origin] = upper;
    let bytes = 1;
    for (const row of upper) bytes += rowBytes(row.stored ?? emptyBytes);
    page.bytes -= bytes - 1;
    const place = { major: first.major, minor: first.minor };
    this.#pages.splice(at + 1, 0, { place, rows: upper, bytes, isDirty: true });
    if (this.#hasDirectory) return;
    this.#hasDirectory = true;
    page.isDirty = true;
  }

  #pageOf(major: number, minor: number): Page<T> {
    const page = this.#pages[this.#indexOf(major, minor)];
    assert(page !== undefined, 'a group has a page');
    return page;
  }

  /** The last page that begins at or before a position, or the first one. */
  #indexOf(major: number, minor: number): number {
    let low = 1;
    let high = this.#pages.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const page = this.#pages[middle];
      if (page !== undefined && comparePositions(page.place, major, minor) <= 0) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  #rowsOf(page: Page<T>): Row<T>[] {
    if (page.rows !== undefined) return page.rows;
    const bytes = this.#read(positionKey(this.#head, page.place));
    page.rows = bytes === undefined ? [] : decodeRows<T>(bytes);
    page.bytes = bytes?.length ?? 1;
    return page.rows;
  }
}

const emptyBytes = new Uint8Array();

/** Index of the first row that is not before the position. */
function lowerBound(rows: readonly RowPosition[], major: number, minor: number): number {
  let low = 0;
  let high = rows.length;
  const last = rows[high - 1];
  // Most writes are of the latest time.
  if (last !== undefined && comparePositions(last, major, minor) < 0) return high;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const row = rows[middle];
    if (row !== undefined && comparePositions(row, major, minor) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
