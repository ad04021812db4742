/** Byte strings, keys above all, as strings of char codes 0 to 255: they hash, and compare, as the bytes do. */

// Part of Node since its beginning and absent from its types; a third faster than `toString('latin1')`, and any Uint8Array will do.
const { latin1Slice } = Buffer.prototype as {
  latin1Slice: (this: Uint8Array, start: number, end: number) => string;
};

/** The string whose char codes are the bytes. */
export function toBinaryKey(bytes: Uint8Array): string {
  return latin1Slice.call(bytes, 0, bytes.length);
}

/** The bytes of a binary key; the caller's own. */
export function fromBinaryKey(key: string): Uint8Array {
  return Buffer.from(key, 'latin1');
}

/** The least key above all keys that begin with `prefix`; `undefined` if there is none. */
export function afterPrefix(prefix: string): string | undefined {
  for (let index = prefix.length - 1; index >= 0; index -= 1) {
    const code = prefix.charCodeAt(index);
    if (code < 0xff) return prefix.slice(0, index) + String.fromCharCode(code + 1);
  }
  return undefined;
}
