/** Joins by key: a record with a table's row, and two tables row by row. */
import type { CreateNode } from './node.ts';
import { changed, changeOf, type Row, type RowReader, type TableView } from './table.ts';
import { expectResult, type UserFunction } from './user-function.ts';

export type Joiner = UserFunction<[left: unknown, right: unknown, key: unknown], unknown>;

/** Joins each record with the row of its key at that moment, of a versioned table at the time of the record; only records of the stream trigger. */
export function streamTableJoin(step: string, table: TableView, joiner: Joiner): CreateNode {
  return (context) => {
    const read = table.open(context);
    return {
      process: (record) => {
        const { key, value, timestampMs, headers } = record;
        if (key === null || value === null) {
          context.drop(key === null ? 'null-key' : 'null-value');
          return;
        }
        const row = table.historyRetentionMs !== undefined ? read(key, timestampMs) : read(key);
        if (row === undefined) return;
        context.forward({ key, value: expectResult(step, joiner(value, row.value, key)), timestampMs, headers });
      },
    };
  };
}

/** As `streamTableJoin`; a record without a key or a row is joined with null. */
export function streamTableLeftJoin(step: string, table: TableView, joiner: Joiner): CreateNode {
  return (context) => {
    const read = table.open(context);
    return {
      process: (record) => {
        const { key, value, timestampMs, headers } = record;
        if (value === null) {
          context.drop('null-value');
          return;
        }
        const row =
          key === null ? undefined : read(key, table.historyRetentionMs !== undefined ? timestampMs : undefined);
        const joined = expectResult(step, joiner(value, row === undefined ? null : row.value, key));
        context.forward({ key, value: joined, timestampMs, headers });
      },
    };
  };
}

/** Which rows the result of a table-table join holds: those where every required side is there. */
export interface TableJoin {
  readonly joiner: Joiner;
  readonly leftRequired: boolean;
  readonly rightRequired: boolean;
  /** Whether changes say what a row was, which takes a second call of `joiner`. Known once the topology is declared. */
  readonly tracksOldValues: () => boolean;
}

/** The joined value of two rows, null if the join has none. */
type JoinValues = (left: unknown, right: unknown, key: unknown) => unknown;

function joinValues(step: string, join: TableJoin): JoinValues {
  const { joiner, leftRequired, rightRequired } = join;
  return (left, right, key) => {
    if (left === null && (leftRequired || right === null)) return null;
    if (right === null && rightRequired) return null;
    return expectResult(step, joiner(left, right, key));
  };
}

/**
 * One side of a table-table join: a change of this side, against the row of the other as it is now. Time: the later of both rows. As in
 * Kafka Streams, deleting a row that was not there deletes the result once more if the other side has a row.
 */
export function tableJoinSide(step: string, join: TableJoin, side: 'left' | 'right', other: TableView): CreateNode {
  const valueOf = joinValues(step, join);
  const otherRequired = side === 'left' ? join.rightRequired : join.leftRequired;
  const joined: JoinValues = side === 'left' ? valueOf : (own, opposite, key) => valueOf(opposite, own, key);
  return (context) => {
    const read = other.open(context);
    const tracksOldValues = join.tracksOldValues();
    return {
      process: (record) => {
        const { key, timestampMs } = record;
        if (key === null) {
          context.drop('null-key');
          return;
        }
        const change = changeOf(record);
        if (change.isLatest === false) {
          context.drop('stale');
          return;
        }
        const row = read(key);
        if (row === undefined && (otherRequired || (change.newValue === null && change.oldValue === null))) return;
        const opposite = row === undefined ? null : row.value;
        const newValue = joined(change.newValue, opposite, key);
        const oldValue = tracksOldValues ? joined(change.oldValue, opposite, key) : null;
        const time = row === undefined ? timestampMs : Math.max(timestampMs, row.timestampMs);
        context.forward(changed(record, { newValue, oldValue }, time));
      },
    };
  };
}

/** The rows of a table-table join, computed when read. */
export function joinedView(step: string, join: TableJoin, left: TableView, right: TableView): TableView {
  const valueOf = joinValues(step, join);
  return {
    stores: [...new Set([...left.stores, ...right.stores])],
    open: (context) => {
      const readLeft = left.open(context);
      const readRight = right.open(context);
      return joinedReader(readLeft, readRight, valueOf);
    },
  };
}

function joinedReader(readLeft: RowReader, readRight: RowReader, valueOf: JoinValues): RowReader {
  return (key): Row | undefined => {
    const left = readLeft(key);
    const right = readRight(key);
    const value = valueOf(left?.value ?? null, right?.value ?? null, key);
    if (value === null) return undefined;
    return { value, timestampMs: Math.max(left?.timestampMs ?? -1, right?.timestampMs ?? -1) };
  };
}
