/** What becomes of records that fail: tried again after a while, held, skipped, put aside as dead letters, or the end of the instance. */
import type { Clock, Logger, Random } from '../../clock.ts';
import { StreamError, hasCode, reasonOf } from '../../errors.ts';
import { finalPolicy, retrySchedule, retryWaitMs } from '../error-policy.ts';
import type { ErrorPolicy, ResolvedSchedule } from '../error-policy.ts';
import type { DeadLetterCause } from '../../schemas/dead-letter.ts';
import type { Plan } from '../plan.ts';
import { countFailure, type TaskCounters } from './counters.ts';
import { appendDeadLetter } from './dead-letter.ts';
import type { RecordFailure, TaskScope } from './node-runtime.ts';
import type { PartitionQueue } from './partition-queue.ts';

/** A record that failed and keeps its task from going on. */
export interface Hold {
  readonly queue: PartitionQueue;
  readonly offset: number;
  readonly tries: number;
  /** Monotonic time of the next try; Infinity: none while the task stays open. */
  readonly dueMs: number;
  readonly failure: StreamError;
}

/** How a record that failed ended; `held`: it has not, yet; `parked-key`: as a dead letter that others wait for. */
export type SettledAs = 'held' | 'skipped' | 'dead-lettered' | 'parked-key';

type FailureScope = Pick<
  TaskScope,
  'applicationId' | 'taskId' | 'partition' | 'metadata' | 'wallClockMs' | 'outputs' | 'partitionsOf'
> & { readonly counters: TaskCounters };

interface FailureOptions {
  readonly plan: Plan;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly isStrict?: (() => boolean) | undefined;
}

/** Of one task. */
export class FailedRecords {
  hold: Hold | undefined;
  readonly #scope: FailureScope;
  readonly #options: FailureOptions;

  constructor(scope: FailureScope, options: FailureOptions) {
    this.#scope = scope;
    this.#options = options;
  }

  /** Until the record that holds the task back is tried again, ms; Infinity if none waits for that. */
  get retryInMs(): number {
    return this.hold === undefined ? Infinity : this.hold.dueMs - this.#options.clock.monotonicMs();
  }

