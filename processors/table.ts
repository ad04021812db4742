/** Tables: rows kept in timestamped stores, derived tables computed from them, and the changes that flow between them. */
import { StreamError } from '../errors.ts';
import type { Change } from '../schemas/record.ts';
import type { Timestamped } from '../state-stores/typed-store.ts';
import type { SessionState, WindowState } from '../state-stores/window-state.ts';
import type { Windowed } from '../schemas/windowed.ts';
import type { AnyRecord, CreateNode, NodeContext } from './node.ts';
import type { VersionedState } from '../state-stores/versioned-spec.ts';
import type { PutOutcome } from '../state-stores/versioned-store.ts';
import { expectResult, expectVerdict, type UserFunction } from './user-function.ts';

export type Row = Timestamped<unknown>;

/** The rows of a store, `undefined` where there is none. A versioned one says what it made of a write. */
export interface RowState {
  get(key: unknown): Row | undefined;
  put(key: unknown, value: unknown, timestampMs: number): unknown;
  delete(key: unknown, timestampMs: number): unknown;
}

/** Reads the row of a key as it is now, or, of a versioned table, as it was at a time. */
export type RowReader = (key: unknown, asOfMs?: number) => Row | undefined;

/** How the rows of a table are read from another step of the same task. */
export interface TableView {
  /** The stores that the reading step must be attached to. */
  readonly stores: readonly string[];
  /** How far back rows can be read as of a time; then changes may be of older versions too. */
  readonly historyRetentionMs?: number | undefined;
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

/** Puts the row, or removes it if `value` is null. What a versioned store made of it, nothing of any other one. */
export function putRow(state: RowState, key: unknown, row: Row): PutOutcome | undefined {
  const outcome = row.value === null ? state.delete(key, row.timestampMs) : state.put(key, row.value, row.timestampMs);
  // Other stores return nothing.
  return outcome as PutOutcome | undefined;
}

/** Which changes say what the row was: it takes a read of the row. */
export type OldValues = 'all' | 'of-deleted' | 'none';

interface Kept {
  readonly state: RowState;
  readonly oldValues: OldValues;
}

/** Keeps the new value of a row and forwards the change, unless it is too old to be kept. */
function keepRow(context: NodeContext, { state, oldValues }: Kept, record: AnyRecord, newValue: unknown): void {
  const { key, timestampMs } = record;
  const isRead = oldValues === 'all' || (oldValues === 'of-deleted' && newValue === null);
  const oldValue = isRead ? (state.get(key)?.value ?? null) : null;
  const outcome = putRow(state, key, { value: newValue, timestampMs });
  if (outcome === 'expired') context.drop('expired');
  else context.forward(changed(record, withLatestness({ newValue, oldValue }, outcome !== 'older'), timestampMs));
}

/** A change that says so if it is none of the row as it is now. */
export function withLatestness(change: Change<unknown>, isLatest: boolean | undefined): Change<unknown> {
  return isLatest === false ? { ...change, isLatest } : change;
}

/** Keeps the latest value of each key, in the order of the topic: an older timestamp replaces a newer one. */
export function tableSource(store: string, oldValues: OldValues): CreateNode {
  return (context) => {
    const kept = { state: rowState(context, store), oldValues };
    return {
      process: (record) => {
        if (record.key === null) context.drop('null-key');
        else keepRow(context, kept, record, record.value);
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

/** Keeps the rows of a derived table. With `leavesOut`, known once the topology is declared, nothing is forwarded of a row that is absent and was. */
export function materialize(store: string, leavesOut: () => boolean): CreateNode {
  return (context) => {
    const kept: Kept = { state: rowState(context, store), oldValues: 'all' };
    const isLeftOut = leavesOut();
    return {
      process: (record) => {
        const { newValue } = changeOf(record);
        if (isLeftOut && newValue === null && kept.state.get(record.key) === undefined) return;
        keepRow(context, kept, record, newValue);
      },
    };
  };
}

export function storeView(store: string, historyRetentionMs?: number): TableView {
  if (historyRetentionMs === undefined) return storedView(store, (context) => readerOf(rowState(context, store)));
  const view = storedView(store, (context) => {
    const state = context.store(store) as VersionedState<unknown, unknown>;
    return (key, asOfMs) => (asOfMs === undefined ? state.get(key) : state.asOf(key, asOfMs));
  });
  return { ...view, historyRetentionMs };
}

function storedView(store: string, open: TableView['open']): TableView {
  return { stores: [store], open };
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
 * A row that does not match is absent. With `leavesOut`, known once the topology is declared, nothing is forwarded when it was absent before;
 * else a delete is, as the row may have matched.
 */
export function tableFilter({ step, predicate, kept }: RowFilter, leavesOut: () => boolean): CreateNode {
  const matching = matcher(step, predicate, kept);
  return (context) => {
    const isLeftOut = leavesOut();
    return {
      process: (record) => {
        const change = changeOf(record);
        const newValue = matching(change.newValue, record.key);
        const oldValue = matching(change.oldValue, record.key);
        if (isLeftOut && newValue === null && oldValue === null) return;
        context.forward(changed(record, withLatestness({ newValue, oldValue }, change.isLatest), record.timestampMs));
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
      return (key, asOfMs) => {
        const row = read(key, asOfMs);
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
      context.forward(changed(record, withLatestness({ newValue, oldValue }, change.isLatest), record.timestampMs));
    },
  });
}

export function mappedView(parent: TableView, step: string, mapper: OfRow<unknown>): TableView {
  const mapped = presentMapper(step, mapper);
  return {
    ...parent,
    open: (context) => {
      const read = parent.open(context);
      return (key, asOfMs) => {
        const row = read(key, asOfMs);
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
      if (change.isLatest === false) return;
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
