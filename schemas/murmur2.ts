/** Kafka's default partitioning of keys: Java's murmur2 over the key's bytes. */

const multiplier = 0x5bd1e995;

function mix(word: number): number {
  const product = Math.imul(word, multiplier);
  return Math.imul(product ^ (product >>> 24), multiplier);
}

/** As Java's `Utils.murmur2`: a signed 32-bit number. */
export function murmur2(bytes: Uint8Array): number {
  const length = bytes.length;
  let hash = 0x9747b28c ^ length;
  const tail = length & ~3;
  for (let at = 0; at < tail; at += 4) hash = Math.imul(hash, multiplier) ^ mix(wordAt(bytes, at));
  const rest = length & 3;
  if (rest === 3) hash ^= byteAt(bytes, tail + 2) << 16;
  if (rest >= 2) hash ^= byteAt(bytes, tail + 1) << 8;
  if (rest >= 1) hash = Math.imul(hash ^ byteAt(bytes, tail), multiplier);
  hash = Math.imul(hash ^ (hash >>> 13), multiplier);
  return hash ^ (hash >>> 15);
}

function byteAt(bytes: Uint8Array, at: number): number {
  return bytes[at] ?? 0;
}

function wordAt(bytes: Uint8Array, at: number): number {
  return (
    byteAt(bytes, at) | (byteAt(bytes, at + 1) << 8) | (byteAt(bytes, at + 2) << 16) | (byteAt(bytes, at + 3) << 24)
  );
}

/** The partition that every Kafka client with default settings gives a record of this key. */
export function partitionForKey(key: Uint8Array, partitions: number): number {
  return (murmur2(key) & 0x7fff_ffff) % partitions;
}
