/** Keys and rows of the engine as the cases write them. */
import type { Windowed } from '../../index.ts';
import type { DriverRow } from '../../testing.ts';
import type { ConformanceCase, Output, WindowedKey } from './format.ts';

/** A key as it is; a windowed one with the type of its window. */
export function renderKey({ params }: ConformanceCase, key: unknown): unknown {
  if (!isWindowed(key)) return key;
  const { startMs: start, endMs: end, type = params.windows === 'session' ? 'session' : 'time' } = key;
  return { key: key.key, start, end, type };
}

/** An input as the engine has it. */
export function parseKey(key: unknown): unknown {
  if (typeof key !== 'object' || key === null || !('start' in key)) return key;
  const { key: inner, start, end, type } = key as WindowedKey;
  return { key: inner, startMs: start, endMs: end, type };
}

/** Changes name their parts as the engine does. */
export function parseValue(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || !('new' in value)) return value;
  const { new: newValue, old: oldValue = null } = value as { readonly new: unknown; readonly old?: unknown };
  return { newValue, oldValue };
}

export function renderRows(of: ConformanceCase, rows: readonly DriverRow<unknown, unknown>[]): Output[] {
  return rows.map(({ key, value, timestampMs }) => ({ key: renderKey(of, key), value, ts: timestampMs }));
}

function isWindowed(key: unknown): key is Windowed<unknown> & { readonly type?: string } {
  return typeof key === 'object' && key !== null && 'startMs' in key && 'endMs' in key;
}
