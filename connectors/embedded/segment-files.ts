/** How the files of a partition are named, and how compaction replaces some of them in one step. */
import type { Storage } from './storage.ts';

export function segmentName(baseOffset: number): string {
  return `${padded(baseOffset)}.log`;
}

export function isSegmentName(name: string): boolean {
  return /^\d{20}\.log$/.test(name);
}

export function baseOffsetOf(name: string): number {
  return Number(name.slice(0, 20));
}

/** Under this name a cleaned segment is written; it counts for nothing. */
export function cleanedName(baseOffset: number): string {
  return `${padded(baseOffset)}.cleaned`;
}

/** Under this name a cleaned segment replaces those that begin from `baseOffset` on and below `nextOffset`. */
export function swapName(baseOffset: number, nextOffset: number): string {
  return `${padded(baseOffset)}-${padded(nextOffset)}.swap`;
}

/** Completes replacements that were decided and drops what was not. Run at opening, and after a `.swap` file was made. */
export function finishSwaps(storage: Storage, directory: string): void {
  const names = storage.list(directory);
  for (const name of names) {
    if (name.endsWith('.cleaned')) storage.remove(`${directory}/${name}`);
    const [, from, until] = /^(\d{20})-(\d{20})\.swap$/.exec(name) ?? [];
    if (from === undefined) continue;
    for (const old of names.filter(isSegmentName))
      if (baseOffsetOf(old) >= Number(from) && baseOffsetOf(old) < Number(until)) storage.remove(`${directory}/${old}`);
    storage.rename(`${directory}/${name}`, `${directory}/${from}.log`);
  }
}

function padded(offset: number): string {
  return String(offset).padStart(20, '0');
}
