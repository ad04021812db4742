/** Keys of windows, and how they are written: as Kafka Streams' time-windowed and session-windowed serdes do. */
import { StreamError } from '../errors.ts';
import { int64Serde, type Serde } from './serde.ts';

/** A stretch of event time, epoch ms. Of time windows `endMs` is the first instant after it; of sliding windows and sessions it belongs to it. */
export interface Window {
  readonly startMs: number;
  readonly endMs: number;
}

/** A key in one window. */
export interface Windowed<K> extends Window {
  readonly key: K;
}

const timeBytes = 8;

/**
 * Keys of tumbling, hopping and sliding windows: the key, then the start as 8 bytes, most significant first. The end is not written:
 * `sizeMs` tells it (of sliding windows: the time difference). Records are partitioned by the bytes of the key alone.
 */
export function timeWindowedSerde<K>(inner: Serde<K>, sizeMs: number): Serde<Windowed<K>> {
  return {
    name: `time-windowed ${inner.name}`,
    serialize: ({ key, startMs }) => Buffer.concat([inner.serialize(key), int64Serde.serialize(startMs)]),
    deserialize: (bytes) => {
      const { key, times } = split(inner, bytes, timeBytes);
      const startMs = int64Serde.deserialize(times);
      return { key, startMs, endMs: startMs + sizeMs };
    },
    partitionKey: (bytes) => bytes.subarray(0, -timeBytes),
    ...preparation(inner, timeBytes),
  };
}

/** Keys of sessions: the key, then end and start as 8 bytes each. Records are partitioned by the bytes of the key alone. */
export function sessionWindowedSerde<K>(inner: Serde<K>): Serde<Windowed<K>> {
  return {
    name: `session-windowed ${inner.name}`,
    serialize: ({ key, startMs, endMs }) =>
      Buffer.concat([inner.serialize(key), int64Serde.serialize(endMs), int64Serde.serialize(startMs)]),
    deserialize: (bytes) => {
      const { key, times } = split(inner, bytes, 2 * timeBytes);
      const startMs = int64Serde.deserialize(times.subarray(timeBytes));
      return { key, startMs, endMs: int64Serde.deserialize(times.subarray(0, timeBytes)) };
    },
    partitionKey: (bytes) => bytes.subarray(0, -2 * timeBytes),
    ...preparation(inner, 2 * timeBytes),
  };
}

function split<K>(
  inner: Serde<K>,
  bytes: Uint8Array,
  suffixBytes: number,
): { readonly key: K; readonly times: Uint8Array } {
  if (bytes.length < suffixBytes) throw new StreamError('DESERIALIZATION_FAILED', 'not a windowed key');
  const end = bytes.length - suffixBytes;
  return { key: inner.deserialize(bytes.subarray(0, end)), times: bytes.subarray(end) };
}

function preparation(inner: Serde<unknown>, suffixBytes: number): Pick<Serde<unknown>, 'prepare'> {
  if (inner.prepare === undefined) return {};
  return {
    prepare: async (values) => {
      await inner.prepare?.(values.map((bytes) => bytes.subarray(0, -suffixBytes)));
    },
  };
}
