/** Joins of two streams: each record with those of the same key whose time lies in its window. */
import type { Serde } from '../schemas/serde.ts';
import type { WindowState } from '../state-stores/window-state.ts';
import type { AnyRecord, CreateNode, NodeContext, SavedTime } from './node.ts';
import { UnjoinedRows, type Side, type UnjoinedState } from './unjoined-rows.ts';
import { expectResult, type UserFunction } from './user-function.ts';

/** Which records of the right stream a record of the left one is joined with. */
export interface JoinWindows {
  /** A record of the right stream may be this much older, ms; inclusive. Negative: must be younger. */
  readonly beforeMs: number;
  /** A record of the right stream may be this much younger, ms; inclusive. Negative: must be older. */
  readonly afterMs: number;
  /** How long after its end a window still waits for late records, ms. */
  readonly graceMs: number;
}

/** One side of a join. */
export interface StreamJoinSide {
  readonly step: string;
  readonly side: Side;
  readonly windows: JoinWindows;
  readonly joiner: UserFunction<[left: unknown, right: unknown, key: unknown], unknown>;
  /** Whether records of this side have a result without a counterpart. */
  readonly isOuter: boolean;
  readonly serdes: { readonly key: Serde<unknown>; readonly left: Serde<unknown>; readonly right: Serde<unknown> };
  /** Names of the stores of the records of both sides. */
  readonly rows: Readonly<Record<Side, string>>;
  /** Name of the store of records that wait for their windows to close; `undefined` in an inner join. */
  readonly unjoined: string | undefined;
}

/** How long a record may still be joined. */
export function retentionOf({ beforeMs, afterMs, graceMs }: JoinWindows): number {
  return beforeMs + afterMs + graceMs;
}

/** The records of one side, also several of one key and time, by their times. */
type Rows = WindowState<unknown, unknown>;

/** Later than any record. */
const never = Number.MAX_SAFE_INTEGER;

/** What both sides of one join share in one task. Times are undone with a record that fails, and survive a restart. */
interface Shared {
  readonly left: Rows;
  readonly right: Rows;
  readonly unjoined: UnjoinedRows | undefined;
  readonly streamTime: SavedTime;
  /** No record that waits is older, as far as the last look told. */
  readonly oldest: SavedTime;
}

/** By the state of the task's own store, so that both sides find the same. */
const sharedByTask = new WeakMap<object, Shared>();

function sharedOf(context: NodeContext, { rows, unjoined, serdes }: StreamJoinSide): Shared {
  const left = context.store(rows.left) as Rows;
  const present = sharedByTask.get(left);
  if (present !== undefined) return present;
  const waiting =
    unjoined === undefined ? undefined : new UnjoinedRows(context.store(unjoined) as UnjoinedState, serdes);
  const shared: Shared = {
    left,
    right: context.store(rows.right) as Rows,
    unjoined: waiting,
    streamTime: context.savedTime(),
    oldest: waiting === undefined ? { ms: never } : context.savedTime('oldest'),
  };
  if (shared.oldest.ms < 0) {
    const [oldest] = waiting?.all() ?? [];
    shared.oldest.ms = oldest?.timestampMs ?? never;
  }
  sharedByTask.set(left, shared);
  return shared;
}

/** The records of one side: each is joined with what the other side has, then kept for what comes there. */
export function streamJoinSide(join: StreamJoinSide): CreateNode {
  return (context) => {
    const side = new JoinSide(join, context);
    return {
      process: (record) => {
        side.process(record);
      },
    };
  };
}

class JoinSide {
  readonly #join: StreamJoinSide;
  readonly #context: NodeContext;
  readonly #shared: Shared;
  readonly #own: Rows;
  readonly #others: Rows;
  readonly #otherSide: Side;
  readonly #beforeMs: number;
  readonly #afterMs: number;

  constructor(join: StreamJoinSide, context: NodeContext) {
    const { side, windows } = join;
    const isLeft = side === 'left';
    this.#join = join;
    this.#context = context;
    this.#shared = sharedOf(context, join);
    this.#otherSide = isLeft ? 'right' : 'left';
    this.#own = this.#shared[side];
    this.#others = this.#shared[this.#otherSide];
    this.#beforeMs = isLeft ? windows.beforeMs : windows.afterMs;
    this.#afterMs = isLeft ? windows.afterMs : windows.beforeMs;
  }

