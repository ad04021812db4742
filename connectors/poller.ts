/** Runs a source that has to be asked: polls it, writes what it tells and what it remembers in one transaction, and says how it goes. */
import type { Clock, Logger, Random } from '../clock.ts';
import { StreamError, hasCode } from '../errors.ts';
import { checkpointRecords, readCheckpoint } from './checkpoints.ts';
import type { Log, Producer } from './log.ts';
import { batchesOf, type OutgoingRecord } from './outgoing-record.ts';
import type { PollPage, PollSource } from './poll-source.ts';
import { SharedWork } from './shared-work.ts';
import { statusRecord, type SourceOutcome, type SourceStatus } from './source-status.ts';

export interface PollerOptions {
  readonly source: PollSource;
  readonly log: Log;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Of all processes that share the work: group and transactional id begin with it. */
  readonly applicationId: string;
  /** Compacted, one partition. */
  readonly checkpointTopic: string;
  /** Compacted, one partition: how each source is. */
  readonly statusTopic: string;
  /** Between the end of one poll and the start of the next. */
  readonly intervalMs: number;
  /** Times of the group, for tests. */
  readonly sessionTimeoutMs?: number;
  readonly heartbeatIntervalMs?: number;
}

/** What one process has seen of the source; zero where another one polls. */
export interface PollerCounts {
  readonly source: string;
  readonly isPolling: boolean;
  readonly events: number;
  readonly errors: number;
  readonly polls: number;
  /** Of all polls together, failed ones included. */
  readonly pollSeconds: number;
  readonly lastPollSeconds: number;
}

export interface Poller {
  start(): void;
  close(): Promise<void>;
  /** Polls now rather than when it is time, if this process is the one that polls. */
  pollNow(): void;
  readonly counts: PollerCounts;
}

/** Ends a transaction whose process died. */
const transactionTimeoutMs = 60_000;
/** Between a failed poll and the next: doubles, up to the interval or the second. */
const retry = { firstMs: 1_000, longestMs: 60_000 } as const;

interface MutableCounts {
  events: number;
  errors: number;
  polls: number;
  pollSeconds: number;
  lastPollSeconds: number;
}

export function createPoller(options: PollerOptions): Poller {
  const { source, logger, applicationId } = options;
  const counts: MutableCounts = { events: 0, errors: 0, polls: 0, pollSeconds: 0, lastPollSeconds: 0 };
  let wake: () => void = () => undefined;
  const work = new SharedWork({
    ...options,
    groupId: `${applicationId}-${source.name}`,
    topics: [options.checkpointTopic],
    shards: [source.name],
    run: (_shard, signal) => new Turn(options, counts, (next) => (wake = next)).run(signal),
  });
  return {
    start: () => {
      logger.info('polling a source', { source: source.name, intervalMs: options.intervalMs });
      work.start();
    },
    close: () => work.close(),
    pollNow: () => wake(),
    get counts() {
      return { source: source.name, isPolling: work.owned.length > 0, ...counts };
    },
  };
}

/** The time during which this process is the one that polls. */
class Turn {
  readonly #options: PollerOptions;
  readonly #counts: MutableCounts;
  readonly #onWake: (wake: () => void) => void;
  #state = new Map<string, string>();
  #partitions: ReadonlyMap<string, number> = new Map();
  #status: SourceStatus | undefined;

  constructor(options: PollerOptions, counts: MutableCounts, onWake: (wake: () => void) => void) {
    this.#options = options;
    this.#counts = counts;
    this.#onWake = onWake;
  }

