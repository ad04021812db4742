import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { hoppingWindows, sessionWindows, slidingWindows } from '../../index.ts';
import { count, type Piped } from '../support/windows.ts';

/** Few keys and times, so that windows meet; without grace running out. */
const records: fc.Arbitrary<Piped[]> = fc.array(
  fc
    .tuple(fc.constantFrom('a', 'b'), fc.integer({ min: 0, max: 60 }))
    .map(([key, timestampMs]): Piped => [key, timestampMs]),
  { maxLength: 40 },
);

const graceMs = 1_000;

/** What each window was said to be last; those that were deleted are left out. */
function latest(steps: readonly (readonly string[])[]): ReadonlyMap<string, string> {
  const rows = new Map<string, string>();
  for (const shown of steps.flat()) {
    const [window = '', result = ''] = shown.split('=');
    if (result.startsWith('null')) rows.delete(window);
    else rows.set(window, result.split('/')[0] ?? '');
  }
  return rows;
}

/** Counts of windows that hold at least one record. */
function counted(
  all: readonly Piped[],
  windows: Iterable<readonly [startMs: number, endMs: number]>,
  isEndIn: boolean,
) {
  const rows = new Map<string, string>();
  for (const [startMs, endMs] of windows)
    for (const key of ['a', 'b']) {
      const held = all.filter(
        ([other, time]) => other === key && time >= startMs && (isEndIn ? time <= endMs : time < endMs),
      );
      if (held.length > 0) rows.set(`${key}@${String(startMs)}..${String(endMs)}`, String(held.length));
    }
  return rows;
}

const sorted = (rows: ReadonlyMap<string, string>): readonly (readonly string[])[] => [...rows].sort();

describe('windowed counts are those of a naive count over all records', () => {
  test('in hopping windows', () => {
    fc.assert(
      fc.property(records, fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 20 }), (all, size, advance) => {
        const [sizeMs, advanceMs] = [Math.max(size, advance), Math.min(size, advance)];
        const starts = Array.from({ length: Math.ceil(61 / advanceMs) }, (_, index) => index * advanceMs);
        const expected = counted(
          all,
          starts.map((startMs) => [startMs, startMs + sizeMs] as const),
          false,
        );
        const result = count(all, { windows: hoppingWindows({ sizeMs, advanceMs, graceMs }) });
        expect(sorted(latest(result.steps))).toEqual(sorted(expected));
        expect(result.drops.size).toBe(0);
      }),
      { numRuns: 40 },
    );
  });

  test('in sliding windows: one that ends with each record, one that begins behind each record with a later one in it', () => {
    fc.assert(
      fc.property(records, fc.integer({ min: 0, max: 20 }), (all, differenceMs) => {
        const rows = new Map<string, string>();
        for (const [key, time] of all) {
          const own = all.filter(([other]) => other === key);
          const early = own.some(([, other]) => other < differenceMs) ? [0] : [];
          for (const startMs of [Math.max(0, time - differenceMs), time + 1, ...early])
            for (const [window, held] of counted(own, [[startMs, startMs + differenceMs]], true))
              rows.set(window, held);
        }
        // The shared window of early records holds them alone.
        const result = count(all, { windows: slidingWindows({ differenceMs, graceMs }) });
        expect(sorted(latest(result.steps))).toEqual(sorted(rows));
      }),
      { numRuns: 60 },
    );
  });

  test('in sessions: runs of records that follow each other within the gap', () => {
    fc.assert(
      fc.property(records, fc.integer({ min: 0, max: 12 }), (all, gapMs) => {
        const rows = new Map<string, string>();
        for (const key of ['a', 'b']) {
          const times = all
            .filter(([other]) => other === key)
            .map(([, time]) => time)
            .sort((a, b) => a - b);
          let session: number[] = [];
          const close = (): void => {
            if (session.length > 0)
              rows.set(`${key}@${String(session[0])}..${String(session.at(-1))}`, String(session.length));
          };
          for (const time of times) {
            const before = session.at(-1);
            if (before !== undefined && time - before > gapMs) {
              close();
              session = [];
            }
            session.push(time);
          }
          close();
        }
        const result = count(all, { windows: sessionWindows({ gapMs, graceMs }) });
        expect(sorted(latest(result.steps))).toEqual(sorted(rows));
      }),
      { numRuns: 60 },
    );
  });

  test('emitted on close are the last updates of the windows that have closed, in order of time, then of key', () => {
    fc.assert(
      fc.property(records, fc.integer({ min: 1, max: 20 }), fc.integer({ min: 0, max: 20 }), (all, sizeMs, shortMs) => {
        const windows = hoppingWindows({ sizeMs, advanceMs: sizeMs, graceMs: shortMs });
        const updates = latest(count(all, { windows }).steps);
        const streamTimeMs = Math.max(-1, ...all.map(([, time]) => time));
        const closed = [...updates].filter(([window]) => Number(window.split('..')[1]) <= streamTimeMs - shortMs);
        const finals = count(all, { windows, emit: 'on-close' }).steps.flat();
        const startOf = (window = ''): number => Number(/@(\d+)/.exec(window)?.[1]);
        const order = ([a]: readonly string[], [b]: readonly string[]): number =>
          startOf(a) - startOf(b) || ((a ?? '') < (b ?? '') ? -1 : 1);
        expect(finals.map((shown) => shown.split('/')[0]?.split('='))).toEqual(
          closed.sort(order).map(([w, v]) => [w, v]),
        );
      }),
      { numRuns: 40 },
    );
  });
});
