/** How long a task stands still when what ran it goes away: two that share the work, one of which is killed or told to stop. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger, systemClock, systemRandom } from '../../clock.ts';
import { memoryLog } from '../../connectors/embedded/embedded-log.ts';
import { kafkaLog } from '../../connectors/kafka/kafka-log.ts';
import type { Log, Reader } from '../../connectors/log.ts';
import { partitionForKey } from '../../schemas/murmur2.ts';
import { BatchBuilder } from '../../schemas/record-batch.ts';
import { noHeaders, topicPartitions } from '../../schemas/record.ts';
import { Child } from './child.ts';
import { latest, readAll, testInstance, until } from './cluster.ts';
import { counting } from './counting.ts';
import type { Counting } from './counting.ts';

const partitions = 6;
/** Of two sub-topologies. */
const tasks = 2 * partitions;
/** Enough for every partition to hear something with every round of the feed. */
const distinct = 60;
const feedEveryMs = 20;
const patienceMs = 120_000;

export interface HandOver {
  readonly signal: 'SIGKILL' | 'SIGTERM';
  /** From the signal to the first committed output, in the partition that waits longest, of a record that was written after the process was gone. */
  readonly ms: number;
}

export interface HandOvers {
  readonly handOvers: readonly HandOver[];
  /** Records written, and the sum of all counts at the end: equal if each was counted once. */
  readonly written: number;
  readonly counted: number;
}

/** One of the two that run the application. */
interface Runner {
  /** It runs half of the tasks. */
  hasItsShare(): boolean;
  /** Ends it as it comes: at once, or with time to commit and leave. */
  end(signal: HandOver['signal']): Promise<void>;
  /** What it had to say, if something goes wrong. */
  readonly errors: string;
}

/** Where it is played. */
export interface Stage {
  readonly setup: Counting;
  readonly log: Log;
  start(id: string): Runner;
  close(): Promise<void>;
}

