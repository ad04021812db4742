/**
 * A change of a row on its way to its group, in Kafka Streams' format:
 *
 *     old ‖ 0        new ‖ 1        zigzag varint(length of new) ‖ new ‖ old ‖ 2
 *
 * Flags 3 to 5 are the same with a byte before the flag that says whether the change is the latest by time; it is read over.
 */
import { StreamError } from '../errors.ts';
import type { Change } from '../schemas/record.ts';
import type { Serde } from '../schemas/serde.ts';

export function changeSerde<V>(inner: Serde<V>): Serde<Change<V>> {
  return {
    name: `change of ${inner.name}`,
    serialize: ({ newValue, oldValue }) => {
      if (newValue === null && oldValue === null)
        throw new StreamError('SERIALIZATION_FAILED', 'a change without a new and an old value');
      if (newValue === null) return Buffer.concat([bytesOf(inner, oldValue), Buffer.of(0)]);
      const added = bytesOf(inner, newValue);
      if (oldValue === null) return Buffer.concat([added, Buffer.of(1)]);
      return Buffer.concat([varint(added.length), added, bytesOf(inner, oldValue), Buffer.of(2)]);
    },
    deserialize: (bytes) => {
      const { added, removed } = split(bytes);
      return {
        newValue: added === undefined ? null : inner.deserialize(added),
        oldValue: removed === undefined ? null : inner.deserialize(removed),
      };
    },
    ...preparation(inner),
  };
}

function preparation(inner: Serde<unknown>): Pick<Serde<unknown>, 'prepare'> {
  if (inner.prepare === undefined) return {};
  return {
    prepare: async (values) => {
      const parts = values.flatMap((bytes) => {
        const { added, removed } = split(bytes);
        return [...(added === undefined ? [] : [added]), ...(removed === undefined ? [] : [removed])];
      });
      await inner.prepare?.(parts);
    },
  };
}

function bytesOf<V>(serde: Serde<V>, value: V | null): Uint8Array {
  return value === null ? new Uint8Array() : serde.serialize(value);
}

interface Parts {
  readonly added: Uint8Array | undefined;
  readonly removed: Uint8Array | undefined;
}

function split(bytes: Uint8Array): Parts {
  const flag = bytes.at(-1);
  if (flag === undefined || flag > 5) throw malformed();
  const end = bytes.length - (flag > 2 ? 2 : 1);
  if (end < 0) throw malformed();
  const kind = flag % 3;
  if (kind === 0) return { added: undefined, removed: bytes.subarray(0, end) };
  if (kind === 1) return { added: bytes.subarray(0, end), removed: undefined };
  const { value: length, next } = readVarint(bytes);
  if (length < 0 || next + length > end) throw malformed();
  return { added: bytes.subarray(next, next + length), removed: bytes.subarray(next + length, end) };
}

function malformed(): StreamError {
  return new StreamError('DESERIALIZATION_FAILED', 'not a change');
}

/** Zigzag, seven bits a byte, least significant first. */
function varint(length: number): Buffer {
  const bytes: number[] = [];
  let rest = length * 2;
  while (rest > 0x7f) {
    bytes.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  bytes.push(rest);
  return Buffer.from(bytes);
}

function readVarint(bytes: Uint8Array): { readonly value: number; readonly next: number } {
  let raw = 0;
  for (let index = 0; index < 5; index += 1) {
    const byte = bytes[index] ?? 0;
    raw += (byte & 0x7f) * 2 ** (7 * index);
    if (byte < 0x80) return { value: raw % 2 === 0 ? raw / 2 : -(raw + 1) / 2, next: index + 1 };
  }
  throw malformed();
}
