/** Aggregations by key and window, after the rules of Kafka Streams 4.3. */
import type { WindowEntry, WindowState } from '../state-stores/window-state.ts';
import type { Windowed } from '../schemas/windowed.ts';
import type { AnyRecord, CreateNode, NodeContext, SavedTime } from './node.ts';
import { expectResult, type UserFunction } from './user-function.ts';
import { atMostEvery, firstStart, type EmitStrategy, type SlidingWindows, type TimeWindows } from './windows.ts';

type Combine = UserFunction<[aggregate: unknown, value: unknown, key: unknown], unknown>;

export interface WindowAggregation<W> {
  readonly step: string;
  readonly store: string;
  readonly windows: W;
  readonly emit: EmitStrategy;
  readonly emitEveryMs: number;
  /** `null`: no aggregate before the first record. */
  readonly initial: () => unknown;
  readonly add: Combine;
}

type Windows = WindowState<unknown, unknown>;

/** An aggregate of one window. */
interface Aggregate {
  readonly startMs: number;
  readonly value: unknown;
  readonly timestampMs: number;
}

/** Adds each record to the windows it lies in; each window that has closed for it counts as one late drop. */
export function aggregateTimeWindows(how: WindowAggregation<TimeWindows>): CreateNode {
  const { step, store, windows, add, initial } = how;
  const { sizeMs, advanceMs, graceMs } = windows;
  return (context) => {
    const state = context.store(store) as Windows;
    const results = new WindowResults(context, how, { state, sizeMs });
    const closing = how.emit === 'on-close' ? new ClosingTimeWindows(context, windows, results) : undefined;
    const isDue = atMostEvery(context, how.emitEveryMs);
    const streamTime = context.savedTime();
    return {
      process: (record) => {
        const { key, value, timestampMs } = record;
        if (key === null) {
          context.drop('null-key');
          return;
        }
        observe(streamTime, timestampMs);
        const closeMs = streamTime.ms - graceMs;
        for (let startMs = firstStart(windows, timestampMs); startMs <= timestampMs; startMs += advanceMs) {
          if (startMs + sizeMs <= closeMs) {
            context.drop('late');
            continue;
          }
          const row = state.get(key, startMs);
          const before = row === undefined ? expectResult(step, initial()) : row.value;
          const newValue = expectResult(step, add(before, value, key));
          const time = row === undefined ? timestampMs : Math.max(timestampMs, row.timestampMs);
          results.update(record, row?.value ?? null, { startMs, value: newValue, timestampMs: time });
        }
        if (closing !== undefined && isDue()) closing.emit(record, closeMs);
      },
    };
  };
}

/** What became of windows: into the store, and on as changes. */
class WindowResults {
  readonly state: Windows;
  readonly #context: NodeContext;
  readonly #emitsUpdates: boolean;
  readonly #sizeMs: number;

  constructor(
    context: NodeContext,
    { emit }: WindowAggregation<unknown>,
    { state, sizeMs }: { readonly state: Windows; readonly sizeMs: number },
  ) {
    this.state = state;
    this.#context = context;
    this.#emitsUpdates = emit === 'on-update';
    this.#sizeMs = sizeMs;
  }

