/**
 * The records of one side of a stream-stream join: all of them, also several of one key and time, until they are beyond retention. Keys are
 * Kafka Streams': key ‖ int64 timestamp ‖ int32 number among the records of that key and time.
 */
import { StreamError } from '../errors.ts';
import type { Serde } from '../schemas/serde.ts';
import type { OrderedState } from '../state-stores/typed-store.ts';

export type JoinRowState = OrderedState<Uint8Array, unknown>;

export interface JoinRow {
  readonly timestampMs: number;
  readonly value: unknown;
}

const positionBytes = 12;
/** Rows looked at for their age with each put: more than one, so that what expires goes faster than it comes. */
const sweptRows = 2;
/** Kafka Streams refuses by segments of half the retention, at least this long. */
const segmentMsMin = 60_000;

export class JoinRows {
  readonly #state: JoinRowState;
  readonly #key: Serde<unknown>;
  readonly #retentionMs: number;
  readonly #segmentMs: number;
  /** The latest timestamp put. */
  #timeMs = -1;
  /** Where the next look for expired rows begins. */
  #hand: Uint8Array | undefined;

  constructor(
    state: JoinRowState,
    { key, retentionMs }: { readonly key: Serde<unknown>; readonly retentionMs: number },
  ) {
    this.#state = state;
    this.#key = key;
    this.#retentionMs = retentionMs;
    this.#segmentMs = Math.max(Math.floor(retentionMs / 2), segmentMsMin);
    for (const [row] of state.range()) this.#timeMs = Math.max(this.#timeMs, timestampOf(row));
  }

  /** Whether it took the row: not if that is beyond retention. */
  put(key: unknown, timestampMs: number, value: unknown): boolean {
    this.#timeMs = Math.max(this.#timeMs, timestampMs);
    const oldestMs = this.#timeMs - this.#retentionMs;
    if (this.#segmentOf(timestampMs) < this.#segmentOf(oldestMs)) return false;
    const keyBytes = this.#key.serialize(key);
    let number = 0;
    for (const [row] of this.#rows(keyBytes, timestampMs, timestampMs)) number = positionOf(row).readUInt32BE(8) + 1;
    this.#state.put(rowKey(keyBytes, timestampMs, number), value);
    this.#sweep(oldestMs);
    return true;
  }

  /** The rows of a key with `from <= timestampMs <= to` that are not beyond retention, oldest first; as of the call. */
  fetch(key: unknown, from: number, to: number): readonly JoinRow[] {
    const first = Math.max(from, this.#timeMs - this.#retentionMs + 1, 0);
    if (first > to) return [];
    return [...this.#rows(this.#key.serialize(key), first, to)].map(([row, value]) => ({
      timestampMs: timestampOf(row),
      value,
    }));
  }

  *#rows(key: Uint8Array, from: number, to: number): IterableIterator<readonly [row: Uint8Array, value: unknown]> {
    const range = this.#state.range({ from: rowKey(key, from, 0), to: rowKey(key, to + 1, 0) });
    for (const entry of range) {
      // Rows of longer keys that begin alike lie in between.
      const [row] = entry;
      if (row.length === key.length + positionBytes && Buffer.compare(row.subarray(0, key.length), key) === 0)
        yield entry;
    }
  }

  #segmentOf(timestampMs: number): number {
    return Math.floor(timestampMs / this.#segmentMs);
  }

  #sweep(oldestMs: number): void {
    const from = this.#hand === undefined ? {} : { from: this.#hand };
    const rows = [...this.#state.range({ ...from, limit: sweptRows + 1 })].map(([row]) => row);
    this.#hand = rows[sweptRows];
    for (const row of rows.slice(0, sweptRows)) if (timestampOf(row) <= oldestMs) this.#state.delete(row);
  }
}

function rowKey(key: Uint8Array, timestampMs: number, number: number): Uint8Array {
  const row = Buffer.allocUnsafe(key.length + positionBytes);
  row.set(key);
  row.writeBigInt64BE(BigInt(timestampMs), key.length);
  row.writeUInt32BE(number, key.length + 8);
  return row;
}

function positionOf(row: Uint8Array): Buffer {
  if (row.length < positionBytes) throw new StreamError('STORE_CORRUPT', 'not the key of a row of a join');
  return Buffer.from(row.buffer, row.byteOffset + row.length - positionBytes, positionBytes);
}

function timestampOf(row: Uint8Array): number {
  return Number(positionOf(row).readBigInt64BE(0));
}
