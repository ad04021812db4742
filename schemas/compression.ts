/**
 * The codecs of record batches. Decompressed size is bounded: a batch from a stranger must not exhaust memory.
 * Snappy and lz4 are native modules, loaded when first used.
 */
import { createRequire } from 'node:module';
import * as zlib from 'node:zlib';
import { StreamError } from '../errors.ts';

export type CompressionName = 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd';

/** By the number in a batch's attributes. */
export const compressionNames: readonly CompressionName[] = ['none', 'gzip', 'snappy', 'lz4', 'zstd'];

/** A batch is at most a few megabytes compressed; this allows about a hundredfold. */
export const decompressedBytesMax = 256 * 1024 * 1024;

interface Codec {
  readonly compress: (bytes: Buffer) => Buffer;
  readonly decompress: (bytes: Buffer) => Buffer;
}

interface SnappyModule {
  compressSync(bytes: Uint8Array): Buffer;
  uncompressSync(bytes: Uint8Array): string | Buffer;
}

interface Lz4Module {
  compressFrameSync(bytes: Buffer): Buffer;
  decompressFrameSync(bytes: Buffer): Buffer;
}

interface Zstd {
  readonly zstdCompressSync?: (bytes: Buffer) => Buffer;
  readonly zstdDecompressSync?: (bytes: Buffer, options: { maxOutputLength: number }) => Buffer;
}

const none: Codec = { compress: (bytes) => bytes, decompress: (bytes) => bytes };

const gzip: Codec = {
  compress: (bytes) => zlib.gzipSync(bytes),
  decompress: (bytes) => zlib.gunzipSync(bytes, { maxOutputLength: decompressedBytesMax }),
};

function missing(name: CompressionName, cause?: unknown): StreamError {
  return new StreamError('CONFIG_INVALID', `compression ${name} is not available in this installation`, {
    facts: { compression: name },
    cause,
  });
}

function loadModule(name: CompressionName, module: string): unknown {
  try {
    return createRequire(import.meta.url)(module);
  } catch (error) {
    throw missing(name, error);
  }
}

// ---- snappy: raw, or blocks in the framing of xerial's Java library (which Kafka's Java client writes) --------------

const xerialMagic = Buffer.from([0x82, 0x53, 0x4e, 0x41, 0x50, 0x50, 0x59, 0]);
const xerialHeaderBytes = xerialMagic.length + 8;
const xerialBlockBytes = 32 * 1024;

function createSnappy(): Codec {
  const native = loadModule('snappy', 'snappy') as SnappyModule;
  const block = (bytes: Buffer): Buffer => {
    if (rawSnappySize(bytes) > decompressedBytesMax) throw new Error('snappy block too large');
    return native.uncompressSync(bytes) as Buffer;
  };
  return {
    compress: (bytes) => compressXerial(native, bytes),
    decompress: (bytes) =>
      bytes.subarray(0, xerialMagic.length).equals(xerialMagic) ? decompressXerial(block, bytes) : block(bytes),
  };
}

function compressXerial(native: SnappyModule, bytes: Buffer): Buffer {
  const header = Buffer.alloc(xerialHeaderBytes);
  xerialMagic.copy(header);
  header.writeInt32BE(1, xerialMagic.length);
  header.writeInt32BE(1, xerialMagic.length + 4);
  const parts: Buffer[] = [header];
  for (let at = 0; at < bytes.length; at += xerialBlockBytes) {
    const block = native.compressSync(bytes.subarray(at, at + xerialBlockBytes));
    const size = Buffer.alloc(4);
    size.writeInt32BE(block.length);
    parts.push(size, block);
  }
  return Buffer.concat(parts);
}

