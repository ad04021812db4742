/**
 * Has the commands of a topic carried out by another system, and writes what became of each to another topic, if anybody wants to know: every partition
 * by one process at a time. A command may be carried out again after a crash; who carries it out sees to it that it counts once.
 */
import type { Clock, Logger, Random } from '../clock.ts';
import { StreamError } from '../errors.ts';
import type { Header } from '../schemas/record.ts';
import { checkpointRecords, readCheckpoint } from './checkpoints.ts';
import type { Log, Producer, Reader } from './log.ts';
import { batchesOf, type OutgoingRecord } from './outgoing-record.ts';
import { parseShard, shardsOf } from './partition-shards.ts';
import { preparedWork } from './prepared-work.ts';
import { SharedWork } from './shared-work.ts';
import { deadLetterOf, patiently } from './sink-failures.ts';
import { sliceBytesMax, slicesOf, type Incoming, type Slice } from './sink-slices.ts';
import type { SinkRecord } from './sink-table.ts';
import type { SinkCounts } from './sink-turn.ts';

/** What a command leads to: the key and the value of its result. */
export type CommandResult = Pick<OutgoingRecord, 'key' | 'value'>;

export interface CommandSinkOptions<C> {
  /** Names the sink in the log and in what it remembers; unique among those of a log. */
  readonly name: string;
  readonly log: Log;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** The group of all processes that share the work, and the prefix of their transactional ids. */
  readonly groupId: string;
  readonly topic: string;
  /** Absent: nobody wants to know what became of commands. */
  readonly resultTopic?: string;
  readonly checkpointTopic: string;
  /** Makes the other system ready, once in each process. */
  readonly open: () => Promise<void>;
  /** Gets what `decode` needs to read these values. */
  readonly prepare?: (values: readonly Uint8Array[]) => Promise<void>;
  /** `undefined`: the command is somebody else's. Throws for a record that makes no sense. */
  readonly decode: (record: SinkRecord) => C | undefined;
  /** Several at a time, but in order of the log among those of one key. Rejects with a `StreamError` if it cannot be done now: it is tried again. */
  readonly carryOut: (command: C) => Promise<CommandResult | undefined>;
  /** Whether what `carryOut` rejected with will be the same at every try: the command is put aside. Absent: never. */
  readonly isHopeless?: (error: unknown) => boolean;
  /** Where records go that make no sense, or are hopeless. */
  readonly deadLetters: { readonly topic: string; readonly write: (record: OutgoingRecord) => Promise<unknown> };
  /** Times of the group, for tests. */
  readonly sessionTimeoutMs?: number;
  readonly heartbeatIntervalMs?: number;
}

export interface CommandSink {
  start(): void;
  close(): Promise<void>;
  readonly counts: SinkCounts;
}

const pollMs = 1_000;
const transactionTimeoutMs = 60_000;
/** Keys whose commands are carried out at a time. */
const lanesMax = 8;

export function createCommandSink<C>(options: CommandSinkOptions<C>): CommandSink {
  const counts: SinkCounts = { records: 0, transactions: 0, errors: 0, deadLetters: 0, isWaiting: false };
  const work = preparedWork(async (signal) => {
    const { log, topic } = options;
    const ready = async (): Promise<readonly string[]> => {
      const shards = await shardsOf(log, [topic]);
      await options.open();
      return shards;
    };
    const shards = await patiently(ready, { ...options, counts, at: { topic, partition: 0 } }, signal);
    if (shards === undefined) return undefined;
    const run = (shard: string, ended: AbortSignal): Promise<void> => new Turn(options, counts, shard).run(ended);
    return new SharedWork({ ...options, topics: [topic], shards, run });
  });
  return { ...work, counts };
}

interface Answer {
  readonly result: CommandResult | undefined;
  readonly headers: readonly Header[];
}

/** The time during which this process carries out the commands of one partition. */
class Turn<C> {
  readonly #options: CommandSinkOptions<C>;
  readonly #counts: SinkCounts;
  readonly #shard: string;
  readonly #at: ReturnType<typeof parseShard>;

  constructor(options: CommandSinkOptions<C>, counts: SinkCounts, shard: string) {
    this.#options = options;
    this.#counts = counts;
    this.#shard = shard;
    this.#at = parseShard(shard);
  }

