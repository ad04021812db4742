/** Keys and rows of the engine as the cases write them. */
import type { DriverRow } from '../../testing.ts';
import type { ConformanceCase, Output } from './format.ts';

/** A key as it is; windowed keys with the type of their window. */
export function renderKey(_of: ConformanceCase, key: unknown): unknown {
  return key;
}

export function renderRows(of: ConformanceCase, rows: readonly DriverRow<unknown, unknown>[]): Output[] {
  return rows.map(({ key, value, timestampMs }) => ({ key: renderKey(of, key), value, ts: timestampMs }));
}
