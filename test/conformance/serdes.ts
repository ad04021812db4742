/** Serdes of the runner's topics. */
import { deserialize, serialize } from 'node:v8';
import { float32Serde, float64Serde, int32Serde, int64Serde, stringSerde, type Serde } from '../../index.ts';
import type { TypeName } from './format.ts';

/** Whatever a function may return, at the cost of readable bytes. */
export const anySerde: Serde<unknown> = {
  name: 'any',
  serialize: (value) => serialize(value),
  deserialize: (bytes) => deserialize(bytes) as unknown,
};

/** Keys that a function of the case makes: all of one type, and ordered as Kafka Streams orders them. */
export function madeKeySerde(): Serde<unknown> {
  let inner: Serde<unknown> | undefined;
  return {
    name: 'made-key',
    serialize: (key) => {
      inner ??= typeof key === 'string' ? stringSerde : typeof key === 'number' ? int64Serde : anySerde;
      return inner.serialize(key);
    },
    deserialize: (bytes) => (inner ?? anySerde).deserialize(bytes),
  };
}

/** Windowed keys, in the order of Kafka Streams: key, start, end. The type of the window comes along. */
const windowedSerde: Serde<unknown> = {
  name: 'windowed',
  serialize: (windowed) => {
    const { key, startMs, endMs, type } = windowed as TypedWindow;
    const times = [startMs, endMs].map((ms) => int64Serde.serialize(ms));
    return Buffer.concat([stringSerde.serialize(key), ...times, Buffer.of(type === 'session' ? 1 : 0)]);
  },
  deserialize: (bytes) => {
    const end = bytes.length - 17;
    return {
      key: stringSerde.deserialize(bytes.subarray(0, end)),
      startMs: int64Serde.deserialize(bytes.subarray(end, end + 8)),
      endMs: int64Serde.deserialize(bytes.subarray(end + 8, end + 16)),
      type: bytes.at(-1) === 1 ? 'session' : 'time',
    };
  },
};

interface TypedWindow {
  readonly key: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly type: string;
}

const serdes: Readonly<Record<TypeName, Serde<unknown>>> = {
  string: stringSerde,
  int32: int32Serde,
  int64: int64Serde,
  float32: float32Serde,
  float64: float64Serde,
  windowed: windowedSerde,
  change: anySerde,
};

export function serdeOf(type: TypeName): Serde<unknown> {
  return serdes[type];
}
