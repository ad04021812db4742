/**
 * Zigzag variable-length integers as the record batch format uses them. A 64-bit value is handled as two 32-bit halves:
 * exact over all safe integers, without BigInt.
 */

const two32 = 4_294_967_296;
const int32Max = 0x7fff_ffff;

/** Bytes that `writeVarint` takes for an int32. */
export function varintSize(value: number): number {
  const zigzag = ((value << 1) ^ (value >> 31)) >>> 0;
  if (zigzag < 0x80) return 1;
  if (zigzag < 0x4000) return 2;
  if (zigzag < 0x20_0000) return 3;
  return zigzag < 0x1000_0000 ? 4 : 5;
}

/** Writes an int32 and returns the position after it. */
export function writeVarint(target: Uint8Array, position: number, value: number): number {
  let zigzag = (value << 1) ^ (value >> 31);
  let at = position;
  while ((zigzag & ~0x7f) !== 0) {
    target[at++] = (zigzag & 0x7f) | 0x80;
    zigzag >>>= 7;
  }
  target[at++] = zigzag;
  return at;
}

/** Bytes that `writeVarlong` takes for a safe integer. */
export function varlongSize(value: number): number {
  if (value <= int32Max && value >= -int32Max) return varintSize(value);
  const low = zigzagLow(value);
  let high = zigzagHigh(value);
  let size = 1;
  let rest = low;
  while (high !== 0 || rest > 0x7f) {
    rest = ((rest >>> 7) | (high << 25)) >>> 0;
    high >>>= 7;
    size += 1;
  }
  return size;
}

/** Writes a safe integer as 64 bits and returns the position after it. */
export function writeVarlong(target: Uint8Array, position: number, value: number): number {
  if (value <= int32Max && value >= -int32Max) return writeVarint(target, position, value);
  let low = zigzagLow(value);
  let high = zigzagHigh(value);
  let at = position;
  while (high !== 0 || low > 0x7f) {
    target[at++] = (low & 0x7f) | 0x80;
    low = ((low >>> 7) | (high << 25)) >>> 0;
    high >>>= 7;
  }
  target[at++] = low;
  return at;
}

function zigzagLow(value: number): number {
  return ((value << 1) ^ (value < 0 ? -1 : 0)) >>> 0;
}

function zigzagHigh(value: number): number {
  const high = Math.floor(value / two32) | 0;
  return (((high << 1) | (value >>> 31)) ^ (high >> 31)) >>> 0;
}

/** The int64 whose zigzag form is made of these halves, as the nearest number. */
export function zigzagToNumber(low: number, high: number): number {
  const sign = -(low & 1);
  const valueLow = ((low >>> 1) | (high << 31)) ^ sign;
  const valueHigh = (high >>> 1) ^ sign;
  return valueHigh * two32 + (valueLow >>> 0);
}
