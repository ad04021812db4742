import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { Kafka, logLevel, type Consumer } from 'kafkajs';
import { silentLogger, systemClock, systemRandom } from '../../../clock.ts';
import { kafkaLog } from '../../../connectors/kafka/kafka-log.ts';
import type { Compression, JoinedMember, Log, Producer, Reader } from '../../../connectors/log.ts';
import { BatchBuilder } from '../../../schemas/record-batch.ts';
import { describeKafka } from '../../support/kafka.ts';

const giveUpMs = 20_000;

function batch(
  ...records: readonly (readonly [key: Uint8Array | undefined, value: Uint8Array | undefined])[]
): BatchBuilder {
  const builder = new BatchBuilder();
  for (const [key, value] of records) builder.append(1_700_000_000_000, key, value, []);
  return builder;
}

const text = (bytes: Uint8Array | undefined): string | undefined =>
  bytes === undefined ? undefined : Buffer.from(bytes).toString();

/** Values of one partition up to its end. */
async function valuesOf(log: Log, topic: string): Promise<readonly (string | undefined)[]> {
  const reader: Reader = log.reader({ isolation: 'read_committed' });
  const [offsets] = await log.admin.offsets([{ topic, partition: 0 }]);
  const found: (string | undefined)[] = [];
  reader.seek({ topic, partition: 0 }, 0);
  const startMs = systemClock.monotonicMs();
  while ((reader.position({ topic, partition: 0 })?.offset ?? 0) < offsets!.stable) {
    if (systemClock.monotonicMs() - startMs > giveUpMs) throw new Error('the end was not reached');
    for (const read of (await reader.poll(200)).batches)
      for (const cursor = read.cursor(); cursor.next();) found.push(text(cursor.value()));
  }
  await reader.close();
  return found;
}

