/** Runs a topology in this thread, synchronously, under virtual time: for tests of topologies, with any test runner or none. */
import type { Clock, Logger, Random } from '../../clock.ts';
import { silentLogger, systemClock } from '../../clock.ts';
import type { FetchedBatch } from '../../connectors/log.ts';
import { StreamError } from '../../errors.ts';
import { partitionForKey } from '../../schemas/murmur2.ts';
import { noHeaders } from '../../schemas/record.ts';
import type { Header } from '../../schemas/record.ts';
import type { BatchBuilder } from '../../schemas/record-batch.ts';
import { batchCursor } from '../../schemas/record-batch-cursor.ts';
import type { Serde } from '../../schemas/serde.ts';
import type { Topic } from '../../schemas/topic.ts';
import { MemoryStore } from '../../state-stores/memory.ts';
import type { StoreSpec } from '../../state-stores/spec.ts';
import type { GraphNode, Topology } from '../graph.ts';
import { plan as planTopology } from '../plan.ts';
import type { Plan } from '../plan.ts';
import { GlobalTasks } from './global-tasks.ts';
import { Outputs } from './outputs.ts';
import { sourceTopicsOfPartition, taskId, taskIdOf } from './plan-tasks.ts';
import { encodeBatch, encodeRecord, fetchedRecord } from './single-record.ts';
import { TaskStore } from './task-store.ts';
import { Task } from './task.ts';
import { VirtualTimers } from './virtual-timers.ts';

export interface DriverOptions {
  readonly applicationId?: string;
  /** Partitions of every user topic (1), or by topic. */
  readonly partitions?: number | Readonly<Record<string, number>>;
  /** Wall clock at the start, epoch ms. */
  readonly wallClockMs?: number;
  /** `false`: only `commit` commits. What is written to internal topics goes on from there, as in an instance. Default: after each record. */
  readonly commitsEachRecord?: boolean;
  readonly logger?: Logger;
}

/** One record as the driver takes and gives it. */
export interface DriverRecord<K, V> {
  readonly key: K;
  readonly value: V;
  readonly timestampMs: number;
  readonly headers: readonly Header[];
}

export interface DriverOutput<K, V> extends DriverRecord<K, V> {
  readonly partition: number;
}

/** A row of a store. */
export interface DriverRow<K, V> {
  readonly key: K;
  readonly value: V;
  /** The event time that the row reflects; 0 in a store that keeps none. */
  readonly timestampMs: number;
}

export interface InputOptions {
  /** Absent: the driver's wall clock. */
  readonly timestampMs?: number;
  readonly headers?: readonly Header[];
  /** Absent: by the key, as a producer would. */
  readonly partition?: number;
}

interface Appended {
  readonly partition: number;
  readonly key: Uint8Array | undefined;
  readonly value: Uint8Array | undefined;
  readonly timestampMs: number;
  readonly headers: readonly Header[];
}

/** The driver leaves nothing to chance. */
const fixedChance: Random = { next: () => 0.5, uuid: () => '00000000-0000-4000-8000-000000000000' };

/** Records one run may cause before it is taken for endless. */
const recordsMax = 1_000_000;
/** How long `settled` waits for asynchronous calls, real time. */
const settleMsMax = 60_000;

/**
 * Each piped record is processed to its end, internal topics included, and committed before `pipe` returns (see `commitsEachRecord`). Wall-clock
 * punctuators run only in `advanceWallClock`. Throws what an instance would stop with.
 */
export class TestDriver {
  readonly plan: Plan;
  readonly #tasks = new Map<string, Task>();
  readonly #outputs = new Outputs();
  readonly #produced = new Map<string, Appended[]>();
  readonly #ends = new Map<string, number>();
  readonly #timers = new VirtualTimers();
  readonly #commitsEachRecord: boolean;
  readonly #globals: GlobalTasks;
  #nowMs: number;
  #appliedPosition = 0;

