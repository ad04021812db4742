/**
 * A record that a step took in and is not done with, as its store and changelog have it. Lengths are 4 bytes, most significant first; -1 is
 * an absent value.
 *
 *     int64 timestamp ‖ key ‖ value ‖ count of headers ‖ (name ‖ value)…        each of them: length ‖ bytes
 */
import { StreamError } from '../errors.ts';
import type { Header, StreamRecord } from '../schemas/record.ts';
import { int64Serde, type Serde } from '../schemas/serde.ts';

export function pendingRecordSerde<K, V>(key: Serde<K>, value: Serde<V>): Serde<StreamRecord<K | null, V | null>> {
  return {
    name: `pending ${key.name} and ${value.name}`,
    serialize: (record) => {
      const parts: Uint8Array[] = [
        int64Serde.serialize(record.timestampMs),
        ...sized(record.key === null ? undefined : key.serialize(record.key)),
        ...sized(record.value === null ? undefined : value.serialize(record.value)),
        int32(record.headers.length),
      ];
      for (const header of record.headers) parts.push(...sized(Buffer.from(header.key)), ...sized(header.value));
      return Buffer.concat(parts);
    },
    deserialize: (bytes) => {
      const cursor = new Cursor(bytes);
      const timestampMs = int64Serde.deserialize(cursor.take(8));
      const keyBytes = cursor.sized();
      const valueBytes = cursor.sized();
      const headers: Header[] = [];
      for (let left = cursor.int32(); left > 0; left -= 1)
        headers.push({ key: Buffer.from(cursor.sized() ?? []).toString(), value: cursor.sized() });
      return {
        key: keyBytes === undefined ? null : key.deserialize(keyBytes),
        value: valueBytes === undefined ? null : value.deserialize(valueBytes),
        timestampMs,
        headers,
      };
    },
  };
}

function sized(bytes: Uint8Array | undefined): readonly Uint8Array[] {
  return bytes === undefined ? [int32(-1)] : [int32(bytes.length), bytes];
}

function int32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeInt32BE(value, 0);
  return bytes;
}

class Cursor {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  int32(): number {
    return this.take(4).readInt32BE(0);
  }

  sized(): Buffer | undefined {
    const length = this.int32();
    return length < 0 ? undefined : this.take(length);
  }

  take(length: number): Buffer {
    if (this.#at + length > this.#bytes.length)
      throw new StreamError('DESERIALIZATION_FAILED', 'a pending record ends early');
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }
}
