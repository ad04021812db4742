import { describe, expect, test } from '@jest/globals';
import { openLog, type EmbeddedLog, type EmbeddedLogOptions } from '../../../connectors/embedded/embedded-log.ts';
import type { Carrier } from '../../../connectors/embedded/connection.ts';
import { MemoryStorage } from '../../../connectors/embedded/memory-storage.ts';
import type { Storage } from '../../../connectors/embedded/storage.ts';
import { StreamError } from '../../../errors.ts';
import { Probe } from '../../contracts/log/probe.ts';
import { ManualClock, passing, seededRandom } from './manual-clock.ts';
import {
  createPairTopics,
  groupId,
  numbersUpTo,
  pairTopic,
  readAll,
  readPairs,
  recordsOf,
  sides,
  transactionalId,
  writePair,
} from './pair-workload.ts';
import { RecordedStorage } from './recorded-storage.ts';

const dayMs = 86_400_000;
const plain = { topic: 'plain', partition: 0 };

function open(storage: Storage, options: Partial<EmbeddedLogOptions> = {}): EmbeddedLog {
  return openLog(storage, 'on-roll', { clock: new ManualClock(), random: seededRandom(7), ...options });
}

async function withPlainTopic(
  configs: Record<string, string>,
  clock = new ManualClock(),
  storage = new MemoryStorage(),
) {
  const log = open(storage, { clock, maintenanceIntervalMs: 1000 * dayMs });
  await log.admin.createTopics([{ name: plain.topic, partitions: 1, configs }]);
  const producer = await log.producer({});
  const write = async (value: string, timestampMs = clock.nowMs()): Promise<void> => {
    const records = recordsOf();
    records.append(timestampMs, Buffer.from('k'), Buffer.from(value), []);
    await producer.send([{ ...plain, records }]);
  };
  const offsets = async () => (await log.admin.offsets([plain]))[0]!;
  return { log, clock, storage, write, offsets };
}

describe('retention', () => {
  test('by time drops old segments, the newest one too when all of it has expired', async () => {
    const { log, clock, write, offsets, storage } = await withPlainTopic({
      'retention.ms': '60000',
      'segment.bytes': '300',
    });
    for (let number = 1; number <= 9; number++) await write(String(number));
    await log.maintain();
    expect(await offsets()).toEqual({ start: 0, stable: 9, end: 9 });
    await clock.advance(50_000);
    await write('10');
    await clock.advance(20_000);
    await log.maintain();
    const { start, end } = await offsets();
    expect(start).toBeGreaterThan(5);
    expect(end).toBe(10);
    expect((await readAll(log, plain.topic, 0)).at(-1)).toBe('10');
    await clock.advance(60_000);
    await log.maintain();
    expect(await offsets()).toEqual({ start: 10, stable: 10, end: 10 });
    await write('11');
    await log.close();
    const again = open(storage, { clock });
    expect((await again.admin.offsets([plain]))[0]).toEqual({ start: 10, stable: 11, end: 11 });
  });

  test('by size keeps at least as much as it says', async () => {
    const { log, write, offsets } = await withPlainTopic({ 'retention.bytes': '1000', 'segment.bytes': '300' });
    for (let number = 1; number <= 100; number++) await write(String(number));
    await log.maintain();
    const { start, end } = await offsets();
    expect(end - start).toBeGreaterThan(1000 / 80);
    expect(end - start).toBeLessThan(1500 / 70);
  });

  test('does not touch what an open transaction has not decided, nor a compacted topic', async () => {
    const { log, clock, offsets } = await withPlainTopic({ 'retention.ms': '1', 'segment.bytes': '200' });
    const producer = await log.producer({ transactionalId, transactionTimeoutMs: 1000 * dayMs });
    producer.begin();
    for (let number = 1; number <= 9; number++) await producer.send([{ ...plain, records: recordsOf(String(number)) }]);
    await clock.advance(dayMs);
    await log.maintain();
    expect(await offsets()).toEqual({ start: 0, stable: 0, end: 9 });
    await producer.commit();
    await log.maintain();
    expect((await offsets()).start).toBe((await offsets()).end);

    const compacted = await withPlainTopic({
      'cleanup.policy': 'compact',
      'retention.ms': '1',
      'segment.bytes': '200',
    });
    for (let number = 1; number <= 9; number++) await compacted.write(String(number));
    await compacted.clock.advance(dayMs);
    await compacted.log.maintain();
    expect((await compacted.offsets()).start).toBe(0);
  });

  test('with both policies compacts and deletes', async () => {
    const { log, clock, write, offsets } = await withPlainTopic({
      'cleanup.policy': 'compact,delete',
      'retention.ms': '60000',
      'segment.bytes': '200',
    });
    for (let number = 1; number <= 20; number++) await write(String(number));
    await log.maintain();
    expect((await readAll(log, plain.topic, 0)).length).toBeLessThan(6);
    await clock.advance(120_000);
    await log.maintain();
    expect(await offsets()).toEqual({ start: 20, stable: 20, end: 20 });
  });

  test('runs by itself', async () => {
    const clock = new ManualClock();
    const log = open(new MemoryStorage(), { clock, maintenanceIntervalMs: 1000 });
    await log.admin.createTopics([{ name: plain.topic, partitions: 1, configs: { 'retention.ms': '5000' } }]);
    const producer = await log.producer({});
    await producer.send([{ ...plain, records: recordsOf('old') }]);
    await clock.advance(10_000);
    expect((await log.admin.offsets([plain]))[0]).toEqual({ start: 1, stable: 1, end: 1 });
    await log.close();
    await clock.advance(10_000);
  });
});

