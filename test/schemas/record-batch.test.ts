import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import snappy from 'snappy';
import { StreamError } from '../../errors.ts';
import { crc32c, tableCrc32c } from '../../schemas/crc32c.ts';
import { murmur2, partitionForKey } from '../../schemas/murmur2.ts';
import { BatchCursor, batchCursor, dataBatchPositions, readControlType } from '../../schemas/record-batch-cursor.ts';
import { checkCrc, encodeControlBatch, readBatchHeader, withBaseOffset } from '../../schemas/record-batch-header.ts';
import { BatchBuilder, type ProducerIdentity, type RecordCursor } from '../../schemas/record-batch.ts';
import type { Header } from '../../schemas/record.ts';
import { varintSize, varlongSize, writeVarint, writeVarlong } from '../../schemas/varint.ts';

interface TestRecord {
  readonly timestampMs: number;
  readonly key: Uint8Array | undefined;
  readonly value: Uint8Array | undefined;
  readonly headers: readonly Header[];
}

const anonymous: ProducerIdentity = { producerId: -1n, producerEpoch: -1, baseSequence: -1, isTransactional: false };
const compressions = ['none', 'gzip', 'snappy', 'lz4'] as const;

const bytes = fc.option(fc.uint8Array({ maxLength: 300 }), { nil: undefined });
const header = fc.record({ key: fc.string({ unit: 'binary', maxLength: 12 }), value: bytes });
const timestamp = fc.oneof(
  fc.nat({ max: 1_000 }),
  fc.integer({ min: 1_700_000_000_000, max: 1_900_000_000_000 }),
  fc.maxSafeInteger().map((value) => Math.abs(value)),
  fc.constant(-1),
);
const record: fc.Arbitrary<TestRecord> = fc.record({
  timestampMs: timestamp,
  key: bytes,
  value: bytes,
  headers: fc.oneof(
    { weight: 3, arbitrary: fc.constant([]) },
    { weight: 1, arbitrary: fc.array(header, { maxLength: 4 }) },
  ),
});
const records = fc.array(record, { minLength: 1, maxLength: 40 });

function build(list: readonly TestRecord[]): BatchBuilder {
  const builder = new BatchBuilder();
  for (const { timestampMs, key, value, headers } of list) builder.append(timestampMs, key, value, headers);
  return builder;
}

function plain(value: Uint8Array | undefined): readonly number[] | undefined {
  return value === undefined ? undefined : [...value];
}

function simple(item: TestRecord): unknown {
  return {
    timestampMs: item.timestampMs,
    key: plain(item.key),
    value: plain(item.value),
    headers: item.headers.map(({ key, value }) => [Buffer.from(key).toString(), plain(value)]),
  };
}

function readAll(cursor: RecordCursor): { readonly offsets: number[]; readonly records: unknown[] } {
  const offsets: number[] = [];
  const found: unknown[] = [];
  while (cursor.next()) {
    offsets.push(cursor.offset);
    found.push(
      simple({ timestampMs: cursor.timestampMs, key: cursor.key(), value: cursor.value(), headers: cursor.headers() }),
    );
  }
  return { offsets, records: found };
}

function codeOf(run: () => void): string | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    if (error instanceof StreamError) return error.code;
    throw error;
  }
}

