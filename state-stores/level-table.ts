/** LevelDB's tables: checksummed blocks, an index of them, a footer. LevelDB itself reads them without looking at the checksums. */
import type { FileHandle } from 'node:fs/promises';
import { crc32c } from '../schemas/crc32c.ts';
import { unmaskChecksum } from './level-log-format.ts';
import { decompressSnappy } from './level-snappy.ts';
import { VarintReader } from './level-varint.ts';

const footerBytes = 48;
const magic = Buffer.from('57fb808b247547db', 'hex');
/** Compression type and checksum behind each block. */
const trailerBytes = 5;
/** Of blocks read at once. */
const chunkBytes = 1024 * 1024;
/** An index of a table of 16 MiB is a few hundred KiB. */
const indexBytesMax = 64 * 1024 * 1024;

interface BlockHandle {
  readonly offset: number;
  readonly size: number;
}

const handleFrom = (reader: VarintReader): BlockHandle => ({ offset: reader.number(), size: reader.number() });

const endOf = ({ offset, size }: BlockHandle): number => offset + size + trailerBytes;

/** Checks every block of a table; throws a `RangeError` that says what is wrong. `size` is the file's as the manifest has it. */
export async function verifyTable(file: FileHandle, size: number): Promise<void> {
  const actual = (await file.stat()).size;
  if (actual !== size || size < footerBytes) throw new RangeError('a table has lost its end');
  const footer = await read(file, { offset: size - footerBytes, size: footerBytes });
  if (!footer.subarray(footerBytes - magic.length).equals(magic)) throw new RangeError('a table has no footer');
  const reader = new VarintReader(footer.subarray(0, footerBytes - magic.length));
  const metaindex = handleFrom(reader);
  const index = handleFrom(reader);
  if (endOf(metaindex) !== index.offset || endOf(index) !== size - footerBytes)
    throw new RangeError('the footer of a table is damaged');

  const blocks = dataBlocks(contentOf(await read(file, { offset: index.offset, size: index.size + trailerBytes })));
  const dataEnd = checkContiguous(blocks);
  // Between the data and the metaindex lies at most the filter.
  if (dataEnd < metaindex.offset) blocks.push({ offset: dataEnd, size: metaindex.offset - dataEnd - trailerBytes });
  await verifyBlocks(file, [...blocks, metaindex]);
}

/** The handles in an index block, which is laid out as any other: entries, then restart points, then their number. */
function dataBlocks(index: Buffer): BlockHandle[] {
  const restartCount = index.readUInt32LE(index.length - 4);
  const reader = new VarintReader(index.subarray(0, index.length - 4 - 4 * restartCount));
  const handles: BlockHandle[] = [];
  while (!reader.isAtEnd) {
    reader.number();
    const keyBytes = reader.number();
    const valueBytes = reader.number();
    reader.take(keyBytes);
    handles.push(handleFrom(new VarintReader(reader.take(valueBytes))));
  }
  return handles;
}

function checkContiguous(blocks: readonly BlockHandle[]): number {
  let end = 0;
  for (const block of blocks) {
    if (block.offset !== end) throw new RangeError('the index of a table is damaged');
    end = endOf(block);
  }
  return end;
}

async function verifyBlocks(file: FileHandle, blocks: readonly BlockHandle[]): Promise<void> {
  let first = 0;
  while (first < blocks.length) {
    const offset = blocks[first]?.offset ?? 0;
    let next = first + 1;
    while (next < blocks.length && endOf(blocks[next] ?? { offset: 0, size: 0 }) - offset <= chunkBytes) next += 1;
    const run = blocks.slice(first, next);
    const last = run.at(-1) ?? { offset, size: 0 };
    const bytes = await read(file, { offset, size: endOf(last) - offset });
    for (const block of run) checkBlock(bytes.subarray(block.offset - offset, endOf(block) - offset));
    first = next;
  }
}

/** Of a block with its trailer. */
function checkBlock(block: Buffer): void {
  if (block.length < trailerBytes) throw new RangeError('a block of a table is damaged');
  if (crc32c(block.subarray(0, block.length - 4)) !== unmaskChecksum(block.readUInt32LE(block.length - 4)))
    throw new RangeError('a block of a table is damaged');
}

function contentOf(block: Buffer): Buffer {
  checkBlock(block);
  const content = block.subarray(0, block.length - trailerBytes);
  return block.readUInt8(content.length) === 1 ? decompressSnappy(content, indexBytesMax) : content;
}

async function read(file: FileHandle, { offset, size }: BlockHandle): Promise<Buffer> {
  if (size > indexBytesMax) throw new RangeError('a block of a table is too large');
  const bytes = Buffer.allocUnsafe(size);
  const { bytesRead } = await file.read(bytes, 0, size, offset);
  if (bytesRead !== size) throw new RangeError('a table has lost its end');
  return bytes;
}
