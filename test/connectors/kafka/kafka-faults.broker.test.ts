import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { silentLogger, systemClock, systemRandom } from '../../../clock.ts';
import { kafkaLog, type KafkaOptions } from '../../../connectors/kafka/kafka-log.ts';
import type { GroupListener, Log, Producer, Reader } from '../../../connectors/log.ts';
import { hasCode, StreamError } from '../../../errors.ts';
import { BatchBuilder } from '../../../schemas/record-batch.ts';
import { until } from '../../support/cluster.ts';
import { soundVersion, startKafka, type RunningKafka } from '../../support/kafka-broker.ts';
import { describeKafka } from '../../support/kafka.ts';

const unique = (name: string): string => `${name}-${systemRandom.uuid()}`;

const patienceMs = 60_000;

function numbers(from: number, count: number): BatchBuilder {
  const builder = new BatchBuilder();
  for (let number = from; number < from + count; number++)
    builder.append(1_700_000_000_000, undefined, Buffer.from(String(number)), []);
  return builder;
}

/** Tries again for as long as the log cannot be reached. */
async function patiently<T>(run: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await run();
    } catch (error) {
      if (!hasCode(error, 'LOG_UNAVAILABLE', 'OFFSETS_UNSTABLE', 'TOPIC_UNKNOWN')) throw error;
      await systemClock.sleep(50);
    }
  }
}

