import { expect, test } from '@jest/globals';
import { batchOf, eventually, partition, pollRows, refusal, unique, type LogFixture } from './log-fixture.ts';

export function transactionTests(fixture: LogFixture): void {
  test('an open transaction is hidden, and what follows it waits for its end', async () => {
    const { admin } = fixture.log;
    const at = partition(await fixture.topic());
    const plain = await fixture.producer();
    await plain.send([batchOf(at, ['before'])]);
    const producer = await fixture.transaction();
    expect(await producer.send([batchOf(at, ['a', 'b'])])).toEqual([1]);
    await plain.send([batchOf(at, ['after'])]);

    expect(await admin.offsets([at])).toEqual([{ start: 0, stable: 1, end: 4 }]);
    expect(await fixture.values(at)).toEqual(['before']);
    expect(await fixture.values(at, { isolation: 'read_uncommitted' })).toEqual(['before', 'a', 'b', 'after']);

    await producer.commit();
    await fixture.settled(at);
    expect(await admin.offsets([at])).toEqual([{ start: 0, stable: 5, end: 5 }]);
    expect(await fixture.values(at)).toEqual(['before', 'a', 'b', 'after']);
  });

  test('a reader of committed records knows the last stable offset as the end', async () => {
    const at = partition(await fixture.topic());
    const producer = await fixture.transaction();
    await producer.send([batchOf(at, ['a'])]);
    const reader = fixture.reader();
    reader.seek(at, 0);
    await eventually('the end is known', async () => {
      await reader.poll(50);
      return reader.position(at)!.highWatermark === 1;
    });
    expect(reader.position(at)).toEqual({ offset: 0, end: 0, highWatermark: 1 });
  });

  test('a waiting poll ends when a transaction commits', async () => {
    const at = partition(await fixture.topic());
    const producer = await fixture.transaction();
    await producer.send([batchOf(at, ['a'])]);
    const reader = fixture.reader();
    reader.seek(at, 0);
    const reading = pollRows(reader, 60_000);
    await producer.commit();
    expect((await reading).map(({ value }) => value)).toEqual(['a']);
  });

  test('aborted records are never seen, but the position moves over them', async () => {
    const at = partition(await fixture.topic());
    const producer = await fixture.transaction();
    await producer.send([batchOf(at, ['a', 'b'])]);
    await producer.abort();
    await fixture.settled(at);
    expect(await fixture.rows(at)).toEqual({ rows: [], position: 3 });
    expect(await fixture.values(at, { isolation: 'read_uncommitted' })).toEqual(['a', 'b']);

    producer.begin();
    expect(await producer.send([batchOf(at, ['c'])])).toEqual([3]);
    await producer.commit();
    await fixture.settled(at);
    expect((await fixture.rows(at)).rows.map(({ offset, value }) => [offset, value])).toEqual([[3, 'c']]);
  });

  test('a batch of nothing but hidden records says where to go on', async () => {
    const at = partition(await fixture.topic());
    const producer = await fixture.transaction();
    await producer.send([batchOf(at, ['a', 'b'])]);
    await producer.abort();
    await fixture.settled(at);
    const reader = fixture.reader();
    reader.seek(at, 0);
    let nextOffset = 0;
    await eventually('all is passed', async () => {
      for (const batch of (await reader.poll(200)).batches) {
        expect(batch.cursor().next()).toBe(false);
        nextOffset = batch.nextOffset;
      }
      return nextOffset === 3;
    });
    expect(reader.position(at)!.offset).toBe(3);
  });

  test('the position passes the marker that ends the log', async () => {
    const at = partition(await fixture.topic());
    const producer = await fixture.transaction();
    await producer.send([batchOf(at, ['a'])]);
    await producer.commit();
    await fixture.settled(at);
    expect((await fixture.rows(at)).position).toBe(2);
    expect((await fixture.rows(at, { isolation: 'read_uncommitted' })).position).toBe(2);
    expect(await fixture.rows(at, { from: 1 })).toEqual({ rows: [], position: 2 });
  });

  test('aborts of two producers overlap in one partition', async () => {
    const at = partition(await fixture.topic());
    const plain = await fixture.producer();
    const first = await fixture.transaction();
    const second = await fixture.transaction();
    await first.send([batchOf(at, ['-1a'])]);
    await second.send([batchOf(at, ['-2a'])]);
    await plain.send([batchOf(at, ['p'])]);
    await first.send([batchOf(at, ['-1b'])]);
    await first.abort();
    await second.send([batchOf(at, ['-2b'])]);
    first.begin();
    await first.send([batchOf(at, ['+1c'])]);
    await second.abort();
    second.begin();
    await second.send([batchOf(at, ['+2c'])]);
    await second.commit();
    await first.send([batchOf(at, ['+1d'])]);
    await first.commit();
    await fixture.settled(at);
    expect(await fixture.values(at)).toEqual(['p', '+1c', '+2c', '+1d']);
    const whole = (await fixture.rows(at)).rows;
    for (const { offset } of whole)
      expect(await fixture.values(at, { from: offset })).toEqual(
        whole.filter((row) => row.offset >= offset).map(({ value }) => value),
      );
  });

  test('aborted and committed records are told apart when read in small pieces', async () => {
    const at = partition(await fixture.topic());
    const producers = [
      await fixture.producer({ transactionalId: unique('txn') }),
      await fixture.producer({ transactionalId: unique('txn') }),
    ];
    const expected: string[] = [];
    for (let round = 0; round < 12; round++) {
      for (const [index, producer] of producers.entries()) {
        producer.begin();
        await producer.send([batchOf(at, [`${String(round)}/${String(index)} ${'.'.repeat(300)}`])]);
      }
      for (const [index, producer] of producers.entries()) {
        if ((round + index) % 3 === 0) await producer.abort();
        else {
          await producer.commit();
          expected.push(`${String(round)}/${String(index)}`);
        }
      }
    }
    await fixture.settled(at);
    const reader = fixture.reader({ partitionBytesMax: 500 });
    reader.seek(at, 0);
    const seen: string[] = [];
    await eventually('all is read', async () => {
      for (const { value } of await pollRows(reader, 200)) seen.push(value!.split(' ')[0]!);
      return reader.position(at)!.offset === 48;
    });
    expect(seen.sort()).toEqual(expected.sort());
  });

  test('a transaction commits in all its partitions and topics', async () => {
    const topic = await fixture.topic({ partitions: 3 });
    const other = partition(await fixture.topic());
    const all = [partition(topic, 0), partition(topic, 1), partition(topic, 2), other];
    const producer = await fixture.transaction();
    await producer.send(all.slice(0, 2).map((at) => batchOf(at, ['a'])));
    await producer.send(all.map((at) => batchOf(at, ['b'])));
    for (const at of all) expect(await fixture.values(at)).toEqual([]);
    await producer.commit();
    for (const at of all) await fixture.settled(at);
    expect(await Promise.all(all.map((at) => fixture.values(at)))).toEqual([['a', 'b'], ['a', 'b'], ['b'], ['b']]);
  });

  test('many transactions follow each other at once', async () => {
    const at = partition(await fixture.topic());
    const producer = await fixture.producer({ transactionalId: unique('txn') });
    for (let index = 0; index < 20; index++) {
      producer.begin();
      await producer.send([batchOf(at, [String(index)])]);
      await producer.commit();
    }
    await fixture.settled(at);
    expect(await fixture.values(at)).toEqual(Array.from({ length: 20 }, (_, index) => String(index)));
  });

  test('a transaction without anything in it leaves no trace', async () => {
    const at = partition(await fixture.topic());
    const producer = await fixture.transaction();
    await producer.commit();
    producer.begin();
    await producer.abort();
    producer.begin();
    await producer.send([batchOf(at, ['a'])]);
    await producer.commit();
    await fixture.settled(at);
    expect(await fixture.log.admin.offsets([at])).toEqual([{ start: 0, stable: 2, end: 2 }]);
  });

  test('a failure within a transaction ends the producer, and its successor the transaction', async () => {
    const at = partition(await fixture.topic({ configs: { 'max.message.bytes': '2000' } }));
    const transactionalId = unique('txn');
    const producer = await fixture.transaction({ transactionalId });
    await producer.send([batchOf(at, ['a'])]);
    expect(await refusal(producer.send([batchOf(at, ['x'.repeat(3000)])]))).toBe('RECORD_TOO_LARGE');
    await refusal(producer.commit());
    await producer.close();

    const successor = await fixture.transaction({ transactionalId });
    await successor.send([batchOf(at, ['b'])]);
    await successor.commit();
    await fixture.settled(at);
    expect(await fixture.values(at)).toEqual(['b']);
  });

  test('a new producer of a transactional id fences the old one and aborts its transaction', async () => {
    const at = partition(await fixture.topic());
    const transactionalId = unique('txn');
    const old = await fixture.transaction({ transactionalId });
    await old.send([batchOf(at, ['old'])]);
    const successor = await fixture.producer({ transactionalId }, await fixture.another());
    await fixture.settled(at);
    expect(await fixture.values(at)).toEqual([]);

    expect(await refusal(old.send([batchOf(at, ['zombie'])]))).toBe('PRODUCER_FENCED');
    successor.begin();
    await successor.send([batchOf(at, ['new'])]);
    await successor.commit();
    await fixture.settled(at);
    expect(await fixture.values(at)).toEqual(['new']);
  });

  test('a fenced producer cannot commit', async () => {
    const at = partition(await fixture.topic());
    const transactionalId = unique('txn');
    const old = await fixture.transaction({ transactionalId });
    await old.send([batchOf(at, ['old'])]);
    await fixture.producer({ transactionalId });
    expect(await refusal(old.commit())).toBe('PRODUCER_FENCED');
    await fixture.settled(at);
    expect(await fixture.values(at)).toEqual([]);
  });

  test('a producer that was fenced between transactions finds out with the next one', async () => {
    const at = partition(await fixture.topic());
    const transactionalId = unique('txn');
    const old = await fixture.transaction({ transactionalId });
    await old.send([batchOf(at, ['a'])]);
    await old.commit();
    await fixture.producer({ transactionalId });
    old.begin();
    expect(await refusal(old.send([batchOf(at, ['zombie'])]))).toBe('PRODUCER_FENCED');
  });

  test('admin.fence ends a transaction without a successor', async () => {
    const { admin } = fixture.log;
    const at = partition(await fixture.topic());
    const transactionalId = unique('txn');
    const groupId = unique('group');
    const old = await fixture.transaction({ transactionalId });
    await old.send([batchOf(at, ['a'])]);
    await old.sendOffsets([{ ...at, offset: 1 }], { groupId, memberId: '', generation: -1 });
    expect(await refusal(admin.committed(groupId, [at], { requireStable: true }))).toBe('OFFSETS_UNSTABLE');

    await admin.fence(transactionalId);
    await fixture.settled(at);
    await eventually('offsets are stable', async () => {
      try {
        return (await admin.committed(groupId, [at], { requireStable: true }))[0] === undefined;
      } catch {
        return false;
      }
    });
    expect(await fixture.values(at)).toEqual([]);
    expect(await refusal(old.commit())).toBe('PRODUCER_FENCED');
  });

  test('fencing an id that was never used does no harm', async () => {
    const transactionalId = unique('txn');
    await fixture.log.admin.fence(transactionalId);
    const at = partition(await fixture.topic());
    const producer = await fixture.transaction({ transactionalId });
    await producer.send([batchOf(at, ['a'])]);
    await producer.commit();
  });

  test('a transaction that lasts too long is aborted and its producer fenced', async () => {
    const at = partition(await fixture.topic());
    const producer = await fixture.transaction({ transactionTimeoutMs: 1000 });
    await producer.send([batchOf(at, ['late'])]);
    await fixture.settled(at);
    expect(await fixture.values(at)).toEqual([]);
    expect(await refusal(producer.commit())).toBe('PRODUCER_FENCED');
  });

  test('closing a producer leaves its transaction to the successor', async () => {
    const at = partition(await fixture.topic());
    const transactionalId = unique('txn');
    const producer = await fixture.transaction({ transactionalId });
    await producer.send([batchOf(at, ['a'])]);
    await producer.close();
    await producer.close();
    expect((await fixture.log.admin.offsets([at]))[0]!.stable).toBe(0);
    await fixture.producer({ transactionalId });
    await fixture.settled(at);
    expect(await fixture.values(at)).toEqual([]);
  });

  test('plain and transactional producers mix in one partition', async () => {
    const at = partition(await fixture.topic());
    const [plain, other] = [await fixture.producer(), await fixture.producer()];
    const producer = await fixture.transaction();
    for (let index = 0; index < 5; index++) {
      await plain.send([batchOf(at, [`plain ${String(index)}`])]);
      await producer.send([batchOf(at, [`txn ${String(index)}`])]);
      await other.send([batchOf(at, [`other ${String(index)}`])]);
    }
    await producer.commit();
    await fixture.settled(at);
    expect(await fixture.values(at)).toHaveLength(15);
  });
}
