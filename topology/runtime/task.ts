/** One sub-topology for one partition: its queues, its nodes, its stores. Synchronous; the instance decides when it runs and commits. */
import type { FetchedBatch, OffsetToCommit } from '../../connectors/log.ts';
import { StreamError, assert } from '../../errors.ts';
import type { Cancellable, DropReason, SavedTime, Schedule } from '../../processors/node.ts';
import type { RecordMetadata } from '../../schemas/record.ts';
import { readOnly } from '../../state-stores/read-only.ts';
import type { SourceNode, TopicReference } from '../graph.ts';
import type { SubTopology } from '../plan.ts';
import { Attempt, goesOnAfterFailures } from './attempt.ts';
import { encodeMetadata } from './commit-metadata.ts';
import { countRecord, newCounters, type Outcome } from './counters.ts';
import { FailedRecords } from './failed-records.ts';
import type { Hold } from './failed-records.ts';
import { RecordFailure, RuntimeProcessor, RuntimeSink, RuntimeSource } from './node-runtime.ts';
import type { RuntimeNode, TaskScope } from './node-runtime.ts';
import type { Outputs } from './outputs.ts';
import { InputChoice } from './input-choice.ts';
import { parkedKeysOf, parkedTotals, type ParkedKeys } from './parked-keys.ts';
import { queuesOf } from './partition-queue.ts';
import type { PartitionQueue } from './partition-queue.ts';
import { physicalTopicName } from './plan-tasks.ts';
import { PostedWork } from './posted-work.ts';
import { Punctuators } from './punctuators.ts';
import { StepTimes } from './step-times.ts';
import type { TaskOptions } from './task-options.ts';
import type { TaskStore } from './task-store.ts';

/** Records between two looks at the monotonic clock. */
const recordsPerClockRead = 32;

export class Task implements TaskScope {
  readonly id: string;
  readonly partition: number;
  readonly subTopology: SubTopology;
  readonly queues: readonly PartitionQueue[];
  readonly counters = newCounters();
  readonly stores: ReadonlyMap<string, TaskStore>;
  readonly outputs: Outputs;
  readonly work: PostedWork;
  /** Set by `context.requestCommit()`; cleared by the instance. */
  isCommitRequested = false;
  /** Set for good when the task is to be handed over: it commits what it did and does nothing more. */
  isSuspended = false;
  streamTimeMs = -1;
  wallClockMs: number;

  readonly #options: TaskOptions;
  readonly #sources = new Map<string, RuntimeSource>();
  readonly #nodes: RuntimeNode[] = [];
  readonly #streamPunctuators = new Punctuators();
  readonly #wallPunctuators = new Punctuators();
  readonly #committed = new Map<string, number>();
  readonly #stepTimes: StepTimes;
  readonly #inputs: InputChoice;
  #current: PartitionQueue | undefined;
  #outcome: Outcome = 'applied';
  readonly #attempt: Attempt;
  readonly #failed: FailedRecords;
  readonly #parked: ReadonlyMap<SourceNode, ParkedKeys>;
  #failure: RecordFailure | undefined;
  #hasWritten = false;
  #isOpen = false;

  constructor(options: TaskOptions) {
    this.#options = options;
    this.id = options.id;
    this.partition = options.partition;
    this.subTopology = options.subTopology;
    this.stores = options.stores;
    this.outputs = options.outputs;
    this.wallClockMs = options.clock.nowMs();
    this.work = new PostedWork(options.clock, options.wake);
    this.queues = queuesOf(options, this);
    this.#inputs = new InputChoice({ ...options, queues: this.queues });
    for (const queue of this.queues) {
      this.streamTimeMs = Math.max(this.streamTimeMs, queue.partitionTimeMs);
      this.#committed.set(queue.topic, queue.nextOffset);
    }
    for (const store of this.stores.values()) store.bind(this);
    this.#failed = new FailedRecords(this, options);
    this.#parked = parkedKeysOf(options, this);
    const layers = [...this.stores.values()].map(({ layered }) => layered);
    this.#stepTimes = new StepTimes([...options.start.values()].map(({ stepTimes }) => stepTimes ?? new Map()));
    this.#attempt = new Attempt(
      goesOnAfterFailures(options.plan, options.subTopology) ? [...layers, options.outputs, this.#stepTimes] : [],
    );
  }

  get taskId(): string {
    return this.id;
  }

  get applicationId(): string {
    return this.#options.plan.applicationId;
  }

  /** Builds the nodes and runs their `init`. Once. */
  open(): void {
    const byName = new Map<string, RuntimeProcessor | RuntimeSource>();
    const opened: RuntimeProcessor[] = [];
    for (const spec of this.subTopology.nodes) {
      if (spec.kind === 'source') {
        const list = new RuntimeSource();
        byName.set(spec.name, list);
        for (const topic of spec.topics) this.#sources.set(this.physicalName(topic), list);
        continue;
      }
      const node = spec.kind === 'processor' ? new RuntimeProcessor(spec, this) : new RuntimeSink(spec, this);
      this.#nodes.push(node);
      if (node instanceof RuntimeProcessor) {
        byName.set(spec.name, node);
        opened.push(node);
      }
      for (const parent of spec.parents) byName.get(parent)?.children.push(node);
    }
    // Children first, so that a node that forwards while it is created finds them ready.
    for (const node of opened.reverse()) node.open();
    this.#isOpen = true;
  }

