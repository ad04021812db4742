/** Nodes of a sub-topology, instantiated and linked for one task. */
import { StreamError } from '../../errors.ts';
import type {
  AnyRecord,
  Cancellable,
  DropReason,
  Node,
  NodeContext,
  SavedTime,
  Schedule,
} from '../../processors/node.ts';
import { partitionForKey } from '../../schemas/murmur2.ts';
import type { RecordMetadata } from '../../schemas/record.ts';
import type { ErrorPolicy } from '../error-policy.ts';
import type { ProcessorNode, SinkNode, TopicReference } from '../graph.ts';
import type { Outputs } from './outputs.ts';
import type { PostedWork } from './posted-work.ts';

/** What a running node needs of its task. */
export interface TaskScope {
  readonly applicationId: string;
  readonly taskId: string;
  readonly partition: number;
  readonly metadata: RecordMetadata | undefined;
  readonly streamTimeMs: number;
  readonly wallClockMs: number;
  readonly outputs: Outputs;
  /** Partitions of a topic by its physical name; `undefined` if it does not exist. */
  partitionsOf(topic: string): number | undefined;
  physicalName(topic: TopicReference): string;
  store(name: string): unknown;
  savedTime(name: string): SavedTime;
  /** To be read. */
  globalStore(name: string): unknown;
  drop(reason: DropReason): void;
  schedule(node: RuntimeNode, schedule: Schedule, run: (timestampMs: number) => void): Cancellable;
  requestCommit(): void;
  readonly work: PostedWork;
  /** Ends the attempt at the record: throws what no step above may handle. */
  failed(node: RuntimeNode, error: unknown): never;
}

/** One node at run time. What `run` throws is a `RecordFailure`. */
export interface RuntimeNode {
  readonly name: string;
  readonly onError: ErrorPolicy | undefined;
  processed: number;
  run(record: AnyRecord): void;
  close?(): void;
}

/** A record failed in a step; passes through all parents unchanged and never leaves the task. */
export class RecordFailure extends Error {
  readonly node: string;
  readonly onError: ErrorPolicy | undefined;
  readonly error: unknown;

  constructor({ name, onError }: Pick<RuntimeNode, 'name' | 'onError'>, error: unknown) {
    super(`step ${name} failed`, { cause: error });
    this.node = name;
    this.onError = onError;
    this.error = error;
  }
}

/** The children of a source: what a record of its topics runs through. */
export class RuntimeSource {
  readonly children: RuntimeNode[] = [];

  run(record: AnyRecord): void {
    const { children } = this;
    for (let index = 0; index < children.length; index += 1) children[index]?.run(record);
  }
}

export class RuntimeProcessor implements RuntimeNode {
  readonly name: string;
  readonly onError: ErrorPolicy | undefined;
  readonly children: RuntimeNode[] = [];
  processed = 0;
  readonly #scope: TaskScope;
  readonly #spec: ProcessorNode;
  #node: Node | undefined;

  constructor(spec: ProcessorNode, scope: TaskScope) {
    this.name = spec.name;
    this.onError = spec.onError;
    this.#spec = spec;
    this.#scope = scope;
  }

  /** Creates the node; after all children are linked. */
  open(): void {
    this.#node = this.#spec.create(new RuntimeContext(this, this.#spec, this.#scope));
  }

  run(record: AnyRecord): void {
    this.processed += 1;
    try {
      this.#node?.process(record);
    } catch (error) {
      this.#scope.failed(this, error);
    }
  }

  forward(record: AnyRecord): void {
    const { children } = this;
    for (let index = 0; index < children.length; index += 1) children[index]?.run(record);
  }

  beforeCommit(): void {
    this.#node?.beforeCommit?.();
  }

  get pendingCount(): number {
    return this.#node?.pendingCount?.() ?? 0;
  }

  close(): void {
    this.#node?.close?.();
    this.#node = undefined;
  }
}

class RuntimeContext implements NodeContext {
  readonly #node: RuntimeProcessor;
  readonly #spec: ProcessorNode;
  readonly #scope: TaskScope;
  readonly forward: (record: AnyRecord) => void;

  constructor(node: RuntimeProcessor, spec: ProcessorNode, scope: TaskScope) {
    this.#node = node;
    this.#spec = spec;
    this.#scope = scope;
    const [only] = node.children;
    this.forward =
      only !== undefined && node.children.length === 1
        ? (record) => {
            only.run(record);
          }
        : (record) => {
            node.forward(record);
          };
  }

