/** Between the bytes of a store and the text of a URL or a JSON answer. */
import { StreamError } from '../errors.ts';
import type { Serde } from '../schemas/serde.ts';
import type { AnyStoreSpec } from '../state-stores/spec.ts';
import { limits } from './limits.ts';
import { Problem } from './problem.ts';
import { hex } from './render.ts';

/** How a key is written in a URL: as itself, as JSON, as `0x…`, as a whole number. */
export const keyFormats = ['text', 'json', 'hex', 'int'] as const;
export type KeyFormat = (typeof keyFormats)[number];

/** The bytes of a key given as text; without a format only stores with string keys understand it. Throws `QUERY_INVALID`. */
export function encodeKeyText(
  spec: Pick<AnyStoreSpec, 'key'>,
  text: string,
  format: KeyFormat | undefined,
): Uint8Array {
  const bytes = format === 'hex' ? hexBytes(text) : serializeKey(spec.key, keyOf(spec, text, format));
  if (bytes.byteLength > limits.keyBytes)
    throw new Problem(414, 'key_too_long', `a key may have ${limits.keyBytes} bytes here`);
  return bytes;
}

function keyOf(spec: Pick<AnyStoreSpec, 'key'>, text: string, format: Exclude<KeyFormat, 'hex'> | undefined): unknown {
  if (format === 'json') return parseJson(text);
  if (format === 'int') return parseInteger(spec.key, text);
  if (format === 'text' || spec.key.name === 'string') return text;
  throw new StreamError('QUERY_INVALID', `keys of this store are ${spec.key.name}: say keyFormat=json, int or hex`);
}

function hexBytes(text: string): Uint8Array {
  const digits = text.replace(/^0x/, '');
  if (!/^([0-9a-fA-F]{2})*$/.test(digits)) throw new StreamError('QUERY_INVALID', 'the key is not hexadecimal');
  return Buffer.from(digits, 'hex');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new StreamError('QUERY_INVALID', 'the key is not JSON');
  }
}

function parseInteger(serde: Serde<unknown>, text: string): number | bigint {
  if (!/^-?\d{1,19}$/.test(text)) throw new StreamError('QUERY_INVALID', 'the key is not a whole number');
  return serde.name === 'bigint64' ? BigInt(text) : Number(text);
}

function serializeKey(serde: Serde<unknown>, key: unknown): Uint8Array {
  if (key === null) throw new StreamError('QUERY_INVALID', 'a key is never null');
  try {
    return serde.serialize(key);
  } catch {
    throw new StreamError('QUERY_INVALID', `the key is not one of this store: ${serde.name}`);
  }
}

/** A key as it appears in an answer; text in `hex` and `int`, else the value itself. */
export function decodeKey(spec: AnyStoreSpec, bytes: Uint8Array, format: KeyFormat | undefined): unknown {
  if (format === 'hex') return `0x${hex(bytes)}`;
  const key = deserialize(spec.key, bytes);
  return format === 'int' && typeof key === 'number' ? String(key) : key;
}

export interface StoredValue {
  readonly value: unknown;
  /** Event time, where the store keeps it. */
  readonly timestampMs?: number;
}

/** A stored value as processors know it. Throws a 500 `value_undecodable` when the serde refuses it. */
export function decodeValue(spec: Pick<AnyStoreSpec, 'format' | 'value'>, stored: Uint8Array): StoredValue {
  const { value: bytes, timestampMs } = spec.format.toChangelog(stored, noTimestamp);
  const value = deserialize(spec.value, bytes);
  return timestampMs === noTimestamp ? { value } : { value, timestampMs };
}

/** Given where the format has none of its own. */
const noTimestamp = -1;

function deserialize(serde: Serde<unknown>, bytes: Uint8Array): unknown {
  try {
    return serde.deserialize(bytes);
  } catch {
    throw new Problem(
      500,
      'value_undecodable',
      'the serde of the store refuses what is stored; hex and base64 show the bytes',
    );
  }
}

/** The keys that begin with `prefix`: from it up to, not including, the returned end; `undefined`: up to the last key. */
export function endOfPrefix(prefix: Uint8Array): Uint8Array | undefined {
  const end = Buffer.from(prefix);
  for (let index = end.length - 1; index >= 0; index -= 1) {
    const byte = end[index] ?? 0xff;
    if (byte === 0xff) continue;
    end[index] = byte + 1;
    return end.subarray(0, index + 1);
  }
  return undefined;
}
