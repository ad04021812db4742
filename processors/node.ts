/**
 * The contract between the engine and one processing step at run time. Every operator of the builder and every user processor is a `Node`.
 *
 * Everything here is synchronous: `process` runs the whole sub-tree below a node before it returns.
 */
import type { RecordMetadata, StreamRecord } from '../schemas/record.ts';

/** A record whose types were checked when the topology was declared. */
export type AnyRecord = StreamRecord<unknown, unknown>;

/** Why a record has no further effect, as counted in the metrics. */
export type DropReason =
  | 'null-key'
  | 'null-value'
  | 'late'
  | 'stale'
  | 'duplicate'
  | 'no-branch'
  | 'unkeyed'
  | 'expired'
  | 'undecodable'
  | 'invalid-timestamp'
  | 'failed'
  | 'refused';

export type PunctuationClock = 'stream-time' | 'wall-clock';

export interface Schedule {
  /** Interval in ms, at least 1. Stream time: aligned to 0, fires once however far time jumped. Wall clock: first after one interval; missed ones are skipped. */
  readonly everyMs: number;
  readonly by: PunctuationClock;
  /** Fixes the phase: fires at `startAtMs + n * everyMs`. */
  readonly startAtMs?: number;
}

export interface Cancellable {
  cancel(): void;
}

/** A time that a step keeps; -1 at first. */
export interface SavedTime {
  ms: number;
}

/** What a node is given once per task. Valid until the task closes. */
export interface NodeContext {
  readonly applicationId: string;
  readonly taskId: string;
  readonly partition: number;
  /** To all children, in order; the whole sub-tree runs before this returns. */
  forward(record: AnyRecord): void;
  /** To one child by its node name. */
  forwardTo(child: string, record: AnyRecord): void;
  /** The typed store of that name, as its spec makes it; throws `STORE_UNKNOWN` unless the node declared it. */
  store(name: string): unknown;
  /**
   * A time of this step by its name: set while records are processed, committed with their offsets, and found again after a restart. In Kafka
   * Streams such times begin anew.
   */
  savedTime(name?: string): SavedTime;
  /** Of the input record being processed; `undefined` in punctuators. */
  readonly metadata: RecordMetadata | undefined;
  /** Highest timestamp this task has seen, -1 before the first record. */
  readonly streamTimeMs: number;
  /** Wall clock, read once per slice. */
  readonly wallClockMs: number;
  drop(reason: DropReason): void;
  schedule(schedule: Schedule, run: (timestampMs: number) => void): Cancellable;
  /** Asks for an early commit; it happens at the end of the current slice. */
  requestCommit(): void;
  /** Runs `run` between two records of this task, soon; callable at any time, without effect once the task closed. */
  post(run: () => void): void;
  /** As `post`, after `ms`. */
  after(ms: number, run: () => void): Cancellable;
  /** While a step holds, its task takes no further records from its inputs. */
  hold(isHeld: boolean): void;
}

export interface Node {
  process(record: AnyRecord): void;
  /** Called before each commit of its task; what it forwards then is part of it. */
  beforeCommit?(): void;
  /** Records it took in and is not done with. */
  pendingCount?(): number;
  close?(): void;
}

/** Makes a node for one task. Called again when the task is opened again. */
export type CreateNode = (context: NodeContext) => Node;