  /** Deals with a record that failed and left nothing behind: how it ends. Throws when the instance cannot go on. */
  settle(queue: PartitionQueue, failure: RecordFailure): SettledAs {
    const { error, node } = failure;
    this.#checkIsLenient(failure);
    const policy = failure.onError ?? this.#options.plan.topology.settings.onError;
    const tries = this.#tries;
    const waitMs = this.#retryWaitMs(policy, tries, error);
    if (waitMs !== undefined) {
      this.#holdBack(queue, { failure, tries, waitMs });
      return 'held';
    }
    const facts = { ...this.#facts(node, error), attempts: tries };
    switch (finalPolicy(policy)) {
      case 'fail':
        throw this.fatal(failure);
      case 'stop':
        this.#holdBack(queue, { failure, tries, waitMs: Infinity });
        this.#options.logger.error('the task stopped at a record', facts);
        return 'held';
      case 'skip':
        countFailure(this.#scope.counters.skips, causeOf(error));
        this.#options.logger.warn('record skipped', facts);
        return 'skipped';
      case 'dead-letter':
        return this.#putAside(queue, failure, { facts, attempts: tries, parksKey: false });
      case 'park-key':
        return this.#putAside(queue, failure, { facts, attempts: tries, parksKey: queue.raw().key !== undefined });
    }
  }

  #putAside(
    queue: PartitionQueue,
    failure: RecordFailure,
    { facts, ...how }: Pick<DeadLetterCause, 'attempts' | 'parksKey'> & { readonly facts: object },
  ): 'dead-lettered' | 'parked-key' {
    this.#deadLetter(queue, failure, how);
    countFailure(this.#scope.counters.deadLetters, causeOf(failure.error));
    this.#options.logger.warn('record dead-lettered', { ...facts, parksKey: how.parksKey });
    return how.parksKey ? 'parked-key' : 'dead-lettered';
  }

  get #tries(): number {
    return (this.hold?.tries ?? 0) + 1;
  }

  /** Throws where no policy applies. */
  #checkIsLenient(failure: RecordFailure): void {
    if (isNotOfTheRecord(failure.error)) throw failure.error;
    if (this.#options.isStrict?.() === true) throw this.fatal(failure);
  }

  /** `undefined`: it is not tried again. */
  #retryWaitMs(policy: ErrorPolicy, tries: number, error: unknown): number | undefined {
    const schedule = retrySchedule(policy);
    if (schedule === undefined || tries > schedule.attempts || !isPassing(error, schedule)) return undefined;
    return retryWaitMs(schedule, tries, this.#options.random.next());
  }

  #holdBack(
    queue: PartitionQueue,
    { failure, tries, waitMs }: { failure: RecordFailure; tries: number; waitMs: number },
  ): void {
    const { clock, logger } = this.#options;
    const dueMs = clock.monotonicMs() + waitMs;
    this.hold = { queue, offset: queue.headOffset, tries, dueMs, failure: this.fatal(failure) };
    if (waitMs === Infinity) return;
    this.#scope.counters.retries += 1;
    logger.warn('record failed, trying again', { ...this.#facts(failure.node, failure.error), tries, waitMs });
  }

  #deadLetter(
    queue: PartitionQueue,
    failure: RecordFailure,
    how: Pick<DeadLetterCause, 'attempts' | 'parksKey'>,
  ): void {
    const topic = this.#options.plan.topology.settings.deadLetterTopic;
    const partitions = topic === undefined ? undefined : this.#scope.partitionsOf(topic);
    if (topic === undefined || partitions === undefined) throw this.fatal(failure);
    const record = queue.raw();
    const cause = {
      applicationId: this.#scope.applicationId,
      taskId: this.#scope.taskId,
      node: failure.node,
      topic: queue.topic,
      partition: queue.partition,
      offset: queue.headOffset,
      timestampMs: record.timestampMs,
      error: failure.error,
      failedAtMs: this.#scope.wallClockMs,
      ...how,
    };
    try {
      appendDeadLetter(
        this.#scope.outputs,
        { topic, partition: this.#scope.partition % partitions },
        { record, cause },
      );
    } catch (appendError) {
      throw this.fatal({
        node: failure.node,
        error: new AggregateError([failure.error, appendError], 'dead letter refused'),
      });
    }
  }

  fatal({ node, error: cause }: Pick<RecordFailure, 'node' | 'error'>): StreamError {
    const facts = { taskId: this.#scope.taskId, node, ...this.#scope.metadata };
    if (cause instanceof StreamError)
      return new StreamError(cause.code, cause.message, { facts: { ...cause.facts, ...facts }, cause });
    return new StreamError('PROCESSING_FAILED', `step ${node} failed`, { facts, cause });
  }

  #facts(node: string, error: unknown): Record<string, unknown> {
    return {
      taskId: this.#scope.taskId,
      node,
      ...this.#scope.metadata,
      code: codeOf(error),
      reason: reasonOf(error),
    };
  }
}

/** What counters tell of it. */
function causeOf(error: unknown): { readonly code: string; readonly reason: string } {
  return { code: codeOf(error), reason: reasonOf(error) ?? '' };
}

function codeOf(error: unknown): string {
  return error instanceof StreamError ? error.code : 'PROCESSING_FAILED';
}

/** Whether a failure may be gone the next time: never one that only depends on the bytes. */
function isPassing(error: unknown, { isRetryable }: ResolvedSchedule): boolean {
  const isOfBytes = hasCode(
    error,
    'DESERIALIZATION_FAILED',
    'SERIALIZATION_FAILED',
    'TIMESTAMP_INVALID',
    'RECORD_INVALID',
    'RECORD_TOO_LARGE',
  );
  return !isOfBytes && isRetryable(error);
}

/** Failures of the machinery, not of the record: no error policy applies. */
function isNotOfTheRecord(error: unknown): error is StreamError {
  if (!(error instanceof StreamError)) return false;
  return (
    error.retry !== 'never' || hasCode(error, 'STORE_NOT_OPEN', 'STORE_CORRUPT', 'STORE_UNKNOWN', 'TOPOLOGY_INVALID')
  );
}
