/** How entries lie in LevelDB: a kind byte before each key, a checksum of key and value after each value. */
import { crc32c } from '../schemas/crc32c.ts';
import { corrupt } from './level-error.ts';

export const metadataKind = 0x00;
export const rowKind = 0x01;

const checksumBytes = 4;
/** Of the buffer that is kept; longer entries get their own. */
const scratchBytes = 64 * 1024;

/** The key of a row; the caller's own array. */
export function rowKey(key: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(1 + key.length);
  framed[0] = rowKind;
  framed.set(key, 1);
  return framed;
}

/**
 * Frames entries without allocating for most of them: every array it returns, except values that were opened, is a view that holds until the next call.
 * LevelDB copies what it is given before a call returns.
 */
export class EntryFramer {
  readonly #scratch = Buffer.allocUnsafeSlow(scratchBytes);

  rowKey(key: Uint8Array): Buffer {
    const length = 1 + key.length;
    if (length > scratchBytes) return rowKey(key);
    this.#scratch[0] = rowKind;
    this.#scratch.set(key, 1);
    return this.#scratch.subarray(0, length);
  }

  /** `framedKey` begins with its kind; the value gets its checksum. */
  seal(framedKey: Uint8Array, value: Uint8Array): { readonly key: Buffer; readonly value: Buffer } {
    const keyEnd = framedKey.length;
    const valueEnd = keyEnd + value.length;
    const entry = this.#joined(framedKey, value);
    entry.writeUInt32LE(crc32c(entry.subarray(0, valueEnd)), valueEnd);
    return { key: entry.subarray(0, keyEnd), value: entry.subarray(keyEnd, valueEnd + checksumBytes) };
  }

  /** The value that was sealed under this key, a view of `sealed`. Throws `STORE_CORRUPT`. */
  open(framedKey: Uint8Array, sealed: Uint8Array): Uint8Array {
    const length = sealed.length - checksumBytes;
    if (length < 0) throw corrupt('a value has no checksum', {});
    const value = sealed.subarray(0, length);
    const entry = this.#joined(framedKey, value);
    const expected =
      ((sealed[length] ?? 0) |
        ((sealed[length + 1] ?? 0) << 8) |
        ((sealed[length + 2] ?? 0) << 16) |
        ((sealed[length + 3] ?? 0) << 24)) >>>
      0;
    if (crc32c(entry.subarray(0, framedKey.length + length)) !== expected)
      throw corrupt('a value does not match its checksum', {});
    return value;
  }

  /** Key and value in one array, with room for the checksum. */
  #joined(framedKey: Uint8Array, value: Uint8Array): Buffer {
    const length = framedKey.length + value.length + checksumBytes;
    const entry = length > scratchBytes ? Buffer.allocUnsafeSlow(length) : this.#scratch;
    entry.set(framedKey, 0);
    entry.set(value, framedKey.length);
    return entry;
  }
}