  /** Fences whoever had the partition, goes on where they were, and carries out what comes until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { log, groupId, name, checkpointTopic } = this.#options;
    const transactionalId = `${groupId}-${String(this.#at.partition)}`;
    const producer = await log.producer({ transactionalId, transactionTimeoutMs });
    const reader = log.reader({ isolation: 'read_committed', partitionBytesMax: sliceBytesMax });
    const wake = (): void => reader.wakeup();
    signal.addEventListener('abort', wake, { once: true });
    try {
      // Only now: what the predecessor had in the air is decided.
      const next = (await readCheckpoint(log, checkpointTopic, name)).get(this.#shard);
      const [offsets] = await log.admin.offsets([this.#at]);
      reader.seek(this.#at, Math.max(Number(next ?? 0), offsets?.start ?? 0));
      await this.#follow(reader, producer, signal);
    } finally {
      signal.removeEventListener('abort', wake);
      await reader.close();
      await producer.close();
    }
  }

  async #follow(reader: Reader, producer: Producer, signal: AbortSignal): Promise<void> {
    const { log, resultTopic, checkpointTopic } = this.#options;
    const written = resultTopic === undefined ? [checkpointTopic] : [resultTopic, checkpointTopic];
    const described = await log.admin.describeTopics(written);
    const partitions = new Map([...described].map(([topic, found]) => [topic, found?.partitions ?? 1]));
    while (!signal.aborted) {
      const { batches, failures } = await reader.poll(pollMs);
      for (const { error } of failures) throw error;
      // A reader whose client was closed reads nothing, at once.
      if (reader.position(this.#at) === undefined)
        throw new StreamError('LOG_CLOSED', 'the log was closed under a sink');
      for (const slice of slicesOf(batches)) {
        const answers = await this.#answer(slice, signal);
        if (answers === undefined) return;
        await this.#write(producer, this.#outcome(slice, answers), partitions);
      }
    }
  }

  /** `undefined` if it was ended before. */
  async #answer({ records }: Slice, signal: AbortSignal): Promise<readonly Answer[] | undefined> {
    const answers = new Map<Incoming, Answer>();
    const lanes = lanesOf(await this.#readable(records, signal));
    const drain = async (): Promise<void> => {
      for (let lane = lanes.shift(); lane !== undefined; lane = lanes.shift())
        for (const { record, command } of lane) {
          const answer = await this.#patiently(() => this.#carryOut(record, command), signal);
          if (answer === undefined) return;
          answers.set(record, answer);
        }
    };
    await Promise.all(Array.from({ length: lanesMax }, drain));
    if (signal.aborted) return undefined;
    return records.flatMap((record) => answers.get(record) ?? []);
  }

  async #carryOut(record: Incoming, command: C): Promise<Answer> {
    const { carryOut, isHopeless } = this.#options;
    const { headers } = record;
    try {
      return { result: await carryOut(command), headers };
    } catch (error) {
      if (isHopeless?.(error) !== true) throw error;
      await this.#putAside(record, error, 'a command that cannot be carried out was put aside');
      return { result: undefined, headers };
    }
  }

  async #readable(records: readonly Incoming[], signal: AbortSignal): Promise<readonly Readable<C>[]> {
    const { prepare, decode } = this.#options;
    const values = records.flatMap(({ value }) => (value === undefined ? [] : [value]));
    await this.#patiently(async () => prepare?.(values), signal);
    const readable: Readable<C>[] = [];
    for (const record of records)
      try {
        const command = decode(record);
        if (command !== undefined) readable.push({ record, command });
      } catch (cause) {
        const error = new StreamError('DESERIALIZATION_FAILED', 'a command makes no sense', { cause });
        const told = 'a command that makes no sense was put aside';
        await this.#patiently(() => this.#putAside(record, error, told), signal);
      }
    return readable;
  }

  async #putAside(record: Incoming, error: unknown, told: string): Promise<void> {
    const { deadLetters, logger, name } = this.#options;
    await deadLetters.write(deadLetterOf(record, error, { ...this.#options, at: this.#at }));
    this.#counts.deadLetters += 1;
    logger.warn(told, { sink: name, ...this.#at, offset: record.offset, error });
  }

  #outcome({ to }: Slice, answers: readonly Answer[]): readonly OutgoingRecord[] {
    const { name, clock, resultTopic, checkpointTopic } = this.#options;
    const nowMs = clock.nowMs();
    const state = new Map([[this.#shard, String(to)]]);
    const results = answers.flatMap(({ result, headers }) =>
      result === undefined || resultTopic === undefined
        ? []
        : [{ ...result, headers, topic: resultTopic, timestampMs: nowMs }],
    );
    return [...results, ...checkpointRecords(state, { topic: checkpointTopic, source: name, nowMs })];
  }

  /** Results and progress: all or none. */
  async #write(
    producer: Producer,
    records: readonly OutgoingRecord[],
    partitions: ReadonlyMap<string, number>,
  ): Promise<void> {
    producer.begin();
    await producer.send(batchesOf(records, partitions));
    await producer.commit();
    this.#counts.records += records.length - 1;
    this.#counts.transactions += 1;
  }

  #patiently<T>(attempt: () => Promise<T>, signal: AbortSignal): Promise<T | undefined> {
    return patiently(attempt, { ...this.#options, counts: this.#counts, at: this.#at }, signal);
  }
}

interface Readable<C> {
  readonly record: Incoming;
  readonly command: C;
}

/** By key, in order. */
function lanesOf<C>(readable: readonly Readable<C>[]): Readable<C>[][] {
  const lanes = new Map<string, Readable<C>[]>();
  for (const one of readable) {
    const key = Buffer.from(one.record.key ?? []).toString('latin1');
    const lane = lanes.get(key) ?? [];
    lanes.set(key, lane);
    lane.push(one);
  }
  return [...lanes.values()];
}