  process(record: AnyRecord): void {
    const { key, value, timestampMs } = record;
    const { streamTime } = this.#shared;
    if (timestampMs > streamTime.ms) streamTime.ms = timestampMs;
    if (key === null && value !== null && this.#join.isOuter) {
      this.#forward(record, value, null, timestampMs);
      return;
    }
    if (key === null || value === null) {
      this.#context.drop(key === null ? 'null-key' : 'null-value');
      return;
    }
    if (timestampMs === streamTime.ms) this.#emitClosed(record);
    this.#joinWithOthers(record);
    if (!this.#own.put(key, value, { startMs: timestampMs, timestampMs })) this.#context.drop('expired');
  }

  #joinWithOthers(record: AnyRecord): void {
    const { key, value, timestampMs } = record;
    const { unjoined, streamTime, oldest } = this.#shared;
    const to = Math.max(0, timestampMs + this.#afterMs);
    const others = this.#others.fetch(key, Math.max(0, timestampMs - this.#beforeMs), to);
    for (const other of others) {
      unjoined?.remove({ timestampMs: other.timestampMs, side: this.#otherSide, key });
      this.#forward(record, value, other.value, Math.max(timestampMs, other.timestampMs));
    }
    if (others.length > 0 || !this.#join.isOuter) return;
    // Nothing that could still match is processed before stream time: it need not wait.
    if (unjoined === undefined || to < streamTime.ms) {
      this.#forward(record, value, null, timestampMs);
      return;
    }
    oldest.ms = Math.min(oldest.ms, timestampMs);
    unjoined.add({ timestampMs, side: this.#join.side, key }, value);
  }

  /**
   * Emits what waits and whose window has closed. As in Kafka Streams, whether to look is decided by the window of this side, and a look ends at
   * the first record that waits longer once both sides have such a record.
   */
  #emitClosed(record: AnyRecord): void {
    const { unjoined, streamTime, oldest } = this.#shared;
    const { graceMs } = this.#join.windows;
    if (unjoined === undefined || oldest.ms + this.#afterMs + graceMs >= streamTime.ms) return;
    oldest.ms = never;
    const isOpen = { left: false, right: false };
    const areBothOpen = (): boolean => isOpen.left && isOpen.right;
    for (const { values, ...waiting } of unjoined.all()) {
      oldest.ms = waiting.timestampMs;
      if (areBothOpen()) return;
      if (waiting.timestampMs + this.#waitMs(waiting.side) + graceMs >= streamTime.ms) {
        isOpen[waiting.side] = true;
        // Records of one key and time count one by one: the second one ends the look.
        if (values.length > 1 && areBothOpen()) return;
        continue;
      }
      for (const value of values) this.#forwardUnjoined(record, waiting, value);
      unjoined.remove(waiting);
    }
  }

  /** How long after a record of a side one of the other may come that it is joined with. */
  #waitMs(side: Side): number {
    const { afterMs, beforeMs } = this.#join.windows;
    return side === 'left' ? afterMs : beforeMs;
  }

  #forwardUnjoined(
    { headers }: AnyRecord,
    { side, key, timestampMs }: { readonly side: Side; readonly key: unknown; readonly timestampMs: number },
    value: unknown,
  ): void {
    const { joiner, step } = this.#join;
    const joined = side === 'left' ? joiner(value, null, key) : joiner(null, value, key);
    this.#context.forward({ key, value: expectResult(step, joined), timestampMs, headers });
  }

  #forward({ key, headers }: AnyRecord, own: unknown, other: unknown, timestampMs: number): void {
    const { joiner, step, side } = this.#join;
    const joined = side === 'left' ? joiner(own, other, key) : joiner(other, own, key);
    this.#context.forward({ key, value: expectResult(step, joined), timestampMs, headers });
  }
}

export type SelfJoin = Pick<StreamJoinSide, 'step' | 'windows' | 'joiner'> & { readonly rows: string };

/**
 * A stream joined with itself, from one store. The pairs are those of a join of two streams; their order is that of Kafka Streams' self-join:
 * the record with earlier ones, earlier ones with it, and between them itself, by time.
 */
export function selfJoin({ step, windows, joiner, rows }: SelfJoin): CreateNode {
  return (context) => {
    const retentionMs = retentionOf(windows);
    const kept = context.store(rows) as Rows;
    const streamTime = context.savedTime();
    return {
      process: (record) => {
        const { key, value, timestampMs, headers } = record;
        if (key === null || value === null) {
          context.drop(key === null ? 'null-key' : 'null-value');
          return;
        }
        streamTime.ms = Math.max(streamTime.ms, timestampMs);
        const emit = (left: unknown, right: unknown, otherMs: number): void => {
          const joined = expectResult(step, joiner(left, right, key));
          context.forward({ key, value: joined, timestampMs: Math.max(timestampMs, otherMs), headers });
        };
        const { beforeMs, afterMs } = windows;
        for (const other of kept.fetch(key, timestampMs - beforeMs, timestampMs + afterMs))
          emit(value, other.value, other.timestampMs);
        let meetsItself = timestampMs > streamTime.ms - retentionMs + 1;
        for (const other of kept.fetch(key, timestampMs - afterMs, timestampMs + beforeMs)) {
          if (meetsItself && other.timestampMs > timestampMs) {
            meetsItself = false;
            emit(value, value, timestampMs);
          }
          emit(other.value, value, other.timestampMs);
        }
        if (meetsItself) emit(value, value, timestampMs);
        if (!kept.put(key, value, { startMs: timestampMs, timestampMs })) context.drop('expired');
      },
    };
  };
}
