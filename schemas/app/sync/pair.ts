/** What is known of two rows that belong together. Internal: written and read by one step only. */
import { jsonSerde } from '../../../index.ts';
import type { EntityName, Side } from './entities.ts';
import type { SyncCommand } from './command.ts';
import type { RowImage, Value, Values } from './values.ts';

/** What a field is to be, as the side that said so has it. */
export interface WantedField {
  readonly value: Value;
  readonly side: Side;
  /** Microseconds. */
  readonly clock: number;
}

/** A command whose effect has not come back yet. */
export interface Write {
  readonly operation: SyncCommand['operation'];
  readonly eventId: string;
  readonly version: number;
  /** What it writes, by field. */
  readonly values: Values;
  /** Rows that say they are ours, before it is known which one is. */
  readonly unplaced: readonly RowImage[];
}

/** A value that the database made of another one when we wrote it: a trigger, a type that pads. */
export interface Rewritten {
  readonly wrote: Value;
  readonly became: Value;
}

/** One side of a pair. */
export interface PairSide {
  /** Of the row; once known the same for ever. */
  readonly id?: string;
  /** The row as its changes last showed it; absent: there is none. */
  readonly seen?: Values;
  readonly position?: readonly number[];
  /** Whether `position` is that of a snapshot: changes may begin there. */
  readonly isSnapshot?: boolean;
  /** Highest version issued or seen. */
  readonly version: number;
  readonly writing?: Write;
  readonly rewritten: Readonly<Record<string, Rewritten>>;
  /** The SQL state with which the last write was refused, until it is tried again. */
  readonly refused?: string;
}

export interface Pair {
  readonly mapId: string;
  readonly entity: EntityName;
  readonly wanted: Readonly<Record<string, WantedField>>;
  /** The row is to be nowhere. */
  readonly deleted?: { readonly side: Side; readonly clock: number };
  readonly legacy: PairSide;
  readonly revamp: PairSide;
  readonly patience?: Patience;
}

export const pairSerde = jsonSerde<Pair>();

/** Why a pair does not go on. */
export interface Waiting {
  readonly side: Side;
  /** Another row has no counterpart yet, or the database refused what was written. */
  readonly reason: 'reference' | 'refused';
}

/** Since when a pair waits, and when it is looked at again; kept until something of it succeeds. */
export interface Patience extends Waiting {
  readonly sinceMs: number;
  readonly dueMs: number;
}