describeKafka('other clients of a Kafka cluster', (brokers) => {
  let log: Log;
  let other: Kafka;

  beforeAll(() => {
    const deps = { clock: systemClock, random: systemRandom, logger: silentLogger };
    log = kafkaLog({ brokers, clientId: 'interop' }, deps);
    other = new Kafka({ brokers: [...brokers], clientId: 'other', logLevel: logLevel.NOTHING });
  });
  afterAll(() => log.close());

  async function newTopic(configs: Readonly<Record<string, string>> = {}): Promise<string> {
    const name = `interop-${systemRandom.uuid()}`;
    await log.admin.createTopics([{ name, partitions: 1, configs }]);
    return name;
  }

  async function withProducer(
    options: Parameters<Log['producer']>[0],
    run: (producer: Producer) => Promise<void>,
  ): Promise<void> {
    const producer = await log.producer(options);
    try {
      await run(producer);
    } finally {
      await producer.close();
    }
  }

  test('a key of four zero bytes is a key, and the aborted transaction around it stays hidden', async () => {
    const topic = await newTopic();
    await withProducer({ transactionalId: `txn-${topic}` }, async (producer) => {
      producer.begin();
      await producer.send([{ topic, partition: 0, records: batch([Buffer.alloc(4), Buffer.from('hidden')]) }]);
      await producer.send([{ topic, partition: 0, records: batch([undefined, Buffer.from('hidden too')]) }]);
      await producer.abort();
      producer.begin();
      await producer.send([{ topic, partition: 0, records: batch([Buffer.alloc(4), Buffer.from('seen')]) }]);
      await producer.commit();
    });
    await expect(valuesOf(log, topic)).resolves.toEqual(['seen']);
  });

  test.each(['gzip', 'snappy', 'lz4'] as const)(
    'batches that the broker compressed with %s are read',
    async (codec) => {
      const topic = await newTopic({ 'compression.type': codec });
      const values = Array.from({ length: 2000 }, (_, index) => `value ${String(index)} ${'x'.repeat(index % 100)}`);
      await withProducer({}, async (producer) => {
        await producer.send([
          { topic, partition: 0, records: batch(...values.map((value) => [undefined, Buffer.from(value)] as const)) },
        ]);
      });
      await expect(valuesOf(log, topic)).resolves.toEqual(values);
    },
  );

  test.each<Compression>(['gzip', 'snappy', 'lz4'])(
    'the broker unpacks what was compressed with %s',
    async (compression) => {
      const topic = await newTopic({ 'compression.type': 'uncompressed' });
      const values = Array.from({ length: 2000 }, (_, index) => `value ${String(index)}`);
      await withProducer({ compression }, async (producer) => {
        await producer.send([
          { topic, partition: 0, records: batch(...values.map((value) => [undefined, Buffer.from(value)] as const)) },
        ]);
      });
      await expect(valuesOf(log, topic)).resolves.toEqual(values);
    },
  );

  test('a batch compressed with zstd says what is missing, or is read where node has it', async () => {
    const topic = await newTopic({ 'compression.type': 'zstd' });
    await withProducer({}, async (producer) => {
      await producer.send([{ topic, partition: 0, records: batch([undefined, Buffer.from('packed')]) }]);
    });
    const hasZstd = 'zstdDecompressSync' in (await import('node:zlib'));
    if (hasZstd) await expect(valuesOf(log, topic)).resolves.toEqual(['packed']);
    else
      await expect(valuesOf(log, topic)).rejects.toMatchObject({
        code: 'CONFIG_INVALID',
        facts: { compression: 'zstd' },
      });
  });

  test('what another client writes is read', async () => {
    const topic = await newTopic();
    const producer = other.producer();
    await producer.connect();
    await producer.send({
      topic,
      messages: [
        { key: 'k', value: 'v', headers: { h: ['1', '2'] }, timestamp: '1700000000000' },
        { key: null, value: null, timestamp: '1600000000000' },
      ],
    });
    await producer.disconnect();

    const reader = log.reader({ isolation: 'read_committed' });
    reader.seek({ topic, partition: 0 }, 0);
    const rows: unknown[] = [];
    while (rows.length < 2)
      for (const read of (await reader.poll(1000)).batches)
        for (const cursor = read.cursor(); cursor.next();) {
          const headers = cursor.headers().map(({ key, value }) => [key, text(value)]);
          rows.push([cursor.offset, cursor.timestampMs, text(cursor.key()), text(cursor.value()), headers]);
        }
    await reader.close();
    expect(rows).toEqual([
      [
        0,
        1_700_000_000_000,
        'k',
        'v',
        [
          ['h', '1'],
          ['h', '2'],
        ],
      ],
      [1, 1_600_000_000_000, undefined, undefined, []],
    ]);
  });

  test('what is written is read by another client', async () => {
    const topic = await newTopic();
    const records = new BatchBuilder();
    records.append(1_700_000_000_000, Buffer.from('k'), Buffer.from('v'), [{ key: 'h', value: Buffer.from('1') }]);
    records.append(1_600_000_000_000, undefined, undefined, []);
    await withProducer({}, async (producer) => {
      await producer.send([{ topic, partition: 0, records }]);
    });

    const consumer: Consumer = other.consumer({ groupId: `reading-${topic}` });
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    const rows: unknown[] = [];
    await new Promise<void>((resolve, reject) => {
      consumer
        .run({
          eachMessage: ({ message }) => {
            const header = message.headers?.['h'];
            rows.push([
              message.offset,
              message.timestamp,
              message.key?.toString(),
              message.value?.toString(),
              header?.toString(),
            ]);
            if (rows.length === 2) resolve();
            return Promise.resolve();
          },
        })
        .catch(reject);
    });
    await consumer.disconnect();
    expect(rows).toEqual([
      ['0', '1700000000000', 'k', 'v', '1'],
      ['1', '1600000000000', undefined, undefined, undefined],
    ]);
  });

  test('a member of another make is handed to the leader as it is, and gets an assignment it can read', async () => {
    const topic = await newTopic();
    const groupId = `mixed-${topic}`;
    const seen: (readonly JoinedMember[])[] = [];
    const member = log.member(
      {
        groupId,
        topics: [topic],
        protocol: 'mixed',
        sessionTimeoutMs: 10_000,
        rebalanceTimeoutMs: 10_000,
        heartbeatIntervalMs: 300,
      },
      {
        joining: () => Promise.resolve(Buffer.from('ours')),
        assign: (members) => {
          seen.push(members);
          return Promise.resolve(new Map([[members[0]!.memberId, Buffer.from('x')]]));
        },
        assigned: () => Promise.resolve(),
        lost: () => Promise.resolve(),
      },
    );
    member.start();
    while (member.current === undefined) await systemClock.sleep(20);

    const foreign = other.consumer({
      groupId,
      partitionAssigners: [
        () => ({
          name: 'mixed',
          version: 0,
          assign: () => Promise.resolve([]),
          protocol: () => ({ name: 'mixed', metadata: Buffer.from([0, 3, 0, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3]) }),
        }),
      ],
    });
    await foreign.connect();
    await foreign.subscribe({ topic });
    const joined = new Promise<unknown>((resolve) => foreign.on(foreign.events.GROUP_JOIN, resolve));
    await foreign.run({ eachMessage: () => Promise.resolve() });
    await joined;
    await foreign.disconnect();
    await member.leave();
    const both = seen.find((members) => members.length === 2)!;
    expect(both.map(({ userData }) => [...userData]).sort()).toEqual([[1, 2, 3], [...Buffer.from('ours')]]);
  });
});