function decompressXerial(block: (bytes: Buffer) => Buffer, bytes: Buffer): Buffer {
  const parts: Buffer[] = [];
  let total = 0;
  for (let at = xerialHeaderBytes; at < bytes.length;) {
    const size = bytes.readUInt32BE(at);
    if (at + 4 + size > bytes.length) throw new Error('truncated snappy block');
    const part = block(bytes.subarray(at + 4, at + 4 + size));
    total += part.length;
    if (total > decompressedBytesMax) throw new Error('snappy blocks too large');
    parts.push(part);
    at += 4 + size;
  }
  return Buffer.concat(parts, total);
}

/** The uncompressed size that a raw snappy block announces; the decoder holds it to that. */
function rawSnappySize(bytes: Buffer): number {
  let size = 0;
  for (let index = 0; index < 5; index++) {
    const byte = bytes[index] ?? 0;
    size += (byte & 0x7f) * 2 ** (7 * index);
    if (byte < 0x80) return size;
  }
  return Infinity;
}

// ---- lz4: the frame format ------------------------------------------------------------------------------------------

function createLz4(): Codec {
  const native = loadModule('lz4', 'lz4-napi') as Lz4Module;
  return {
    compress: (bytes) => native.compressFrameSync(bytes),
    decompress: (bytes) => {
      if (lz4FrameSizeMax(bytes) > decompressedBytesMax) throw new Error('lz4 frame too large');
      return native.decompressFrameSync(bytes);
    },
  };
}

const lz4Magic = 0x184d2204;

/** An upper bound of what the frame decompresses to: its number of blocks times their maximum. */
function lz4FrameSizeMax(bytes: Buffer): number {
  if (bytes.length < 7 || bytes.readUInt32LE(0) !== lz4Magic) throw new Error('not an lz4 frame');
  const flags = bytes.readUInt8(4);
  const blockBytesMax = 2 ** (8 + 2 * ((bytes.readUInt8(5) >> 4) & 7));
  const blockChecksumBytes = (flags & 0x10) === 0 ? 0 : 4;
  const contentSizeBytes = (flags & 0x08) === 0 ? 0 : 8;
  let total = 0;
  for (let at = 7 + contentSizeBytes; ;) {
    const size = bytes.readUInt32LE(at) & 0x7fff_ffff;
    if (size === 0) return total;
    total += blockBytesMax;
    at += 4 + size + blockChecksumBytes;
  }
}

// ---- zstd: where node:zlib has it -----------------------------------------------------------------------------------

function createZstd(): Codec {
  const { zstdCompressSync, zstdDecompressSync } = zlib as Zstd;
  if (zstdCompressSync === undefined || zstdDecompressSync === undefined) throw missing('zstd');
  return {
    compress: (bytes) => zstdCompressSync(bytes),
    decompress: (bytes) => zstdDecompressSync(bytes, { maxOutputLength: decompressedBytesMax }),
  };
}

const create: Readonly<Record<CompressionName, () => Codec>> = {
  none: () => none,
  gzip: () => gzip,
  snappy: createSnappy,
  lz4: createLz4,
  zstd: createZstd,
};

const codecs = new Map<CompressionName, Codec>();

function codec(name: CompressionName): Codec {
  const known = codecs.get(name);
  if (known !== undefined) return known;
  const created = create[name]();
  codecs.set(name, created);
  return created;
}

/** Rejects a codec that cannot be loaded with `CONFIG_INVALID`. */
export function compress(name: CompressionName, bytes: Buffer): Buffer {
  return codec(name).compress(bytes);
}

/** Throws `RECORD_CORRUPT` for bytes that are not what they claim or exceed `decompressedBytesMax`, `CONFIG_INVALID` where the codec cannot be loaded. */
export function decompress(name: CompressionName, bytes: Buffer): Buffer {
  const { decompress: run } = codec(name);
  try {
    return run(bytes);
  } catch (error) {
    throw new StreamError('RECORD_CORRUPT', `${name} data cannot be decompressed`, {
      facts: { compression: name, bytes: bytes.length },
      cause: error,
    });
  }
}
