/** Writes everything a system has to its topic of changes, once when asked, and finds out what became of it. */
import type { Clock, Logger, Random } from '../clock.ts';
import { stringSerde } from '../schemas/serde.ts';
import { noHeaders, topicPartitions, type TopicPartition } from '../schemas/record.ts';
import type { BackfillItem, BackfillSource } from './backfill-source.ts';
import { readTopic } from './checkpoints.ts';
import type { Connector } from './connector.ts';
import type { Log, Producer } from './log.ts';
import { batchesOf, type OutgoingRecord } from './outgoing-record.ts';
import { scanPartition } from './partition-scan.ts';
import { SharedWork } from './shared-work.ts';
import { createTopicFollower } from './topic-follower.ts';

export interface BackfillOptions {
  readonly log: Log;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Of all processes that share the work. */
  readonly applicationId: string;
  readonly sources: readonly BackfillSource[];
  /** Compacted, one partition: what was asked for, and how far it is. */
  readonly topic: string;
  /** The group that reads the changes, and the topics through which they pass, in order. */
  readonly reading: { readonly groupId: string; readonly topics: readonly string[] };
  /** Of records that all have passed: those that were not merged. */
  readonly unmerged: (refs: ReadonlySet<string>) => Promise<readonly string[]>;
  readonly write: (record: OutgoingRecord) => Promise<unknown>;
  readonly sessionTimeoutMs?: number;
  readonly heartbeatIntervalMs?: number;
}

/** `reading` the system, `merging` what was read, or `done`: only then `merged` and `failed` say anything. */
export type BackfillState = 'asked' | 'reading' | 'merging' | 'done';

/** Of one backfill of one source. */
export interface BackfillProgress {
  readonly source: string;
  readonly id: string;
  readonly state: BackfillState;
  /** Epoch milliseconds. */
  readonly askedAtMs: number;
  readonly endedAtMs?: number;
  /** Records of the system read so far. */
  readonly total: number;
  readonly merged: number;
  readonly failed: number;
  /** Some of those that failed. */
  readonly failures: readonly string[];
}

/** Together with what it takes to go on. */
interface Kept extends BackfillProgress {
  readonly cursor?: string;
  /** Where the topic of changes ended before, by partition. */
  readonly starts: readonly number[];
}

export interface Backfills extends Connector {
  /** Begins anew, unless one is under way; `undefined` for a source that is none. */
  request(source: string): Promise<BackfillProgress | undefined>;
  /** The last one of each source. */
  all(): readonly BackfillProgress[];
}

/** Names the backfill and the record on each change that it writes: `<id> <ref>`. */
const header = 'rivulet.backfill';
const transactionTimeoutMs = 60_000;
const lookEveryMs = 200;
const failuresShown = 20;

export function createBackfills(options: BackfillOptions): Backfills {
  const { sources, topic, applicationId, clock, random } = options;
  const known = new Map<string, Kept>();
  const follower = createTopicFollower({
    ...options,
    onValue: (value) => note(known, stringSerde.deserialize(value)),
  });
  const work = new SharedWork({
    ...options,
    groupId: `${applicationId}-backfill`,
    topics: [topic],
    shards: sources.map(({ name }) => name),
    run: async (shard, signal) => {
      const source = sources.find(({ name }) => name === shard);
      if (source !== undefined) await new Turn(source, options, known).run(signal);
    },
  });
  return {
    name: 'backfill',
    measures: () => [],
    start: () => {
      follower.start();
      work.start();
    },
    close: async () => {
      await work.close();
      await follower.close();
    },
    all: () => [...known.values()].sort((left, right) => (left.source < right.source ? -1 : 1)),
    request: async (source) => {
      if (!sources.some(({ name }) => name === source)) return undefined;
      const last = known.get(source);
      if (last !== undefined && last.state !== 'done') return last;
      const asked = newBackfill(source, random.uuid(), clock.nowMs());
      await options.write(recordOf(topic, asked));
      return asked;
    },
  };
}

const newBackfill = (source: string, id: string, askedAtMs: number): Kept => ({
  source,
  id,
  state: 'asked',
  askedAtMs,
  total: 0,
  merged: 0,
  failed: 0,
  failures: [],
  starts: [],
});

/** What others wrote into the topic is no backfill. */
function note(known: Map<string, Kept>, text: string): void {
  try {
    const kept = JSON.parse(text) as Partial<Kept> | null;
    if (typeof kept?.source === 'string' && typeof kept.id === 'string') known.set(kept.source, kept as Kept);
  } catch {
    return;
  }
}

function recordOf(topic: string, kept: Kept): OutgoingRecord {
  const [key, value] = [kept.source, JSON.stringify(kept)].map((text) => stringSerde.serialize(text));
  return { topic, key, value, headers: noHeaders, timestampMs: kept.endedAtMs ?? kept.askedAtMs };
}

/** The time during which this process is the one that reads the source. */
class Turn {
  readonly #source: BackfillSource;
  readonly #options: BackfillOptions;
  readonly #known: ReadonlyMap<string, Kept>;