describe('record batch', () => {
  test.each(compressions)('what is appended is read again, with compression %s', (compression) => {
    fc.assert(
      fc.property(records, fc.nat({ max: 2 ** 40 }), (list, baseOffset) => {
        const batch = withBaseOffset(build(list).encode(anonymous, compression), baseOffset, 7);
        const read = readAll(batchCursor(batch, 0));
        expect(read.records).toEqual(list.map(simple));
        expect(read.offsets).toEqual(list.map((_, index) => baseOffset + index));
      }),
      { numRuns: 60 },
    );
  });

  test('the header says what the batch holds', () => {
    fc.assert(
      fc.property(records, (list) => {
        const producer = { producerId: 77n, producerEpoch: 3, baseSequence: 21, isTransactional: true };
        const builder = build(list);
        const batch = withBaseOffset(builder.encode(producer, 'none'), 1000, 5);
        expect(builder.count).toBe(list.length);
        expect(builder.sizeBytes).toBe(batch.length);
        const found = readBatchHeader(batch, 0);
        expect(found).toMatchObject({
          ...producer,
          baseOffset: 1000,
          lastOffset: 999 + list.length,
          partitionLeaderEpoch: 5,
          count: list.length,
          isControl: false,
          compression: 'none',
          timestampType: 'create-time',
          baseTimestampMs: list[0]?.timestampMs,
          maxTimestampMs: Math.max(...list.map(({ timestampMs }) => timestampMs)),
          end: batch.length,
        });
      }),
      { numRuns: 60 },
    );
  });

  test('encoding again gives the same bytes, in memory of their own', () => {
    const builder = build([{ timestampMs: 5, key: undefined, value: Buffer.from('v'), headers: [] }]);
    const first = builder.encode(anonymous, 'none');
    const copy = Buffer.from(first);
    withBaseOffset(first, 99, 9);
    expect(builder.encode(anonymous, 'none')).toEqual(copy);
  });

  test('an empty value is not an absent one, and repeated header keys keep their order', () => {
    const headers = [
      { key: 'a', value: Buffer.from('1') },
      { key: 'a', value: undefined },
      { key: 'a', value: Buffer.alloc(0) },
    ];
    const builder = new BatchBuilder();
    expect(builder.append(0, Buffer.alloc(0), undefined, headers)).toBe(0);
    expect(builder.append(0, undefined, Buffer.alloc(0), [])).toBe(1);
    const cursor = batchCursor(builder.encode(anonymous, 'none'), 0);
    cursor.next();
    expect(cursor.key()).toHaveLength(0);
    expect(cursor.value()).toBeUndefined();
    expect(cursor.headers().map(({ value }) => value?.length)).toEqual([1, undefined, 0]);
    cursor.next();
    expect(cursor.key()).toBeUndefined();
    expect(cursor.value()).toHaveLength(0);
    expect(cursor.next()).toBe(false);
    expect(cursor.next()).toBe(false);
  });

  test('a cursor goes over several batches and begins in the middle of one', () => {
    fc.assert(
      fc.property(
        fc.array(records, { minLength: 1, maxLength: 4 }),
        fc.nat(200),
        fc.constantFrom(...compressions),
        (lists, from, compression) => {
          let next = 0;
          const parts = lists.map((list) => {
            const part = withBaseOffset(build(list).encode(anonymous, compression), next, 0);
            next += list.length + 2; // a gap, as a marker or compaction leaves it
            return part;
          });
          const all = readAll(batchCursor(Buffer.concat(parts), 0));
          const some = readAll(batchCursor(Buffer.concat(parts), from));
          expect(some.offsets).toEqual(all.offsets.filter((offset) => offset >= from));
        },
      ),
      { numRuns: 60 },
    );
  });

  test('a batch that is cut off is left out, the whole ones before it are read', () => {
    const one = build([{ timestampMs: 1, key: undefined, value: Buffer.from('one'), headers: [] }]);
    const two = withBaseOffset(one.encode(anonymous, 'none'), 1, 0);
    const whole = Buffer.concat([one.encode(anonymous, 'none'), two]);
    for (let length = two.length; length < whole.length; length++)
      expect(readAll(batchCursor(whole.subarray(0, length), 0)).offsets).toEqual([0]);
  });

  test('the log append time replaces the records own', () => {
    const batch = build([
      { timestampMs: 10, key: undefined, value: undefined, headers: [] },
      { timestampMs: 20, key: undefined, value: undefined, headers: [] },
    ]).encode(anonymous, 'none');
    batch.writeInt16BE(0x08, 21);
    batch.writeBigInt64BE(555n, 35);
    const positions = [0];
    const cursor = new BatchCursor(batch, positions, 0);
    cursor.next();
    expect(cursor.timestampMs).toBe(555);
    cursor.next();
    expect(cursor.timestampMs).toBe(555);
  });

  test('control batches are recognised by their attribute and never read as records', () => {
    const marker = { timestampMs: 9, producerId: 5n, producerEpoch: 1, coordinatorEpoch: 3 };
    for (const type of ['commit', 'abort'] as const) {
      const batch = encodeControlBatch({ ...marker, type });
      const found = readBatchHeader(batch, 0);
      expect(found).toMatchObject({ isControl: true, isTransactional: true, producerId: 5n, count: 1, lastOffset: 0 });
      if (found !== undefined) checkCrc(batch, found);
      expect(readControlType(batch, 0)).toBe(type);
      expect(batchCursor(batch, 0).next()).toBe(false);
    }
    const zeroKey = build([{ timestampMs: 0, key: Buffer.alloc(4), value: undefined, headers: [] }]);
    expect(batchCursor(zeroKey.encode(anonymous, 'none'), 0).next()).toBe(true);
  });

  test('bytes in disorder are refused with RECORD_CORRUPT, never anything worse', () => {
    fc.assert(
      fc.property(
        records,
        fc.constantFrom(...compressions),
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        (list, compression, at, flip) => {
          const batch = build(list).encode(anonymous, compression);
          const index = 16 + (at % (batch.length - 16));
          batch.writeUInt8(batch.readUInt8(index) ^ flip, index);
          expect(codeOf(() => readAll(batchCursor(batch, 0)))).toBe('RECORD_CORRUPT');
        },
      ),
      { numRuns: 200 },
    );
  });

  test('records in disorder behind a right checksum end in RECORD_CORRUPT or in records, within bounds', () => {
    fc.assert(
      fc.property(
        records,
        fc.constantFrom(...compressions),
        fc.nat(),
        fc.uint8Array({ minLength: 1, maxLength: 4 }),
        (list, compression, at, noise) => {
          const batch = build(list).encode(anonymous, compression);
          batch.set(noise, 61 + (at % Math.max(1, batch.length - 61 - noise.length)));
          const code = codeOf(() => readAll(new BatchCursor(batch, [0], 0)));
          expect([undefined, 'RECORD_CORRUPT']).toContain(code);
        },
      ),
      { numRuns: 500 },
    );
  });

  test('any bytes at all are either no batch or RECORD_CORRUPT', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => {
        const code = codeOf(() => readAll(batchCursor(Buffer.from(noise), 0)));
        expect([undefined, 'RECORD_CORRUPT']).toContain(code);
      }),
      { numRuns: 500 },
    );
  });

  test('the bytes of a batch stay as they are', () => {
    const builder = new BatchBuilder();
    builder.append(1_700_000_000_000, Buffer.from('key'), Buffer.from('value'), [
      { key: 'h', value: Buffer.from('x') },
    ]);
    builder.append(1_699_999_999_000, undefined, Buffer.alloc(0), []);
    const producer = { producerId: 4711n, producerEpoch: 2, baseSequence: 100, isTransactional: true };
    expect(builder.encode(producer, 'none').toString('hex')).toBe(
      '00000000000000000000004cffffffff02453c0d5a0010000000010000018bcfe568000000018bcfe5680000000000000012670002' +
        '000000640000000224000000066b65790a76616c756502026802780e00cf0f02010000',
    );
  });

  test('a timestamp that is no safe integer is refused', () => {
    const builder = new BatchBuilder();
    for (const bad of [NaN, 1.5, Infinity, 2 ** 60])
      expect(codeOf(() => builder.append(bad, undefined, undefined, []))).toBe('RECORD_INVALID');
    expect(builder.count).toBe(0);
  });

  test('a snappy batch is read raw as well as framed', () => {
    const list = [{ timestampMs: 1, key: undefined, value: Buffer.alloc(100_000, 'ab'), headers: [] }];
    const batch = build(list).encode(anonymous, 'snappy');
    expect(batch.subarray(61, 69).toString('latin1')).toBe('\x82SNAPPY\0');
    expect(readAll(batchCursor(batch, 0)).records).toEqual(list.map(simple));
    const plainBatch = build(list).encode(anonymous, 'none');
    const raw = Buffer.concat([plainBatch.subarray(0, 61), snappy.compressSync(plainBatch.subarray(61))]);
    raw.writeInt32BE(raw.length - 12, 8);
    raw.writeInt16BE(2, 21);
    expect(readAll(new BatchCursor(raw, [0], 0)).records).toEqual(list.map(simple));
  });

  test('data that claims to be huge is refused', () => {
    const batch = build([{ timestampMs: 1, key: undefined, value: undefined, headers: [] }]).encode(
      anonymous,
      'snappy',
    );
    const claim = Buffer.concat([batch.subarray(0, 61), Buffer.from('ffffffff0f00', 'hex')]);
    claim.writeInt32BE(claim.length - 12, 8);
    expect(codeOf(() => readAll(new BatchCursor(claim, [0], 0)))).toBe('RECORD_CORRUPT');
  });

  test('positions leave out control batches', () => {
    const data = build([{ timestampMs: 1, key: undefined, value: undefined, headers: [] }]).encode(anonymous, 'none');
    const marker = encodeControlBatch({
      type: 'commit',
      timestampMs: 1,
      producerId: 1n,
      producerEpoch: 0,
      coordinatorEpoch: 0,
    });
    expect(dataBatchPositions(Buffer.concat([data, marker, data]))).toEqual([0, data.length + marker.length]);
  });
});

