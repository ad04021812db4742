import type { Row } from './group-page.ts';
import type { Group } from './group.ts';
import type { TimeIndex } from './time-index.ts';

/** A row as it was before a write. */
interface Replaced<T> {
  readonly group: Group<T>;
  readonly row: Row<T>;
  readonly stored: Uint8Array | undefined;
  readonly value: T | undefined;
  readonly timestampMs: number;
}

/** What of a store of groups was as it was when an attempt began. */
export interface AttemptStart {
  readonly timeMs: number;
  readonly dirtyCount: number;
  readonly uncommittedBytes: number;
}

/** The rows that one record wrote, as they were before. */
export class GroupAttempt<T> {
  readonly start: AttemptStart;
  /** Put off until it is known that the record stays. */
  forgetBefore: number | undefined;
  readonly #rows: Replaced<T>[] = [];

  constructor(start: AttemptStart) {
    this.start = start;
  }

  /** To be called before each write. */
  remember(group: Group<T>, row: Row<T>): void {
    const { stored, value, timestampMs } = row;
    this.#rows.push({ group, row, stored, value, timestampMs });
  }

  undo(index: TimeIndex | undefined): void {
    for (const replaced of this.#rows.toReversed()) restore(replaced, index);
  }
}

function restore<T>(replaced: Replaced<T>, index: TimeIndex | undefined): void {
  const { group, row, stored, value, timestampMs } = replaced;
  const isThere = row.stored !== undefined;
  if (stored === undefined) {
    index?.delete(row, group.name.name);
    if (isThere) group.remove(row);
  } else if (isThere) group.write(row, stored);
  else {
    index?.add(row, group.name.name);
    group.putBack(row, stored);
  }
  row.value = value;
  row.timestampMs = timestampMs;
}
