import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals';
import { Kafka, logLevel, type Admin as KafkajsAdmin } from 'kafkajs';
import { silentLogger, systemClock, systemRandom } from '../../../clock.ts';
import { kafkaLog } from '../../../connectors/kafka/kafka-log.ts';
import type { Log } from '../../../connectors/log.ts';
import type { StreamInstance } from '../../../topology/runtime/stream-instance.ts';
import { produce, readAll, testInstance, until } from '../../support/cluster.ts';
import { expectEachCountOnce, sumOf } from '../../support/counted.ts';
import { counting, type Counting } from '../../support/counting.ts';
import { soundVersion, startKafkaCluster, type RunningCluster, type RunningKafka } from '../../support/kafka-broker.ts';
import { describeKafka } from '../../support/kafka.ts';

const nodeCount = 3;
const partitions = 6;
const recordsPerRound = 300;
/** For everything that waits for brokers to start, to be missed, or to catch up. */
const patienceMs = 180_000;

// These tests stop and freeze brokers, so they have some of their own.
describeKafka('a Kafka cluster whose brokers fail one after the other', () => {
  let cluster: RunningCluster;
  let observer: KafkajsAdmin;
  let closers: (() => Promise<unknown>)[] = [];

  beforeAll(async () => {
    const started = await startKafkaCluster(nodeCount, {
      version: soundVersion,
      settings: {
        // A broker is missed sooner, and leads its partitions again as soon as it has caught up.
        'broker.session.timeout.ms': '4000',
        'replica.lag.time.max.ms': '4000',
        'leader.imbalance.check.interval.seconds': '1',
        'leader.imbalance.per.broker.percentage': '0',
      },
    });
    if ('skipped' in started) throw new Error(started.skipped);
    cluster = started;
    observer = new Kafka({ brokers: cluster.brokers.split(','), logLevel: logLevel.NOTHING }).admin();
    await observer.connect();
  }, 700_000);
  afterEach(async () => {
    for (const close of closers.reverse()) await close();
    closers = [];
  });
  afterAll(async () => {
    await observer.disconnect();
    await cluster.stop();
  });

  function open(brokers: readonly string[]): Log {
    const deps = { clock: systemClock, random: systemRandom, logger: silentLogger };
    const options = { brokers, clientId: 'cluster', requestTimeoutMs: 5_000, operationTimeoutMs: 60_000 };
    const log = kafkaLog(options, deps);
    closers.push(() => log.close());
    return log;
  }

  async function prepare(log: Log): Promise<Counting> {
    const setup = counting(systemRandom.uuid().slice(0, 8));
    await log.admin.createTopics([setup.events, setup.counts].map(({ name }) => ({ name, partitions })));
    return setup;
  }

  /** Whether every partition, those of offsets and transactions too, has all its replicas in sync and its first one leading. */
  async function isWhole(): Promise<boolean> {
    try {
      const { topics } = await observer.fetchTopicMetadata();
      const all = topics.flatMap((topic) => topic.partitions);
      return all.every(({ isr, replicas, leader }) => isr.length === nodeCount && leader === replicas[0]);
    } catch {
      return false;
    }
  }

  test('the client finds all brokers from any one, past addresses where nobody is', async () => {
    const { events } = await prepare(open([cluster.nodes[0]!.brokers]));
    for (const [index, { brokers }] of cluster.nodes.entries()) {
      const log = open(['127.0.0.1:1', brokers]);
      const keys = Array.from({ length: 50 }, (_, key) => ({ key: `k${String(key)}`, value: 'v' }));
      await produce(log, events, keys);
      const records = await readAll(log, events);
      expect(records).toHaveLength(50 * (index + 1));
      expect(new Set(records.map(({ partition }) => partition)).size).toBe(partitions);
    }
  }, 120_000);

  const faults: readonly (readonly [
    string,
    (node: RunningKafka) => Promise<void> | void,
    (node: RunningKafka) => Promise<void>,
  ])[] = [
    [
      'is killed',
      (node) => {
        node.kill('SIGKILL');
      },
      (node) => node.restart(),
    ],
    [
      'shuts down in order',
      (node) => {
        node.kill('SIGTERM');
      },
      async (node) => {
        await until('it has ended', () => node.pid === undefined, patienceMs);
        await node.restart();
      },
    ],
    [
      'is frozen',
      (node) => node.freeze(),
      (node) => {
        node.kill('SIGCONT');
        return Promise.resolve();
      },
    ],
  ];

  test('a running instance counts on while each broker in turn is gone: nothing lost, nothing twice', async () => {
    const log = open(cluster.brokers.split(','));
    const setup = await prepare(log);
    const instances: StreamInstance[] = [];
    // Each knows one broker at first.
    for (const [index, { brokers }] of cluster.nodes.slice(0, 2).entries()) {
      const instance = testInstance(open([brokers]), setup.topology, {
        applicationId: setup.applicationId,
        instanceId: `i${String(index)}`,
        sessionTimeoutMs: 10_000,
        rebalanceTimeoutMs: 20_000,
        commitIntervalMs: 100,
      });
      instances.push(instance);
      closers.push(() => instance.close());
      await instance.start();
    }
    let total = 0;
    const countMore = async (): Promise<void> => {
      const records = Array.from({ length: recordsPerRound }, (_, index) => ({
        key: `k${String(index)}`,
        value: `v${String(index % 40)}`,
      }));
      total += records.length;
      await produce(log, setup.events, records);
      await until('all are counted', async () => (await sumOf(log, setup.counts)) >= total, patienceMs);
    };

    await countMore();
    for (const [index, [what, fail, mend]] of faults.entries()) {
      const node = cluster.nodes[index]!;
      await until('all replicas are in sync', isWhole, patienceMs);
      await fail(node);
      await countMore().catch((error: unknown) => {
        throw new Error(`while a broker ${what}`, { cause: error });
      });
      await mend(node);
      await countMore();
    }
    expect(await sumOf(log, setup.counts)).toBe(total);
    await expectEachCountOnce(log, setup.counts);
    await until('all members are ready', () => instances.every(({ isReady }) => isReady), patienceMs);
    expect(instances.flatMap((instance) => instance.tasks())).toHaveLength(2 * partitions);
  }, 900_000);
});