// These tests stop and freeze a broker, so they have one of their own.
describeKafka('a Kafka broker that fails', () => {
  let kafka: RunningKafka;
  let closers: (() => Promise<unknown>)[] = [];

  beforeAll(async () => {
    const shared = process.env['KAFKA_BROKERS'];
    delete process.env['KAFKA_BROKERS'];
    const started = await startKafka({ version: soundVersion });
    process.env['KAFKA_BROKERS'] = shared;
    if ('skipped' in started) throw new Error(started.skipped);
    kafka = started;
  });
  afterEach(async () => {
    for (const close of closers.reverse()) await close();
    closers = [];
  });
  afterAll(() => kafka.stop());

  function open(options: Partial<KafkaOptions> = {}): Log {
    const deps = { clock: systemClock, random: systemRandom, logger: silentLogger };
    const log = kafkaLog(
      { brokers: kafka.brokers.split(','), clientId: 'faults', requestTimeoutMs: 5000, ...options },
      deps,
    );
    closers.push(() => log.close());
    return log;
  }

  async function newTopic(log: Log): Promise<string> {
    const name = unique('faults');
    await log.admin.createTopics([{ name, partitions: 1 }]);
    return name;
  }

  /** Writes 0, 1, 2, … in transactions together with the next number as an offset, whatever happens, as an engine would. */
  async function writeExactlyOnce(log: Log, at: { topic: string; groupId: string; total: number }): Promise<void> {
    const { topic, groupId, total } = at;
    const transactionalId = `txn-${topic}`;
    const input = { topic, partition: 0 };
    for (;;) {
      const producer = await patiently(() => log.producer({ transactionalId, transactionTimeoutMs: 60_000 }));
      try {
        const [committed] = await patiently(() => log.admin.committed(groupId, [input], { requireStable: true }));
        for (let next = committed?.offset ?? 0; next < total; next += 10) {
          producer.begin();
          await producer.send([{ topic, partition: 0, records: numbers(next, 10) }]);
          await producer.sendOffsets([{ ...input, offset: next + 10 }], { groupId, memberId: '', generation: -1 });
          await producer.commit();
        }
        return;
      } catch (error) {
        if (!(error instanceof StreamError) || error.retry === 'never') throw error;
      } finally {
        await producer.close();
      }
    }
  }

  async function follow(reader: Reader, topic: string, found: string[], total: number): Promise<void> {
    reader.seek({ topic, partition: 0 }, 0);
    while (found.length < total) {
      const { batches } = await reader.poll(200);
      for (const batch of batches)
        for (const cursor = batch.cursor(); cursor.next();) found.push(Buffer.from(cursor.value()!).toString());
    }
  }

  test('kill -9 under load: every number is there once, in order, and the member is one again', async () => {
    const log = open();
    const topic = await newTopic(log);
    const total = 6000;
    const found: string[] = [];
    const reader = log.reader({ isolation: 'read_committed' });
    closers.push(() => reader.close());
    const losses: string[] = [];
    const generations: number[] = [];
    const listener: GroupListener = {
      joining: () => Promise.resolve(Buffer.alloc(0)),
      assign: () => Promise.resolve(new Map()),
      assigned: ({ generation }) => {
        generations.push(generation);
        return Promise.resolve();
      },
      lost: ({ code }) => {
        losses.push(code);
        return Promise.resolve();
      },
    };
    const member = log.member(
      {
        groupId: unique('group'),
        topics: [topic],
        protocol: 'test',
        sessionTimeoutMs: 6000,
        rebalanceTimeoutMs: 6000,
        heartbeatIntervalMs: 500,
      },
      listener,
    );
    member.start();
    closers.push(() => member.leave());
    await until('the member has joined', () => generations.length > 0, patienceMs);

    const writing = writeExactlyOnce(log, { topic, groupId: unique('offsets'), total });
    const reading = follow(reader, topic, found, total);
    for (const progress of [500, 2000, 4000]) {
      await until(`${String(progress)} numbers were read`, () => found.length >= progress, patienceMs);
      kafka.kill('SIGKILL');
      await kafka.restart();
    }
    await writing;
    await reading;
    expect(found).toEqual(Array.from({ length: total }, (_, number) => String(number)));
    await until('the member commits again', () => member.current !== undefined, patienceMs);
    await patiently(() => member.commit([{ topic, partition: 0, offset: 1 }]));
  }, 180_000);

  test('a broker that freezes during a commit leaves it indefinite; the successor settles it', async () => {
    const log = open({ requestTimeoutMs: 1500, operationTimeoutMs: 2000 });
    const patient = open();
    const topic = await newTopic(log);
    const transactionalId = `txn-${topic}`;
    const producer: Producer = await log.producer({ transactionalId });
    closers.push(() => producer.close());
    producer.begin();
    await producer.send([{ topic, partition: 0, records: numbers(0, 3) }]);
    await kafka.freeze();
    const outcome = await producer.commit().then(
      () => undefined,
      (error: unknown) => error,
    );
    kafka.kill('SIGCONT');
    expect(outcome).toMatchObject({ code: 'COMMIT_INDEFINITE', retry: 'indefinite' });
    expect(() => {
      producer.begin();
    }).toThrow();

    const successor = await patiently(() => patient.producer({ transactionalId }));
    closers.push(() => successor.close());
    const [settled] = await patient.admin.offsets([{ topic, partition: 0 }]);
    expect(settled!.stable).toBe(settled!.end);
    successor.begin();
    await successor.send([{ topic, partition: 0, records: numbers(0, 1) }]);
    await successor.commit();
  });

  test('while the broker is down calls end as LOG_UNAVAILABLE in bounded time, and work again afterwards', async () => {
    const log = open({ operationTimeoutMs: 1500 });
    const topic = await newTopic(log);
    const reader = log.reader({ isolation: 'read_committed' });
    closers.push(() => reader.close());
    reader.seek({ topic, partition: 0 }, 0);
    await reader.poll(500);
    const producer = await log.producer({});
    closers.push(() => producer.close());
    kafka.kill('SIGKILL');

    const startMs = systemClock.monotonicMs();
    const unavailable = { code: 'LOG_UNAVAILABLE', retry: 'with-backoff' };
    await expect(log.admin.offsets([{ topic, partition: 0 }])).rejects.toMatchObject(unavailable);
    await expect(log.producer({ transactionalId: `txn-${topic}` })).rejects.toMatchObject(unavailable);
    await expect(producer.send([{ topic, partition: 0, records: numbers(0, 1) }])).rejects.toMatchObject(unavailable);
    expect(systemClock.monotonicMs() - startMs).toBeLessThan(15_000);
    const codes = new Set<string>();
    while (codes.size === 0) for (const { error } of (await reader.poll(1000)).failures) codes.add(error.code);
    expect([...codes]).toEqual(['LOG_UNAVAILABLE']);

    await kafka.restart();
    const again = await patiently(() => log.producer({}));
    closers.push(() => again.close());
    await patiently(() => again.send([{ topic, partition: 0, records: numbers(7, 1) }]));
    const found: string[] = [];
    await follow(reader, topic, found, 1);
    expect(found).toEqual(['7']);
  });
});
