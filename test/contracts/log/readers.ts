import { expect, test } from '@jest/globals';
import { systemClock } from '../../../clock.ts';
import type { ReadFailure, Reader } from '../../../connectors/log.ts';
import { batchOf, eventually, partition, pollRows, rowsOf, unique, type LogFixture, type Row } from './log-fixture.ts';

/** Far longer than anything takes here: who waits for so long was not woken. */
const veryLongMs = 60_000;

export function readerTests(fixture: LogFixture): void {
  test.each([0, 1, 2, 3, 4])('reading begins at the offset asked for, within a batch too: %i', async (from) => {
    const at = partition(await fixture.topic());
    const producer = await fixture.producer();
    await producer.send([batchOf(at, ['a', 'b', 'c'])]);
    await producer.send([batchOf(at, ['d'])]);
    const { rows, position } = await fixture.rows(at, { from });
    expect(rows.map(({ value }) => value)).toEqual(['a', 'b', 'c', 'd'].slice(from));
    expect(position).toBe(4);
  });

  test('a poll without anything to read ends empty after its time', async () => {
    const reader = fixture.reader();
    reader.seek(partition(await fixture.topic()), 0);
    expect(await reader.poll(0)).toEqual({ batches: [], failures: [] });
    const beganMs = systemClock.monotonicMs();
    expect(await reader.poll(50)).toEqual({ batches: [], failures: [] });
    expect(systemClock.monotonicMs() - beganMs).toBeGreaterThan(45);
  });

  test('a poll without any partition ends after its time', async () => {
    expect(await fixture.reader().poll(10)).toEqual({ batches: [], failures: [] });
  });

  test('a waiting poll ends when records arrive', async () => {
    const at = partition(await fixture.topic());
    const producer = await fixture.producer();
    const reader = fixture.reader();
    reader.seek(at, 0);
    expect((await reader.poll(0)).batches).toEqual([]);
    const reading = pollRows(reader, veryLongMs);
    await producer.send([batchOf(at, ['a'])]);
    expect((await reading).map(({ value }) => value)).toEqual(['a']);
  });

  test('a waiting poll ends when its partition is moved to where there are records', async () => {
    const at = partition(await fixture.topic());
    const producer = await fixture.producer();
    await producer.send([batchOf(at, ['a'])]);
    const reader = fixture.reader();
    reader.seek(at, 1);
    const reading = pollRows(reader, veryLongMs);
    await systemClock.yield();
    reader.seek(at, 0);
    expect((await reading).map(({ value }) => value)).toEqual(['a']);
  });

  test('wakeup ends a waiting poll', async () => {
    const reader = fixture.reader();
    reader.seek(partition(await fixture.topic()), 0);
    const polling = reader.poll(veryLongMs);
    await systemClock.yield();
    reader.wakeup();
    expect((await polling).failures).toEqual([]);
  });

  test('closing ends a waiting poll', async () => {
    const reader = fixture.reader();
    reader.seek(partition(await fixture.topic()), 0);
    const polling = reader.poll(veryLongMs);
    await systemClock.yield();
    await reader.close();
    expect((await polling).batches).toEqual([]);
  });

  test('the position is the next offset, and the end is known after a fetch', async () => {
    const at = partition(await fixture.topic());
    const producer = await fixture.producer();
    await producer.send([batchOf(at, ['a', 'b'])]);
    const reader = fixture.reader();
    expect(reader.position(at)).toBeUndefined();
    reader.seek(at, 1);
    expect(reader.position(at)).toEqual({ offset: 1, end: undefined, highWatermark: undefined });
    await eventually('all is read', async () => {
      await reader.poll(100);
      return reader.position(at)!.offset === 2;
    });
    expect(reader.position(at)).toEqual({ offset: 2, end: 2, highWatermark: 2 });
    reader.remove(at);
    expect(reader.position(at)).toBeUndefined();
  });

  test('the end of an empty partition becomes known by polling', async () => {
    const at = partition(await fixture.topic());
    const reader = fixture.reader();
    reader.seek(at, 0);
    await eventually('the end is known', async () => {
      await reader.poll(10);
      return reader.position(at)!.end === 0;
    });
  });

  test('nextOffset of a batch is where the position stands', async () => {
    const at = partition(await fixture.topic());
    const producer = await fixture.producer();
    for (let index = 0; index < 20; index++) await producer.send([batchOf(at, ['a', 'b', 'c'])]);
    const reader = fixture.reader({ partitionBytesMax: 300 });
    reader.seek(at, 0);
    let expected = 0;
    while (expected < 60) {
      for (const batch of (await reader.poll(1000)).batches) {
        const rows = [...rowsOf(batch)];
        expect(rows[0]!.offset).toBe(expected);
        expect(batch.count).toBeGreaterThanOrEqual(rows.length);
        expect(batch.nextOffset).toBe(rows.at(-1)!.offset + 1);
        expected = batch.nextOffset;
      }
      expect(reader.position(at)!.offset).toBe(expected);
    }
  });

  test('a paused partition is not read, and nothing is lost by it', async () => {
    const topic = await fixture.topic({ partitions: 2 });
    const [left, right] = [partition(topic, 0), partition(topic, 1)];
    const producer = await fixture.producer();
    const reader = fixture.reader();
    reader.seek(left, 0);
    reader.seek(right, 0);
    reader.pause(left);
    await producer.send([batchOf(left, ['a']), batchOf(right, ['x'])]);
    const first = await readRows(reader, 1);
    expect(first.map(({ value }) => value)).toEqual(['x']);
    expect((await reader.poll(50)).batches).toEqual([]);
    reader.resume(left);
    expect((await readRows(reader, 1)).map(({ value }) => value)).toEqual(['a']);
  });

  test('resume ends a waiting poll', async () => {
    const at = partition(await fixture.topic());
    const producer = await fixture.producer();
    await producer.send([batchOf(at, ['a'])]);
    const reader = fixture.reader();
    reader.seek(at, 0);
    reader.pause(at);
    const reading = pollRows(reader, veryLongMs);
    await systemClock.yield();
    reader.resume(at);
    expect((await reading).map(({ value }) => value)).toEqual(['a']);
  });

  test('a partition that was moved is read from there, one that was removed no more', async () => {
    const topic = await fixture.topic({ partitions: 2 });
    const [left, right] = [partition(topic, 0), partition(topic, 1)];
    const producer = await fixture.producer();
    await producer.send([batchOf(left, ['a', 'b', 'c']), batchOf(right, ['x'])]);
    const reader = fixture.reader();
    reader.seek(left, 0);
    reader.seek(right, 0);
    await readRows(reader, 4);
    reader.seek(left, 1);
    reader.seek(right, 0);
    reader.remove(right);
    expect((await readRows(reader, 2)).map(({ value }) => value)).toEqual(['b', 'c']);
    expect((await reader.poll(50)).batches).toEqual([]);
  });

  test('what was asked for before a partition was moved is not delivered any more', async () => {
    const at = partition(await fixture.topic());
    const producer = await fixture.producer();
    await producer.send([batchOf(at, ['a', 'b', 'c'])]);
    const reader = fixture.reader();
    reader.seek(at, 0);
    const polling = pollRows(reader, veryLongMs);
    reader.seek(at, 2);
    expect((await polling).map(({ value }) => value)).toEqual(['c']);
    expect((await reader.poll(50)).batches).toEqual([]);
  });

  test('an offset out of range fails with the range; the others are read all the same', async () => {
    const topic = await fixture.topic({ partitions: 3 });
    const [low, high, good] = [partition(topic, 0), partition(topic, 1), partition(topic, 2)];
    const producer = await fixture.producer();
    await producer.send([low, high, good].map((at) => batchOf(at, ['a', 'b', 'c'])));
    await fixture.log.admin.deleteRecords([{ ...low, before: 2 }]);
    const reader = fixture.reader();
    reader.seek(low, 1);
    reader.seek(high, 4);
    reader.seek(good, 0);
    const { failures, rows } = await readUntil(reader, (seen) => seen.rows.length === 3 && seen.failures.size === 2);
    expect(rows).toHaveLength(3);
    const facts = ({ error: { code, facts: known } }: ReadFailure) => ({ code, ...known });
    expect(facts(failures.get(0)!)).toMatchObject({ code: 'OFFSET_OUT_OF_RANGE', offset: 1, start: 2, end: 3 });
    expect(facts(failures.get(1)!)).toMatchObject({ code: 'OFFSET_OUT_OF_RANGE', offset: 4, start: 0, end: 3 });

    reader.seek(low, 2);
    expect((await readRows(reader, 1)).map(({ value }) => value)).toEqual(['c']);
  });

  test('an unknown topic fails, and is read once it is there', async () => {
    const at = partition(unique('topic'));
    const reader = fixture.reader();
    reader.seek(at, 0);
    const { failures } = await readUntil(reader, (seen) => seen.failures.size === 1);
    expect(failures.get(0)!.error.code).toBe('TOPIC_UNKNOWN');

    await fixture.log.admin.createTopics([{ name: at.topic, partitions: 1, replicationFactor: 1 }]);
    const producer = await fixture.producer();
    await producer.send([batchOf(at, ['a'])]);
    const { rows } = await readUntil(reader, (seen) => seen.rows.length === 1);
    expect(rows[0]!.value).toBe('a');
  });

  test('every partition gets its turn, and a batch beyond the limits is delivered', async () => {
    const topic = await fixture.topic({ partitions: 4 });
    const producer = await fixture.producer();
    for (let round = 0; round < 5; round++)
      await producer.send([0, 1, 2, 3].map((number) => batchOf(partition(topic, number), ['x'.repeat(5000)])));
    const reader = fixture.reader({ partitionBytesMax: 1000, pollBytesMax: 2000 });
    for (const number of [0, 1, 2, 3]) reader.seek(partition(topic, number), 0);
    await readRows(reader, 20);
    for (const number of [0, 1, 2, 3]) expect(reader.position(partition(topic, number))!.offset).toBe(5);
  });

  test('each cursor of a batch begins before its first record', async () => {
    const at = partition(await fixture.topic());
    const producer = await fixture.producer();
    await producer.send([batchOf(at, ['a', 'b'])]);
    const reader = fixture.reader();
    reader.seek(at, 1);
    const { batches } = await reader.poll(5000);
    const [one, two] = [batches[0]!.cursor(), batches[0]!.cursor()];
    expect(one.next()).toBe(true);
    expect(one.next()).toBe(false);
    expect(two.next()).toBe(true);
    expect(two.offset).toBe(1);
  });

  test('bytes that were read stay as they are while more is read', async () => {
    const at = partition(await fixture.topic());
    const producer = await fixture.producer();
    const reader = fixture.reader();
    reader.seek(at, 0);
    const held: Uint8Array[] = [];
    for (let index = 0; index < 20; index++) {
      await producer.send([batchOf(at, [String(index).repeat(1000)])]);
      const { batches } = await reader.poll(5000);
      const cursor = batches[0]!.cursor();
      cursor.next();
      held.push(cursor.value()!);
    }
    expect(held.map((value) => Buffer.from(value).toString())).toEqual(
      held.map((_, index) => String(index).repeat(1000)),
    );
  });
}

interface Seen {
  readonly rows: readonly Row[];
  /** By partition, the newest. */
  readonly failures: ReadonlyMap<number, ReadFailure>;
}

async function readUntil(reader: Reader, isEnough: (seen: Seen) => boolean): Promise<Seen> {
  const rows: Row[] = [];
  const failures = new Map<number, ReadFailure>();
  await eventually('enough is read', async () => {
    const result = await reader.poll(200);
    for (const batch of result.batches) rows.push(...rowsOf(batch));
    for (const failed of result.failures) failures.set(failed.partition, failed);
    return isEnough({ rows, failures });
  });
  return { rows, failures };
}

async function readRows(reader: Reader, count: number): Promise<readonly Row[]> {
  const { rows } = await readUntil(reader, (seen) => seen.rows.length >= count);
  return rows;
}