  /** `before`: the value that was there; null: none was. */
  update(record: AnyRecord, before: unknown, { startMs, value, timestampMs }: Aggregate): void {
    const oldValue = isReused(before, value) ? (this.state.get(record.key, startMs)?.value ?? null) : before;
    if (value === null) this.state.delete(record.key, startMs);
    else if (!this.state.put(record.key, value, { startMs, timestampMs })) this.#context.drop('expired');
    if (!this.#emitsUpdates) return;
    const key: Windowed<unknown> = { key: record.key, startMs, endMs: startMs + this.#sizeMs };
    this.#context.forward({ key, value: { newValue: value, oldValue }, timestampMs, headers: record.headers });
  }

  /** Sends on what closed windows hold, by start, then by key. */
  close(record: AnyRecord, entries: readonly WindowEntry<unknown, unknown>[]): void {
    for (const { key, startMs, value, timestampMs } of entries) {
      const windowed: Windowed<unknown> = { key, startMs, endMs: startMs + this.#sizeMs };
      const change = { newValue: value, oldValue: null };
      this.#context.forward({ key: windowed, value: change, timestampMs, headers: record.headers });
    }
  }
}

/** Sends windows on once they have closed; how far it came is kept with the offsets, so that a restart repeats nothing. */
class ClosingTimeWindows {
  readonly #windows: TimeWindows;
  readonly #results: WindowResults;
  readonly #closed: SavedTime;

  constructor(context: NodeContext, windows: TimeWindows, results: WindowResults) {
    this.#windows = windows;
    this.#results = results;
    this.#closed = context.savedTime('closed');
  }

  /** All windows that end at `closeMs` or earlier. */
  emit(record: AnyRecord, closeMs: number): void {
    const closed = this.#closed;
    const { sizeMs } = this.#windows;
    const to = closeMs - sizeMs;
    if (to < 0 || closeMs <= closed.ms) return;
    const from = closed.ms === -1 ? 0 : Math.max(0, closed.ms - sizeMs) + 1;
    if (closed.ms !== -1 && this.#sameWindows(from - 1, to)) return;
    this.#results.close(record, this.#results.state.fetchAll(from, to));
    closed.ms = closeMs;
    this.#results.state.passBy(Math.max(0, closeMs - sizeMs) + 1);
  }

  /** Whether two times lie in the same windows: then none has closed in between. */
  #sameWindows(a: number, b: number): boolean {
    const { advanceMs } = this.#windows;
    const isSameLast = Math.floor(a / advanceMs) === Math.floor(b / advanceMs);
    return isSameLast && firstStart(this.#windows, a) === firstStart(this.#windows, b);
  }
}

/**
 * Adds each record to all sets of records that lie within the time difference and that it makes: the windows that hold it, the window that ends
 * with it, the one that begins behind the record before it, and the one that begins behind itself.
 */
export function aggregateSlidingWindows(how: WindowAggregation<SlidingWindows>): CreateNode {
  const { differenceMs, graceMs } = how.windows;
  return (context) => {
    const state = context.store(how.store) as Windows;
    const results = new WindowResults(context, how, { state, sizeMs: differenceMs });
    const closed = how.emit === 'on-close' ? context.savedTime('closed') : undefined;
    const isDue = atMostEvery(context, how.emitEveryMs);
    const streamTime = context.savedTime();
    return {
      process: (record) => {
        const { key, value, timestampMs } = record;
        if (key === null || value === null) {
          context.drop(key === null ? 'null-key' : 'null-value');
          return;
        }
        observe(streamTime, timestampMs);
        const closeMs = streamTime.ms - graceMs;
        if (timestampMs + differenceMs < closeMs) {
          context.drop('late');
          return;
        }
        const update = new SlidingUpdate(context, how, { results, record, closeMs });
        if (timestampMs < differenceMs) {
          // As in Kafka Streams, such a record closes no windows.
          update.runEarly();
          return;
        }
        update.run();
        if (closed !== undefined && isDue()) emitClosedSliding(closed, results, { record, closeMs, differenceMs });
      },
    };
  };
}

/** All windows that end before `closeMs`: the end of a sliding window belongs to it. */
function emitClosedSliding(
  closed: SavedTime,
  results: WindowResults,
  {
    record,
    closeMs,
    differenceMs,
  }: { readonly record: AnyRecord; readonly closeMs: number; readonly differenceMs: number },
): void {
  const to = closeMs - differenceMs - 1;
  if (to < 0 || (closed.ms !== -1 && closeMs <= closed.ms)) return;
  const from = closed.ms === -1 ? 0 : Math.max(0, closed.ms - differenceMs);
  results.close(record, results.state.fetchAll(from, to));
  closed.ms = closeMs;
  results.state.passBy(Math.max(0, closeMs - differenceMs));
}

/** What one record does to the sliding windows of its key. */
class SlidingUpdate {
  readonly #context: NodeContext;
  readonly #how: WindowAggregation<SlidingWindows>;
  readonly #results: WindowResults;
  readonly #record: AnyRecord;
  readonly #closeMs: number;
  /** The aggregate of the records behind this one, as far as it is known. */
  #behind: Aggregate | undefined;
  /** Time of the latest record before this one, as far as it matters. */
  #previousMs: number | undefined;
  readonly #starts = new Set<number>();

  constructor(
    context: NodeContext,
    how: WindowAggregation<SlidingWindows>,
    on: { readonly results: WindowResults; readonly record: AnyRecord; readonly closeMs: number },
  ) {
    this.#context = context;
    this.#how = how;
    this.#results = on.results;
    this.#record = on.record;
    this.#closeMs = on.closeMs;
  }

  /** Latest windows first. */
  run(): void {
    const { timestampMs } = this.#record;
    const { differenceMs } = this.#how.windows;
    let before: Aggregate | undefined;
    let isLeftThere = false;
    for (const row of this.#fetch(Math.max(0, timestampMs - 2 * differenceMs)).toReversed()) {
      this.#starts.add(row.startMs);
      const endMs = row.startMs + differenceMs;
      if (row.startMs === timestampMs + 1) continue;
      if (endMs < timestampMs) {
        before = row;
        this.#previousMs = row.timestampMs;
        break;
      }
      if (endMs === timestampMs) {
        isLeftThere = true;
        this.#add(row, row.value);
        // There was a record of this very time: all its windows are there.
        if (row.timestampMs >= timestampMs) return;
        this.#previousMs = row.timestampMs;
      } else {
        this.#behind ??= row;
        this.#add(row, row.value);
      }
    }
    this.#create(before, isLeftThere);
  }

  #create(before: Aggregate | undefined, isLeftThere: boolean): void {
    const { timestampMs } = this.#record;
    const { differenceMs } = this.#how.windows;
    const previousMs = this.#previousMs;
    if (previousMs !== undefined && previousMs + 1 + differenceMs >= timestampMs) this.#startBehind(previousMs);
    if (!isLeftThere) {
      const holdsPrevious = previousMs !== undefined && timestampMs - differenceMs <= previousMs;
      const value = holdsPrevious && before !== undefined ? before.value : this.#initial();
      this.#add({ startMs: timestampMs - differenceMs, value, timestampMs }, null);
    }
    this.#createBehind();
  }

  /** Records near time 0 share the window that begins there: windows do not begin before. */
  runEarly(): void {
    const { timestampMs } = this.#record;
    const first = this.#addEarly();
    if (first !== undefined && first.timestampMs < timestampMs) this.#previousMs = first.timestampMs;
    // Without a window in between, all records of the first one lie behind this one.
    if (first !== undefined && first.timestampMs > timestampMs) this.#behind ??= first;
    this.#createBehind();
    if (this.#previousMs !== undefined) this.#startBehind(this.#previousMs);
    this.#add(first ?? { startMs: 0, value: this.#initial(), timestampMs }, first?.value ?? null);
  }

  /** Adds an early record to the windows that hold it, but for the first one, which it returns as it is. */
  #addEarly(): Aggregate | undefined {
    let first: Aggregate | undefined;
    for (const row of this.#fetch(0)) {
      this.#starts.add(row.startMs);
      if (row.startMs === 0) first = row;
      else if (row.startMs <= this.#record.timestampMs) {
        this.#behind = row;
        this.#add(row, row.value);
      }
    }
    return first;
  }

  /** Up to the window that begins behind this record. */
  #fetch(fromMs: number): readonly Aggregate[] {
    return this.#results.state.fetch(this.#record.key, fromMs, this.#record.timestampMs + 1);
  }

  /** The window that begins behind an earlier record holds this one first. */
  #startBehind(earlierMs: number): void {
    const startMs = earlierMs + 1;
    if (this.#starts.has(startMs)) return;
    this.#add({ startMs, value: this.#initial(), timestampMs: this.#record.timestampMs }, null);
  }

  /** The window that begins behind this record, if later records are known. */
  #createBehind(): void {
    const startMs = this.#record.timestampMs + 1;
    const behind = this.#behind;
    if (this.#starts.has(startMs) || behind === undefined || behind.timestampMs < startMs) return;
    this.#results.update(this.#record, null, { startMs, value: behind.value, timestampMs: behind.timestampMs });
  }

  /** Adds the record to an aggregate; `before`: what its window held. */
  #add({ startMs, value: base, timestampMs }: Aggregate, before: unknown): void {
    if (startMs + this.#how.windows.differenceMs < this.#closeMs) {
      this.#context.drop('late');
      return;
    }
    const record = this.#record;
    const value = expectResult(this.#how.step, this.#how.add(base, record.value, record.key));
    const time = base === null ? record.timestampMs : Math.max(record.timestampMs, timestampMs);
    this.#results.update(record, before, { startMs, value, timestampMs: time });
  }

  #initial(): unknown {
    return expectResult(this.#how.step, this.#how.initial());
  }
}

/** A value that was changed in place does not tell what it was: what the store shares is frozen, anything else it decodes anew. */
function isReused(before: unknown, value: unknown): boolean {
  return before === value && typeof before === 'object' && before !== null && !Object.isFrozen(before);
}

function observe(streamTime: SavedTime, timestampMs: number): void {
  if (timestampMs > streamTime.ms) streamTime.ms = timestampMs;
}
