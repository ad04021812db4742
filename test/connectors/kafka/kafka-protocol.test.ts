import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { silentLogger, systemClock, systemRandom } from '../../../clock.ts';
import { apis } from '../../../connectors/kafka/apis.ts';
import { kafkaLog, type KafkaOptions } from '../../../connectors/kafka/kafka-log.ts';
import type { FetchedBatch, Log, Reader } from '../../../connectors/log.ts';
import { StreamError } from '../../../errors.ts';
import { withBaseOffset } from '../../../schemas/record-batch-header.ts';
import { BatchBuilder } from '../../../schemas/record-batch.ts';
import { added, code, FakeBroker, fetched, produced, producerId } from './fake-broker.ts';

const topic = 'topic';
const notLeader = 6;
const offsetOutOfRange = 1;
const coordinatorLoading = 14;
const notEnoughReplicas = 19;
const topicNotAuthorized = 29;
const notCoordinator = 16;
const duplicateSequence = 46;
const invalidEpoch = 47;
const concurrentTransactions = 51;

function batchOf(...values: readonly string[]): BatchBuilder {
  const builder = new BatchBuilder();
  for (const value of values) builder.append(1, undefined, Buffer.from(value), []);
  return builder;
}

const bytesAt = (offset: number, ...values: readonly string[]): Buffer =>
  withBaseOffset(
    batchOf(...values).encode({ producerId: -1n, producerEpoch: -1, baseSequence: -1, isTransactional: false }, 'none'),
    offset,
    0,
  );

function valuesOf(batches: readonly FetchedBatch[]): string[] {
  const values: string[] = [];
  for (const batch of batches)
    for (const cursor = batch.cursor(); cursor.next();) values.push(Buffer.from(cursor.value()!).toString());
  return values;
}

async function failureOf(work: Promise<unknown>): Promise<StreamError> {
  const outcome = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(outcome instanceof StreamError)) throw new Error('it should have failed', { cause: outcome });
  return outcome;
}

