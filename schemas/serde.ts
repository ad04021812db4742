import { StreamError } from '../errors.ts';
import { parserOf, type StandardSchema } from './standard-schema.ts';

/**
 * Turns values of one type into bytes and back.
 *
 * `serialize` and `deserialize` never see absent data: absent bytes are a `null` value and the other way round, handled by the
 * caller. Both throw on bad input (any error; the engine adds code and coordinates). Serialising equal values must give equal
 * bytes, or keys will not partition, compact or join.
 */
export interface Serde<T> {
  readonly name: string;
  serialize(value: T): Uint8Array;
  deserialize(bytes: Uint8Array): T;
  /** Resolves when every schema that these values name is at hand; called once per fetched batch, before decoding. */
  prepare?(values: readonly Uint8Array[]): Promise<void>;
  /** The bytes by which a record with such a key is partitioned; absent: all of them. */
  partitionKey?(bytes: Uint8Array): Uint8Array;
}

/** The type a serde carries. */
export type SerdeType<S> = S extends Serde<infer T> ? T : never;

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function refuse(serde: string, problem: string): never {
  throw new StreamError('DESERIALIZATION_FAILED', `${serde}: ${problem}`);
}

function expectLength(serde: string, bytes: Uint8Array, length: number): Buffer {
  if (bytes.byteLength !== length) refuse(serde, `expected ${String(length)} bytes, got ${String(bytes.byteLength)}`);
  return asBuffer(bytes);
}

function decodeUtf8(bytes: Uint8Array): string {
  // The replacement character shows up exactly where bytes were not UTF-8 (or where the text holds it): only then pay for the strict decoder.
  const text = asBuffer(bytes).toString('utf8');
  return text.includes('\ufffd') ? strictUtf8.decode(bytes) : text;
}

function encodeUtf8(serde: string, text: string): Buffer {
  if (typeof text !== 'string') throw new StreamError('SERIALIZATION_FAILED', `${serde}: not a string`);
  const bytes = Buffer.from(text, 'utf8');
  if (bytes.length !== text.length && !text.isWellFormed())
    throw new StreamError('SERIALIZATION_FAILED', `${serde}: lone surrogate`);
  return bytes;
}

/** UTF-8 text; invalid UTF-8 and lone surrogates are refused, so that distinct keys stay distinct. */
export const stringSerde: Serde<string> = {
  name: 'string',
  serialize: (value) => encodeUtf8('string', value),
  deserialize: (bytes) => decodeUtf8(bytes),
};

/** Bytes as they are. */
export const bytesSerde: Serde<Uint8Array> = {
  name: 'bytes',
  serialize: (value) => value,
  deserialize: (bytes) => bytes,
};

function intSerde(name: string, length: number, limits: { min: number; max: number }): Serde<number> {
  return {
    name,
    serialize: (value) => {
      if (!Number.isInteger(value) || value < limits.min || value > limits.max)
        throw new StreamError('SERIALIZATION_FAILED', `${name}: not an integer in range`);
      const bytes = Buffer.allocUnsafe(length);
      bytes.writeIntBE(value, 0, length);
      return bytes;
    },
    deserialize: (bytes) => expectLength(name, bytes, length).readIntBE(0, length),
  };
}

export const int16Serde: Serde<number> = intSerde('int16', 2, { min: -0x8000, max: 0x7fff });
export const int32Serde: Serde<number> = intSerde('int32', 4, { min: -0x80000000, max: 0x7fffffff });

const twoTo32 = 0x1_0000_0000;

/** 8-byte big-endian signed integers within the safe range of `number`; larger ones are refused, never rounded. */
export const int64Serde: Serde<number> = {
  name: 'int64',
  serialize: (value) => {
    if (!Number.isSafeInteger(value)) throw new StreamError('SERIALIZATION_FAILED', 'int64: not a safe integer');
    const bytes = Buffer.allocUnsafe(8);
    bytes.writeInt32BE(Math.floor(value / twoTo32), 0);
    bytes.writeUInt32BE(value >= 0 ? value % twoTo32 : ((value % twoTo32) + twoTo32) % twoTo32, 4);
    return bytes;
  },
  deserialize: (bytes) => {
    const buffer = expectLength('int64', bytes, 8);
    const value = buffer.readInt32BE(0) * twoTo32 + buffer.readUInt32BE(4);
    if (!Number.isSafeInteger(value)) refuse('int64', 'beyond the safe range; use bigint64Serde');
    return value;
  },
};

/** 8-byte big-endian signed integers as `bigint`. */
export const bigint64Serde: Serde<bigint> = {
  name: 'bigint64',
  serialize: (value) => {
    const bytes = Buffer.allocUnsafe(8);
    bytes.writeBigInt64BE(value, 0);
    return bytes;
  },
  deserialize: (bytes) => expectLength('bigint64', bytes, 8).readBigInt64BE(0),
};

