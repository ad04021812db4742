/** Instances of a topology over one log in this process, for tests of the running engine. */
import { silentLogger, systemClock, systemRandom } from '../../clock.ts';
import type { Log } from '../../connectors/log.ts';
import { memoryStores } from '../../state-stores/memory.ts';
import type { Stores } from '../../state-stores/store.ts';
import { noHeaders } from '../../schemas/record.ts';
import { BatchBuilder } from '../../schemas/record-batch.ts';
import { partitionForKey } from '../../schemas/murmur2.ts';
import type { Topic } from '../../schemas/topic.ts';
import type { Topology } from '../../topology/graph.ts';
import type { Host } from '../../topology/runtime/host.ts';
import type { InstanceOptions } from '../../topology/runtime/options.ts';
import { createInstance } from '../../topology/runtime/stream-instance.ts';
import type { StreamInstance } from '../../topology/runtime/stream-instance.ts';
import { partitionsOf } from './progress.ts';
import { rawBytesOf } from './raw-read.ts';

export function testHost(log: Log, stores: Stores = memoryStores(), more: Partial<Host> = {}): Host {
  return {
    clock: systemClock,
    random: systemRandom,
    log,
    stores,
    logger: silentLogger,
    fault: () => undefined,
    sometimes: () => undefined,
    ...more,
  };
}

export interface TestInstanceOptions extends Partial<Omit<InstanceOptions, 'host' | 'topology'>> {
  readonly stores?: Stores;
  readonly host?: Partial<Host>;
}

/** An instance with timings that suit tests. */
export function testInstance(log: Log, topology: Topology, options: TestInstanceOptions = {}): StreamInstance {
  const { stores, host, ...rest } = options;
  return createInstance({
    applicationId: topology.name,
    instanceId: 'one',
    topology,
    commitIntervalMs: 50,
    commitGapMs: 0,
    sessionTimeoutMs: 3_000,
    heartbeatIntervalMs: 200,
    rebalanceTimeoutMs: 10_000,
    host: testHost(log, stores, host),
    ...rest,
  });
}

/** Waits until `condition` holds; fails with `what` after `timeoutMs`, also if the condition itself has no answer by then. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeoutMs = 20_000,
): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const expiry = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`waited ${String(timeoutMs)} ms in vain: ${what}`));
    }, timeoutMs);
  });
  try {
    while (!(await Promise.race([condition(), expiry]))) await systemClock.sleep(10);
  } finally {
    clearTimeout(timer);
  }
}

export interface ProducedRecord<K, V> {
  readonly key: K | null;
  readonly value: V | null;
  readonly timestampMs?: number;
}

/** Appends records to a topic, by key as any producer would. */
export async function produce<K, V>(
  log: Log,
  topic: Topic<K, V>,
  records: readonly ProducedRecord<K, V>[],
): Promise<void> {
  let partitions = 0;
  // The broker that is asked may learn of the topic a moment after another one has made it.
  const isKnown = async (): Promise<boolean> => {
    partitions = (await partitionsOf(log, topic.name)).length;
    return partitions > 0;
  };
  await until(`${topic.name} is known`, isKnown);
  const producer = await log.producer({});
  const builders = new Map<number, BatchBuilder>();
  for (const { key, value, timestampMs = 1_700_000_000_000 } of records) {
    const keyBytes = key === null ? undefined : topic.key.serialize(key);
    const partition = keyBytes === undefined ? 0 : partitionForKey(keyBytes, partitions);
    const builder = builders.get(partition) ?? new BatchBuilder();
    builders.set(partition, builder);
    builder.append(timestampMs, keyBytes, value === null ? undefined : topic.value.serialize(value), noHeaders);
  }
  await producer.send(
    [...builders].map(([partition, builder]) => ({ topic: topic.name, partition, records: builder })),
  );
  await producer.close();
}

export interface ReadRecord<K, V> {
  readonly key: K | null;
  readonly value: V | null;
  readonly partition: number;
  readonly offset: number;
  readonly timestampMs: number;
}

/** For partitions that cannot be read at once: where leaders move, a broker that does not know it yet may answer wrongly. */
const readPatienceMs = 30_000;

/** Everything committed in a topic, from the start to the end as of the call. */
export async function readAll<K, V>(
  log: Log,
  topic: Pick<Topic<K, V>, 'name' | 'key' | 'value'>,
): Promise<readonly ReadRecord<K, V>[]> {
  const how = { isolation: 'read_committed', patienceMs: readPatienceMs } as const;
  return (await rawBytesOf(log, topic.name, how)).map(({ key, value, partition, offset, timestampMs }) => ({
    key: key === undefined ? null : topic.key.deserialize(key),
    value: value === undefined ? null : topic.value.deserialize(value),
    partition,
    offset,
    timestampMs,
  }));
}

/** The last value of each key. */
export function latest<K, V>(records: readonly ReadRecord<K, V>[]): Map<K | null, V | null> {
  return new Map(records.map((record) => [record.key, record.value]));
}

/** The sum of the samples of that name. */
export function metric(instance: StreamInstance, name: string): number {
  let sum = 0;
  for (const sample of instance.metrics()) if (sample.name === name) sum += sample.value;
  return sum;
}
