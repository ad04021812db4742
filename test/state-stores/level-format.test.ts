import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { silentLogger, systemRandom } from '../../clock.ts';
import { LogScan, logBlockBytes, readLogBlock, unmaskChecksum } from '../../state-stores/level-log-format.ts';
import { EntryFramer, rowKey } from '../../state-stores/level-row.ts';
import { decompressSnappy } from '../../state-stores/level-snappy.ts';
import { levelStores } from '../../state-stores/level.ts';
import type { KeyValueStore } from '../../state-stores/store.ts';
import { codeOf, openOptions } from '../contracts/key-value-store-contract.ts';

const snappy = createRequire(import.meta.url)('snappy') as { compressSync(bytes: Uint8Array): Buffer };

describe('snappy blocks', () => {
  test('come out as they went in', () => {
    const repetitive = fc
      .array(fc.tuple(fc.uint8Array({ maxLength: 80 }), fc.nat(40)), { maxLength: 30 })
      .map((parts) => Buffer.concat(parts.flatMap(([part, times]) => Array<Uint8Array>(times).fill(part))));
    fc.assert(
      fc.property(fc.oneof(fc.uint8Array({ maxLength: 5000 }), repetitive), (bytes) => {
        expect(Buffer.compare(decompressSnappy(snappy.compressSync(bytes), 1e6), bytes)).toBe(0);
      }),
    );
    const large = Buffer.alloc(300_000, 'all work and no play ');
    expect(decompressSnappy(snappy.compressSync(large), 1e6).equals(large)).toBe(true);
  });

  test('that are not some are refused, and never read or write beyond their ends', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        try {
          expect(decompressSnappy(Buffer.from(bytes), 1000).length).toBeLessThanOrEqual(1000);
        } catch (error) {
          expect((error as Error).name).toBe('RangeError');
        }
      }),
      { numRuns: 2000 },
    );
    expect(() => decompressSnappy(snappy.compressSync(Buffer.alloc(100)), 99)).toThrow('too large');
  });
});

describe('sealed values', () => {
  test('open under their own key only, unchanged only', () => {
    const framer = new EntryFramer();
    const size = fc.oneof(fc.nat(300), fc.constantFrom(65_500, 65_536, 70_000));
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 20 }), size, fc.nat(), (key, length, at) => {
        const value = Buffer.alloc(length, 'value');
        const sealed = Buffer.from(framer.seal(framer.rowKey(key), value).value);
        expect(Buffer.compare(framer.open(framer.rowKey(key), sealed), value)).toBe(0);
        expect(() => framer.open(rowKey(Buffer.concat([key, Buffer.of(1)])), sealed)).toThrow('checksum');
        sealed[at % sealed.length]! ^= 1;
        expect(() => framer.open(framer.rowKey(key), sealed)).toThrow('checksum');
      }),
    );
    expect(() => framer.open(framer.rowKey(Buffer.of(1)), Buffer.of(1, 2, 3))).toThrow('checksum');
    const longKey = Buffer.alloc(70_000, 'k');
    const sealed = Buffer.from(framer.seal(framer.rowKey(longKey), Buffer.of(1)).value);
    expect([...framer.open(framer.rowKey(longKey), sealed)]).toEqual([1]);
  });
});

describe('log blocks', () => {
  test('unmask checksums as LevelDB masks them', () => {
    const mask = (crc: number): number => ((((crc >>> 15) | (crc << 17)) >>> 0) + 0xa282ead8) >>> 0;
    for (const crc of [0, 1, 0x80000000, 0xffffffff, 0x12345678]) expect(unmaskChecksum(mask(crc))).toBe(crc);
  });

  test('of zeros hold nothing, and a log that goes on behind them has a hole', () => {
    const zeros = Buffer.alloc(logBlockBytes);
    expect(readLogBlock(zeros)).toEqual({ fragments: [], isWhole: false });
    const scan = new LogScan();
    expect(scan.add(zeros)).toBe(true);
    expect(scan.end).toBe('torn');
    expect(scan.add(zeros)).toBe(false);
    expect(new LogScan().end).toBe('whole');
  });
});

describe('the check of files', () => {
  let directory: string;
  const path = ['0_0', 'big'];

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'level-'));
  });

  afterEach(() => rm(directory, { recursive: true, force: true }));

  const open = (): Promise<KeyValueStore> =>
    levelStores({ directory, logger: silentLogger, random: systemRandom }).open(path, openOptions);

  async function fill(compressible: boolean): Promise<void> {
    const store = await open();
    for (let position = 1; position <= 20; position += 1) {
      const batch = store.batch();
      for (let index = 0; index < 2000; index += 1) {
        const value = Buffer.alloc(400, 'some text ');
        if (!compressible) for (let at = 0; at < 400; at += 1) value[at] = (index * at * position) >> 3;
        batch.put(Buffer.from(`a-long-key-with-a-common-prefix-${String(position * 7919 + index * 31)}`), value);
      }
      await batch.write(position);
    }
    await store.compact();
    await store.close();
  }

  test.each([[true], [false]])('accepts large tables, their index compressed or not (%s)', async (compressible) => {
    await fill(compressible);
    for (let round = 0; round < 2; round += 1) {
      const store = await open();
      expect(store.position).toBe(20);
      await store.close();
    }
  });

  test('looks only at what LevelDB will use', async () => {
    await fill(true);
    const database = join(directory, ...path, '@level');
    const leftOvers = ['999999.ldb', '000001.log', 'MANIFEST-000001', '000002.dbtmp'];
    for (const name of leftOvers) await writeFile(join(database, name), 'left over from a crash');
    await (await open()).close();
    expect(await readdir(database)).not.toContain('999999.ldb');
  });

  test('takes a directory without a database for a damaged one', async () => {
    await (await open()).close();
    await rm(join(directory, ...path, '@level', 'CURRENT'));
    expect(await codeOf(open)).toBe('STORE_CORRUPT');
  });
});