describe('a full disk', () => {
  const full = (storage: RecordedStorage, from: number, until = Infinity): void => {
    storage.refuses = ({ type }, index) => type === 'append' && index >= from && index < until;
  };

  test('is reported, and whatever was under way is there in whole or not at all once there is room again', async () => {
    const calm = new RecordedStorage();
    await scenario(open(calm), () => undefined);
    const changeCount = calm.changes.length;

    for (let from = 0; from < changeCount; from++) {
      const storage = new RecordedStorage();
      const clock = new ManualClock();
      let log: EmbeddedLog;
      full(storage, from);
      try {
        log = open(storage, { clock });
      } catch (error) {
        expect(error).toMatchObject({ code: 'LOG_UNAVAILABLE' });
        continue;
      }
      let acknowledged = 0;
      const failed = await passing(
        clock,
        scenario(log, (number) => (acknowledged = number)),
      );
      if (failed !== undefined) expect(failed).toMatchObject({ code: 'LOG_UNAVAILABLE' });
      full(storage, Infinity);
      await clock.advance(5_000);
      await checkAndGoOn(log, acknowledged);
      await log.close();
      await checkAndGoOn(open(storage), acknowledged + 1);
    }
  });

  test('does not lose a decided transaction whose markers do not fit', async () => {
    const storage = new RecordedStorage();
    const clock = new ManualClock();
    const log = open(storage, { clock });
    await createPairTopics(log);
    const producer = await log.producer({ transactionalId });
    producer.begin();
    await producer.send(sides.map((side) => ({ ...side, records: recordsOf('1') })));
    full(storage, storage.changes.length + 1);
    await producer.commit();
    const [left] = await log.admin.offsets(sides);
    expect(left).toEqual({ start: 0, stable: 0, end: 1 });
    full(storage, Infinity);
    await clock.advance(1000);
    expect(await log.admin.offsets(sides)).toEqual([
      { start: 0, stable: 2, end: 2 },
      { start: 0, stable: 2, end: 2 },
    ]);
    expect(await readAll(log, pairTopic, 0)).toEqual(['1']);
  });

  /** Writes pairs until something fails; returns what. */
  async function scenario(log: EmbeddedLog, acknowledge: (number: number) => void): Promise<unknown> {
    try {
      await createPairTopics(log, { 'segment.bytes': '300' });
      const producer = await log.producer({ transactionalId });
      for (let number = 1; number <= 3; number++) {
        await writePair(producer, number);
        acknowledge(number);
      }
      const other = await log.producer({ transactionalId: 'aborting' });
      other.begin();
      await other.send(sides.map((side) => ({ ...side, records: recordsOf('never') })));
      await other.abort();
      return undefined;
    } catch (error) {
      return error;
    }
  }

  async function checkAndGoOn(log: EmbeddedLog, acknowledged: number): Promise<void> {
    await createPairTopics(log, { 'segment.bytes': '300' });
    const producer = await log.producer({ transactionalId });
    await log.admin.fence('aborting');
    const { left, right, offset } = await readPairs(log);
    expect(offset).toBeGreaterThanOrEqual(acknowledged);
    expect(left).toEqual(numbersUpTo(offset));
    expect(right).toEqual(left);
    await writePair(producer, offset + 1);
    expect((await readPairs(log)).left).toEqual(numbersUpTo(offset + 1));
  }
});

