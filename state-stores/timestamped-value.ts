/** The stored form of a value with its event time, as Kafka Streams has it: big-endian int64 epoch milliseconds, then the value. */
import { StreamError } from '../errors.ts';

const timestampBytes = 8;
const twoTo32 = 0x1_0000_0000;

/** `timestampMs` must be a safe integer of at least 0. */
export function withTimestamp(value: Uint8Array, timestampMs: number): Uint8Array {
  const stored = Buffer.allocUnsafe(timestampBytes + value.length);
  stored.writeUInt32BE(Math.floor(timestampMs / twoTo32), 0);
  stored.writeUInt32BE(timestampMs % twoTo32, 4);
  stored.set(value, timestampBytes);
  return stored;
}

/** Throws `STORE_CORRUPT` when there is no timestamp. */
export function timestampOf(stored: Uint8Array): number {
  if (stored.length < timestampBytes)
    throw new StreamError('STORE_CORRUPT', 'a stored row is too short for its timestamp');
  const view = new DataView(stored.buffer, stored.byteOffset, timestampBytes);
  return view.getUint32(0) * twoTo32 + view.getUint32(4);
}

/** A view of the value's part. */
export function valueOf(stored: Uint8Array): Uint8Array {
  return stored.subarray(timestampBytes);
}
