/** Rows as both sides understand them, and what is told of them from step to step. */
import type { RowRef } from './entities.ts';

export type Value = string | null;

/** By field. */
export type Values = Readonly<Record<string, Value>>;

/** What our last write to a row left in it. */
export interface Stamp {
  /** 0: we never wrote it. */
  readonly version: number;
  readonly eventId?: string;
  /** Of the pair that we made the row for. */
  readonly mapId?: string;
}

/** A row right after a change, or its end. */
export interface RowImage extends RowRef {
  /** `snapshot`: as it was found, possibly after several changes. */
  readonly kind: 'change' | 'snapshot' | 'deletion';
  /** What of the row was sent; of a deletion nothing. */
  readonly values: Values;
  readonly stamp: Stamp;
  /** In the log of its database: numbers that only ever grow, compared from the left. */
  readonly position: readonly number[];
  /** Microseconds: when it happened there. */
  readonly clock: number;
}

/** What reaches a pair beside the changes of its rows. */
export type SyncSignal =
  | { readonly kind: 'image'; readonly image: RowImage }
  /** The pair has waited for too long. */
  | { readonly kind: 'expired' };

export function comparePositions(left: readonly number[], right: readonly number[]): number {
  const length = Math.max(left.length, right.length);
  for (let index = 0; index < length; index += 1) {
    const difference = (left[index] ?? 0) - (right[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}
