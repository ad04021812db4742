/** Holds changes of a table back: for a time, or until their windows close. After the rules of Kafka Streams 4.3. */
import { StreamError } from '../errors.ts';
import type { Windowed } from '../schemas/windowed.ts';
import type { SuppressState } from '../state-stores/suppress-buffer.ts';
import type { AnyRecord, CreateNode } from './node.ts';
import { changeOf, type TableView } from './table.ts';

/** Changes that may wait, unless the author says otherwise: at some 300 bytes of heap each. */
export const suppressedRecordsMax = 1_000_000;

export interface BufferBounds {
  /** Changes of different keys that wait at most. */
  readonly recordsMax?: number;
  /** Bytes of keys, values and what goes with them, as Kafka Streams counts them. */
  readonly bytesMax?: number;
}

/** What happens when a buffer is full: the oldest change goes on early, or the step fails with `CONFIG_INVALID`. */
export type WhenFull = 'emit-early' | 'shut-down';

/** How a table is held back. */
export interface Suppression {
  readonly until: 'time-limit' | 'window-close';
  /** With a time limit. */
  readonly limitMs: number;
  readonly recordsMax: number;
  readonly bytesMax: number;
  readonly whenFull: WhenFull;
}

/** A suppression until a time limit, of any table. */
export interface TimeLimit extends Suppression {
  readonly until: 'time-limit';
}

/** A suppression until windows close, of windowed tables. */
export interface WindowClose extends Suppression {
  readonly until: 'window-close';
}

/**
 * At most one change of a key in `limitMs` of stream time: the latest, once the first that waits is so old. Without new records nothing goes
 * on. By default a full buffer fails, and takes a million changes. Throws `TOPOLOGY_INVALID`.
 */
export function untilTimeLimit(
  limitMs: number,
  bounds: BufferBounds & { readonly whenFull?: WhenFull } = {},
): TimeLimit {
  if (!(limitMs >= 0)) throw new StreamError('TOPOLOGY_INVALID', 'a time limit is at least 0 ms');
  return Object.freeze({ until: 'time-limit', limitMs, ...limitsOf(bounds), whenFull: bounds.whenFull ?? 'shut-down' });
}

/**
 * The last change of each window, once stream time passes its end and grace. Deletes are left out: a session that was swallowed never shows. A
 * full buffer fails, as what is not final must not go on. Throws `TOPOLOGY_INVALID`.
 */
export function untilWindowCloses(bounds: BufferBounds = {}): WindowClose {
  return Object.freeze({ until: 'window-close', limitMs: 0, ...limitsOf(bounds), whenFull: 'shut-down' });
}

function limitsOf({ recordsMax = suppressedRecordsMax, bytesMax = Infinity }: BufferBounds): Required<BufferBounds> {
  if (!(recordsMax >= 0 && bytesMax >= 0))
    throw new StreamError('TOPOLOGY_INVALID', 'a buffer has bounds of at least 0');
  return { recordsMax, bytesMax };
}

export interface SuppressStep {
  readonly step: string;
  readonly store: string;
  readonly how: Suppression;
  /** How long after the first change of a key, or after the end of its window, it goes on. */
  readonly waitMs: number;
}

export function suppress({ step, store, how, waitMs }: SuppressStep): CreateNode {
  const { recordsMax, bytesMax, whenFull } = how;
  const isFinal = how.until === 'window-close';
  return (context) => {
    const state = context.store(store) as SuppressState<unknown, unknown>;
    const streamTime = context.savedTime();
    const isOverfull = (): boolean => state.count > recordsMax || state.bytes > bytesMax;
    const emit = (): void => {
      const first = state.first();
      if (first === undefined) return;
      const { key, change } = first;
      const { newValue, oldValue, timestampMs, headers } = change;
      if (newValue !== null || !isFinal) context.forward({ key, value: { newValue, oldValue }, timestampMs, headers });
      state.removeFirst();
    };
    const hold = (record: AnyRecord): void => {
      const { timestampMs, headers } = record;
      const { newValue, oldValue } = changeOf(record);
      const { topic, partition, offset } = context.metadata ?? { topic: '', partition: context.partition, offset: -1 };
      const timeMs = isFinal ? (record.key as Windowed<unknown>).endMs : timestampMs;
      const change = { newValue, oldValue, timestampMs, headers };
      state.put(record.key, change, { timeMs, origin: { topic, partition, offset } });
    };
    return {
      process: (record) => {
        if (record.timestampMs > streamTime.ms) streamTime.ms = record.timestampMs;
        hold(record);
        const dueMs = streamTime.ms - waitMs;
        while (state.firstMs <= dueMs) emit();
        if (!isOverfull()) return;
        if (whenFull === 'shut-down') throw full(step, how, state);
        while (isOverfull() && state.count > 0) emit();
      },
    };
  };
}

function full(
  step: string,
  { recordsMax, bytesMax }: Suppression,
  { count, bytes }: SuppressState<unknown, unknown>,
): StreamError {
  return new StreamError('CONFIG_INVALID', `step ${step}: buffer exceeded its max capacity`, {
    facts: { step, count, recordsMax, bytes, bytesMax },
  });
}

/** The rows of a suppressed table: as they were before what waits. */
export function suppressedView(parent: TableView, store: string): TableView {
  return {
    stores: [store, ...parent.stores],
    open: (context) => {
      const state = context.store(store) as SuppressState<unknown, unknown>;
      const read = parent.open(context);
      return (key) => {
        const prior = state.prior(key);
        if (prior === undefined) return read(key);
        // When the row had come about is not known, as in Kafka Streams: any other time is later.
        return prior.value === null ? undefined : { value: prior.value, timestampMs: -1 };
      };
    },
  };
}
