/** Keys and rows of the engine as the cases write them. */
import type { Windowed } from '../../index.ts';
import type { DriverRow } from '../../testing.ts';
import type { ConformanceCase, Output } from './format.ts';

/** A key as it is; a windowed one with the type of its window. */
export function renderKey({ params }: ConformanceCase, key: unknown): unknown {
  if (!isWindowed(key)) return key;
  return { key: key.key, start: key.startMs, end: key.endMs, type: params.windows === 'session' ? 'session' : 'time' };
}

export function renderRows(of: ConformanceCase, rows: readonly DriverRow<unknown, unknown>[]): Output[] {
  return rows.map(({ key, value, timestampMs }) => ({ key: renderKey(of, key), value, ts: timestampMs }));
}

function isWindowed(key: unknown): key is Windowed<unknown> {
  return typeof key === 'object' && key !== null && 'startMs' in key && 'endMs' in key;
}