describe('the Kafka connector, against a broker that misbehaves', () => {
  let brokers: FakeBroker[] = [];
  let broker: FakeBroker;
  let closers: (() => Promise<unknown>)[] = [];

  beforeEach(async () => {
    broker = await FakeBroker.start();
    brokers = [broker];
    broker.lead(topic, [broker]);
    broker.onEach(apis.initProducerId, producerId(7n));
    broker.onEach(apis.addPartitionsToTxn, added(topic, 0));
    broker.onEach(apis.endTxn, code(0));
    let offset = 0;
    broker.on(apis.produce, () => produced(topic, [[0, 0, (offset += 10)]]));
  });
  afterEach(async () => {
    for (const close of closers.reverse()) await close();
    closers = [];
    for (const each of brokers) await each.stop();
  });

  function open(options: Partial<KafkaOptions> = {}): Log {
    const deps = { clock: systemClock, random: systemRandom, logger: silentLogger };
    const log = kafkaLog(
      { brokers: [broker.address], clientId: 'test', requestTimeoutMs: 300, operationTimeoutMs: 2000, ...options },
      deps,
    );
    closers.push(() => log.close());
    return log;
  }

  function read(log: Log): Reader {
    const reader = log.reader({ isolation: 'read_committed' });
    closers.push(() => reader.close());
    reader.seek({ topic, partition: 0 }, 0);
    return reader;
  }

  test.each(['close', 'cut', 'silence'] as const)('an answer that ends in %s is asked for again', async (reaction) => {
    broker.lead(topic, [broker]);
    broker.onEach(apis.listOffsets, reaction, reaction, reaction, (writer) => {
      writer.int32(0);
      writer.array([topic], (name) => {
        writer.string(name);
        writer.array([42], (offset) => {
          writer.int32(0);
          writer.int16(0);
          writer.int64(-1);
          writer.int64(offset);
          writer.int32(0);
        });
      });
    });
    const [offsets] = await open().admin.offsets([{ topic, partition: 0 }]);
    expect(offsets).toEqual({ start: 42, stable: 42, end: 42 });
  });

  test('an answer that makes no sense is an unavailable log', async () => {
    broker.onEach(apis.listOffsets, (writer) => {
      writer.int32(0);
      writer.int32(0x7fff_ffff);
    });
    const failure = await failureOf(open({ operationTimeoutMs: 200 }).admin.offsets([{ topic, partition: 0 }]));
    expect(failure.code).toBe('LOG_UNAVAILABLE');
  });

  test('nobody at the address is an unavailable log, in bounded time', async () => {
    const log = open({ operationTimeoutMs: 300 });
    await broker.stop();
    const startMs = systemClock.monotonicMs();
    expect((await failureOf(log.admin.clusterId())).code).toBe('LOG_UNAVAILABLE');
    expect(systemClock.monotonicMs() - startMs).toBeLessThan(5000);
  });

  test('another given address is tried', async () => {
    const log = open({ brokers: ['127.0.0.1:1', broker.address] });
    await expect(log.admin.clusterId()).resolves.toBe('fake');
    await expect(log.admin.clusterId()).resolves.toBe('fake');
  });

  test('a broker that does not answer holds up one question, not those that follow', async () => {
    const frozen = await FakeBroker.start(2);
    brokers.push(frozen);
    frozen.on(apis.metadata, () => 'silence');
    broker.lead(topic, [broker, frozen]);
    const log = open({ brokers: [frozen.address, broker.address] });
    for (let question = 0; question < 10; question++) await log.admin.clusterId();
    expect(frozen.seenOf(apis.metadata).length).toBeLessThanOrEqual(1);
  });

  test('a broker that is too old is refused by name', async () => {
    broker.offerOnly({ ...apis.metadata, max: 8, min: 0 });
    const failure = await failureOf(open().admin.clusterId());
    expect(failure).toMatchObject({ code: 'LOG_REFUSED', facts: { api: 'Metadata', offered: 8 } });
  });

  test.each(['nowhere', ':9092', 'host:', 'host:70000', 'host:x'])('%s is no address', async (address) => {
    expect((await failureOf(open({ brokers: [address] }).admin.clusterId())).code).toBe('CONFIG_INVALID');
  });

  describe('producing', () => {
    test('a batch whose acknowledgement is lost is sent again with the same bytes, and counts as appended once', async () => {
      broker.onEach(apis.produce, 'close', produced(topic, [[0, duplicateSequence, -1]]), produced(topic, [[0, 0, 5]]));
      const producer = await open().producer({});
      closers.push(() => producer.close());
      await expect(producer.send([{ topic, partition: 0, records: batchOf('a', 'b') }])).resolves.toEqual([-1]);
      const [first, second] = broker.seenOf(apis.produce);
      expect(second).toEqual(first);
      await expect(producer.send([{ topic, partition: 0, records: batchOf('c') }])).resolves.toEqual([5]);
      // The base sequence, 53 bytes into the batch that ends the request.
      const third = broker.seenOf(apis.produce)[2]!;
      const size = batchOf('c').sizeBytes;
      expect(third.readInt32BE(third.length - size + 53)).toBe(2);
    });

    test('only the partition that failed is sent again, to where its leader is now', async () => {
      const other = await FakeBroker.start(2);
      brokers.push(other);
      for (const each of brokers) each.lead(topic, [broker, broker]);
      broker.on(apis.produce, () => {
        for (const each of brokers) each.lead(topic, [broker, other]);
        return produced(topic, [
          [0, 0, 3],
          [1, notLeader, -1],
        ]);
      });
      other.onEach(apis.produce, produced(topic, [[1, 0, 9]]));
      const producer = await open().producer({});
      closers.push(() => producer.close());
      const sent = [0, 1].map((partition) => ({ topic, partition, records: batchOf('a') }));
      await expect(producer.send(sent)).resolves.toEqual([3, 9]);
      expect([broker.seenOf(apis.produce).length, other.seenOf(apis.produce).length]).toEqual([1, 1]);
    });

    test('several batches of a partition keep their order', async () => {
      const producer = await open().producer({});
      closers.push(() => producer.close());
      const sent = ['a', 'b', 'c'].map((value) => ({ topic, partition: 0, records: batchOf(value) }));
      await expect(producer.send(sent)).resolves.toEqual([10, 20, 30]);
    });

    test('a batch that too few replicas would take is sent again until enough do', async () => {
      const refused = produced(topic, [[0, notEnoughReplicas, -1]]);
      broker.onEach(apis.produce, refused, refused, produced(topic, [[0, 0, 5]]));
      const producer = await open().producer({});
      closers.push(() => producer.close());
      await expect(producer.send([{ topic, partition: 0, records: batchOf('a') }])).resolves.toEqual([5]);
    });

    test('what is not permitted is said at once, with a name and as something that may pass', async () => {
      broker.onEach(apis.produce, produced(topic, [[0, topicNotAuthorized, -1]]));
      const producer = await open().producer({});
      closers.push(() => producer.close());
      const failure = await failureOf(producer.send([{ topic, partition: 0, records: batchOf('a') }]));
      expect(failure).toMatchObject({ code: 'LOG_UNAUTHORIZED', retry: 'with-backoff', facts: { topic } });
      expect(broker.seenOf(apis.produce)).toHaveLength(1);
    });

    test('a producer that never gets an answer fails and stays failed', async () => {
      broker.onEach(apis.produce, 'silence');
      const producer = await open({ requestTimeoutMs: 100, operationTimeoutMs: 300 }).producer({});
      closers.push(() => producer.close());
      const send = () => producer.send([{ topic, partition: 0, records: batchOf('a') }]);
      expect((await failureOf(send())).code).toBe('LOG_UNAVAILABLE');
      expect((await failureOf(send())).code).toBe('LOG_REFUSED');
    });
  });

  describe('transactions', () => {
    async function inTransaction(options: Partial<KafkaOptions> = {}) {
      const producer = await open(options).producer({ transactionalId: 'txn' });
      closers.push(() => producer.close());
      producer.begin();
      await producer.send([{ topic, partition: 0, records: batchOf('a') }]);
      return producer;
    }

    test('coordinators that move, load or are busy are asked again', async () => {
      broker.onEach(apis.initProducerId, code(coordinatorLoading), code(concurrentTransactions), producerId(7n));
      broker.onEach(
        apis.addPartitionsToTxn,
        added(topic, concurrentTransactions),
        added(topic, notCoordinator),
        added(topic, 0),
      );
      broker.onEach(apis.endTxn, code(notCoordinator), code(coordinatorLoading), code(0));
      const producer = await inTransaction();
      await producer.commit();
      const counts = [apis.initProducerId, apis.addPartitionsToTxn, apis.endTxn].map(
        (api) => broker.seenOf(api).length,
      );
      expect(counts).toEqual([3, 3, 3]);
    });

    test.each(['close', 'cut', 'silence'] as const)(
      'a commit that ends in %s is indefinite and not asked for again',
      async (reaction) => {
        broker.onEach(apis.endTxn, reaction);
        const producer = await inTransaction();
        expect((await failureOf(producer.commit())).code).toBe('COMMIT_INDEFINITE');
        expect(broker.seenOf(apis.endTxn)).toHaveLength(1);
        expect((await failureOf(producer.abort())).code).toBe('LOG_REFUSED');
      },
    );

    test('a commit that the coordinator puts off until nobody answers is indefinite', async () => {
      broker.onEach(apis.endTxn, code(coordinatorLoading));
      const producer = await inTransaction({ operationTimeoutMs: 300 });
      expect((await failureOf(producer.commit())).code).toBe('COMMIT_INDEFINITE');
    });

    test('a fenced producer is told so, whatever it does', async () => {
      broker.onEach(apis.endTxn, code(invalidEpoch));
      const producer = await inTransaction();
      expect((await failureOf(producer.commit())).code).toBe('PRODUCER_FENCED');
    });

    test('a failed send cannot be committed', async () => {
      broker.onEach(apis.produce, produced(topic, [[0, 10, -1]]));
      const producer = await open().producer({ transactionalId: 'txn' });
      closers.push(() => producer.close());
      producer.begin();
      const sent = producer.send([{ topic, partition: 0, records: batchOf('a') }]);
      expect((await failureOf(sent)).code).toBe('RECORD_TOO_LARGE');
      expect((await failureOf(producer.commit())).code).toBe('RECORD_TOO_LARGE');
      await producer.abort();
      producer.begin();
    });

    test('states are kept', async () => {
      const plain = await open().producer({});
      closers.push(() => plain.close());
      expect(() => {
        plain.begin();
      }).toThrow(StreamError);
      const producer = await open().producer({ transactionalId: 'txn' });
      expect((await failureOf(producer.commit())).code).toBe('LOG_REFUSED');
      expect((await failureOf(producer.send([]))).code).toBe('LOG_REFUSED');
      producer.begin();
      await producer.commit();
      expect(broker.seenOf(apis.endTxn)).toHaveLength(0);
      await producer.close();
      expect((await failureOf(producer.send([]))).code).toBe('LOG_CLOSED');
    });
  });

  describe('reading', () => {
    test('while one answer waits to be polled, the partition is not fetched again', async () => {
      broker.onEach(apis.fetch, fetched(topic, bytesAt(0, 'a')), fetched(topic, bytesAt(1, 'b')), 'silence');
      const reader = read(open());
      await systemClock.sleep(150);
      expect(broker.seenOf(apis.fetch)).toHaveLength(1);
      expect(valuesOf((await reader.poll(1000)).batches)).toEqual(['a']);
      await systemClock.sleep(150);
      expect(broker.seenOf(apis.fetch)).toHaveLength(2);
      expect(reader.position({ topic, partition: 0 })).toEqual({ offset: 1, end: 100, highWatermark: 100 });
      expect(valuesOf((await reader.poll(1000)).batches)).toEqual(['b']);
    });

    test('what was fetched before a seek is dropped, whether it has arrived or not', async () => {
      let release: () => void = () => undefined;
      const asked = new Promise<void>((resolve) => {
        release = resolve;
      });
      broker.on(apis.fetch, () => {
        release();
        broker.onEach(apis.fetch, fetched(topic, bytesAt(50, 'new')), 'silence');
        return fetched(topic, bytesAt(0, 'stale'));
      });
      const reader = read(open());
      await asked;
      reader.seek({ topic, partition: 0 }, 50);
      expect(valuesOf((await reader.poll(1000)).batches)).toEqual(['new']);

      broker.onEach(apis.fetch, fetched(topic, bytesAt(51, 'stale')), 'silence');
      const again = read(open());
      await systemClock.sleep(100);
      broker.onEach(apis.fetch, fetched(topic, bytesAt(70, 'newer')), 'silence');
      again.seek({ topic, partition: 0 }, 70);
      expect(valuesOf((await again.poll(1000)).batches)).toEqual(['newer']);
    });

    test('what arrives for a paused partition is kept until it is resumed', async () => {
      broker.onEach(apis.fetch, fetched(topic, bytesAt(0, 'a')), 'silence');
      const reader = read(open());
      await systemClock.sleep(100);
      reader.pause({ topic, partition: 0 });
      expect((await reader.poll(50)).batches).toEqual([]);
      reader.resume({ topic, partition: 0 });
      expect(valuesOf((await reader.poll(1000)).batches)).toEqual(['a']);
      expect(broker.seenOf(apis.fetch).length).toBeLessThanOrEqual(2);
    });

    test('a corrupt batch is reported, and read once it is whole', async () => {
      const broken = bytesAt(0, 'a');
      broken.writeUInt8(broken.readUInt8(67) ^ 1, 67);
      broker.onEach(apis.fetch, fetched(topic, broken), fetched(topic, bytesAt(0, 'a')), 'silence');
      const reader = read(open());
      const { failures } = await reader.poll(1000);
      expect(failures).toMatchObject([
        { topic, partition: 0, error: { code: 'RECORD_CORRUPT', facts: { offset: 0, topic } } },
      ]);
      expect(valuesOf((await reader.poll(1000)).batches)).toEqual(['a']);
    });

    test('what lies before a corrupt batch is delivered first', async () => {
      const broken = bytesAt(1, 'b');
      broken.writeUInt8(broken.readUInt8(67) ^ 1, 67);
      broker.onEach(
        apis.fetch,
        fetched(topic, Buffer.concat([bytesAt(0, 'a'), broken])),
        fetched(topic, broken),
        'silence',
      );
      const reader = read(open());
      expect(valuesOf((await reader.poll(1000)).batches)).toEqual(['a']);
      expect((await reader.poll(1000)).failures).toMatchObject([
        { error: { code: 'RECORD_CORRUPT', facts: { offset: 1 } } },
      ]);
    });

    test('what may not be read is reported, and read once it may be', async () => {
      const refused = fetched(topic, Buffer.alloc(0), { error: topicNotAuthorized });
      broker.onEach(apis.fetch, refused, fetched(topic, bytesAt(0, 'a')), 'silence');
      const reader = read(open());
      expect((await reader.poll(1000)).failures).toMatchObject([{ topic, error: { code: 'LOG_UNAUTHORIZED' } }]);
      expect(valuesOf((await reader.poll(1000)).batches)).toEqual(['a']);
    });

    test('a leader that moved is found again without a word', async () => {
      const other = await FakeBroker.start(2);
      brokers.push(other);
      other.lead(topic, [other]);
      other.onEach(apis.fetch, fetched(topic, bytesAt(0, 'a')), 'silence');
      broker.on(apis.fetch, () => {
        broker.lead(topic, [other]);
        return fetched(topic, Buffer.alloc(0), { error: notLeader });
      });
      const reader = read(open());
      const { batches, failures } = await reader.poll(2000);
      expect(failures).toEqual([]);
      expect(valuesOf(batches)).toEqual(['a']);
    });

    test('a broker that was frozen and still takes itself for the leader is not believed', async () => {
      const next = await FakeBroker.start(2);
      brokers.push(next);
      // The second partition is there for both brokers to be known.
      broker.lead(topic, [next, broker], 7);
      const outOfRange = fetched(topic, Buffer.alloc(0), { error: offsetOutOfRange });
      next.on(apis.fetch, () => {
        // Asked who leads, the old leader says that it does.
        broker.lead(topic, [broker, next], 6);
        next.lead(topic, [next, broker], 7);
        next.onEach(apis.fetch, fetched(topic, bytesAt(0, 'a')), 'silence');
        return 'close';
      });
      broker.onEach(apis.fetch, outOfRange);
      const { batches, failures } = await read(open()).poll(10_000);
      expect(failures).toEqual([]);
      expect(valuesOf(batches)).toEqual(['a']);
      expect(broker.seenOf(apis.fetch)).toEqual([]);
    });

    test('closing ends a poll and the fetches under way', async () => {
      broker.onEach(apis.fetch, 'silence');
      const reader = read(open({ requestTimeoutMs: 60_000 }));
      const polling = reader.poll(60_000);
      await systemClock.sleep(50);
      await reader.close();
      await expect(polling).resolves.toEqual({ batches: [], failures: [] });
      expect((await failureOf(reader.poll(1))).code).toBe('LOG_CLOSED');
    });
  });
});