  get applicationId(): string {
    return this.#scope.applicationId;
  }
  get taskId(): string {
    return this.#scope.taskId;
  }
  get partition(): number {
    return this.#scope.partition;
  }
  get metadata(): RecordMetadata | undefined {
    return this.#scope.metadata;
  }
  get streamTimeMs(): number {
    return this.#scope.streamTimeMs;
  }
  get wallClockMs(): number {
    return this.#scope.wallClockMs;
  }

  forwardTo(child: string, record: AnyRecord): void {
    const target = this.#node.children.find((candidate) => candidate.name === child);
    if (target === undefined)
      throw new StreamError('TOPOLOGY_INVALID', `step ${this.#node.name} has no following step ${child}`);
    target.run(record);
  }

  store(name: string): unknown {
    if (this.#spec.globals?.includes(name) === true) return this.#scope.globalStore(name);
    if (!this.#spec.stores.includes(name))
      throw new StreamError('STORE_UNKNOWN', `step ${this.#node.name} did not declare store ${name}`);
    return this.#scope.store(name);
  }

  savedTime(name = 'time'): SavedTime {
    return this.#scope.savedTime(`${this.#node.name}/${name}`);
  }

  drop(reason: DropReason): void {
    this.#scope.drop(reason);
  }

  schedule(schedule: Schedule, run: (timestampMs: number) => void): Cancellable {
    if (!(schedule.everyMs >= 1))
      throw new StreamError(
        'TOPOLOGY_INVALID',
        `step ${this.#node.name}: a schedule needs an interval of at least 1 ms`,
      );
    return this.#scope.schedule(this.#node, schedule, run);
  }

  requestCommit(): void {
    this.#scope.requestCommit();
  }

  post(run: () => void): void {
    this.#scope.work.post(run);
  }

  after(ms: number, run: () => void): Cancellable {
    return this.#scope.work.after(ms, run);
  }

  hold(isHeld: boolean): void {
    this.#scope.work.hold(this.#node.name, isHeld);
  }
}

export class RuntimeSink implements RuntimeNode {
  readonly name: string;
  readonly onError = undefined;
  processed = 0;
  readonly #spec: SinkNode;
  readonly #scope: TaskScope;
  readonly #fixedTopic: string | undefined;

  constructor(spec: SinkNode, scope: TaskScope) {
    this.name = spec.name;
    this.#spec = spec;
    this.#scope = scope;
    this.#fixedTopic = typeof spec.topic === 'function' ? undefined : scope.physicalName(spec.topic);
  }

  run(record: AnyRecord): void {
    this.processed += 1;
    try {
      this.#append(record);
    } catch (error) {
      this.#scope.failed(this, error);
    }
  }

  #append(record: AnyRecord): void {
    const spec = this.#spec;
    const topic = this.#fixedTopic ?? this.#extractTopic(record);
    const partitions = this.#scope.partitionsOf(topic);
    if (partitions === undefined)
      throw new StreamError('TOPIC_UNKNOWN', `step ${this.name} writes to ${topic}, which does not exist`, {
        facts: { topic },
      });
    const key = record.key === null ? undefined : spec.key.serialize(record.key);
    const value = record.value === null ? undefined : spec.value.serialize(record.value);
    const partition =
      spec.partitioner?.(record.key, record.value, partitions) ?? this.#defaultPartition(key, partitions);
    if (!(partition >= 0 && partition < partitions))
      throw new StreamError('PROCESSING_FAILED', `step ${this.name}: partitioner left the range`, {
        facts: { topic, partition },
      });
    this.#scope.outputs.append(topic, partition, {
      key,
      value,
      timestampMs: record.timestampMs,
      headers: record.headers,
    });
  }

  #extractTopic(record: AnyRecord): string {
    const { topic } = this.#spec;
    return typeof topic === 'function' ? topic(record.key, record.value, this.#scope.metadata) : topic.name;
  }

  #defaultPartition(key: Uint8Array | undefined, partitions: number): number {
    if (key === undefined) return this.#scope.partition % partitions;
    return partitionForKey(this.#spec.key.partitionKey?.(key) ?? key, partitions);
  }
}
