/** One member of the application's group: it joins, opens the tasks it is given, processes, commits, and recovers. */
import type { Assignment, GroupListener, JoinedMember, Member, Reader } from '../../connectors/log.ts';
import { StreamError, assert, hasCode } from '../../errors.ts';
import { partitionId } from '../../schemas/record.ts';
import type { Topology } from '../graph.ts';
import { decodeAssignment, encodeAssignment, encodeClaims } from './assignment.ts';
import type { AssignmentData } from './assignment.ts';
import { assignTasks } from './assignor.ts';
import { Committer } from './committer.ts';
import { backoffMs, resolveOptions } from './options.ts';
import type { InstanceOptions, ResolvedOptions } from './options.ts';
import { Outputs } from './outputs.ts';
import { repartitionTopics, taskIdOf, taskIds } from './plan-tasks.ts';
import { prepare } from './prepare.ts';
import type { Prepared } from './prepare.ts';
import { Restorer } from './restorer.ts';
import { Exclusive, Signal } from './signal.ts';
import type { Task } from './task.ts';
import { TaskSet } from './task-set.ts';
import type { InstanceState } from './view.ts';

/** A slice of processing: whichever comes first, then timers, heartbeats and queries get their turn. */
const slice = { recordsMax: 500, ms: 20 } as const;
/** How long a poll for input waits. */
const pollWaitMs = 500;
/** Longest sleep of an idle loop. */
const idleWaitMs = 500;
/** This many fences within the time mean that two processes use one instance id. */
const fenceStorm = { count: 3, withinMs: 60_000, pauseMs: 5_000 } as const;
const protocolName = 'rivulet';

export class Runtime implements GroupListener {
  readonly options: ResolvedOptions;
  readonly outputs = new Outputs();
  state: InstanceState = 'created';
  failure: StreamError | undefined;
  prepared: Prepared | undefined;
  assignment: AssignmentData | undefined;
  commits = { count: 0, failed: 0, records: 0, durationMs: 0 };
  rebalances = 0;
  recoveries = 0;
  /** Committed input offsets by topic partition, as far as applied here. */
  readonly committedOffsets = new Map<string, number>();

  readonly #signal: Signal;
  readonly #exclusive = new Exclusive();
  readonly #committer: Committer;
  #tasks: TaskSet | undefined;
  #reader: Reader | undefined;
  #restorer: Restorer | undefined;
  #member: Member | undefined;
  #generation = -1;
  /** False from JoinGroup to the new assignment: a commit then could belong to either generation. */
  #mayCommit = false;
  #isMember = false;
  #commit: Promise<void> | undefined;
  #commitEndedMs = 0;
  #error: StreamError | undefined;
  #loops: Promise<void>[] = [];
  #isClosing = false;
  readonly #startedAtMs: number;
  #lastPurgeMs = 0;
  #fences: number[] = [];
  #roundRobin = 0;

  constructor(options: InstanceOptions) {
    this.options = resolveOptions(options);
    this.#committer = new Committer(this.options);
    this.#signal = new Signal(options.host.clock);
    this.#startedAtMs = options.host.clock.nowMs();
  }

  get tasks(): TaskSet | undefined {
    return this.#tasks;
  }

  get reader(): Reader | undefined {
    return this.#reader;
  }

  get topology(): Topology {
    return this.options.topology;
  }

  get isClosing(): boolean {
    return this.#isClosing;
  }

  // ---- life cycle ---------------------------------------------------------------------------------------------------

  /** Resolves once the instance takes part in its group; waits for the log and for missing topics. Rejects for what waiting cannot mend. */
  async start(): Promise<void> {
    assert(this.state === 'created', 'an instance starts once');
    this.state = 'rebalancing';
    const prepared = await this.#prepare();
    if (prepared === undefined) return;
    const { log, clock } = this.options.host;
    this.prepared = prepared;
    this.#reader = log.reader({ isolation: 'read_committed' });
    this.#restorer = new Restorer(log, () => clock.yield());
    this.#tasks = this.#makeTasks(prepared, this.#reader, this.#restorer);
    await this.#openCommitter();
    if (this.#isClosing) return;
    this.#member = log.member(
      {
        groupId: this.options.applicationId,
        topics: [...new Set(prepared.plan.subTopologies.flatMap((sub) => sub.sourceTopics))],
        protocol: protocolName,
        sessionTimeoutMs: this.options.sessionTimeoutMs,
        rebalanceTimeoutMs: this.options.rebalanceTimeoutMs,
        heartbeatIntervalMs: this.options.heartbeatIntervalMs,
      },
      this,
    );
    this.#member.start();
    this.#loops = [this.#guard(this.#process()), this.#guard(this.#fetch())];
  }