  /** Fences whoever polled before, finds out what they left, and polls until `signal` aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { log, applicationId, source, checkpointTopic } = this.#options;
    const transactionalId = `${applicationId}-${source.name}-poller`;
    const producer = await log.producer({ transactionalId, transactionTimeoutMs, compression: 'gzip' });
    try {
      // Only now: what the predecessor had in the air is decided.
      this.#state = await readCheckpoint(log, checkpointTopic, source.name);
      await this.#pollFor(producer, signal);
    } finally {
      await producer.close();
    }
  }

  async #pollFor(producer: Producer, signal: AbortSignal): Promise<void> {
    const { clock, random, intervalMs } = this.#options;
    let failures = 0;
    while (!signal.aborted) {
      const isGood = await this.#poll(producer, signal);
      failures = isGood ? 0 : failures + 1;
      const backoffMs = Math.min(retry.firstMs * 2 ** Math.min(failures, 20), retry.longestMs, intervalMs);
      await this.#sleep(isGood ? intervalMs : backoffMs * (0.5 + random.next() / 2), { clock, signal });
    }
  }

  async #sleep(ms: number, { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal }): Promise<void> {
    const early = new AbortController();
    const wake = (): void => early.abort();
    signal.addEventListener('abort', wake, { once: true });
    this.#onWake(wake);
    if (!signal.aborted) await clock.sleep(ms, early.signal);
    signal.removeEventListener('abort', wake);
  }

  /** False if the source failed; rejects if the log did. */
  async #poll(producer: Producer, signal: AbortSignal): Promise<boolean> {
    const { clock, logger, source } = this.#options;
    const startedMs = clock.monotonicMs();
    let published = 0;
    try {
      for await (const page of source.poll(this.#state, { signal, nowMs: clock.nowMs() })) {
        await this.#commit(producer, page);
        published += page.records.length;
        this.#counts.events += page.records.length;
        // The generator's `finally` runs; what it would have told comes with the next poll.
        if (signal.aborted) return true;
      }
    } catch (error) {
      if (!hasCode(error, 'DEPENDENCY_UNAVAILABLE', 'DEPENDENCY_REFUSED')) throw error;
      if (signal.aborted) return true;
      this.#counts.errors += 1;
      logger.warn('a poll failed', { source: source.name, code: error.code, error: error.message });
      await this.#tell(producer, { isUp: false, code: error.code });
      return false;
    } finally {
      const seconds = (clock.monotonicMs() - startedMs) / 1_000;
      this.#counts.polls += 1;
      this.#counts.pollSeconds += seconds;
      this.#counts.lastPollSeconds = seconds;
    }
    if (published === 0) logger.debug('a poll found nothing new', { source: source.name });
    else logger.info('a poll published change events', { source: source.name, published });
    await this.#tell(producer, { isUp: true });
    return true;
  }

  async #commit(producer: Producer, { records, state }: PollPage): Promise<void> {
    const { source, checkpointTopic: topic, clock } = this.#options;
    await this.#send(producer, [
      ...records,
      ...checkpointRecords(state, { topic, source: source.name, nowMs: clock.nowMs() }),
    ]);
    for (const [name, value] of state)
      if (value === undefined) this.#state.delete(name);
      else this.#state.set(name, value);
  }

  /** Tells all processes how the source is. */
  async #tell(producer: Producer, outcome: SourceOutcome): Promise<void> {
    const { source, clock, intervalMs, statusTopic: topic } = this.#options;
    const nowMs = clock.nowMs();
    const polledAtMs = outcome.isUp ? nowMs : (this.#status?.polledAtMs ?? this.#lastPolledMs());
    this.#status = { source: source.name, ...outcome, polledAtMs, toldAtMs: nowMs, intervalMs };
    await this.#commit(producer, {
      records: [statusRecord(topic, this.#status)],
      state: outcome.isUp ? new Map([['polled-at', String(nowMs)]]) : new Map(),
    });
  }

  #lastPolledMs(): number | undefined {
    const text = this.#state.get('polled-at');
    return text === undefined ? undefined : Number(text);
  }

  async #send(producer: Producer, records: readonly OutgoingRecord[]): Promise<void> {
    if (records.length === 0) return;
    const partitions = await this.#partitionsOf(records);
    producer.begin();
    await producer.send(batchesOf(records, partitions));
    await producer.commit();
  }

  async #partitionsOf(records: readonly OutgoingRecord[]): Promise<ReadonlyMap<string, number>> {
    const topics = new Set(records.map(({ topic }) => topic));
    if ([...topics].every((topic) => this.#partitions.has(topic))) return this.#partitions;
    const found = new Map(this.#partitions);
    for (const [topic, description] of await this.#options.log.admin.describeTopics([...topics])) {
      if (description === undefined)
        throw new StreamError('TOPIC_UNKNOWN', 'a poller writes to a topic that is not there', { facts: { topic } });
      found.set(topic, description.partitions);
    }
    this.#partitions = found;
    return found;
  }
}
