import { VarintReader } from './level-varint.ts';

/** Decompresses one raw Snappy block of at most `bytesMax`; throws a `RangeError` if it is not one. For small blocks: some 10 ns a byte. */
export function decompressSnappy(compressed: Buffer, bytesMax: number): Buffer {
  const reader = new VarintReader(compressed);
  const length = reader.number();
  if (length > bytesMax) throw new RangeError('a compressed block is too large');
  const output = Buffer.alloc(length);
  let at = 0;
  while (!reader.isAtEnd) {
    const tag = reader.take(1).readUInt8(0);
    if ((tag & 3) === 0) {
      const literal = reader.take(literalLength(tag >>> 2, reader));
      if (at + literal.length > length) throw new RangeError('a literal reaches beyond the block');
      at += literal.copy(output, at);
    } else at = copyBack(output, at, copyOf(tag, reader));
  }
  if (at !== length) throw new RangeError('a compressed block is incomplete');
  return output;
}

/** Lengths above 60 follow in 1 to 4 bytes. */
function literalLength(code: number, reader: VarintReader): number {
  return code < 60 ? code + 1 : reader.take(code - 59).readUIntLE(0, code - 59) + 1;
}

interface Copy {
  readonly length: number;
  readonly distance: number;
}

function copyOf(tag: number, reader: VarintReader): Copy {
  if ((tag & 3) === 1)
    return { length: ((tag >>> 2) & 7) + 4, distance: (tag >>> 5) * 256 + reader.take(1).readUInt8(0) };
  const bytes = (tag & 3) === 2 ? 2 : 4;
  return { length: (tag >>> 2) + 1, distance: reader.take(bytes).readUIntLE(0, bytes) };
}

/** Byte by byte: a copy may reach into what it writes. */
function copyBack(output: Buffer, at: number, { length, distance }: Copy): number {
  if (distance === 0 || distance > at || at + length > output.length) throw new RangeError('a copy leaves the block');
  for (let index = at; index < at + length; index += 1) output[index] = output[index - distance] ?? 0;
  return at + length;
}
