/**
 * Has the commands of a topic carried out by another system, and writes what became of each to another topic, if anybody wants to know: every partition
 * by one process at a time. A command may be carried out again after a crash; who carries it out sees to it that it counts once.
 */
import type { Clock, Logger, Random } from '../clock.ts';
import { StreamError } from '../errors.ts';
import type { Header } from '../schemas/record.ts';
import { checkpointRecords, readCheckpoint } from './checkpoints.ts';
import type { Log, Producer, Reader } from './log.ts';
import { LookBack, type Share } from './look-back.ts';
import { batchesOf, type OutgoingRecord } from './outgoing-record.ts';
import { parseShard, shardsOf } from './partition-shards.ts';
import { preparedWork } from './prepared-work.ts';
import { SharedWork } from './shared-work.ts';
import { deadLetterOf, patiently } from './sink-failures.ts';
import { sliceBytesMax, slicesOf, type Incoming } from './sink-slices.ts';
import type { SinkCounts } from './sink-turn.ts';

/** What a command leads to. Its headers are the command's, unless it has some of its own. */
export type CommandResult = Pick<OutgoingRecord, 'key' | 'value'> & Partial<Pick<OutgoingRecord, 'headers'>>;

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
  /**
   * Whose commands are carried out, by key. When it grows, the latest commands of those who came to it are carried out as well, a piece after each
   * that comes new. Absent: everybody's are.
   */
  readonly share?: Share;
  /** Makes the other system ready, once in each process. */
  readonly open: () => Promise<void>;
  /** Gets what `decode` needs to read these values. */
  readonly prepare?: (values: readonly Uint8Array[]) => Promise<void>;
  /** `undefined`: the command is somebody else's. Throws for a record that makes no sense. */
  readonly decode: (record: Incoming) => C | undefined;
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
  /** Of the partitions that this process has. */
  lags(): readonly CommandLag[];
}

export interface CommandLag {
  readonly partition: number;
  /** Records not read yet. */
  readonly records: number;
  /** Records to be read once more, for those who came to the share. */
  readonly again: number;
}

const pollMs = 1_000;
/** While there is something else to do. */
const besideMs = 10;
const transactionTimeoutMs = 60_000;
/** Keys whose commands are carried out at a time. */
const lanesMax = 8;

export function createCommandSink<C>(options: CommandSinkOptions<C>): CommandSink {
  const counts: SinkCounts = { records: 0, transactions: 0, errors: 0, deadLetters: 0, isWaiting: false };
  const turns = new Map<string, Turn<C>>();
  const work = preparedWork(async (signal) => {
    const { log, topic } = options;
    const ready = async (): Promise<readonly string[]> => {
      const shards = await shardsOf(log, [topic]);
      await options.open();
      return shards;
    };
    const shards = await patiently(ready, { ...options, counts, at: { topic, partition: 0 } }, signal);
    if (shards === undefined) return undefined;
    const run = async (shard: string, ended: AbortSignal): Promise<void> => {
      const turn = new Turn(options, counts, shard);
      turns.set(shard, turn);
      try {
        await turn.run(ended);
      } finally {
        if (turns.get(shard) === turn) turns.delete(shard);
      }
    };
    return new SharedWork({ ...options, topics: [topic], shards, run });
  });
  return { ...work, counts, lags: () => [...turns.values()].map((turn) => turn.lag()) };
}

interface Answer {
  readonly result: CommandResult | undefined;
  readonly headers: readonly Header[];
}

type Write = (records: readonly OutgoingRecord[]) => Promise<void>;

/** The time during which this process carries out the commands of one partition. */
class Turn<C> {
  readonly #options: CommandSinkOptions<C>;
  readonly #counts: SinkCounts;
  readonly #shard: string;
  readonly #at: ReturnType<typeof parseShard>;
  #lookBack: LookBack | undefined;
  #lagRecords = 0;

  constructor(options: CommandSinkOptions<C>, counts: SinkCounts, shard: string) {
    this.#options = options;
    this.#counts = counts;
    this.#shard = shard;
    this.#at = parseShard(shard);
  }

