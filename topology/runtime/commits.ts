/** When an instance commits, and what it remembers of it. */
import type { Member } from '../../connectors/log.ts';
import { partitionId } from '../../schemas/record.ts';
import type { Committer } from './committer.ts';
import type { ResolvedOptions } from './options.ts';
import type { Outputs } from './outputs.ts';
import { consumedTopics } from './plan-tasks.ts';
import type { Prepared } from './prepare.ts';
import type { Task } from './task.ts';

export interface CommitsScope {
  readonly options: ResolvedOptions;
  readonly outputs: Outputs;
  readonly committer: Committer;
  tasks(): Iterable<Task>;
  member(): Member | undefined;
  prepared(): Prepared | undefined;
  /** A commit failed: everything has to be opened again. */
  failed(error: unknown): void;
  /** A commit ended, one way or the other. */
  ended(): void;
}

export interface CommitCounts {
  count: number;
  failed: number;
  records: number;
  durationMs: number;
}

export class Commits {
  readonly counts: CommitCounts = { count: 0, failed: 0, records: 0, durationMs: 0 };
  /** Committed input offsets by topic partition, as far as applied here. */
  readonly offsets = new Map<string, number>();
  /** False from JoinGroup to the new assignment: a commit then could belong to either generation. */
  isAllowed = false;

  readonly #scope: CommitsScope;
  #pending: Promise<void> | undefined;
  #endedMs = 0;
  #purgedMs = 0;

  constructor(scope: CommitsScope) {
    this.#scope = scope;
  }

  /** Uncommitted outputs and state reached their bound: processing has to wait for a commit. */
  get isOverfull(): boolean {
    const { options, outputs } = this.#scope;
    let bytes = outputs.sizeBytes;
    for (const task of this.#scope.tasks()) bytes += task.storeBytes;
    return bytes > options.uncommittedBytesMax;
  }

  /** How long until a commit may start, ms; at most 0 when one may start now, `Infinity` when something else has to happen first. */
  get gapLeftMs(): number {
    const { options } = this.#scope;
    if (this.#pending !== undefined || !this.isAllowed) return Infinity;
    return this.#endedMs + options.commitGapMs - options.host.clock.monotonicMs();
  }

  /** Resolves when no commit is in flight. Never rejects. */
  async settled(): Promise<void> {
    await this.#pending;
  }

  /** Starts a commit in the background if one is due: processing goes on meanwhile. */
  startIfDue(isDrained: boolean): void {
    if (this.#pending !== undefined || !this.isAllowed || !this.#isDue(isDrained)) return;
    this.#pending = this.now()
      .catch((error: unknown) => {
        this.counts.failed += 1;
        this.#scope.failed(error);
      })
      .finally(() => {
        this.#pending = undefined;
        this.#scope.ended();
      });
  }

  /** Commits what all tasks did; does nothing if they did nothing. The caller made sure that no other commit is in flight. */
  async now(): Promise<void> {
    const { outputs, committer } = this.#scope;
    const member = this.#scope.member();
    const dirty = this.#dirty();
    if (member === undefined || dirty.length === 0) return;
    const reached: [string, number][] = [];
    for (const task of dirty) {
      task.isCommitRequested = false;
      for (const queue of task.queues) reached.push([partitionId(queue.topic, queue.partition), queue.nextOffset]);
    }
    const { records, durationMs } = await committer.commit(dirty, outputs, member);
    for (const [id, offset] of reached) this.offsets.set(id, offset);
    this.#endedMs = this.#scope.options.host.clock.monotonicMs();
    this.counts.count += 1;
    this.counts.records += records;
    this.counts.durationMs += durationMs;
    this.#purge();
  }

  #dirty(): readonly Task[] {
    return [...this.#scope.tasks()].filter((task) => task.isDirty);
  }

  #isDue(isDrained: boolean): boolean {
    const { options } = this.#scope;
    const sinceMs = options.host.clock.monotonicMs() - this.#endedMs;
    const isRequested = [...this.#scope.tasks()].some((task) => task.isCommitRequested);
    const isTime = sinceMs >= options.commitIntervalMs || (isDrained && this.gapLeftMs <= 0);
    return (isTime || isRequested || this.isOverfull) && this.#dirty().length > 0;
  }

  /** Removes what was consumed from repartition topics, now and then; a failure only leaves it for the next time. */
  #purge(): void {
    const prepared = this.#scope.prepared();
    const { host, repartitionPurgeIntervalMs } = this.#scope.options;
    const nowMs = host.clock.monotonicMs();
    if (prepared === undefined || nowMs - this.#purgedMs < repartitionPurgeIntervalMs) return;
    this.#purgedMs = nowMs;
    const consumed = this.#consumed(consumedTopics(prepared.plan));
    if (consumed.length === 0) return;
    host.log.admin.deleteRecords(consumed).catch((error: unknown) => {
      host.logger.warn('purging repartition topics failed', {
        error: error instanceof Error ? error.message : 'unknown',
      });
    });
  }

  #consumed(topics: ReadonlySet<string>): readonly { topic: string; partition: number; before: number }[] {
    return [...this.#scope.tasks()]
      .flatMap((task) => task.queues)
      .filter((queue) => topics.has(queue.topic))
      .map(({ topic, partition }) => ({
        topic,
        partition,
        before: this.offsets.get(partitionId(topic, partition)) ?? 0,
      }))
      .filter(({ before }) => before > 0);
  }
}
