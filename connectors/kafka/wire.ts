/** Primitives of Kafka's wire format. A flexible version has compact lengths and tagged fields, an older one neither: the same calls write both. */

const two32 = 4_294_967_296;
const initialBytes = 512;
/** From here on bytes are sent from where they lie. */
const copyBytesMax = 4096;
const noUuid = Buffer.alloc(16);

export class WireWriter {
  readonly #isFlexible: boolean;
  readonly #chunks: Buffer[] = [];
  #chunkBytes = 0;
  #buffer = Buffer.allocUnsafe(initialBytes);
  #start = 0;
  #at = 0;

  constructor(isFlexible: boolean) {
    this.#isFlexible = isFlexible;
  }

  int8(value: number): void {
    this.#at = this.#room(1).writeInt8(value, this.#at);
  }

  int16(value: number): void {
    this.#at = this.#room(2).writeInt16BE(value, this.#at);
  }

  int32(value: number): void {
    this.#at = this.#room(4).writeInt32BE(value, this.#at);
  }

  /** A safe integer as 64 bits. */
  int64(value: number): void {
    this.int32(Math.floor(value / two32));
    this.int32(value | 0);
  }

  bigint64(value: bigint): void {
    this.#at = this.#room(8).writeBigInt64BE(value, this.#at);
  }

  boolean(value: boolean): void {
    this.int8(value ? 1 : 0);
  }

  string(value: string): void {
    const length = Buffer.byteLength(value);
    if (this.#isFlexible) this.#unsignedVarint(length + 1);
    else this.int16(length);
    const target = this.#room(length);
    this.#at += target.write(value, this.#at);
  }

  /** Request headers keep the old form in every version. */
  clientId(value: string): void {
    const length = Buffer.byteLength(value);
    this.int16(length);
    const target = this.#room(length);
    this.#at += target.write(value, this.#at);
  }

  nullableString(value: string | undefined): void {
    if (value !== undefined) this.string(value);
    else if (this.#isFlexible) this.#unsignedVarint(0);
    else this.int16(-1);
  }

  bytes(value: Uint8Array): void {
    if (this.#isFlexible) this.#unsignedVarint(value.length + 1);
    else this.int32(value.length);
    if (value.length <= copyBytesMax) {
      this.#room(value.length).set(value, this.#at);
      this.#at += value.length;
      return;
    }
    this.#cut();
    this.#chunks.push(Buffer.from(value.buffer, value.byteOffset, value.length));
    this.#chunkBytes += value.length;
  }

  array<T>(items: readonly T[], write: (item: T) => void): void {
    if (this.#isFlexible) this.#unsignedVarint(items.length + 1);
    else this.int32(items.length);
    for (const item of items) write(item);
  }

  nullArray(): void {
    if (this.#isFlexible) this.#unsignedVarint(0);
    else this.int32(-1);
  }

  /** No identifier. */
  emptyUuid(): void {
    this.#room(noUuid.length).set(noUuid, this.#at);
    this.#at += noUuid.length;
  }

  /** The end of a structure. */
  tags(): void {
    if (this.#isFlexible) this.int8(0);
  }

  /** Everything written, with its size as an int32 in front: to be sent in this order. */
  finish(): readonly Buffer[] {
    this.#cut();
    const size = Buffer.allocUnsafe(4);
    size.writeInt32BE(this.#chunkBytes);
    return [size, ...this.#chunks];
  }

  #unsignedVarint(value: number): void {
    const target = this.#room(5);
    let rest = value;
    while (rest > 0x7f) {
      target[this.#at++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    target[this.#at++] = rest;
  }

  #cut(): void {
    if (this.#at === this.#start) return;
    this.#chunks.push(this.#buffer.subarray(this.#start, this.#at));
    this.#chunkBytes += this.#at - this.#start;
    this.#start = this.#at;
  }

  #room(bytes: number): Buffer {
    if (this.#at + bytes <= this.#buffer.length) return this.#buffer;
    const used = this.#at - this.#start;
    const grown = Buffer.allocUnsafe(Math.max(initialBytes, (used + bytes) * 2));
    this.#buffer.copy(grown, 0, this.#start, this.#at);
    this.#buffer = grown;
    this.#start = 0;
    this.#at = used;
    return grown;
  }
}

/** Throws a `RangeError` when the bytes end too early. */
export class WireReader {
  readonly #buffer: Buffer;
  readonly #isFlexible: boolean;
  #at = 0;

  constructor(buffer: Buffer, isFlexible: boolean) {
    this.#buffer = buffer;
    this.#isFlexible = isFlexible;
  }

  int8(): number {
    const value = this.#buffer.readInt8(this.#at);
    this.#at += 1;
    return value;
  }

  int16(): number {
    const value = this.#buffer.readInt16BE(this.#at);
    this.#at += 2;
    return value;
  }

  int32(): number {
    const value = this.#buffer.readInt32BE(this.#at);
    this.#at += 4;
    return value;
  }

  int64(): number {
    return this.int32() * two32 + (this.int32() >>> 0);
  }

  bigint64(): bigint {
    const value = this.#buffer.readBigInt64BE(this.#at);
    this.#at += 8;
    return value;
  }

  boolean(): boolean {
    return this.int8() !== 0;
  }

  string(): string {
    return this.nullableString() ?? '';
  }

  nullableString(): string | undefined {
    const length = this.#isFlexible ? this.#unsignedVarint() - 1 : this.int16();
    return length < 0 ? undefined : this.#slice(length).toString('utf8');
  }

  /** A view of the bytes read from. */
  nullableBytes(): Buffer | undefined {
    const length = this.#isFlexible ? this.#unsignedVarint() - 1 : this.int32();
    return length < 0 ? undefined : this.#slice(length);
  }

  /** An absent array reads as an empty one. */
  array<T>(read: () => T): T[] {
    const length = this.#isFlexible ? this.#unsignedVarint() - 1 : this.int32();
    const items: T[] = [];
    for (let index = 0; index < length; index++) items.push(read());
    return items;
  }

  uuid(): string {
    return this.#slice(16).toString('base64url');
  }

  tags(): void {
    if (!this.#isFlexible) return;
    for (let count = this.#unsignedVarint(); count > 0; count--) {
      this.#unsignedVarint();
      this.#slice(this.#unsignedVarint());
    }
  }

  #slice(length: number): Buffer {
    const end = this.#at + length;
    if (length < 0 || end > this.#buffer.length) throw new RangeError('message ends too early');
    const slice = this.#buffer.subarray(this.#at, end);
    this.#at = end;
    return slice;
  }

  #unsignedVarint(): number {
    let value = 0;
    for (let shift = 0; shift <= 28; shift += 7) {
      const byte = this.#buffer.readUInt8(this.#at);
      this.#at += 1;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
    throw new RangeError('length takes more than 32 bits');
  }
}