  /** Closes nodes; the stores are closed by their owner. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.work.close();
    for (const node of this.#nodes) node.close?.();
  }

  addBatch(batch: FetchedBatch): void {
    const queue = this.queues.find((candidate) => candidate.topic === batch.topic);
    assert(queue !== undefined, `task ${this.id} does not read ${batch.topic}`);
    queue.add(batch);
  }

  /** Processes up to `recordsMax` records or until the monotonic `deadlineMs`; returns how many. Throws a `StreamError` when the task must stop. */
  process(recordsMax: number, deadlineMs: number): number {
    const { clock } = this.#options;
    this.wallClockMs = clock.nowMs();
    let processed = this.#runPosted();
    while (processed < recordsMax && !this.work.isHolding) {
      const queue = this.#choose();
      if (queue === undefined || !this.#processHead(queue)) break;
      processed += 1;
      if (!this.work.isEmpty) this.#runPosted();
      if (processed % recordsPerClockRead === 0 && clock.monotonicMs() >= deadlineMs) break;
    }
    this.#current = undefined;
    return processed;
  }

  /** Fires due wall-clock punctuators; returns how many. */
  punctuate(): number {
    this.wallClockMs = this.#options.clock.nowMs();
    const fired = this.#wallPunctuators.fire(this.wallClockMs, (run) => {
      this.#punctuate(run, this.wallClockMs);
    });
    return fired;
  }

  /** The record that keeps the task from going on, if one does. */
  get hold(): Hold | undefined {
    return this.#failed.hold;
  }

  /** Until a record that failed is tried again, ms; Infinity if none waits for that. */
  get retryInMs(): number {
    return this.#failed.retryInMs;
  }

  /** Until an empty input holds up the others no more, ms; Infinity if none waits for that. */
  get idleMs(): number {
    return this.#inputs.waitMs;
  }

  /** When the next wall-clock punctuator is due, epoch ms. */
  get nextPunctuationMs(): number {
    return this.#wallPunctuators.nextMs;
  }

  /** Records that steps took in and are not done with. */
  get pendingCount(): number {
    let count = 0;
    for (const node of this.#nodes) if (node instanceof RuntimeProcessor) count += node.pendingCount;
    return count;
  }

  get bufferedBytes(): number {
    let bytes = 0;
    for (const queue of this.queues) bytes += queue.bufferedBytes;
    return bytes;
  }

  /** Of the keys that wait behind a failed record: how many, and how many records of theirs were put aside. */
  get parked(): { readonly keys: number; readonly records: number } {
    return parkedTotals(this.#parked.values());
  }

  get storeBytes(): number {
    let bytes = 0;
    for (const store of this.stores.values()) bytes += store.layered.uncommittedBytes;
    return bytes;
  }

  /** Whether there is anything to commit: input consumed or state written since the last `prepareCommit`. */
  get isDirty(): boolean {
    if (this.#hasWritten) return true;
    for (const queue of this.queues) if (this.#committed.get(queue.topic) !== queue.nextOffset) return true;
    for (const store of this.stores.values()) if (store.layered.uncommittedCount > 0) return true;
    return false;
  }

  /**
   * Seals the stores, appends their changelog records to the outputs and returns the offsets of **every** input, moved or not: a transaction that
   * wrote only a changelog must be visible to whoever asks for stable offsets of any of them.
   */
  prepareCommit(): readonly OffsetToCommit[] {
    const offsets: OffsetToCommit[] = [];
    this.#between(() => {
      for (const node of this.#nodes) if (node instanceof RuntimeProcessor) node.beforeCommit();
    });
    for (const store of this.stores.values()) store.seal(this.outputs, this);
    for (const queue of this.queues) {
      this.#committed.set(queue.topic, queue.nextOffset);
      offsets.push({
        topic: queue.topic,
        partition: this.partition,
        offset: queue.nextOffset,
        metadata: encodeMetadata(queue.partitionTimeMs, this.#stepTimes.all),
      });
    }
    this.#hasWritten = false;
    return offsets;
  }

  // ---- TaskScope: what nodes see ------------------------------------------------------------------------------------

  get metadata(): RecordMetadata | undefined {
    const queue = this.#current;
    return queue === undefined
      ? undefined
      : { topic: queue.topic, partition: queue.partition, offset: queue.headOffset };
  }

  /** Timestamp for writes of plain stores: of the record being processed, else the wall clock. */
  get writeTimestampMs(): number {
    return this.#current?.headTimestampMs ?? this.wallClockMs;
  }

  partitionsOf(topic: string): number | undefined {
    return this.#options.plan.partitions.get(topic);
  }

  physicalName(topic: TopicReference): string {
    return physicalTopicName(this.#options.plan.applicationId, topic);
  }

  store(name: string): unknown {
    const store = this.stores.get(name);
    if (store === undefined) throw new StreamError('STORE_UNKNOWN', `task ${this.id} has no store ${name}`);
    return store.state;
  }

  savedTime(name: string): SavedTime {
    return this.#stepTimes.of(name);
  }

  globalStore(name: string): unknown {
    const store = this.#options.globals.get(name);
    if (store === undefined) throw new StreamError('STORE_UNKNOWN', `task ${this.id} has no global store ${name}`);
    return readOnly(name, store.state);
  }

  drop(reason: DropReason): void {
    this.#attempt.drops.push(reason);
    this.#outcome = 'dropped';
  }

  /** Passed over by its extractor of timestamps. */
  dropped(): void {
    this.counters.consumed += 1;
    this.counters.droppedRecords += 1;
    this.counters.dropped.set('invalid-timestamp', (this.counters.dropped.get('invalid-timestamp') ?? 0) + 1);
  }

  schedule(node: RuntimeNode, schedule: Schedule, run: (timestampMs: number) => void): Cancellable {
    const isWall = schedule.by === 'wall-clock';
    const punctuators = isWall ? this.#wallPunctuators : this.#streamPunctuators;
    return punctuators.add(schedule, isWall ? this.wallClockMs : Math.max(0, this.streamTimeMs), (timestampMs) => {
      try {
        run(timestampMs);
      } catch (error) {
        this.failed(node, error);
      }
    });
  }

  requestCommit(): void {
    this.isCommitRequested = true;
  }

  failed(node: RuntimeNode, error: unknown): never {
    // The first counts, even if a step above handles it: what was undone cannot go on.
    this.#failure ??= error instanceof RecordFailure ? error : new RecordFailure(node, error);
    throw this.#failure;
  }

  // ---- the record path ------------------------------------------------------------------------------------------------

  #choose(): PartitionQueue | undefined {
    const { hold } = this.#failed;
    if (hold !== undefined) return this.retryInMs > 0 ? undefined : hold.queue;
    for (const keys of this.#parked.values()) {
      const released = keys.next();
      if (released !== undefined) return released;
    }
    return this.#inputs.next();
  }

  /** Whether the head was dealt with; false if it holds the task back. */
  #processHead(queue: PartitionQueue): boolean {
    this.#current = queue;
    const end = this.#deal(queue);
    if (end === 'held') return false;
    countRecord(this.counters, end);
    queue.advance();
    if (this.streamTimeMs >= this.#streamPunctuators.nextMs) this.#fireStreamPunctuators();
    return true;
  }

  #deal(queue: PartitionQueue): Outcome | 'held' {
    const keys = this.#parked.get(queue.source);
    const meeting = keys?.meet(queue) ?? 'process';
    if (meeting !== 'process') return meeting;
    this.#outcome = 'applied';
    const failure = this.#try(queue);
    const end = failure === undefined ? this.#outcome : this.#failed.settle(queue, failure);
    if (end === 'held') return end;
    this.#failed.hold = undefined;
    if (end !== 'parked-key') {
      keys?.settled(queue);
      return end;
    }
    keys?.failed(queue);
    return 'dead-lettered';
  }

  /** All effects of the head, or none and why. */
  #try(queue: PartitionQueue): RecordFailure | undefined {
    const { source, head, refused } = queue;
    if (refused !== undefined) return new RecordFailure({ name: source.name, onError: source.onError }, refused.error);
    assert(head !== undefined, 'a queue that is not empty has a head or a refusal');
    if (queue.headTimestampMs > this.streamTimeMs) this.streamTimeMs = queue.headTimestampMs;
    this.#attempt.begin();
    try {
      this.#sources.get(queue.topic)?.run(head);
    } catch (error) {
      if (!(error instanceof RecordFailure)) throw error;
    }
    const failure = this.#failure;
    if (failure === undefined) this.#attempt.end(this.counters);
    else this.#attempt.undo();
    this.#failure = undefined;
    return failure;
  }

  #fireStreamPunctuators(): void {
    this.#current = undefined;
    this.#streamPunctuators.fire(this.streamTimeMs, (run) => {
      this.#punctuate(run, this.streamTimeMs);
    });
  }

  #punctuate(run: (timestampMs: number) => void, timestampMs: number): void {
    this.counters.punctuations += 1;
    this.#between(() => run(timestampMs));
  }

  /** What steps asked for between records; how much that was. */
  #runPosted(): number {
    const posted = this.work.take();
    for (const run of posted) this.#between(run);
    return posted.length;
  }

  #between(run: () => void): void {
    this.#current = undefined;
    this.#hasWritten = true;
    this.#attempt.drops.length = 0;
    try {
      run();
    } catch (error) {
      if (!(error instanceof RecordFailure)) throw error;
    }
    // There is no record to skip or to put aside: whatever the policy, it cannot go on.
    if (this.#failure !== undefined) throw this.#failed.fatal(this.#failure);
    this.#attempt.end(this.counters);
  }
}
