/** The only caller of the transaction: what was processed is appended and decided on in the log first, then applied to the stores. */
import type { GroupMetadata, Member, OffsetToCommit, OutgoingBatch, Producer } from '../../connectors/log.ts';
import { StreamError } from '../../errors.ts';
import { partitionId } from '../../schemas/record.ts';
import type { ResolvedOptions } from './options.ts';
import type { Outputs } from './outputs.ts';
import type { Task } from './task.ts';

export interface CommitResult {
  readonly records: number;
  readonly durationMs: number;
}

interface Prepared {
  readonly tasks: readonly Task[];
  readonly batches: readonly OutgoingBatch[];
  readonly offsets: readonly OffsetToCommit[];
}

/** Stores are handed what was committed for so long, then others get their turn. */
const applyMs = 2;

export class Committer {
  readonly transactionalId: string | undefined;
  readonly #options: ResolvedOptions;
  #producer: Producer | undefined;

  constructor(options: ResolvedOptions) {
    this.#options = options;
    this.transactionalId =
      options.guarantee === 'exactly_once' ? `${options.applicationId}-${options.instanceId}` : undefined;
  }

  get isOpen(): boolean {
    return this.#producer !== undefined;
  }

  /** Makes a fresh producer; for exactly-once this fences and aborts whatever used the transactional id before. */
  async open(): Promise<void> {
    await this.discard();
    this.#options.host.fault('before-init-producer');
    this.#producer = await this.#options.host.log.producer({
      compression: this.#options.compression,
      ...(this.transactionalId === undefined
        ? {}
        : { transactionalId: this.transactionalId, transactionTimeoutMs: this.#options.transactionTimeoutMs }),
    });
  }

  /** Gives up the producer; what it has open is settled by the next one. */
  async discard(): Promise<void> {
    const producer = this.#producer;
    this.#producer = undefined;
    await producer?.close();
  }

  /**
   * Commits everything that these tasks did since the last commit, then applies it to their stores. All or nothing in the log.
   * A rejection means: discard the producer, close all tasks dirty, open again. Processing may go on while this is pending.
   */
  async commit(tasks: readonly Task[], outputs: Outputs, member: Member): Promise<CommitResult> {
    const { clock } = this.#options.host;
    const startedMs = clock.monotonicMs();
    const group = member.current;
    if (group === undefined) throw new StreamError('MEMBER_FENCED', 'not a member of the group');
    const offsets = tasks.flatMap((task) => task.prepareCommit());
    const prepared = { tasks, offsets, batches: outputs.take() };
    const positions =
      this.transactionalId === undefined ? await this.#append(prepared, member) : await this.#transact(prepared, group);
    this.#options.host.fault('before-apply');
    await this.#apply(tasks, positions);
    this.#options.host.fault('after-apply');
    let records = 0;
    for (const batch of prepared.batches) records += batch.records.count;
    return { records, durationMs: clock.monotonicMs() - startedMs };
  }

  async #transact(prepared: Prepared, group: GroupMetadata): Promise<ReadonlyMap<string, number>> {
    const { host } = this.#options;
    const producer = this.#required();
    producer.begin();
    host.fault('before-produce');
    const bases = await producer.send(prepared.batches);
    host.fault('after-produce');
    await producer.sendOffsets(prepared.offsets, group);
    host.fault('after-offsets');
    await producer.commit();
    host.fault('after-commit');
    return positionsAfter(prepared.batches, bases);
  }

  /** At-least-once: outputs and changelogs are acknowledged before offsets are committed, so that a crash repeats records and loses none. */
  async #append(prepared: Prepared, member: Member): Promise<ReadonlyMap<string, number>> {
    const bases = await this.#required().send(prepared.batches);
    this.#options.host.fault('after-produce');
    const positions = positionsAfter(prepared.batches, bases);
    await member.commit(prepared.offsets);
    this.#options.host.fault('after-commit');
    return positions;
  }

  /** A bit at a time: timers, sockets and other instances get their turn meanwhile. */
  async #apply(tasks: readonly Task[], positions: ReadonlyMap<string, number>): Promise<void> {
    const { clock } = this.#options.host;
    const applied: Promise<void>[] = [];
    let untilMs = clock.monotonicMs() + applyMs;
    for (const task of tasks) {
      for (const one of applyStores(task, positions)) {
        // It is told of below, perhaps only after others had their turn.
        one.catch(() => undefined);
        applied.push(one);
      }
      if (clock.monotonicMs() < untilMs) continue;
      await clock.yield();
      untilMs = clock.monotonicMs() + applyMs;
    }
    await Promise.all(applied);
  }

  #required(): Producer {
    if (this.#producer === undefined) throw new StreamError('PRODUCER_FENCED', 'the producer was discarded');
    return this.#producer;
  }
}

/** Next offset per partition written to; none where the log cannot tell (-1): the position before stays true, only more is restored from it. */
function positionsAfter(batches: readonly OutgoingBatch[], bases: readonly number[]): ReadonlyMap<string, number> {
  const positions = new Map<string, number>();
  for (const [index, batch] of batches.entries()) {
    const base = bases[index];
    if (base !== undefined && base >= 0)
      positions.set(partitionId(batch.topic, batch.partition), base + batch.records.count);
  }
  return positions;
}

function applyStores(task: Task, positions: ReadonlyMap<string, number>): readonly Promise<void>[] {
  const applied: Promise<void>[] = [];
  for (const store of task.stores.values()) {
    const topic = store.planned.changelogTopic;
    applied.push(store.apply(topic === undefined ? undefined : positions.get(partitionId(topic, task.partition))));
  }
  return applied;
}
