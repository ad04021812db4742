import { systemClock, systemRandom } from '../../../clock.ts';
import type {
  GroupListener,
  GroupOptions,
  Isolation,
  Log,
  Member,
  NewTopic,
  OutgoingBatch,
  Producer,
  ProducerOptions,
  Reader,
  ReaderOptions,
} from '../../../connectors/log.ts';
import { hasCode, StreamError, type ErrorCode } from '../../../errors.ts';
import { BatchBuilder } from '../../../schemas/record-batch.ts';
import type { Header, TopicPartition } from '../../../schemas/record.ts';

export interface LogUnderTest {
  readonly log: Log;
  /** A second client of the same log; the suite closes it. */
  another(): Promise<Log>;
  cleanup(): Promise<void>;
  readonly caps?: LogCaps;
}

/** What not every implementation can be made to do on demand. */
export interface LogCaps {
  /** Compacts all but the newest segment of the topic and resolves when that is done. */
  readonly compact?: (topic: string) => Promise<void>;
}

/** How long a condition may take to become true on a loaded machine. */
const deadlineMs = 20_000;

export interface Row {
  readonly offset: number;
  readonly timestampMs: number;
  readonly key: string | undefined;
  readonly value: string | undefined;
  readonly headers: readonly (readonly [string, string | undefined])[];
}

/** The log under test, and all that a test opens on it. */
export class LogFixture {
  #under: LogUnderTest | undefined;
  #closers: (() => Promise<unknown>)[] = [];

