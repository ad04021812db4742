/** Kinds of windows. Times are whole milliseconds; grace is how long a window still takes records after its end. */
import { StreamError } from '../errors.ts';

/** `[start, start + sizeMs)` for every start that is a multiple of `advanceMs`, from 0 on. */
export interface TimeWindows {
  readonly kind: 'time';
  readonly sizeMs: number;
  readonly advanceMs: number;
  readonly graceMs: number;
}

/** `[t - differenceMs, t]` for each record at `t`, and `[t + 1, t + 1 + differenceMs]` once it has a later record: all different sets of records. */
export interface SlidingWindows {
  readonly kind: 'sliding';
  readonly differenceMs: number;
  readonly graceMs: number;
}

/** From the first to the last of records of a key that follow each other within `gapMs`. */
export interface SessionWindows {
  readonly kind: 'session';
  readonly gapMs: number;
  readonly graceMs: number;
}

/** When results of windows are sent on: with every record, or once when the window has closed. */
export type EmitStrategy = 'on-update' | 'on-close';

export interface EmitOptions {
  /**
   * With `on-close`: looks for closed windows at most once in so many ms of the wall clock, as Kafka Streams does every second; default 0, at
   * each record.
   */
  readonly everyMs?: number;
}

/** Whether something that may happen at most once in `everyMs` of the wall clock is due; if so, it counts as done. */
export function atMostEvery(clock: { readonly wallClockMs: number }, everyMs: number): () => boolean {
  let dueMs = -Infinity;
  return () => {
    if (clock.wallClockMs < dueMs) return false;
    dueMs = clock.wallClockMs + everyMs;
    return true;
  };
}

/** Windows that follow each other without gap or overlap. Throws `TOPOLOGY_INVALID`. */
export function tumblingWindows(options: { readonly sizeMs: number; readonly graceMs: number }): TimeWindows {
  return hoppingWindows({ ...options, advanceMs: options.sizeMs });
}

/** Windows that overlap if they advance by less than their size. Throws `TOPOLOGY_INVALID`. */
export function hoppingWindows({
  sizeMs,
  advanceMs,
  graceMs,
}: {
  readonly sizeMs: number;
  readonly advanceMs: number;
  readonly graceMs: number;
}): TimeWindows {
  expect(isDuration(sizeMs, 1), 'windows have a size of at least 1 ms');
  expect(isDuration(advanceMs, 1) && advanceMs <= sizeMs, 'windows advance by at least 1 ms and at most their size');
  expect(isDuration(graceMs, 0), 'grace is at least 0 ms');
  return Object.freeze({ kind: 'time', sizeMs, advanceMs, graceMs });
}

/** Throws `TOPOLOGY_INVALID`. */
export function slidingWindows({
  differenceMs,
  graceMs,
}: {
  readonly differenceMs: number;
  readonly graceMs: number;
}): SlidingWindows {
  expect(isDuration(differenceMs, 0), 'the time difference of sliding windows is at least 0 ms');
  expect(isDuration(graceMs, 0), 'grace is at least 0 ms');
  return Object.freeze({ kind: 'sliding', differenceMs, graceMs });
}

/** Throws `TOPOLOGY_INVALID`. */
export function sessionWindows({
  gapMs,
  graceMs,
}: {
  readonly gapMs: number;
  readonly graceMs: number;
}): SessionWindows {
  expect(isDuration(gapMs, 0), 'the gap of sessions is at least 0 ms');
  expect(isDuration(graceMs, 0), 'grace is at least 0 ms');
  return Object.freeze({ kind: 'session', gapMs, graceMs });
}

/** How long rows must be kept: until nothing can change or read them any more. */
export function retentionOf(windows: TimeWindows | SlidingWindows | SessionWindows): number {
  switch (windows.kind) {
    case 'time':
      return windows.sizeMs + windows.graceMs;
    case 'sliding':
      return 2 * windows.differenceMs + windows.graceMs;
    case 'session':
      return windows.gapMs + windows.graceMs;
  }
}

/** Start of the earliest window that holds a time. */
export function firstStart({ sizeMs, advanceMs }: TimeWindows, timestampMs: number): number {
  return Math.floor(Math.max(0, timestampMs - sizeMs + advanceMs) / advanceMs) * advanceMs;
}

function isDuration(ms: number, least: number): boolean {
  return Number.isSafeInteger(ms) && ms >= least;
}

function expect(holds: boolean, rule: string): void {
  if (!holds) throw new StreamError('TOPOLOGY_INVALID', rule);
}
