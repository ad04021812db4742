/** CRC-32C (Castagnoli) of record batches: native where its module loads, else by table. */
import { createRequire } from 'node:module';

type Checksum = (bytes: Uint8Array) => number;

const polynomial = 0x82f63b78;

function buildTable(): Uint32Array {
  const table = new Uint32Array(256);
  for (let byte = 0; byte < 256; byte++) {
    let remainder = byte;
    for (let bit = 0; bit < 8; bit++)
      remainder = (remainder & 1) === 1 ? (remainder >>> 1) ^ polynomial : remainder >>> 1;
    table[byte] = remainder;
  }
  return table;
}

/** The portable implementation: some 3 ns a byte. */
export function tableCrc32c(): Checksum {
  const table = buildTable();
  return (bytes) => {
    let crc = 0xffff_ffff;
    for (const byte of bytes) crc = (table[(crc ^ byte) & 0xff] ?? 0) ^ (crc >>> 8);
    return (crc ^ 0xffff_ffff) >>> 0;
  };
}

function load(): Checksum {
  try {
    const native = createRequire(import.meta.url)('@node-rs/crc32') as { readonly crc32c: Checksum };
    return (bytes) => native.crc32c(bytes);
  } catch {
    return tableCrc32c();
  }
}

let checksum: Checksum | undefined;

/** As an unsigned 32-bit number. */
export function crc32c(bytes: Uint8Array): number {
  checksum ??= load();
  return checksum(bytes);
}