describe('variable-length integers', () => {
  test('take the bytes that were announced and agree with BigInt', () => {
    const reference = (value: number): number[] => {
      let zigzag = BigInt.asUintN(64, (BigInt(value) << 1n) ^ (BigInt(value) >> 63n));
      const out: number[] = [];
      for (; zigzag > 127n; zigzag >>= 7n) out.push(Number(zigzag & 127n) | 128);
      return [...out, Number(zigzag)];
    };
    const target = Buffer.alloc(12);
    fc.assert(
      fc.property(fc.oneof(fc.maxSafeInteger(), fc.integer()), (value) => {
        expect(writeVarlong(target, 0, value)).toBe(varlongSize(value));
        expect([...target.subarray(0, varlongSize(value))]).toEqual(reference(value));
      }),
    );
    fc.assert(
      fc.property(fc.integer(), (value) => {
        expect(writeVarint(target, 0, value)).toBe(varintSize(value));
        expect([...target.subarray(0, varintSize(value))]).toEqual(reference(value));
      }),
    );
  });
});

describe('checksums and hashes', () => {
  test('crc32c is the Castagnoli one, native and by table', () => {
    expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
    const byTable = tableCrc32c();
    fc.assert(
      fc.property(fc.uint8Array(), (input) => {
        expect(byTable(input)).toBe(crc32c(input));
      }),
    );
  });

  test.each([
    ['21', -973932308],
    ['foobar', -790332482],
    ['a-little-bit-long-string', -985981536],
    ['a-little-bit-longer-string', -1486304829],
    ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
    ['abc', 479470107],
  ])('murmur2 of %s is what Java computes', (input, expected) => {
    expect(murmur2(Buffer.from(input))).toBe(expected);
  });

  test('a partition is always one of those there are', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.integer({ min: 1, max: 1000 }), (key, partitions) => {
        const partition = partitionForKey(key, partitions);
        expect(partition >= 0 && partition < partitions && Number.isInteger(partition)).toBe(true);
      }),
    );
  });
});
