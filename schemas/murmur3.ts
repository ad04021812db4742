/** The x64 variant of murmur3 with 128 bits: how Kafka Streams tells the values of a foreign-key join apart. */
const multiplier1 = 0x87c37b91114253d5n;
const multiplier2 = 0x4cf5ad432745937fn;
const blockBytes = 16;
/** Kafka Streams' own. */
const defaultSeed = 104_729;

function wrap(value: bigint): bigint {
  return BigInt.asUintN(64, value);
}

function rotate(value: bigint, bits: bigint): bigint {
  return wrap((value << bits) | (value >> (64n - bits)));
}

function scramble1(lane: bigint): bigint {
  return wrap(rotate(wrap(lane * multiplier1), 31n) * multiplier2);
}

function scramble2(lane: bigint): bigint {
  return wrap(rotate(wrap(lane * multiplier2), 33n) * multiplier1);
}

function finish(hash: bigint): bigint {
  let mixed = hash ^ (hash >> 33n);
  mixed = wrap(mixed * 0xff51afd7ed558ccdn);
  mixed ^= mixed >> 33n;
  mixed = wrap(mixed * 0xc4ceb9fe1a85ec53n);
  return mixed ^ (mixed >> 33n);
}

/** 16 bytes: both halves as big-endian int64. */
export function murmur3(bytes: Uint8Array, seed: number = defaultSeed): Uint8Array {
  const tailBytes = bytes.length % blockBytes;
  const padded = Buffer.alloc(bytes.length - tailBytes + blockBytes);
  padded.set(bytes);
  const end = bytes.length - tailBytes;
  let first = BigInt(seed);
  let second = first;
  for (let offset = 0; offset < end; offset += blockBytes) {
    first = wrap(rotate(first ^ scramble1(padded.readBigUInt64LE(offset)), 27n) + second);
    first = wrap(first * 5n + 0x52dce729n);
    second = wrap(rotate(second ^ scramble2(padded.readBigUInt64LE(offset + 8)), 31n) + first);
    second = wrap(second * 5n + 0x38495ab5n);
  }
  // A lane of zeros leaves its half as it is, so the padding of the tail does no harm.
  first ^= scramble1(padded.readBigUInt64LE(end)) ^ BigInt(bytes.length);
  second ^= scramble2(padded.readBigUInt64LE(end + 8)) ^ BigInt(bytes.length);
  first = wrap(first + second);
  second = wrap(second + first);
  first = finish(first);
  second = finish(second);
  first = wrap(first + second);
  second = wrap(second + first);
  const hash = Buffer.allocUnsafe(16);
  hash.writeBigUInt64BE(first, 0);
  hash.writeBigUInt64BE(second, 8);
  return hash;
}
