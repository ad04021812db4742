/** What the builder remembers behind each handle. */
import type { TableView } from '../processors/table.ts';
import type { Serde } from '../schemas/serde.ts';
import type { Declaration } from './declaration.ts';
import type { ErrorPolicy } from './error-policy.ts';

/** What every handle has: the step its records come from, and what is known of them. */
interface HandleState<K, V> {
  readonly declaration: Declaration;
  readonly node: string;
  /** `undefined` where a step changed the type and nobody said how to write it. */
  readonly key: Serde<K> | undefined;
  readonly value: Serde<V> | undefined;
  /** For steps declared from here on. */
  readonly onError: ErrorPolicy | undefined;
}

export interface StreamState<K, V> extends HandleState<K, V> {
  /** The key may differ from the one by which the records were partitioned: steps that depend on it repartition first. */
  readonly keyChanged: boolean;
}

/** Of the rows of a table: only to read them; also what deleted ones were; or what each one was before each change. */
export type TableNeed = 'rows' | 'deleted' | 'changes';

export interface TableState<K, V> extends HandleState<K, V> {
  readonly view: TableView;
  /** Called by steps that read the table's rows or must know what they were: a topic's table keeps its rows only then, or if it has a store. */
  readonly keep: (need: TableNeed) => void;
  /** Called by steps that look at what rows were if their table keeps its rows by then, and do without if not. Returns whether it does. */
  readonly compare: () => boolean;
  /** Of a table of those rows of another one that match. */
  readonly matching?: MatchingRows | undefined;
  /** Of a windowed table: how long after the end of a window its rows may still change. */
  readonly closesAfterMs?: number | undefined;
}

export interface GlobalTableState<K, V> {
  readonly declaration: Declaration;
  /** The name of its global store. */
  readonly store: string;
  readonly key: Serde<K>;
  readonly value: Serde<V>;
}

/** Grouped by its key; still to be repartitioned, under the name of the aggregation, if the key changed. */
export type GroupedState<K, V> = StreamState<K, V>;

/** Changes of rows, as they come out of the repartition topic of the group. */
export type GroupedTableState<K, V> = HandleState<K, V>;

/** What is known only later of the step that leaves out rows. */
export interface MatchingRows {
  /** Whether nothing is sent on of a row that neither matches nor matched. */
  leavesOut: boolean;
  /** Whether they are kept: then their store knows what matched, and its step decides. */
  areKept: boolean;
}

/** Of a table whose rows are kept anyway, and whose changes say what they were. */
export const isKept: Pick<TableState<unknown, unknown>, 'keep' | 'compare'> = {
  keep: () => undefined,
  compare: () => true,
};

/** A serde of values that are known to be `T` although the type of the stream says more or less: what is read is what was written. */
export function assumeSerde<T>(serde: Serde<unknown> | undefined): Serde<T> | undefined {
  return serde as Serde<T> | undefined;
}

/** Serdes of different types may still be one and the same. */
export function sameSerde(a: Serde<unknown> | undefined, b: Serde<unknown> | undefined): boolean {
  return a === b;
}
