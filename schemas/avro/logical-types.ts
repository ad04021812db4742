/** Numbers beyond what a JavaScript number holds: Avro's decimals and longs as `bigint`. */
import avsc, { type Type } from 'avsc';

/** A schema node with an attribute `logicalType`. */
export interface LogicalSchema {
  readonly type: string;
  readonly logicalType?: string;
  readonly precision?: unknown;
  readonly scale?: unknown;
  readonly size?: unknown;
}

const exactBits = 48;
const exactLimit = 2 ** (exactBits - 1);

/** Of each length one, filled anew for every number: avsc copies what it is given before it asks again. */
const shortBytes = Array.from({ length: 9 }, (_, length) => Buffer.alloc(length));
const eightBytes = Buffer.alloc(8);

function shortLength(value: number): number {
  for (let length = 1, limit = 128; ; length++, limit *= 256) if (value < limit && value >= -limit) return length;
}

function bytesOfHex(value: bigint): Buffer {
  const magnitude = value < 0n ? -value - 1n : value;
  const length = Math.floor(magnitude.toString(2).length / 8) + 1;
  const hex = BigInt.asUintN(length * 8, value).toString(16);
  return Buffer.from(hex.padStart(length * 2, '0'), 'hex');
}

/** Two's complement, big-endian, as short as can be. The buffer is only good until the next call. */
export function decimalToBytes(value: bigint): Buffer {
  const number = Number(value);
  if (number >= exactLimit || number < -exactLimit) return bytesOfHex(value);
  const length = shortLength(number);
  const bytes = shortBytes[length] ?? Buffer.alloc(length);
  bytes.writeIntBE(number, 0, length);
  return bytes;
}

/** The number that two's complement bytes mean; none at all are 0. */
export function decimalFromBytes(bytes: Buffer): bigint {
  const { length } = bytes;
  if (length === 0) return 0n;
  if (length <= exactBits / 8) return BigInt(bytes.readIntBE(0, length));
  if (length > 8) return BigInt.asIntN(length * 8, BigInt(`0x${bytes.toString('hex')}`));
  eightBytes.fill(((bytes[0] ?? 0) & 0x80) === 0 ? 0 : 0xff);
  bytes.copy(eightBytes, 8 - length);
  return eightBytes.readBigInt64BE(0);
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0;
}

/** `bytes` or `fixed` with `logicalType: decimal`: the unscaled number as a `bigint`; where the point stands is the schema's business. */
export class DecimalType extends avsc.types.LogicalType {
  readonly precision: number;
  readonly scale: number;
  readonly #limit: bigint;
  readonly #size: number | undefined;

  /** Throws on a decimal that the Avro specification calls invalid; avsc then ignores the logical type. */
  constructor(schema: LogicalSchema, options?: unknown) {
    super(schema as never, options);
    const { precision, scale = 0, size } = schema;
    if (!isCount(precision) || !isCount(scale) || precision === 0 || scale > precision)
      throw new Error('invalid precision or scale');
    this.precision = precision;
    this.scale = scale;
    this.#limit = 10n ** BigInt(precision);
    this.#size = isCount(size) ? size : undefined;
  }

  protected override _fromValue(bytes: Buffer): bigint {
    return decimalFromBytes(bytes);
  }

  protected override _toValue(value: unknown): Buffer | undefined {
    if (typeof value !== 'bigint' || value >= this.#limit || value <= -this.#limit) return undefined;
    const bytes = decimalToBytes(value);
    if (this.#size === undefined) return bytes;
    return bytes.length > this.#size
      ? undefined
      : Buffer.concat([Buffer.alloc(this.#size - bytes.length, value < 0n ? 0xff : 0), bytes]);
  }

  /** Reads plain bytes, and decimals of the same scale that are no longer. */
  protected override _resolve(writer: Type): ((value: never) => bigint) | undefined {
    if (writer instanceof DecimalType)
      return writer.scale === this.scale && writer.precision <= this.precision ? (value: bigint) => value : undefined;
    return writer.typeName === this.underlyingType.typeName ? (bytes: Buffer) => decimalFromBytes(bytes) : undefined;
  }

  protected override _export(schema: object | string): void {
    if (typeof schema === 'object') Object.assign(schema, { precision: this.precision, scale: this.scale });
  }
}

const longLimit = 2n ** 63n;

function longBytes(value: bigint): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigInt64LE(value);
  return bytes;
}

const isLong = (value: unknown): value is bigint =>
  typeof value === 'bigint' && value >= -longLimit && value < longLimit;

const order = <T extends bigint | number>(left: T, right: T): -1 | 0 | 1 => (left < right ? -1 : left > right ? 1 : 0);

/** A `long` with `logicalType: bigint`: always a `bigint`. */
export const bigintLong: Type = avsc.types.LongType.__with({
  fromBuffer: (bytes: Buffer): bigint => bytes.readBigInt64LE(),
  toBuffer: longBytes,
  fromJSON: (value: number | string): bigint => BigInt(value),
  toJSON: (value: bigint): string => String(value),
  isValid: isLong,
  compare: order,
});

/** A `long` of a schema that is not ours: a number where it is exact, else a `bigint`. */
export const exactLong: Type = avsc.types.LongType.__with({
  fromBuffer: (bytes: Buffer): number | bigint => {
    const value = bytes.readBigInt64LE();
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value;
  },
  toBuffer: (value: number | bigint): Buffer => longBytes(BigInt(value)),
  fromJSON: (value: number): number => value,
  toJSON: (value: number | bigint): number | string => (typeof value === 'bigint' ? String(value) : value),
  isValid: (value: unknown): boolean => Number.isSafeInteger(value) || isLong(value),
  compare: order,
});
