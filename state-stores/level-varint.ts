/** Reads LevelDB's variable-length numbers and length-prefixed slices; throws a `RangeError` beyond the end. */
export class VarintReader {
  readonly #bytes: Buffer;
  #at: number;

  constructor(bytes: Buffer, at = 0) {
    this.#bytes = bytes;
    this.#at = at;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length;
  }

  /** Up to the safe range of numbers. */
  number(): number {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const byte = this.#bytes.readUInt8(this.#at);
      this.#at += 1;
      value += (byte & 0x7f) * factor;
      if (byte < 0x80) break;
    }
    if (!Number.isSafeInteger(value)) throw new RangeError('a variable-length number is too large');
    return value;
  }

  /** A view. */
  take(length: number): Buffer {
    if (length > this.#bytes.length - this.#at) throw new RangeError('a slice reaches beyond its end');
    const slice = this.#bytes.subarray(this.#at, this.#at + length);
    this.#at += length;
    return slice;
  }

  slice(): Buffer {
    return this.take(this.number());
  }
}