describe('producers', () => {
  test('outlast the epochs of a producer id', async () => {
    const log = open(new MemoryStorage());
    await createPairTopics(log);
    const old = await log.producer({ transactionalId });
    for (let round = 0; round < 33_000; round++) await log.admin.fence(transactionalId);
    const producer = await log.producer({ transactionalId });
    await writePair(producer, 1);
    old.begin();
    await expect(old.send([{ ...sides[0]!, records: recordsOf('zombie') }])).rejects.toMatchObject({
      code: 'PRODUCER_FENCED',
    });
    expect((await readPairs(log)).left).toEqual(['1']);
  });

  test('that were idle for too long are forgotten, and new ones go on', async () => {
    const clock = new ManualClock();
    const log = open(new MemoryStorage(), { clock, producerExpirationMs: 1000, maintenanceIntervalMs: 100 });
    await createPairTopics(log);
    const old = await log.producer({ transactionalId });
    await writePair(old, 1);
    await clock.advance(5000);
    old.begin();
    await expect(old.send([{ ...sides[0]!, records: recordsOf('2') }])).rejects.toMatchObject({
      code: 'PRODUCER_FENCED',
    });
    await writePair(await log.producer({ transactionalId }), 2);
    expect((await readPairs(log)).left).toEqual(['1', '2']);
  });

  test('of a topic that is deleted in the middle of a transaction can commit the rest', async () => {
    const log = open(new MemoryStorage());
    await createPairTopics(log);
    await log.admin.createTopics([{ name: plain.topic, partitions: 1 }]);
    const producer = await log.producer({ transactionalId });
    producer.begin();
    await producer.send([
      { ...plain, records: recordsOf('lost') },
      { ...sides[0]!, records: recordsOf('kept') },
    ]);
    await log.admin.deleteTopics([plain.topic]);
    await producer.commit();
    expect(await readAll(log, pairTopic, 0)).toEqual(['kept']);
  });
});

