/** The time of a store of grouped rows, kept beside its pages. */
import { asBuffer, readUint64, writeUint64 } from './group-key.ts';
import type { KeyValueStore, StoreBatch } from './store.ts';

/** Behind all pages: these begin with the number of their segment, far below. */
export const timeKey: Uint8Array = Buffer.of(0xff);

/** -1 in a fresh store. */
export function readTime(store: KeyValueStore): number {
  const bytes = store.get(timeKey);
  return bytes === undefined ? -1 : readUint64(asBuffer(bytes), 0);
}

export function writeTime(batch: StoreBatch, timeMs: number): void {
  const bytes = Buffer.allocUnsafe(8);
  writeUint64(bytes, timeMs, 0);
  batch.put(timeKey, bytes);
}
