/**
 * The records of a left or outer stream-stream join that found nothing yet, until their windows close; shared by both sides. Keys and values are
 * Kafka Streams':
 *
 *     key      int64 timestamp ‖ side (1 left, 0 right) ‖ key
 *     value    1 ‖ int32 count ‖ for each record: int32 length ‖ side ‖ value
 */
import { StreamError } from '../errors.ts';
import type { Serde } from '../schemas/serde.ts';
import type { OrderedState } from '../state-stores/typed-store.ts';

export type Side = 'left' | 'right';

/** Values of one key, time and side, in the order of their arrival. */
export type UnjoinedState = OrderedState<Uint8Array, readonly Uint8Array[]>;

export interface UnjoinedKey {
  readonly timestampMs: number;
  readonly side: Side;
  readonly key: unknown;
}

const timeBytes = 8;
const headBytes = timeBytes + 1;
/** Kafka's mark of a list whose items have lengths of their own. */
const variableSize = 1;

const sides: Readonly<Record<Side, number>> = { left: 1, right: 0 };

export const unjoinedSerde: Serde<readonly Uint8Array[]> = {
  name: 'list of bytes',
  serialize: (values) => Buffer.concat([Buffer.of(variableSize), int32(values.length), ...values.flatMap(withLength)]),
  deserialize: (stored) => {
    const bytes = Buffer.from(stored);
    if (bytes[0] !== variableSize || bytes.length < 5) throw malformed();
    const values: Uint8Array[] = [];
    let at = 5;
    for (let left = bytes.readInt32BE(1); left > 0; left -= 1) {
      if (at + 4 > bytes.length) throw malformed();
      const end = at + 4 + bytes.readInt32BE(at);
      if (end > bytes.length) throw malformed();
      values.push(bytes.subarray(at + 4, end));
      at = end;
    }
    return values;
  },
};

export interface UnjoinedSerdes {
  readonly key: Serde<unknown>;
  readonly left: Serde<unknown>;
  readonly right: Serde<unknown>;
}

export class UnjoinedRows {
  readonly #state: UnjoinedState;
  readonly #serdes: UnjoinedSerdes;

  constructor(state: UnjoinedState, serdes: UnjoinedSerdes) {
    this.#state = state;
    this.#serdes = serdes;
  }

  add(of: UnjoinedKey, value: unknown): void {
    const row = this.#rowKey(of);
    const written = Buffer.concat([Buffer.of(sides[of.side]), this.#serdes[of.side].serialize(value)]);
    this.#state.put(row, [...(this.#state.get(row) ?? []), written]);
  }

  /** All records of that key, time and side. */
  remove(of: UnjoinedKey): void {
    const row = this.#rowKey(of);
    if (this.#state.get(row) !== undefined) this.#state.delete(row);
  }

  /** By time, right before left, then by the bytes of the key; as of the call. */
  *all(): IterableIterator<UnjoinedKey & { readonly values: readonly unknown[] }> {
    for (const [row, written] of this.#state.range()) {
      if (row.length < headBytes) throw malformed();
      const timestampMs = Number(Buffer.from(row.subarray(0, timeBytes)).readBigInt64BE(0));
      const side: Side = row[timeBytes] === sides.left ? 'left' : 'right';
      const serde = this.#serdes[side];
      const values = written.map((value) => serde.deserialize(value.subarray(1)));
      yield { timestampMs, side, key: this.#serdes.key.deserialize(row.subarray(headBytes)), values };
    }
  }

  #rowKey({ timestampMs, side, key }: UnjoinedKey): Uint8Array {
    const time = Buffer.allocUnsafe(timeBytes);
    time.writeBigInt64BE(BigInt(timestampMs), 0);
    return Buffer.concat([time, Buffer.of(sides[side]), this.#serdes.key.serialize(key)]);
  }
}

function withLength(value: Uint8Array): readonly Uint8Array[] {
  return [int32(value.length), value];
}

function int32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeInt32BE(value, 0);
  return bytes;
}

function malformed(): StreamError {
  return new StreamError('STORE_CORRUPT', 'not a readable row of what waits to be joined');
}