  get log(): Log {
    if (this.#under === undefined) throw new Error('the log was not made');
    return this.#under.log;
  }

  get caps(): LogCaps {
    return this.#under?.caps ?? {};
  }

  use(under: LogUnderTest): void {
    this.#under = under;
  }

  async another(): Promise<Log> {
    const log = await this.#under!.another();
    this.#closers.push(() => log.close());
    return log;
  }

  /** Closes what the test opened, the newest first. */
  async release(): Promise<void> {
    const closers = this.#closers.reverse();
    this.#closers = [];
    for (const close of closers) await close();
  }

  async dispose(): Promise<void> {
    await this.#under?.cleanup();
  }

  async topic(options: Partial<NewTopic> = {}): Promise<string> {
    const name = unique('topic');
    await this.log.admin.createTopics([{ name, partitions: 1, replicationFactor: 1, ...options }]);
    return name;
  }

  reader(options: Partial<ReaderOptions> = {}, log = this.log): Reader {
    const reader = log.reader({ isolation: 'read_committed', ...options });
    this.#closers.push(() => reader.close());
    return reader;
  }

  async producer(options: ProducerOptions = {}, log = this.log): Promise<Producer> {
    const producer = await log.producer(options);
    this.#closers.push(() => producer.close());
    return producer;
  }

  /** With a transaction open. */
  async transaction(options: ProducerOptions = {}, log = this.log): Promise<Producer> {
    const producer = await this.producer(
      { transactionalId: unique('txn'), transactionTimeoutMs: 30_000, ...options },
      log,
    );
    producer.begin();
    return producer;
  }

  member(
    options: Partial<GroupOptions> & { readonly groupId: string },
    listener: GroupListener,
    log = this.log,
  ): Member {
    const member = log.member(
      {
        topics: ['some-topic'],
        protocol: 'rivulet',
        sessionTimeoutMs: 1500,
        rebalanceTimeoutMs: 10_000,
        heartbeatIntervalMs: 100,
        ...options,
      },
      listener,
    );
    this.#closers.push(() => member.leave({ permanently: true }));
    return member;
  }

  /** All records from `from` to the end as of now, and where reading ended. */
  async rows(
    at: TopicPartition,
    { isolation = 'read_committed', from = 0 }: { isolation?: Isolation; from?: number } = {},
  ): Promise<{ readonly rows: readonly Row[]; readonly position: number }> {
    const [offsets] = await this.log.admin.offsets([at]);
    const end = isolation === 'read_committed' ? offsets!.stable : offsets!.end;
    const reader = this.reader({ isolation });
    reader.seek(at, from);
    const rows: Row[] = [];
    await eventually(`${at.topic} is read to ${String(end)}`, async () => {
      if (reader.position(at)!.offset >= end) return true;
      rows.push(...(await pollRows(reader, 200)));
      return reader.position(at)!.offset >= end;
    });
    const position = reader.position(at)!.offset;
    await reader.close();
    return { rows, position };
  }

  /** The values only. */
  async values(at: TopicPartition, options: { isolation?: Isolation; from?: number } = {}) {
    const { rows } = await this.rows(at, options);
    return rows.map(({ value }) => value);
  }

  /** Until no transaction is open in the partition. */
  async settled(at: TopicPartition): Promise<void> {
    await eventually(`${at.topic} has no open transaction`, async () => {
      const [offsets] = await this.log.admin.offsets([at]);
      return offsets!.stable === offsets!.end;
    });
  }
}

export async function pollRows(reader: Reader, waitMs: number): Promise<Row[]> {
  const { batches, failures } = await reader.poll(waitMs);
  for (const { error } of failures) throw error;
  return batches.flatMap((batch) => [...rowsOf(batch)]);
}

export function* rowsOf(batch: Awaited<ReturnType<Reader['poll']>>['batches'][number]): Generator<Row> {
  const cursor = batch.cursor();
  while (cursor.next()) {
    const text = (bytes: Uint8Array | undefined) => (bytes === undefined ? undefined : Buffer.from(bytes).toString());
    const headers = cursor.headers().map(({ key, value }) => [key, text(value)] as const);
    const { offset, timestampMs } = cursor;
    yield { offset, timestampMs, key: text(cursor.key()), value: text(cursor.value()), headers };
  }
}

export interface NewRecord {
  readonly key?: string;
  readonly value?: string;
  readonly timestampMs?: number;
  readonly headers?: readonly Header[];
}

export function batchOf(at: TopicPartition, records: readonly (string | NewRecord)[]): OutgoingBatch {
  const builder = new BatchBuilder();
  for (const record of records) {
    const {
      key,
      value,
      timestampMs = 1_700_000_000_000,
      headers = [],
    } = typeof record === 'string' ? { key: 'k', value: record } : record;
    builder.append(timestampMs, bytesOf(key), bytesOf(value), headers);
  }
  return { ...at, records: builder };
}

function bytesOf(text: string | undefined): Uint8Array | undefined {
  return text === undefined ? undefined : Buffer.from(text);
}

export function unique(prefix: string): string {
  return `${prefix}-${systemRandom.uuid()}`;
}

export function partition(topic: string, number = 0): TopicPartition {
  return { topic, partition: number };
}

/** Asks again until it is so. */
export async function eventually(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const giveUpMs = systemClock.monotonicMs() + deadlineMs;
  while (!(await condition())) {
    if (systemClock.monotonicMs() > giveUpMs) throw new Error(`not within ${String(deadlineMs)} ms: ${what}`);
    await systemClock.sleep(10);
  }
}

/** The code with which it rejects; fails the test if it does not, or with something else. */
export async function refusal(action: Promise<unknown>): Promise<ErrorCode> {
  return (await failure(action)).code;
}

export async function failure(action: Promise<unknown>): Promise<StreamError> {
  try {
    await action;
  } catch (error) {
    if (error instanceof StreamError) return error;
    throw error;
  }
  throw new Error('it was expected to reject');
}

/** Repeats an action that is refused with `code` for a while only. */
export async function retrying<T>(code: ErrorCode, action: () => Promise<T>): Promise<T> {
  const giveUpMs = systemClock.monotonicMs() + deadlineMs;
  for (;;) {
    try {
      return await action();
    } catch (error) {
      if (!hasCode(error, code) || systemClock.monotonicMs() > giveUpMs) throw error;
      await systemClock.sleep(10);
    }
  }
}
