import { expect, test } from '@jest/globals';
import type { Compression } from '../../../connectors/log.ts';
import {
  batchOf,
  eventually,
  failure,
  partition,
  refusal,
  unique,
  type LogFixture,
  type NewRecord,
} from './log-fixture.ts';

export function recordTests(fixture: LogFixture): void {
  test('records come back in order, at the offsets that the producer was told', async () => {
    const topic = await fixture.topic({ partitions: 2 });
    const producer = await fixture.producer();
    const [left, right] = [partition(topic, 0), partition(topic, 1)];
    expect(await producer.send([batchOf(left, ['a', 'b']), batchOf(right, ['x'])])).toEqual([0, 0]);
    expect(await producer.send([batchOf(right, ['y']), batchOf(left, ['c'])])).toEqual([1, 2]);
    expect((await fixture.rows(left)).rows.map(({ offset, value }) => [offset, value])).toEqual([
      [0, 'a'],
      [1, 'b'],
      [2, 'c'],
    ]);
    expect(await fixture.values(right)).toEqual(['x', 'y']);
    expect(await producer.send([])).toEqual([]);
  });

  test('absent and empty keys and values are told apart', async () => {
    const at = partition(await fixture.topic());
    const producer = await fixture.producer();
    const records: NewRecord[] = [{}, { key: '' }, { value: '' }, { key: '', value: '' }, { key: 'k' }, { value: 'v' }];
    await producer.send([batchOf(at, records)]);
    const { rows } = await fixture.rows(at);
    expect(rows.map(({ key, value }) => ({ key, value }))).toEqual(records.map(({ key, value }) => ({ key, value })));
  });

  test('headers keep order, repeated keys and absent values', async () => {
    const at = partition(await fixture.topic());
    const producer = await fixture.producer();
    const headers = [
      { key: 'a', value: Buffer.from('1') },
      { key: 'b', value: undefined },
      { key: 'a', value: Buffer.from('') },
      { key: 'ü', value: Buffer.from('2') },
    ];
    await producer.send([batchOf(at, [{ key: 'k', value: 'v', headers }, 'bare'])]);
    const { rows } = await fixture.rows(at);
    expect(rows.map((row) => row.headers)).toEqual([
      [
        ['a', '1'],
        ['b', undefined],
        ['a', ''],
        ['ü', '2'],
      ],
      [],
    ]);
  });

  test('timestamps are those of the records, whatever their order', async () => {
    const at = partition(await fixture.topic());
    const producer = await fixture.producer();
    const timestamps = [1_700_000_000_000, 1_600_000_000_000, 0, 1_700_000_000_001];
    await producer.send([
      batchOf(
        at,
        timestamps.map((timestampMs) => ({ key: 'k', value: 'v', timestampMs })),
      ),
    ]);
    const { rows } = await fixture.rows(at);
    expect(rows.map(({ timestampMs }) => timestampMs)).toEqual(timestamps);
  });

  test('a topic with LogAppendTime stamps records itself, never backwards', async () => {
    const at = partition(await fixture.topic({ configs: { 'message.timestamp.type': 'LogAppendTime' } }));
    const producer = await fixture.producer();
    await producer.send([batchOf(at, [{ key: 'k', value: 'a', timestampMs: 5 }])]);
    await producer.send([batchOf(at, [{ key: 'k', value: 'b', timestampMs: 6 }])]);
    const [first, second] = (await fixture.rows(at)).rows;
    expect(first!.timestampMs).toBeGreaterThan(1_600_000_000_000);
    expect(second!.timestampMs).toBeGreaterThanOrEqual(first!.timestampMs);
  });

  test('an offset is found by timestamp', async () => {
    const { admin } = fixture.log;
    const at = partition(await fixture.topic());
    const producer = await fixture.producer();
    const record = (timestampMs: number): NewRecord => ({ key: 'k', value: 'v', timestampMs });
    await producer.send([batchOf(at, [record(100), record(300)])]);
    await producer.send([batchOf(at, [record(200), record(500)])]);
    await producer.send([batchOf(at, [record(400)])]);
    const found = [0, 100, 101, 300, 301, 500, 501].map(async (ms) => (await admin.offsetsAt([at], ms))[0]);
    expect(await Promise.all(found)).toEqual([0, 0, 1, 1, 3, 3, 5]);
    const empty = partition(await fixture.topic());
    expect(await admin.offsetsAt([at, empty], 200)).toEqual([1, 0]);
  });

  test('a big record comes back whole', async () => {
    const at = partition(await fixture.topic());
    const producer = await fixture.producer();
    const value = 'ä'.repeat(450_000);
    await producer.send([batchOf(at, ['small', value, 'small'])]);
    expect(await fixture.values(at)).toEqual(['small', value, 'small']);
  });

  test.each<Compression>(['none', 'gzip', 'snappy', 'lz4'])(
    'records compressed with %s come back',
    async (compression) => {
      const at = partition(await fixture.topic());
      const producer = await fixture.producer({ compression });
      const values = Array.from({ length: 500 }, (_, index) => `value ${String(index)} ${'-'.repeat(100)}`);
      await producer.send([batchOf(at, values)]);
      expect(await fixture.values(at)).toEqual(values);
      const reader = fixture.reader();
      reader.seek(at, 0);
      let sizeBytes = 0;
      await eventually('it is read', async () => {
        for (const batch of (await reader.poll(200)).batches) sizeBytes += batch.sizeBytes;
        return reader.position(at)!.offset === 500;
      });
      if (compression === 'none') expect(sizeBytes).toBeGreaterThan(500 * 100);
      else expect(sizeBytes).toBeLessThan(500 * 50);
    },
  );

  test('a batch beyond max.message.bytes is refused, nothing of it is appended, and the producer goes on', async () => {
    const at = partition(await fixture.topic({ configs: { 'max.message.bytes': '2000' } }));
    const producer = await fixture.producer();
    const error = await failure(producer.send([batchOf(at, ['x'.repeat(3000)])]));
    expect(error.code).toBe('RECORD_TOO_LARGE');
    expect(await producer.send([batchOf(at, ['fits'])])).toEqual([0]);
    expect(await producer.send([batchOf(at, ['fits too'])])).toEqual([1]);
    expect(await fixture.values(at)).toEqual(['fits', 'fits too']);
  });

  test('a record without a key is refused by a compacted topic', async () => {
    const at = partition(await fixture.topic({ configs: { 'cleanup.policy': 'compact' } }));
    const producer = await fixture.producer();
    expect(await refusal(producer.send([batchOf(at, [{ value: 'v' }])]))).toBe('RECORD_INVALID');
    expect(await producer.send([batchOf(at, [{ key: '', value: 'v' }])])).toEqual([0]);
  });

  test('an append to an unknown topic is refused', async () => {
    const producer = await fixture.producer();
    expect(await refusal(producer.send([batchOf(partition(unique('topic')), ['a'])]))).toBe('TOPIC_UNKNOWN');
  });

  test('offsets say where the log begins and ends', async () => {
    const at = partition(await fixture.topic({ partitions: 2 }), 1);
    const producer = await fixture.producer();
    await producer.send([batchOf(at, ['a', 'b', 'c'])]);
    expect(await fixture.log.admin.offsets([at, { ...at, partition: 0 }])).toEqual([
      { start: 0, stable: 3, end: 3 },
      { start: 0, stable: 0, end: 0 },
    ]);
  });

  test('deleting records moves the start, within a batch too', async () => {
    const { admin } = fixture.log;
    const at = partition(await fixture.topic());
    const producer = await fixture.producer();
    await producer.send([batchOf(at, ['a', 'b', 'c'])]);
    await admin.deleteRecords([{ ...at, before: 2 }]);
    expect(await admin.offsets([at])).toEqual([{ start: 2, stable: 3, end: 3 }]);
    expect(await fixture.values(at, { from: 2 })).toEqual(['c']);
    await admin.deleteRecords([{ ...at, before: 3 }]);
    expect(await admin.offsets([at])).toEqual([{ start: 3, stable: 3, end: 3 }]);
    expect(await producer.send([batchOf(at, ['d'])])).toEqual([3]);
    expect(await fixture.values(at, { from: 3 })).toEqual(['d']);
  });

  test('deleting records beyond the end is refused', async () => {
    const at = partition(await fixture.topic());
    expect(await refusal(fixture.log.admin.deleteRecords([{ ...at, before: 1 }]))).toBe('OFFSET_OUT_OF_RANGE');
  });

  test('what one client appends another one reads', async () => {
    const at = partition(await fixture.topic());
    const producer = await fixture.producer({}, await fixture.another());
    await producer.send([batchOf(at, ['a'])]);
    expect(await fixture.values(at)).toEqual(['a']);
  });

  test('compaction keeps the last value of each key, at its offset', async () => {
    const { compact } = fixture.caps;
    if (compact === undefined) return;
    const configs = { 'cleanup.policy': 'compact', 'segment.bytes': '2000', 'min.cleanable.dirty.ratio': '0.01' };
    const topic = await fixture.topic({ configs });
    const at = partition(topic);
    const producer = await fixture.producer();
    for (let round = 0; round < 10; round++) {
      const records = ['a', 'b', 'c'].map((key) => ({ key, value: `${key}${String(round)} ${'-'.repeat(400)}` }));
      await producer.send([batchOf(at, records)]);
    }
    const before = (await fixture.rows(at)).rows;
    await compact(topic);
    const after = (await fixture.rows(at)).rows;
    expect(after.length).toBeLessThan(before.length);
    const byOffset = new Map(before.map((row) => [row.offset, row]));
    for (const row of after) expect(row).toEqual(byOffset.get(row.offset));
    const last = (rows: typeof before) => new Map(rows.map(({ key, value }) => [key, value]));
    expect(last(after)).toEqual(last(before));
    expect((await fixture.log.admin.offsets([at]))[0]).toEqual({ start: 0, stable: 30, end: 30 });
  });
}