  constructor(topology: Topology, options: DriverOptions = {}) {
    this.#nowMs = options.wallClockMs ?? 0;
    this.#commitsEachRecord = options.commitsEachRecord ?? true;
    const partitions = userPartitions(topology, options.partitions ?? 1);
    this.plan = planTopology(topology, { applicationId: options.applicationId ?? topology.name, partitions });
    const clock = this.#clock();
    const logger = options.logger ?? silentLogger;
    const globals = this.plan.globals.flatMap((sub) => sub.stores.map(memoryTaskStore));
    this.#globals = new GlobalTasks({
      plan: this.plan,
      stores: new Map(globals.map((store) => [store.name, store])),
      clock,
      random: fixedChance,
      logger,
      startOf: () => 0,
    });
    for (const sub of this.plan.subTopologies)
      for (let partition = 0; partition < sub.partitions; partition += 1) {
        const task = new Task({
          id: taskId(sub.id, partition),
          plan: this.plan,
          subTopology: sub,
          partition,
          stores: new Map(sub.stores.map((planned) => [planned.spec.name, memoryTaskStore(planned)])),
          globals: this.#globals.stores,
          outputs: this.#outputs,
          clock,
          random: fixedChance,
          logger,
          start: new Map(
            sourceTopicsOfPartition(this.plan, sub, partition).map((topic) => [
              topic,
              { offset: 0, partitionTimeMs: -1 },
            ]),
          ),
          isCaughtUp: () => true,
          maxTaskIdleMs: 0,
          wake: () => undefined,
        });
        task.open();
        this.#tasks.set(task.id, task);
      }
  }

  /** Appends a record to an input topic and processes everything it causes. A `null` key or value is an absent one. */
  pipe<K, V>(topic: Topic<K, V>, key: K | null, value: V | null, options: InputOptions = {}): void {
    this.pipeBytes(
      topic.name,
      key === null ? undefined : topic.key.serialize(key),
      value === null ? undefined : topic.value.serialize(value),
      options,
    );
  }

  /** As `pipe`, with bytes as they would lie in the log. */
  pipeBytes(
    topic: string,
    key: Uint8Array | undefined,
    value: Uint8Array | undefined,
    options: InputOptions = {},
  ): void {
    const partitions = this.plan.partitions.get(topic);
    if (partitions === undefined)
      throw new StreamError('TOPIC_UNKNOWN', 'the topology does not read this topic', { facts: { topic } });
    const partition = options.partition ?? (key === undefined ? 0 : partitionForKey(key, partitions));
    this.#deliver(topic, {
      partition,
      key,
      value,
      timestampMs: options.timestampMs ?? this.#nowMs,
      headers: options.headers ?? noHeaders,
    });
    this.#run();
  }

  /** Commits what is uncommitted and processes everything that this lets go on. */
  commit(): void {
    this.#settle();
  }

  /** Resolves when no asynchronous call is under way and everything they caused is done. Rejects when calls take too long to end. */
  async settled(): Promise<void> {
    const deadlineMs = systemClock.monotonicMs() + settleMsMax;
    for (;;) {
      this.#run();
      if ([...this.#tasks.values()].every((task) => task.pendingCount === 0)) return;
      if (systemClock.monotonicMs() > deadlineMs)
        throw new StreamError(
          'PROCESSING_FAILED',
          'asynchronous calls did not end: do they wait for advanceWallClock?',
        );
      await systemClock.yield();
    }
  }

  /** Moves the wall clock and runs what is due, committing after it. */
  advanceWallClock(ms: number): void {
    this.#nowMs += ms;
    this.#timers.fire(this.#nowMs);
    for (const task of this.#tasks.values()) task.punctuate();
    this.#run();
  }

  get wallClockMs(): number {
    return this.#nowMs;
  }

  /** Takes everything that was written to a topic since the last call, decoded. Internal topics too, by their full names. */
  read<K, V>(topic: {
    readonly name: string;
    readonly key: Serde<K>;
    readonly value: Serde<V>;
  }): readonly DriverOutput<K | null, V | null>[] {
    return this.readBytes(topic.name).map((record) => ({
      key: record.key === undefined ? null : topic.key.deserialize(record.key),
      value: record.value === undefined ? null : topic.value.deserialize(record.value),
      timestampMs: record.timestampMs,
      headers: record.headers,
      partition: record.partition,
    }));
  }

  /** As `read`, with bytes as they lie in the log. */
  readBytes(topic: string): readonly Appended[] {
    const records = this.#produced.get(topic) ?? [];
    this.#produced.delete(topic);
    return records;
  }

  /** Names of the topics that anything was written to and not read yet. */
  producedTopics(): readonly string[] {
    return [...this.#produced.keys()].sort();
  }

  /** The state that processors see, of one partition (0). */
  state(store: string, partition = 0): unknown {
    return this.#storeOf(store, partition).state;
  }

  /** Committed rows of a store over all partitions, decoded, in key order per partition. */
  async rows<K, V, S>(spec: StoreSpec<K, V, S>): Promise<readonly DriverRow<K, V>[]> {
    const rows: DriverRow<K, V>[] = [];
    for (const task of this.#tasks.values()) {
      const opened = task.stores.get(spec.name);
      if (opened === undefined) continue;
      for await (const [key, stored] of opened.layered.committedScan({})) {
        const { value, timestampMs } = spec.format.toChangelog(stored, 0);
        rows.push({ key: spec.key.deserialize(key), value: spec.value.deserialize(value), timestampMs });
      }
    }
    return rows;
  }

  /** What dropped records were dropped for, over all tasks and global stores. */
  drops(): ReadonlyMap<string, number> {
    const drops = new Map<string, number>();
    for (const task of [...this.#tasks.values(), ...this.#globals.tasks])
      for (const [reason, count] of task.counters.dropped) drops.set(reason, (drops.get(reason) ?? 0) + count);
    return drops;
  }

  close(): void {
    for (const task of this.#tasks.values()) task.close();
    this.#tasks.clear();
  }

  #storeOf(store: string, partition: number): TaskStore {
    for (const task of this.#tasks.values()) {
      const opened = task.stores.get(store);
      if (opened !== undefined && task.partition === partition) return opened;
    }
    throw new StreamError('STORE_UNKNOWN', 'no store of that name and partition', { facts: { store, partition } });
  }

  #run(): void {
    if (this.#commitsEachRecord) this.#settle();
    else for (const task of this.#tasks.values()) task.process(recordsMax, Infinity);
  }

  #settle(): void {
    for (let round = 0; round < recordsMax; round += 1) {
      let processed = 0;
      for (const task of this.#tasks.values()) processed += task.process(1, Infinity);
      const routed = this.#commit();
      if (processed === 0 && routed === 0) return;
    }
    throw new StreamError('PROCESSING_FAILED', 'the topology did not come to rest: does it feed itself?');
  }

  /** How many records were written. */
  #commit(): number {
    for (const task of this.#tasks.values()) task.prepareCommit();
    this.#appliedPosition += 1;
    for (const task of this.#tasks.values())
      for (const store of task.stores.values()) store.layered.applyNow(this.#appliedPosition);
    const { count } = this.#outputs;
    for (const { topic, partition, records } of this.#outputs.take()) this.#route(topic, partition, records);
    return count;
  }

  #route(topic: string, partition: number, records: BatchBuilder): void {
    const cursor = batchCursor(encodeBatch(records), 0);
    while (cursor.next()) {
      const record = {
        partition,
        key: cursor.key(),
        value: cursor.value(),
        timestampMs: cursor.timestampMs,
        headers: cursor.headers(),
      };
      const produced = this.#produced.get(topic) ?? [];
      produced.push(record);
      this.#produced.set(topic, produced);
      this.#deliver(topic, record);
    }
  }

  #deliver(topic: string, record: Appended): void {
    const { partition } = record;
    const id = taskIdOf(this.plan, topic, partition);
    const task = id === undefined ? undefined : this.#tasks.get(id);
    const isGlobal = this.#globals.reads({ topic, partition });
    if (task === undefined && !isGlobal) return;
    const end = `${topic}/${String(record.partition)}`;
    const offset = this.#ends.get(end) ?? 0;
    this.#ends.set(end, offset + 1);
    const batch = fetchedRecord({ topic, partition }, encodeRecord(record, offset));
    task?.addBatch(batch);
    if (isGlobal) this.#fillGlobals(batch);
  }

  #fillGlobals(batch: FetchedBatch): void {
    this.#globals.take(batch);
    for (const { layered } of this.#globals.stores.values()) {
      layered.seal();
      layered.applyNow(batch.nextOffset);
    }
  }

  #clock(): Clock {
    return {
      nowMs: () => this.#nowMs,
      monotonicMs: () => this.#nowMs,
      sleep: () => Promise.resolve(),
      timer: (ms, run) => this.#timers.add(this.#nowMs + ms, run),
      yield: () => Promise.resolve(),
    };
  }
}

/** Per store. */
const cacheBytesMax = 1024 * 1024;

function memoryTaskStore(planned: Plan['subTopologies'][number]['stores'][number]): TaskStore {
  // Nothing here outlives the driver: nobody asks when it was written.
  const backing = new MemoryStore(planned.spec.name, { nowMs: () => 0, released: () => undefined });
  return new TaskStore(planned, backing, { messageBytesMax: Infinity, cacheBytesMax });
}

function userPartitions(
  topology: Topology,
  wanted: number | Readonly<Record<string, number>>,
): ReadonlyMap<string, number> {
  const names = new Set(typeof wanted === 'number' ? [] : Object.keys(wanted));
  const nodes = [...topology.nodes, ...topology.globals.map(({ source }) => source)];
  for (const node of nodes) for (const name of userTopicsOf(node)) names.add(name);
  const { deadLetterTopic } = topology.settings;
  if (deadLetterTopic !== undefined) names.add(deadLetterTopic);
  return new Map([...names].map((name) => [name, typeof wanted === 'number' ? wanted : (wanted[name] ?? 1)]));
}

function userTopicsOf(node: GraphNode): readonly string[] {
  if (node.kind === 'source')
    return node.topics.filter((topic) => topic.internal === undefined).map((topic) => topic.name);
  return node.kind === 'sink' && typeof node.topic !== 'function' && node.topic.internal === undefined
    ? [node.topic.name]
    : [];
}
