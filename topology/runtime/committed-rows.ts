/** What queries read of an open store. */
import { StreamError } from '../../errors.ts';
import type { Entry } from '../../state-stores/store.ts';
import type { StoreLayers, TimeBounds } from '../../state-stores/store-layers.ts';

/** Throws `QUERY_INVALID` where a time is given of a store that keeps no versions. */
export function committedAt(layers: StoreLayers, key: Uint8Array, asOfMs: number | undefined): Uint8Array | undefined {
  if (asOfMs === undefined) return layers.committedGet(key);
  if (layers.committedAsOf !== undefined) return layers.committedAsOf(key, asOfMs);
  throw new StreamError('QUERY_INVALID', 'the store keeps no earlier versions', { facts: { store: layers.name } });
}

/** Throws `QUERY_INVALID` for a store without windows. */
export function committedRows(layers: StoreLayers, group: Uint8Array, bounds: TimeBounds): Iterable<Entry> {
  const rows = layers.committedRows?.(group, bounds);
  if (rows !== undefined) return rows;
  throw new StreamError('QUERY_INVALID', 'the store has no windows', { facts: { store: layers.name } });
}
