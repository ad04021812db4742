import { StreamError } from '../errors.ts';
import { toBinaryKey } from './binary-key.ts';
import { readUint64, writeUint64, type RowPosition } from './group-key.ts';
import { KeyIndex } from './key-index.ts';

export interface TimedRow extends RowPosition {
  /** The binary key of its group. */
  readonly group: string;
}

/** Rows of all groups by time, in memory: by major, then minor if that is a time too, then group. */
export class TimeIndex {
  readonly #store: string;
  readonly #rowsMax: number;
  readonly #minorIsTime: boolean;
  readonly #keys = new KeyIndex();

  constructor(store: string, { rowsMax, minorIsTime }: { readonly rowsMax: number; readonly minorIsTime: boolean }) {
    this.#store = store;
    this.#rowsMax = rowsMax;
    this.#minorIsTime = minorIsTime;
  }

  /** Throws `CONFIG_INVALID` beyond the bound. */
  add(position: RowPosition, group: string): void {
    const key = this.#keyOf(position, group);
    if (this.#keys.size >= this.#rowsMax && !this.#keys.has(key))
      throw new StreamError('CONFIG_INVALID', `store ${this.#store} waits for more windows to close than it may`, {
        facts: { store: this.#store, indexedRowsMax: this.#rowsMax },
      });
    this.#keys.add(key);
  }

  delete(position: RowPosition, group: string): void {
    this.#keys.delete(this.#keyOf(position, group));
  }

  /** With `from <= major <= to`, in order; as of the call. */
  *between(from: number, to: number): IterableIterator<TimedRow> {
    for (const key of this.#keys.keys({ from: timeBytes(from), to: timeBytes(to + 1) })) yield this.#rowOf(key);
  }

  deleteBefore(before: number): void {
    for (const key of this.#keys.keys({ to: timeBytes(before) })) this.#keys.delete(key);
  }

  #keyOf({ major, minor }: RowPosition, group: string): string {
    const times = timeBytes(major);
    return this.#minorIsTime ? times + timeBytes(minor) + group : times + group + timeBytes(minor);
  }

  #rowOf(key: string): TimedRow {
    const bytes = Buffer.from(key, 'latin1');
    const major = readUint64(bytes, 0);
    if (this.#minorIsTime) return { major, minor: readUint64(bytes, 8), group: key.slice(16) };
    return { major, minor: readUint64(bytes, bytes.length - 8), group: key.slice(8, -8) };
  }
}

const timeBuffer = Buffer.alloc(8);

function timeBytes(timeMs: number): string {
  writeUint64(timeBuffer, Math.max(0, timeMs), 0);
  return toBinaryKey(timeBuffer);
}