describe('an unreliable way to the broker', () => {
  function unavailable(): StreamError {
    return new StreamError('LOG_UNAVAILABLE', 'lost');
  }

  test('a commit whose answer is lost has happened, and the successor finds it so', async () => {
    const log = open(new MemoryStorage());
    await createPairTopics(log);
    const lossy: Carrier = async (name, effect) => {
      const result = await effect();
      if (name === 'end-txn') throw new StreamError('COMMIT_INDEFINITE', 'no answer');
      return result;
    };
    const producer = await log.client(lossy).producer({ transactionalId });
    await expect(writePair(producer, 1)).rejects.toMatchObject({ code: 'COMMIT_INDEFINITE' });
    expect(() => producer.begin()).not.toThrow();
    await expect(producer.send([{ ...plain, records: recordsOf('2') }])).rejects.toBeInstanceOf(StreamError);
    await log.producer({ transactionalId });
    expect(await readPairs(log)).toEqual({ left: ['1'], right: ['1'], offset: 1 });
  });

  test('a batch whose answer is lost is not appended twice', async () => {
    const log = open(new MemoryStorage());
    await createPairTopics(log);
    const twice: Carrier = async (name, effect) => {
      if (name === 'produce') await effect();
      return effect();
    };
    const producer = await log.client(twice).producer({ transactionalId });
    await writePair(producer, 1);
    await writePair(producer, 2);
    const idempotent = await log.client(twice).producer({});
    await idempotent.send([{ ...sides[0]!, records: recordsOf('3', '4') }]);
    expect(await readAll(log, pairTopic, 0)).toEqual(['1', '2', '3', '4']);
  });

  test('a lost fetch is a failure of the partitions asked for, and the next one goes on', async () => {
    const clock = new ManualClock();
    const log = open(new MemoryStorage(), { clock });
    await createPairTopics(log);
    await writePair(await log.producer({ transactionalId }), 1);
    let isLost = true;
    const lossy: Carrier = async (name, effect) => {
      if (name === 'fetch' && isLost) throw unavailable();
      return effect();
    };
    const reader = log.client(lossy).reader({ isolation: 'read_committed' });
    for (const side of sides) reader.seek(side, 0);
    const { failures } = await reader.poll(1000);
    expect(failures.map(({ error }) => error.code)).toEqual(['LOG_UNAVAILABLE', 'LOG_UNAVAILABLE']);
    isLost = false;
    const reading = reader.poll(1000);
    await clock.advance(200);
    expect((await reading).batches).toHaveLength(2);
  });

  test('a member whose heartbeats are lost is expelled, and told when they get through again', async () => {
    const clock = new ManualClock();
    const log = open(new MemoryStorage(), { clock });
    let isLost = false;
    const lossy: Carrier = async (_, effect) => {
      if (isLost) throw unavailable();
      return effect();
    };
    const options = {
      groupId,
      topics: [],
      protocol: 'p',
      sessionTimeoutMs: 1000,
      rebalanceTimeoutMs: 5000,
      heartbeatIntervalMs: 100,
    };
    const [cut, other] = [new Probe('cut'), new Probe('other')];
    const member = log.client(lossy).member(options, cut);
    member.start();
    await clock.advance(100);
    log.member(options, other).start();
    await clock.advance(500);
    expect([cut, other].map(({ last }) => last?.generation)).toEqual([2, 2]);

    isLost = true;
    await clock.advance(3000);
    expect(other.groupData).toEqual(['other']);
    expect(cut.losses).toEqual([]);
    isLost = false;
    await clock.advance(1000);
    expect(cut.losses.map(({ code }) => code)).toEqual(['MEMBER_FENCED']);
    expect(cut.last!.generation).toBe(other.last!.generation);
    expect(cut.overlapped).toBe(false);
  });
});

describe('closing', () => {
  test('ends every client of the log', async () => {
    const log = open(new MemoryStorage());
    await createPairTopics(log);
    const client = log.client();
    const producer = await client.producer({ transactionalId });
    const probe = new Probe('a');
    const member = client.member(
      {
        groupId,
        topics: [],
        protocol: 'p',
        sessionTimeoutMs: 1000,
        rebalanceTimeoutMs: 1000,
        heartbeatIntervalMs: 100,
      },
      probe,
    );
    member.start();
    await probe.joined(1);
    const reader = client.reader({ isolation: 'read_committed' });
    reader.seek(sides[0]!, 0);
    const polling = reader.poll(60_000);
    await log.close();
    await expect(polling).rejects.toMatchObject({ code: 'LOG_CLOSED' });
    await expect(writePair(producer, 1)).rejects.toMatchObject({ code: 'LOG_CLOSED' });
    await expect(client.admin.listTopics()).rejects.toMatchObject({ code: 'LOG_CLOSED' });
    await expect(client.admin.fence(transactionalId)).rejects.toMatchObject({ code: 'LOG_CLOSED' });
    await expect(client.producer({})).rejects.toMatchObject({ code: 'LOG_CLOSED' });
    await member.leave();
    await reader.close();
    await producer.close();
    await client.close();
    await log.close();
  });

  test('topics whose names differ only in case are refused: some file systems cannot tell them apart', async () => {
    const log = open(new MemoryStorage());
    await log.admin.createTopics([{ name: 'Orders', partitions: 1 }]);
    await expect(log.admin.createTopics([{ name: 'orders', partitions: 1 }])).rejects.toMatchObject({
      code: 'TOPIC_INVALID',
    });
  });
});