  /** Commits, leaves the group and releases everything. Resolves to false when `timeoutMs` ran out first; the rest goes on in the background. */
  async close(timeoutMs = 10_000): Promise<boolean> {
    if (this.state === 'closed') return true;
    const { clock } = this.options.host;
    const controller = new AbortController();
    const done = this.#shutDown().then(() => true);
    const late = clock.sleep(timeoutMs, controller.signal).then(() => false);
    const isClean = await Promise.race([done, late]);
    controller.abort();
    return isClean;
  }

  async #shutDown(): Promise<void> {
    const isFailed = this.state === 'failed';
    if (!this.#isClosing) {
      this.#isClosing = true;
      if (!isFailed) this.state = 'closing';
      this.#signal.notify();
      this.#reader?.wakeup();
    }
    await Promise.all(this.#loops);
    await this.#exclusive.run(async () => {
      await this.#commit;
      if (!isFailed && this.#error === undefined) await this.#commitNow().catch(() => undefined);
      await this.#tasks?.closeAll();
    });
    await this.#member?.leave();
    await this.#restorer?.close();
    await this.#reader?.close();
    await this.#committer.discard();
    if (!isFailed) this.state = 'closed';
  }

  async #prepare(): Promise<Prepared | undefined> {
    const { clock, logger } = this.options.host;
    for (let attempt = 0; !this.#isClosing; attempt += 1) {
      try {
        const prepared = await prepare(this.options, this.outputs);
        this.failure = undefined;
        return prepared;
      } catch (error) {
        if (!(error instanceof StreamError) || error.retry === 'never') throw error;
        this.failure = error;
        logger.warn('not ready to start, trying again', { code: error.code, error: error.message, ...error.facts });
        await clock.sleep(backoffMs(attempt));
      }
    }
    return undefined;
  }

  async #openCommitter(): Promise<void> {
    const { clock, logger } = this.options.host;
    for (let attempt = 0; !this.#isClosing; attempt += 1) {
      try {
        await this.#committer.open();
        return;
      } catch (error) {
        if (!(error instanceof StreamError) || error.retry === 'never') throw error;
        this.failure = error;
        logger.warn('no producer yet, trying again', { code: error.code, error: error.message });
        await clock.sleep(backoffMs(attempt));
      }
    }
  }

  #makeTasks(prepared: Prepared, reader: Reader, restorer: Restorer): TaskSet {
    return new TaskSet({
      options: this.options,
      prepared,
      restorer,
      reader,
      outputs: this.outputs,
      messageBytesMax: (topic) => this.outputs.messageBytesMax(topic),
      deadTransactionalIds: () => this.assignment?.deadTransactionalIds ?? [],
      opened: (task) => {
        for (const queue of task.queues) this.committedOffsets.set(partitionId(queue.topic, queue.partition), queue.nextOffset);
        this.options.host.logger.info('task runs', { taskId: task.id });
        this.#refreshState();
        this.#reader?.wakeup();
        this.#signal.notify();
      },
      failed: (error) => {
        this.#raise(error);
      },
    });
  }

  #refreshState(): void {
    if (this.state !== 'rebalancing' && this.state !== 'running') return;
    this.state = this.#isMember && this.#tasks?.opening.size === 0 ? 'running' : 'rebalancing';
  }

  // ---- group ---------------------------------------------------------------------------------------------------------

  async joining(): Promise<Uint8Array> {
    return await this.#exclusive.run(async () => {
      this.#mayCommit = false;
      await this.#commit;
      const { options, prepared } = this;
      const stored = await options.host.stores.list();
      const ids = new Set(stored.filter(({ path }) => path[0] === options.applicationId).map(({ path }) => path[1] ?? ''));
      const { transactionalId } = this.#committer;
      return encodeClaims({
        instanceId: options.instanceId,
        startedAtMs: this.#startedAtMs,
        generation: this.#generation,
        ownedTasks: this.#tasks?.ids ?? [],
        storedTasks: [...ids].sort(),
        fingerprint: prepared?.fingerprint ?? '',
        ...(options.advertisedUrl === undefined ? {} : { url: options.advertisedUrl }),
        ...(transactionalId === undefined ? {} : { transactionalId }),
      });
    });
  }

  assign(members: readonly JoinedMember[]): Promise<ReadonlyMap<string, Uint8Array>> {
    const { prepared } = this;
    assert(prepared !== undefined, 'a member that joined was prepared');
    const { assignments } = assignTasks({
      members,
      tasks: taskIds(prepared.plan),
      fingerprint: prepared.fingerprint,
      previous: this.assignment?.peers ?? [],
      dead: this.assignment?.deadTransactionalIds ?? [],
    });
    const encoded = new Map<string, Uint8Array>();
    for (const [memberId, data] of assignments) encoded.set(memberId, encodeAssignment(data));
    return Promise.resolve(encoded);
  }

  async assigned(assignment: Assignment): Promise<void> {
    await this.#exclusive.run(async () => {
      const data = decodeAssignment(assignment.userData) ?? { tasks: [], peers: [], deadTransactionalIds: [] };
      this.rebalances += 1;
      this.#generation = assignment.generation;
      this.assignment = data;
      this.#noteRefusal(data);
      this.#isMember = true;
      const tasks = this.#tasks;
      if (tasks === undefined || this.#isClosing) return;
      const wanted = new Set(data.tasks);
      const released = tasks.ids.filter((id) => !wanted.has(id));
      this.options.host.logger.info('assigned', { generation: assignment.generation, tasks: data.tasks.length, released: released.length });
      if (released.length > 0) await this.#release(tasks, released);
      this.#mayCommit = true;
      if (this.#error === undefined) for (const id of wanted) tasks.open(id);
      this.#refreshState();
      this.#signal.notify();
    });
  }

  async lost(error: StreamError): Promise<void> {
    await this.#exclusive.run(async () => {
      this.options.host.logger.warn('membership lost', { code: error.code, error: error.message });
      this.options.host.sometimes('membership-lost');
      this.#mayCommit = false;
      await this.#commit;
      await this.#reset();
    });
  }

  #noteRefusal(data: AssignmentData): void {
    if (data.refusal === undefined) {
      if (hasCode(this.failure, 'INSTANCE_ID_TAKEN')) this.failure = undefined;
      return;
    }
    const message =
      data.refusal === 'INSTANCE_ID_TAKEN'
        ? 'another live instance uses this instance id: this one gets no tasks'
        : 'the group leader runs another topology under this application id: this instance gets no tasks until all run the same';
    this.failure = new StreamError(data.refusal === 'INSTANCE_ID_TAKEN' ? 'INSTANCE_ID_TAKEN' : 'TOPOLOGY_INVALID', message, {
      facts: { instanceId: this.options.instanceId },
    });
    this.options.host.logger.error(message, { instanceId: this.options.instanceId });
  }

  /** Hands tasks over: commits what they did, closes them, and asks for the rebalance that gives them to their new owners. */
  async #release(tasks: TaskSet, released: readonly string[]): Promise<void> {
    try {
      await this.#commit;
      if (this.#error === undefined) await this.#commitNow();
    } catch (error) {
      this.#raise(error);
      return;
    }
    for (const id of released) await tasks.close(id);
    this.#member?.rejoin('tasks released');
  }

  /** Back to nothing owned, with a fresh producer. */
  async #reset(): Promise<void> {
    await this.#tasks?.closeAll();
    this.#error = undefined;
    this.#isMember = false;
    this.#generation = -1;
    this.#refreshState();
    await this.#openCommitter();
  }

  // ---- loops -----------------------------------------------------------------------------------------------------------

  async #guard(loop: Promise<void>): Promise<void> {
    try {
      await loop;
    } catch (error) {
      this.#fail(error instanceof StreamError ? error : new StreamError('PROCESSING_FAILED', 'the instance failed', { cause: error }));
    }
  }

  async #fetch(): Promise<void> {
    const reader = this.#reader;
    while (!this.#isClosing && reader !== undefined) {
      const { batches, failures } = await reader.poll(pollWaitMs);
      for (const failure of failures) if (this.#isOwned(failure.topic, failure.partition)) this.#readFailed(failure.error);
      for (const batch of batches) {
        const task = this.#ownerOf(batch.topic, batch.partition);
        const queue = task?.queues.find((candidate) => candidate.topic === batch.topic);
        if (queue?.source.key.prepare !== undefined || queue?.source.value.prepare !== undefined) await prepareSerdes(batch, queue.source);
        // The task may have moved while schemas were fetched.
        if (task === undefined || queue === undefined || this.#tasks?.running.get(task.id) !== task) continue;
        task.addBatch(batch);
        if (!queue.isPaused && queue.bufferedBytes > this.options.bufferedBytesMax) {
          queue.isPaused = true;
          reader.pause(queue);
        }
      }
      if (batches.length > 0) this.#signal.notify();
      if (failures.length > 0) await this.options.host.clock.sleep(backoffMs(2));
      else await this.options.host.clock.yield();
    }
  }

  #ownerOf(topic: string, partition: number): Task | undefined {
    const { prepared } = this;
    const id = prepared === undefined ? undefined : taskIdOf(prepared.plan, topic, partition);
    return id === undefined ? undefined : this.#tasks?.running.get(id);
  }

  #isOwned(topic: string, partition: number): boolean {
    return this.#ownerOf(topic, partition) !== undefined;
  }

  #readFailed(error: StreamError): void {
    this.options.host.logger.warn('reading failed', { code: error.code, error: error.message, ...error.facts });
    if (error.retry === 'never') this.#raise(error);
  }

  async #process(): Promise<void> {
    const { clock } = this.options.host;
    while (!this.#isClosing) {
      if (this.#error !== undefined) await this.#recover(this.#error);
      if (this.state === 'failed') return;
      const processed = this.#runSlice();
      this.#commitIfDue(processed === 0);
      if (processed === 0) await this.#signal.wait(this.#idleMs());
      else await clock.yield();
    }
  }

  #runSlice(): number {
    const tasks = this.#tasks;
    if (tasks === undefined || this.#error !== undefined || this.#isOverfull()) return 0;
    const list = [...tasks.running.values()];
    const { clock } = this.options.host;
    const deadlineMs = clock.monotonicMs() + slice.ms;
    let processed = 0;
    try {
      for (let turn = 0; turn < list.length; turn += 1) {
        const task = list[(this.#roundRobin + turn) % list.length];
        if (task === undefined) continue;
        if (clock.nowMs() >= task.nextPunctuationMs) processed += task.punctuate();
        processed += task.process(Math.ceil(slice.recordsMax / list.length), deadlineMs);
        this.#resumeQueues(task);
      }
      this.#roundRobin += 1;
    } catch (error) {
      this.#raise(error);
    }
    return processed;
  }

  #resumeQueues(task: Task): void {
    for (const queue of task.queues)
      if (queue.isPaused && queue.bufferedBytes < this.options.bufferedBytesMax / 2) {
        queue.isPaused = false;
        this.#reader?.resume(queue);
      }
  }

  #uncommittedBytes(): number {
    let bytes = this.outputs.sizeBytes;
    for (const task of this.#tasks?.running.values() ?? []) bytes += task.storeBytes;
    return bytes;
  }

  #isOverfull(): boolean {
    return this.#uncommittedBytes() > this.options.uncommittedBytesMax;
  }

  #idleMs(): number {
    const { clock } = this.options.host;
    let dueMs = idleWaitMs;
    for (const task of this.#tasks?.running.values() ?? []) {
      dueMs = Math.min(dueMs, task.nextPunctuationMs - clock.nowMs());
      if (task.isDirty) dueMs = Math.min(dueMs, this.#commitEndedMs + this.options.commitGapMs - clock.monotonicMs());
    }
    return Math.max(1, dueMs);
  }

  // ---- commit ------------------------------------------------------------------------------------------------------------

  #commitIfDue(isDrained: boolean): void {
    const tasks = this.#tasks;
    if (tasks === undefined || this.#commit !== undefined || !this.#mayCommit || this.#error !== undefined) return;
    const sinceMs = this.options.host.clock.monotonicMs() - this.#commitEndedMs;
    const isRequested = [...tasks.running.values()].some((task) => task.isCommitRequested);
    const isDue = sinceMs >= this.options.commitIntervalMs || isRequested || (isDrained && sinceMs >= this.options.commitGapMs);
    if (!isDue && !this.#isOverfull()) return;
    if (![...tasks.running.values()].some((task) => task.isDirty)) return;
    this.#commit = this.#commitNow()
      .catch((error: unknown) => {
        this.commits.failed += 1;
        this.#raise(error);
      })
      .finally(() => {
        this.#commit = undefined;
        this.#signal.notify();
      });
  }

  async #commitNow(): Promise<void> {
    const member = this.#member;
    const dirty = [...(this.#tasks?.running.values() ?? [])].filter((task) => task.isDirty);
    if (member === undefined || dirty.length === 0) return;
    const reached: [string, number][] = [];
    for (const task of dirty) {
      task.isCommitRequested = false;
      for (const queue of task.queues) reached.push([partitionId(queue.topic, queue.partition), queue.nextOffset]);
    }
    const { records, durationMs } = await this.#committer.commit(dirty, this.outputs, member);
    for (const [id, offset] of reached) this.committedOffsets.set(id, offset);
    this.#commitEndedMs = this.options.host.clock.monotonicMs();
    this.commits.count += 1;
    this.commits.records += records;
    this.commits.durationMs += durationMs;
    this.#purge();
  }

  /** Removes what was consumed from repartition topics, now and then; a failure only leaves it for the next time. */
  #purge(): void {
    const { prepared } = this;
    const { clock, log, logger } = this.options.host;
    const nowMs = clock.monotonicMs();
    if (prepared === undefined || nowMs - this.#lastPurgeMs < this.options.repartitionPurgeIntervalMs) return;
    this.#lastPurgeMs = nowMs;
    const repartitions = repartitionTopics(prepared.plan);
    const consumed = [...(this.#tasks?.running.values() ?? [])]
      .flatMap((task) => task.queues)
      .filter((queue) => repartitions.has(queue.topic))
      .map(({ topic, partition }) => ({ topic, partition, before: this.committedOffsets.get(partitionId(topic, partition)) ?? 0 }))
      .filter(({ before }) => before > 0);
    if (consumed.length === 0) return;
    log.admin.deleteRecords(consumed).catch((error: unknown) => {
      logger.warn('purging repartition topics failed', { error: error instanceof Error ? error.message : 'unknown' });
    });
  }

  // ---- failure -----------------------------------------------------------------------------------------------------------

  #raise(error: unknown): void {
    const streamError =
      error instanceof StreamError ? error : new StreamError('PROCESSING_FAILED', 'an unexpected failure', { cause: error });
    this.#error ??= streamError;
    this.#signal.notify();
  }

  async #recover(error: StreamError): Promise<void> {
    const { clock, logger } = this.options.host;
    if (isFinal(error)) {
      await this.#exclusive.run(async () => {
        await this.#commit;
        await this.#tasks?.closeAll();
      });
      this.#fail(error);
      return;
    }
    this.recoveries += 1;
    logger.warn('recovering', { code: error.code, error: error.message, ...error.facts });
    await this.#pauseOnFenceStorm(error);
    await this.#exclusive.run(async () => {
      if (this.#error === undefined || this.#isClosing) return;
      await this.#commit;
      await this.#tasks?.closeAll();
      if (hasCode(error, 'LOG_UNAVAILABLE', 'STORE_IO')) await clock.sleep(backoffMs(3));
      await this.#openCommitter();
      this.#error = undefined;
      if (hasCode(error, 'MEMBER_FENCED', 'PRODUCER_FENCED', 'REBALANCE_IN_PROGRESS')) this.#member?.rejoin('recovering');
      else for (const id of this.assignment?.tasks ?? []) this.#tasks?.open(id);
      this.#refreshState();
    });
  }

  async #pauseOnFenceStorm(error: StreamError): Promise<void> {
    if (!hasCode(error, 'PRODUCER_FENCED')) return;
    const { clock, logger } = this.options.host;
    const nowMs = clock.monotonicMs();
    this.#fences = [...this.#fences.filter((atMs) => nowMs - atMs < fenceStorm.withinMs), nowMs].slice(-fenceStorm.count - 1);
    if (this.#fences.length <= fenceStorm.count) return;
    logger.error('fenced again and again: another process uses this application and instance id', { instanceId: this.options.instanceId });
    await clock.sleep(fenceStorm.pauseMs);
  }

  #fail(error: StreamError): void {
    this.failure = error;
    this.state = 'failed';
    this.#isClosing = true;
    this.options.host.logger.error('the instance stopped', { code: error.code, error: error.message, ...error.facts, stack: error.stack });
    this.#signal.notify();
    this.#reader?.wakeup();
    void this.#shutDown().catch(() => undefined);
  }
}

async function prepareSerdes(batch: { cursor(): { next(): boolean; key(): Uint8Array | undefined; value(): Uint8Array | undefined } }, source: Task['queues'][number]['source']): Promise<void> {
  const keys: Uint8Array[] = [];
  const values: Uint8Array[] = [];
  const cursor = batch.cursor();
  while (cursor.next()) {
    const key = cursor.key();
    const value = cursor.value();
    if (key !== undefined) keys.push(key);
    if (value !== undefined) values.push(value);
  }
  await source.key.prepare?.(keys);
  await source.value.prepare?.(values);
}

/** What neither waiting nor opening everything again can mend. Damage of a store is mended by opening it again. */
function isFinal(error: StreamError): boolean {
  return error.retry === 'never' && !hasCode(error, 'STORE_CORRUPT', 'STORE_FOREIGN', 'STORE_NOT_OPEN');
}