/** Two processes over a real Kafka. */
export async function processesOnKafka(broker: string, standbys: number): Promise<Stage> {
  const suffix = systemRandom.uuid().slice(0, 8);
  const directory = await mkdtemp(join(tmpdir(), 'rivulet-hand-over-'));
  const log = kafkaLog(
    { brokers: [broker], clientId: 'hand-over' },
    { clock: systemClock, random: systemRandom, logger: silentLogger },
  );
  return {
    setup: counting(suffix),
    log,
    start: (id) => {
      const args = [broker, suffix, id, join(directory, id), 'exactly_once', String(standbys)];
      const child = new Child('./counting-process.ts', args);
      return {
        hasItsShare: () => child.errors.split('"task runs"').length - 1 >= tasks / 2,
        end: async (signal) => {
          if (signal === 'SIGKILL') await child.kill();
          else await child.stop();
        },
        get errors() {
          return child.errors;
        },
      };
    },
    close: async () => {
      await log.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Two instances in this process over a log in memory: what the engine itself takes. Being killed is losing the log without a word. */
export function instancesInMemory(standbys: number): Stage {
  const log = memoryLog({ clock: systemClock, random: systemRandom });
  const setup = counting('memory');
  return {
    setup,
    log,
    start: (id) => {
      const client = log.client();
      const { topology, applicationId } = setup;
      const instance = testInstance(client, topology, {
        applicationId,
        instanceId: id,
        standbys,
        heartbeatIntervalMs: 500,
      });
      void instance.start();
      return {
        hasItsShare: () => instance.tasks().filter(({ state }) => state === 'running').length === tasks / 2,
        end: async (signal) => {
          if (signal === 'SIGTERM') await instance.close();
          else {
            await client.close();
            // What is left of it is nobody's concern.
            void instance.close();
          }
        },
        errors: '',
      };
    },
    close: () => log.close(),
  };
}

/** Measures one hand-over per signal, under a steady trickle of records. The stage is closed then. */
export async function measureHandOvers(stage: Stage, signals: readonly HandOver['signal'][]): Promise<HandOvers> {
  const { log, setup } = stage;
  await log.admin.createTopics([setup.events, setup.counts].map(({ name }) => ({ name, partitions })));
  const steady = stage.start('steady');
  let victim = stage.start('victim');
  const feed = new Feed(log, setup);
  const watch = new Watch(log, setup);
  const handOvers: HandOver[] = [];
  const fed = feed.run();
  // Awaited at the end: until then a failure shows as output that stays away.
  fed.catch(() => undefined);
  try {
    await watch.start();
    for (const signal of signals) {
      await until('it has its share', () => victim.hasItsShare(), patienceMs);
      await watch.untilAllAfter(systemClock.nowMs());
      const sentMs = systemClock.nowMs();
      await victim.end(signal);
      handOvers.push({ signal, ms: (await watch.untilAllAfter(systemClock.nowMs())) - sentMs });
      victim = stage.start('victim');
    }
    feed.stop();
    await fed;
    await until('everything is counted', async () => (await sumOf(log, setup)) >= feed.written, patienceMs);
    return { handOvers, written: feed.written, counted: await sumOf(log, setup) };
  } catch (error) {
    throw new Error(`steady: ${steady.errors}\nvictim: ${victim.errors}`, { cause: error });
  } finally {
    feed.stop();
    await fed.catch(() => undefined);
    await watch.close();
    await Promise.all([victim.end('SIGTERM'), steady.end('SIGTERM')]);
    await stage.close();
  }
}

async function sumOf(log: Log, { counts }: Counting): Promise<number> {
  let sum = 0;
  for (const count of latest(await readAll(log, counts)).values()) sum += count ?? 0;
  return sum;
}

/** Writes one record per value again and again, stamped with the time of writing. */
class Feed {
  written = 0;
  readonly #log: Log;
  readonly #setup: Counting;
  #isStopped = false;

  constructor(log: Log, setup: Counting) {
    this.#log = log;
    this.#setup = setup;
  }

  async run(): Promise<void> {
    const producer = await this.#log.producer({});
    while (!this.#isStopped) {
      await producer.send(this.#round());
      this.written += distinct;
      await systemClock.sleep(feedEveryMs);
    }
    await producer.close();
  }

  stop(): void {
    this.#isStopped = true;
  }

  #round(): { readonly topic: string; readonly partition: number; readonly records: BatchBuilder }[] {
    const { name: topic, key, value } = this.#setup.events;
    const builders = new Map<number, BatchBuilder>();
    for (let index = 0; index < distinct; index += 1) {
      const bytes = key.serialize(`k${String(index)}`);
      const partition = partitionForKey(bytes, partitions);
      const builder = builders.get(partition) ?? new BatchBuilder();
      builders.set(partition, builder);
      builder.append(systemClock.nowMs(), bytes, value.serialize(`v${String(index)}`), noHeaders);
    }
    return [...builders].map(([partition, records]) => ({ topic, partition, records }));
  }
}

/** Reads what is committed to the output as it comes. */
class Watch {
  readonly #reader: Reader;
  readonly #log: Log;
  readonly #topic: string;
  #afterMs = Infinity;
  /** Partition -> when its first record of after `#afterMs` was read. */
  readonly #seenMs = new Map<number, number>();
  #loop: Promise<void> | undefined;
  #isClosed = false;

  constructor(log: Log, { counts }: Counting) {
    this.#log = log;
    this.#topic = counts.name;
    this.#reader = log.reader({ isolation: 'read_committed' });
  }

  async start(): Promise<void> {
    const places = topicPartitions(this.#topic, partitions);
    for (const [partition, { end }] of (await this.#log.admin.offsets(places)).entries())
      this.#reader.seek({ topic: this.#topic, partition }, end);
    this.#loop = this.#run();
  }

  /** Resolves when every partition has shown a record that was written at `timestampMs` or later: when the last one did, epoch ms. */
  async untilAllAfter(timestampMs: number): Promise<number> {
    this.#seenMs.clear();
    this.#afterMs = timestampMs;
    await until('every partition moves', () => this.#seenMs.size === partitions, patienceMs);
    return Math.max(...this.#seenMs.values());
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#reader.wakeup();
    await this.#loop;
    await this.#reader.close();
  }

  async #run(): Promise<void> {
    while (!this.#isClosed) {
      const { batches } = await this.#reader.poll(200);
      const nowMs = systemClock.nowMs();
      for (const batch of batches) {
        const cursor = batch.cursor();
        while (cursor.next())
          if (cursor.timestampMs >= this.#afterMs && !this.#seenMs.has(batch.partition))
            this.#seenMs.set(batch.partition, nowMs);
      }
    }
  }
}