  constructor(source: BackfillSource, options: BackfillOptions, known: ReadonlyMap<string, Kept>) {
    this.#source = source;
    this.#options = options;
    this.#known = known;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { log, clock, applicationId, topic } = this.#options;
    const { name } = this.#source;
    const transactionalId = `${applicationId}-${name}-backfill`;
    const producer = await log.producer({ transactionalId, transactionTimeoutMs, compression: 'gzip' });
    try {
      // Only now: what the predecessor had in the air is decided.
      const rows = new Map<string, Kept>();
      await readTopic(log, { topic, partition: 0 }, ({ value }) => value !== undefined && note(rows, value));
      let last = rows.get(name);
      while (!signal.aborted) {
        const newer = this.#known.get(name);
        if (newer?.state === 'asked' && newer.id !== last?.id) last = newer;
        if (last === undefined || last.state === 'done') await clock.sleep(lookEveryMs, signal);
        else last = await this.#goOn(last, producer, signal);
      }
    } finally {
      await producer.close();
    }
  }

  async #goOn(last: Kept, producer: Producer, signal: AbortSignal): Promise<Kept> {
    const { logger, clock } = this.#options;
    if (last.state === 'merging') {
      const done = await this.#settle(last, signal);
      if (signal.aborted) return last;
      await this.#commit(producer, done, []);
      const { source, total, merged, failed } = done;
      logger.info('backfill done', {
        source,
        total,
        merged,
        failed,
        seconds: (clock.nowMs() - last.askedAtMs) / 1_000,
      });
      return done;
    }
    return await this.#read(last, producer, signal);
  }

  /** Page by page, from where the last one ended. */
  async #read(last: Kept, producer: Producer, signal: AbortSignal): Promise<Kept> {
    const { topic } = this.#source;
    const { clock } = this.#options;
    const starts = last.state === 'asked' ? (await this.#ends(topic)).map(({ end }) => end) : last.starts;
    let now: Kept = { ...last, state: 'reading', starts };
    for await (const { items, cursor } of this.#source.pages(last.cursor, { signal, nowMs: clock.nowMs() })) {
      const { cursor: _, ...rest } = now;
      const total = now.total + items.length;
      now = cursor === undefined ? { ...rest, total, state: 'merging' } : { ...rest, total, cursor };
      await this.#commit(producer, now, items);
      if (signal.aborted || cursor === undefined) return now;
    }
    return now;
  }

  async #commit(producer: Producer, now: Kept, items: readonly BackfillItem[]): Promise<void> {
    const { topic } = this.#options;
    const records = items.map(({ ref, record }) => {
      const mark = { key: header, value: stringSerde.serialize(`${now.id} ${ref}`) };
      return { ...record, headers: [...record.headers, mark] };
    });
    const partitions = new Map([[this.#source.topic, (await this.#partitions(this.#source.topic)).length]]);
    producer.begin();
    await producer.send(batchesOf([...records, recordOf(topic, now)], partitions));
    await producer.commit();
  }

  /** Reads what was written back from the log, waits until all of it has passed, and asks what became of it. */
  async #settle(last: Kept, signal: AbortSignal): Promise<Kept> {
    const { reading, unmerged, clock } = this.#options;
    const refs = await this.#written(last);
    for (const topic of reading.topics) await this.#untilPassed(topic, signal);
    if (signal.aborted) return last;
    const failures = await unmerged(refs);
    return {
      ...last,
      state: 'done',
      endedAtMs: clock.nowMs(),
      total: refs.size,
      merged: refs.size - failures.length,
      failed: failures.length,
      failures: failures.slice(0, failuresShown),
    };
  }

  async #written({ id, starts }: Kept): Promise<ReadonlySet<string>> {
    const { log } = this.#options;
    const refs = new Set<string>();
    for (const { at, end } of await this.#ends(this.#source.topic))
      await scanPartition(log, at, {
        from: starts[at.partition] ?? 0,
        to: end,
        onBatch: (batch) => {
          const cursor = batch.cursor();
          while (cursor.next())
            for (const { key, value } of cursor.headers()) {
              const text = key === header && value !== undefined ? stringSerde.deserialize(value) : '';
              if (text.startsWith(`${id} `)) refs.add(text.slice(id.length + 1));
            }
        },
      });
    return refs;
  }

  async #untilPassed(topic: string, signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    for (const { at, end } of await this.#ends(topic))
      while (!signal.aborted && (await this.#isBehind(at, end))) await clock.sleep(lookEveryMs, signal);
  }

  /** Markers of transactions are passed by nobody's commit. */
  async #isBehind(at: TopicPartition, end: number): Promise<boolean> {
    const { log, reading } = this.#options;
    const [committed] = await log.admin.committed(reading.groupId, [at], { requireStable: false });
    const [{ start } = { start: 0 }] = await log.admin.offsets([at]);
    const from = Math.max(committed?.offset ?? 0, start);
    let count = 0;
    await scanPartition(log, at, {
      from,
      to: end,
      onBatch: (batch) => {
        const cursor = batch.cursor();
        while (cursor.next()) count += cursor.offset < end ? 1 : 0;
      },
    });
    return count > 0;
  }

  async #partitions(topic: string): Promise<readonly TopicPartition[]> {
    const description = (await this.#options.log.admin.describeTopics([topic])).get(topic);
    return topicPartitions(topic, description?.partitions);
  }

  /** What was committed is at once below the high watermark, and only a moment later below the last stable offset. */
  async #ends(topic: string): Promise<readonly { readonly at: TopicPartition; readonly end: number }[]> {
    const all = await this.#partitions(topic);
    const offsets = await this.#options.log.admin.offsets(all);
    return all.map((at, index) => ({ at, end: offsets[index]?.end ?? 0 }));
  }
}