export const float64Serde: Serde<number> = {
  name: 'float64',
  serialize: (value) => {
    const bytes = Buffer.allocUnsafe(8);
    bytes.writeDoubleBE(value, 0);
    return bytes;
  },
  deserialize: (bytes) => expectLength('float64', bytes, 8).readDoubleBE(0),
};

export const float32Serde: Serde<number> = {
  name: 'float32',
  serialize: (value) => {
    const bytes = Buffer.allocUnsafe(4);
    bytes.writeFloatBE(value, 0);
    return bytes;
  },
  deserialize: (bytes) => expectLength('float32', bytes, 4).readFloatBE(0),
};

/** One byte, 0 or 1. */
export const booleanSerde: Serde<boolean> = {
  name: 'boolean',
  serialize: (value) => Buffer.from([value ? 1 : 0]),
  deserialize: (bytes) => {
    const byte = expectLength('boolean', bytes, 1)[0];
    if (byte !== 0 && byte !== 1) refuse('boolean', 'neither 0 nor 1');
    return byte === 1;
  },
};

/** Checks what was read and gives it its type. */
export type Parse<T> = ((value: unknown) => T) | StandardSchema<T>;

/**
 * JSON in UTF-8, keys in insertion order. For values; as a key or wherever equal values must be equal bytes, use `canonicalJsonSerde`.
 * `parse` may narrow what was read: a schema, or a function that throws. `undefined` has no JSON form and is refused.
 */
export function jsonSerde<T>(parse?: Parse<T>): Serde<T> {
  return makeJson('json', (value) => JSON.stringify(value) as string | undefined, parse);
}

/** JSON with sorted keys and no insignificant white space: equal values give equal bytes. */
export function canonicalJsonSerde<T>(parse?: Parse<T>): Serde<T> {
  return makeJson('canonical-json', (value) => canonicalJson(value), parse);
}

/** A serde whose values are checked, and perhaps changed, by a schema when they are read. */
export function validatedSerde<T>(serde: Serde<unknown>, schema: StandardSchema<T>): Serde<T> {
  const parse = parserOf(schema);
  const name = `${serde.name} of ${schema['~standard'].vendor}`;
  return { ...serde, name, deserialize: (bytes) => parse(serde.deserialize(bytes)) };
}

function makeJson<T>(name: string, stringify: (value: unknown) => string | undefined, given?: Parse<T>): Serde<T> {
  const parse = given === undefined || !('~standard' in given) ? given : parserOf(given);
  return {
    name,
    serialize: (value) => {
      const text = stringify(value);
      if (text === undefined) throw new StreamError('SERIALIZATION_FAILED', `${name}: value has no JSON form`);
      return Buffer.from(text, 'utf8');
    },
    deserialize: (bytes) => {
      const value: unknown = JSON.parse(decodeUtf8(bytes));
      return parse === undefined ? (value as T) : parse(value);
    },
  };
}

/**
 * The canonical JSON text of a plain value: keys sorted by UTF-16 code unit, absent properties left out; `undefined` if it has none. A `bigint` has none
 * by itself, and is refused unless `bigintText` says which text stands for it.
 */
export function canonicalJson(value: unknown, bigintText?: (value: bigint) => string): string | undefined {
  if (typeof value === 'string') return quoted(value);
  if (typeof value === 'bigint' && bigintText !== undefined) return quoted(bigintText(value));
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item, bigintText) ?? 'null').join(',')}]`;
  return objectJson(value as Readonly<Record<string, unknown>>, bigintText);
}

function objectJson(object: Readonly<Record<string, unknown>>, bigintText?: (value: bigint) => string): string {
  const { sorted, labels } = orderOf(Object.keys(object));
  let text = '';
  for (let index = 0; index < sorted.length; index += 1) {
    const item = canonicalJson(object[sorted[index] ?? ''], bigintText);
    if (item !== undefined) text += `${text === '' ? '{' : ','}${labels[index] ?? ''}${item}`;
  }
  return text === '' ? '{}' : `${text}}`;
}

/** How the keys of an object come in canonical JSON. */
interface KeyOrder {
  readonly keys: readonly string[];
  /** By UTF-16 code unit. */
  readonly sorted: readonly string[];
  /** What stands before each value. */
  readonly labels: readonly string[];
}

/** Of the latest object with so many keys: most are built like the one before. */
const orders: (KeyOrder | undefined)[] = [];
const orderedKeysMax = 64;

function orderOf(keys: readonly string[]): KeyOrder {
  const known = orders[keys.length];
  if (known?.keys.every((key, index) => key === keys[index]) === true) return known;
  const sorted = keys.toSorted();
  const order = { keys, sorted, labels: sorted.map((key) => `${quoted(key)}:`) };
  if (keys.length <= orderedKeysMax) orders[keys.length] = order;
  return order;
}

/** What stands for itself between quotes. */
const plain = /^[ !#-[\]-~]*$/;

function quoted(text: string): string {
  return plain.test(text) ? `"${text}"` : JSON.stringify(text);
}
