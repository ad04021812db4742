/** Tables: rows kept in timestamped stores, derived tables computed from them, and the changes that flow between them. */
import { StreamError } from '../errors.ts';
import type { Change } from '../schemas/record.ts';
import type { Timestamped, TimestampedState } from '../state-stores/typed-store.ts';
import type { SessionState, WindowState } from '../state-stores/window-state.ts';
import type { Windowed } from '../schemas/windowed.ts';
import type { AnyRecord, CreateNode, NodeContext } from './node.ts';
import { expectResult, expectVerdict, type UserFunction } from './user-function.ts';

export type Row = Timestamped<unknown>;

/** The rows of a store, `undefined` where there is none. */
export type RowState = TimestampedState<unknown, unknown>;

/** Reads the row of a key as it is now. */
export type RowReader = (key: unknown) => Row | undefined;

/** How the rows of a table are read from another step of the same task. */
export interface TableView {
  /** The stores that the reading step must be attached to. */
  readonly stores: readonly string[];
  /** Whether changes of the table say what a row was. Known once the topology is declared. */
  readonly tracksOldValues: () => boolean;
  open(context: NodeContext): RowReader;
}

type OfRow<R> = UserFunction<[value: unknown, key: unknown], R>;

/** The store of that name; its kind was checked where the step was declared. */
export function rowState(context: NodeContext, store: string): RowState {
  return context.store(store) as RowState;
}

/** What a table's step receives. */
export function changeOf(record: AnyRecord): Change<unknown> {
  return record.value as Change<unknown>;
}

/** A record as of `timestampMs` that says what the row was and is. */
export function changed(record: AnyRecord, change: Change<unknown>, timestampMs: number): AnyRecord {
  return { key: record.key, value: change, timestampMs, headers: record.headers };
}

/** Puts the row, or removes it if `value` is null. */
export function putRow(state: RowState, key: unknown, row: Row): void {
  if (row.value === null) state.delete(key, row.timestampMs);
  else state.put(key, row.value, row.timestampMs);
}

/** Keeps the latest value of each key, in the order of the topic: an older timestamp replaces a newer one. */
export function tableSource(store: string): CreateNode {
  return (context) => {
    const state = rowState(context, store);
    return {
      process: (record) => {
        const { key, value, timestampMs } = record;
        if (key === null) {
          context.drop('null-key');
          return;
        }
        const oldValue = state.get(key)?.value ?? null;
        putRow(state, key, { value, timestampMs });
        context.forward(changed(record, { newValue: value, oldValue }, timestampMs));
      },
    };
  };
}

/** A table whose rows nobody reads: changes do not say what a row was. */
export function unkeptTableSource(): CreateNode {
  return (context) => ({
    process: (record) => {
      if (record.key === null) context.drop('null-key');
      else context.forward(changed(record, { newValue: record.value, oldValue: null }, record.timestampMs));
    },
  });
}

/** Keeps the rows of a table whose changes come as records, each of which says what its row was. */
export function tableOfChanges(step: string, store: string): CreateNode {
  return (context) => {
    const state = rowState(context, store);
    return {
      process: (record) => {
        const { key, value, timestampMs } = record;
        if (key === null || value === null) {
          context.drop(key === null ? 'null-key' : 'null-value');
          return;
        }
        if (typeof value !== 'object' || !('newValue' in value) || !('oldValue' in value))
          throw new StreamError('PROCESSING_FAILED', `step ${step} was given something else than a change`, {
            facts: { step },
          });
        putRow(state, key, { value: value.newValue, timestampMs });
        context.forward(record);
      },
    };
  };
}

/** Keeps the rows of a derived table. */
export function materialize(store: string): CreateNode {
  return (context) => {
    const state = rowState(context, store);
    return {
      process: (record) => {
        const { newValue } = changeOf(record);
        const oldValue = state.get(record.key)?.value ?? null;
        putRow(state, record.key, { value: newValue, timestampMs: record.timestampMs });
        context.forward(changed(record, { newValue, oldValue }, record.timestampMs));
      },
    };
  };
}

export function storeView(store: string): TableView {
  return storedView(store, (context) => readerOf(rowState(context, store)));
}

function storedView(store: string, open: TableView['open']): TableView {
  return { stores: [store], tracksOldValues: () => true, open };
}

function readerOf(state: RowState): RowReader {
  return (key) => state.get(key);
}

/** The rows of a windowed table, by key and window. */
export function windowView(store: string): TableView {
  return storedView(store, (context) => {
    const state = context.store(store) as WindowState<unknown, unknown>;
    return (key) => {
      const { key: inner, startMs } = key as Windowed<unknown>;
      return state.get(inner, startMs);
    };
  });
}

