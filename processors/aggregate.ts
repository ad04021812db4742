/** Aggregations by key into a timestamped store: of records (add) and of changing rows (subtract, then add). */
import type { TimestampedState } from '../state-stores/typed-store.ts';
import type { CreateNode } from './node.ts';
import { changed, changeOf, putRow, rowState, type RowState } from './table.ts';
import { expectResult, type UserFunction } from './user-function.ts';

type Combine = UserFunction<[aggregate: unknown, value: unknown, key: unknown], unknown>;

/** The aggregate of a key and its next value; absent for a reduction, where the first value is the aggregate. */
type Initial = (() => unknown) | undefined;

export interface StreamAggregation {
  readonly store: string;
  readonly initial: Initial;
  readonly add: Combine;
}

/** Adds each record to the aggregate of its key; the row's time is the latest of its records'. */
export function aggregateStream(step: string, { store, initial, add }: StreamAggregation): CreateNode {
  return (context) => {
    const state = rowState(context, store);
    const first = firstAggregate(step, initial, add);
    return {
      process: (record) => {
        const { key, value, timestampMs } = record;
        if (key === null || value === null) {
          context.drop(key === null ? 'null-key' : 'null-value');
          return;
        }
        const row = state.get(key);
        const newValue = row === undefined ? first(value, key) : expectResult(step, add(row.value, value, key));
        const time = row === undefined ? timestampMs : Math.max(timestampMs, row.timestampMs);
        const oldValue = row === undefined ? null : asStored(state, key, row.value, newValue);
        putRow(state, key, { value: newValue, timestampMs: time });
        context.forward(changed(record, { newValue, oldValue }, time));
      },
    };
  };
}

/** Counts the records of each key: one look-up and one put. */
export function countStream(store: string): CreateNode {
  return (context) => {
    const state = context.store(store) as TimestampedState<unknown, number>;
    return {
      process: (record) => {
        const { key, value, timestampMs } = record;
        if (key === null || value === null) {
          context.drop(key === null ? 'null-key' : 'null-value');
          return;
        }
        const row = state.get(key);
        if (row === undefined) {
          state.put(key, 1, timestampMs);
          context.forward(changed(record, { newValue: 1, oldValue: null }, timestampMs));
          return;
        }
        const oldValue = row.value;
        const newValue = oldValue + 1;
        const time = Math.max(timestampMs, row.timestampMs);
        state.put(key, newValue, time);
        context.forward(changed(record, { newValue, oldValue }, time));
      },
    };
  };
}

export interface TableAggregation extends StreamAggregation {
  readonly subtract: Combine;
}

/** Takes what a row was out of the aggregate of its group, then puts in what it is. An aggregate that becomes null is deleted. */
export function aggregateTable(step: string, how: TableAggregation): CreateNode {
  return (context) => {
    const state = rowState(context, how.store);
    const first = firstAggregate(step, how.initial, how.add);
    return {
      process: (record) => {
        const { key, timestampMs } = record;
        if (key === null) {
          context.drop('null-key');
          return;
        }
        const change = changeOf(record);
        const row = state.get(key);
        let aggregate = row === undefined ? null : row.value;
        if (change.oldValue !== null && aggregate !== null)
          aggregate = expectResult(step, how.subtract(aggregate, change.oldValue, key));
        if (change.newValue !== null)
          aggregate =
            aggregate === null
              ? first(change.newValue, key)
              : expectResult(step, how.add(aggregate, change.newValue, key));
        const time = row === undefined ? timestampMs : Math.max(timestampMs, row.timestampMs);
        const oldValue = row === undefined ? null : asStored(state, key, row.value, aggregate);
        putRow(state, key, { value: aggregate, timestampMs: time });
        context.forward(changed(record, { newValue: aggregate, oldValue }, time));
      },
    };
  };
}

/** What the row was, even if its author changed it in place: what the store shares is frozen, anything else it decodes anew. */
function asStored(state: RowState, key: unknown, oldValue: unknown, newValue: unknown): unknown {
  if (newValue !== oldValue || typeof oldValue !== 'object' || Object.isFrozen(oldValue)) return oldValue;
  return state.get(key)?.value ?? null;
}

function firstAggregate(step: string, initial: Initial, add: Combine): (value: unknown, key: unknown) => unknown {
  if (initial === undefined) return (value) => value;
  return (value, key) => expectResult(step, add(expectResult(step, initial()), value, key));
}

/** Counts the rows of each group. 0 stays: the group is known to be empty. */
export function countTable(store: string): CreateNode {
  const plus = (rows: number) => (aggregate: unknown) => Number(aggregate) + rows;
  return aggregateTable(store, { store, initial: () => 0, add: plus(1), subtract: plus(-1) });
}
