/** The time during which this process is the one that shows a partition. */
import type { Clock, Logger, Random } from '../clock.ts';
import { StreamError, hasCode } from '../errors.ts';
import type { TopicPartition } from '../schemas/record.ts';
import { refusesValues, type Database } from './database.ts';
import type { Log, Reader } from './log.ts';
import type { OutgoingRecord } from './outgoing-record.ts';
import { deadLetterOf, patiently } from './sink-failures.ts';
import { claimProgress, moveProgress, type Claim } from './sink-progress.ts';
import { sliceBytesMax, slicesOf, type Incoming, type Slice } from './sink-slices.ts';
import type { SinkTable } from './sink-table.ts';

/** Of one process, over all partitions. */
export interface SinkCounts {
  records: number;
  transactions: number;
  errors: number;
  deadLetters: number;
  /** The database is away, or refuses what it should not. */
  isWaiting: boolean;
}

export interface SinkTurnOptions {
  readonly name: string;
  readonly log: Log;
  readonly database: Database;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly groupId: string;
  readonly table: SinkTable;
  readonly at: TopicPartition;
  readonly counts: SinkCounts;
  readonly deadLetters: { readonly topic: string; readonly write: (record: OutgoingRecord) => Promise<unknown> };
}

const pollMs = 1_000;

/** From where to where the progress moves with it. */
interface Step {
  readonly claim: Claim;
  readonly from: number | undefined;
  readonly to: number;
}

/** What a table understood. */
interface Readable {
  readonly record: Incoming;
  readonly row: unknown;
}

export class SinkTurn {
  readonly #options: SinkTurnOptions;
  /** Offsets of the slice in hand that were put aside: a try after an outage does not do it again. */
  readonly #aside = new Set<number>();
  /** Of the first record that is not shown, as far as one is known. */
  #oldestMs: number | undefined;
  #next: number | undefined;
  #end: number | undefined;

  constructor(options: SinkTurnOptions) {
    this.#options = options;
  }

  lag(): TopicPartition & { readonly records: number; readonly seconds: number } {
    const { at, clock } = this.#options;
    const records = this.#next === undefined || this.#end === undefined ? 0 : Math.max(0, this.#end - this.#next);
    const waitedMs = this.#oldestMs === undefined ? 0 : Math.max(0, clock.nowMs() - this.#oldestMs);
    return { ...at, records, seconds: waitedMs / 1_000 };
  }

  /** Claims the partition, goes on from what its rows show, and shows what comes until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { database, log, at, name } = this.#options;
    const claim = await this.#patiently(signal, () => claimProgress(database, name, at));
    if (claim === undefined) return;
    const reader = log.reader({ isolation: 'read_committed', partitionBytesMax: sliceBytesMax });
    const wake = (): void => reader.wakeup();
    signal.addEventListener('abort', wake, { once: true });
    try {
      const [offsets] = await log.admin.offsets([at]);
      reader.seek(at, Math.max(claim.nextOffset ?? 0, offsets?.start ?? 0));
      await this.#follow(reader, claim, signal);
    } finally {
      signal.removeEventListener('abort', wake);
      await reader.close();
    }
  }

  async #follow(reader: Reader, claim: Claim, signal: AbortSignal): Promise<void> {
    const { at } = this.#options;
    let from = claim.nextOffset;
    this.#next = from;
    while (!signal.aborted) {
      const { batches, failures } = await reader.poll(pollMs);
      for (const { error } of failures) throw error;
      const position = reader.position(at);
      // A reader whose client was closed reads nothing, at once.
      if (position === undefined) throw new StreamError('LOG_CLOSED', 'the log was closed under a sink');
      this.#end = position.end ?? this.#end;
      for (const slice of slicesOf(batches)) {
        const isDone = await this.#show(slice, { claim, from }, signal);
        if (!isDone) return;
        from = slice.to;
      }
      this.#next = position.offset;
    }
  }

  /** False if it was ended before. */
  async #show(
    slice: Slice,
    { claim, from }: { readonly claim: Claim; readonly from: number | undefined },
    signal: AbortSignal,
  ): Promise<boolean> {
    this.#oldestMs = slice.records[0]?.timestampMs;
    const done = await this.#patiently(signal, async () => {
      const readable = await this.#readable(slice.records);
      try {
        await this.#write(readable, { claim, from, to: slice.to });
      } catch (error) {
        if (!isRefusedValue(error)) throw error;
        await this.#writeOneByOne(readable, { claim, from, to: slice.to });
      }
      return true;
    });
    if (done !== true) return false;
    this.#oldestMs = undefined;
    this.#aside.clear();
    this.#options.counts.records += slice.records.length;
    return true;
  }

  /** The records that the table understands; the others are put aside. */
  async #readable(records: readonly Incoming[]): Promise<readonly Readable[]> {
    const { table } = this.#options;
    await table.prepare?.(records.flatMap(({ value }) => (value === undefined ? [] : [value])));
    const readable: Readable[] = [];
    for (const record of records)
      try {
        const row = table.decode(record);
        if (row !== undefined) readable.push({ record, row });
      } catch (cause) {
        const error = new StreamError('DESERIALIZATION_FAILED', 'a record to be shown makes no sense', { cause });
        await this.#putAside(record, error);
      }
    return readable;
  }

  async #write(readable: readonly Readable[], { claim, from, to }: Step): Promise<void> {
    const { database, table, counts } = this.#options;
    await database.transaction(async (sql) => {
      // First: whoever has lost the partition waits for no row.
      await moveProgress(sql, claim, { from, to });
      if (readable.length === 0) return;
      for (const statement of table.statements(readable.map(({ row }) => row))) await sql.run(statement);
    });
    counts.transactions += 1;
  }

  /** The database refuses the values of one record at least: finds out which, puts them aside, and shows the others. */
  async #writeOneByOne(readable: readonly Readable[], { claim, from, to }: Step): Promise<void> {
    let position = from;
    for (const one of readable) {
      const step = { claim, from: position, to: one.record.offset + 1 };
      try {
        await this.#write([one], step);
      } catch (error) {
        if (!isRefusedValue(error)) throw error;
        await this.#putAside(one.record, error);
        await this.#write([], step);
      }
      position = step.to;
    }
    if (position !== to) await this.#write([], { claim, from: position, to });
  }

  async #putAside(record: Incoming, error: unknown): Promise<void> {
    const { at, deadLetters, counts, logger, name } = this.#options;
    if (this.#aside.has(record.offset)) return;
    await deadLetters.write(deadLetterOf(record, error, this.#options));
    this.#aside.add(record.offset);
    counts.deadLetters += 1;
    logger.warn('a record that cannot be shown was put aside', { sink: name, ...at, offset: record.offset, error });
  }

  #patiently<T>(signal: AbortSignal, attempt: () => Promise<T>): Promise<T | undefined> {
    return patiently(attempt, this.#options, signal);
  }
}

function isRefusedValue(error: unknown): boolean {
  return hasCode(error, 'DEPENDENCY_REFUSED') && refusesValues(error.facts['sqlState']);
}