  lag(): CommandLag {
    const { partition } = this.#at;
    return { partition, records: this.#lagRecords, again: this.#lookBack?.leftCount ?? 0 };
  }

  /** Fences whoever had the partition, goes on where they were, and carries out what comes until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { log, groupId, name, checkpointTopic, share } = this.#options;
    const transactionalId = `${groupId}-${String(this.#at.partition)}`;
    const producer = await log.producer({ transactionalId, transactionTimeoutMs });
    const reader = log.reader({ isolation: 'read_committed', partitionBytesMax: sliceBytesMax });
    const wake = (): void => reader.wakeup();
    signal.addEventListener('abort', wake, { once: true });
    try {
      // Only now: what the predecessor had in the air is decided.
      const known = await readCheckpoint(log, checkpointTopic, name);
      const next = known.get(this.#shard);
      const [offsets] = await log.admin.offsets([this.#at]);
      reader.seek(this.#at, Math.max(Number(next ?? 0), offsets?.start ?? 0));
      if (share !== undefined)
        this.#lookBack = new LookBack({ log, share, at: this.#at, remembered: known.get(`${this.#shard}|share`) });
      await this.#follow(reader, producer, signal);
    } finally {
      signal.removeEventListener('abort', wake);
      await this.#lookBack?.close();
      await reader.close();
      await producer.close();
    }
  }

  async #follow(reader: Reader, producer: Producer, signal: AbortSignal): Promise<void> {
    const { log, resultTopic, checkpointTopic } = this.#options;
    const written = resultTopic === undefined ? [checkpointTopic] : [resultTopic, checkpointTopic];
    const described = await log.admin.describeTopics(written);
    const partitions = new Map([...described].map(([topic, found]) => [topic, found?.partitions ?? 1]));
    const write = (records: readonly OutgoingRecord[]): Promise<void> => this.#write(producer, records, partitions);
    while (!signal.aborted) {
      await this.#dealWithNew(reader, write, signal);
      const position = this.#positionOf(reader);
      if (this.lag().again > 0) await this.#dealAgain(position, write, signal);
    }
  }

  async #dealWithNew(reader: Reader, write: Write, signal: AbortSignal): Promise<void> {
    const next = this.#positionOf(reader);
    const { batches, failures } = await reader.poll(this.lag().again > 0 ? besideMs : pollMs);
    for (const { error } of failures) throw error;
    await this.#lookBack?.aim(next);
    for (const { records, to } of slicesOf(batches)) {
      const answers = await this.#answer(this.#lookBack?.own(records) ?? records, signal);
      if (answers === undefined) return;
      await write(this.#outcome(answers, to));
    }
  }

  /** A piece of what is to be read once more. */
  async #dealAgain(position: number, write: Write, signal: AbortSignal): Promise<void> {
    const lookBack = this.#lookBack;
    for (const { records, to } of (await lookBack?.read(position)) ?? []) {
      const answers = await this.#answer(records, signal);
      if (answers === undefined) return;
      lookBack?.dealtWith(to);
      await write(this.#outcome(answers));
    }
    if (this.lag().again === 0) await lookBack?.close();
  }

  #positionOf(reader: Reader): number {
    const position = reader.position(this.#at);
    // A reader whose client was closed reads nothing, at once.
    if (position === undefined) throw new StreamError('LOG_CLOSED', 'the log was closed under a sink');
    this.#lagRecords = Math.max(0, (position.end ?? 0) - position.offset);
    return position.offset;
  }

  /** `undefined` if it was ended before. */
  async #answer(records: readonly Incoming[], signal: AbortSignal): Promise<readonly Answer[] | undefined> {
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
    this.#counts.records += answers.size;
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

  /** Results, and how far it has come: `to` in the order of the log. */
  #outcome(answers: readonly Answer[], to?: number): readonly OutgoingRecord[] {
    const { name, clock, resultTopic, checkpointTopic } = this.#options;
    const nowMs = clock.nowMs();
    const state = new Map<string, string>();
    if (to !== undefined) state.set(this.#shard, String(to));
    if (this.#lookBack !== undefined) state.set(`${this.#shard}|share`, this.#lookBack.remembered());
    const results = answers.flatMap(({ result, headers }) =>
      result === undefined || resultTopic === undefined
        ? []
        : [{ headers, ...result, topic: resultTopic, timestampMs: nowMs }],
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