/** The rows of a table of sessions; the time of a row is the session's end. */
export function sessionView(store: string): TableView {
  return storedView(store, (context) => {
    const state = context.store(store) as SessionState<unknown, unknown>;
    return (key) => {
      const session = key as Windowed<unknown>;
      const value = state.get(session.key, session);
      return value === undefined ? undefined : { value, timestampMs: session.endMs };
    };
  });
}

/** Rows of which `predicate` says `kept`. */
export interface RowFilter {
  readonly step: string;
  readonly predicate: OfRow<boolean>;
  readonly kept: boolean;
}

/**
 * A row that does not match is absent. Nothing is forwarded when it was absent before; a parent that does not tell what rows were gives a
 * delete instead, as the row may have matched.
 */
export function tableFilter(parent: TableView, { step, predicate, kept }: RowFilter): CreateNode {
  const matching = matcher(step, predicate, kept);
  return (context) => {
    const isTracked = parent.tracksOldValues();
    return {
      process: (record) => {
        const change = changeOf(record);
        const newValue = matching(change.newValue, record.key);
        const oldValue = matching(change.oldValue, record.key);
        if (isTracked && newValue === null && oldValue === null) return;
        context.forward(changed(record, { newValue, oldValue }, record.timestampMs));
      },
    };
  };
}

export function filteredView(parent: TableView, { step, predicate, kept }: RowFilter): TableView {
  const matching = matcher(step, predicate, kept);
  return {
    ...parent,
    open: (context) => {
      const read = parent.open(context);
      return (key) => {
        const row = read(key);
        return row === undefined || matching(row.value, key) === null ? undefined : row;
      };
    },
  };
}

function matcher(step: string, predicate: OfRow<boolean>, kept: boolean): (value: unknown, key: unknown) => unknown {
  return (value, key) => (value !== null && expectVerdict(step, predicate(value, key)) === kept ? value : null);
}

export function tableMapValues(step: string, mapper: OfRow<unknown>): CreateNode {
  const mapped = presentMapper(step, mapper);
  return (context) => ({
    process: (record) => {
      const change = changeOf(record);
      const newValue = mapped(change.newValue, record.key);
      const oldValue = mapped(change.oldValue, record.key);
      context.forward(changed(record, { newValue, oldValue }, record.timestampMs));
    },
  });
}

export function mappedView(parent: TableView, step: string, mapper: OfRow<unknown>): TableView {
  const mapped = presentMapper(step, mapper);
  return {
    ...parent,
    open: (context) => {
      const read = parent.open(context);
      return (key) => {
        const row = read(key);
        if (row === undefined) return undefined;
        const value = mapped(row.value, key);
        return value === null ? undefined : { value, timestampMs: row.timestampMs };
      };
    },
  };
}

function presentMapper(step: string, mapper: OfRow<unknown>): (value: unknown, key: unknown) => unknown {
  return (value, key) => (value === null ? null : expectResult(step, mapper(value, key)));
}

/** Changes become records of the new values. */
export function toStream(): CreateNode {
  return (context) => ({
    process: (record) => {
      const { key, timestampMs, headers } = record;
      context.forward({ key, value: changeOf(record).newValue, timestampMs, headers });
    },
  });
}

type Pair = readonly [key: unknown, value: unknown];

/**
 * Sends a row to its group: what it was to the old group, what it is to the new one, both as one record when the group is the same
 * (`sameKey` decides). The old one goes first.
 */
export function regroup(
  step: string,
  mapper: OfRow<Pair | null>,
  sameKey: (a: unknown, b: unknown) => boolean,
): CreateNode {
  const pairOf = (value: unknown, key: unknown): Pair | null => {
    const pair = value === null ? null : expectResult(step, mapper(value, key));
    return pair === null ? null : presentPair(step, pair);
  };
  return (context) => ({
    process: (record) => {
      const change = changeOf(record);
      const { timestampMs, headers } = record;
      const added = pairOf(change.newValue, record.key);
      const removed = pairOf(change.oldValue, record.key);
      if (added !== null && removed !== null && sameKey(added[0], removed[0])) {
        const value: Change<unknown> = { newValue: added[1], oldValue: removed[1] };
        context.forward({ key: added[0], value, timestampMs, headers });
        return;
      }
      if (removed !== null)
        context.forward({ key: removed[0], value: { newValue: null, oldValue: removed[1] }, timestampMs, headers });
      if (added !== null)
        context.forward({ key: added[0], value: { newValue: added[1], oldValue: null }, timestampMs, headers });
    },
  });
}

/** A pair without a key or a value leaves the row out of all groups. */
function presentPair(step: string, pair: Pair): Pair | null {
  if (!Array.isArray(pair))
    throw new StreamError('PROCESSING_FAILED', `step ${step} returned something else than a pair [key, value]`, {
      facts: { step },
    });
  const key = expectResult(step, pair[0]);
  const value = expectResult(step, pair[1]);
  return key === null || value === null ? null : pair;
}
