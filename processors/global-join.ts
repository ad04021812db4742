/** Joins of a stream with a table that every instance keeps whole: by a key that is made of the record. */
import type { CreateNode } from './node.ts';
import { rowState } from './table.ts';
import { expectResult, type UserFunction } from './user-function.ts';

export interface GlobalJoin {
  /** The key of the row to be joined with; null: none. */
  readonly key: UserFunction<[value: unknown, key: unknown], unknown>;
  readonly joiner: UserFunction<[value: unknown, row: unknown, key: unknown], unknown>;
  /** Whether a record without a row is joined with null. */
  readonly isLeft: boolean;
}

/** Joins each record with the row as it is here and now; changes of the table never trigger. */
export function streamGlobalJoin(step: string, store: string, { key: keyOf, joiner, isLeft }: GlobalJoin): CreateNode {
  return (context) => {
    const rows = rowState(context, store);
    return {
      process: (record) => {
        const { key, value, timestampMs, headers } = record;
        if (value === null) {
          context.drop('null-value');
          return;
        }
        const rowKey = expectResult(step, keyOf(value, key));
        if (rowKey === null && !isLeft) {
          context.drop('null-key');
          return;
        }
        const row = rowKey === null ? undefined : rows.get(rowKey);
        if (row === undefined && !isLeft) return;
        const joined = expectResult(step, joiner(value, row === undefined ? null : row.value, key));
        context.forward({ key, value: joined, timestampMs, headers });
      },
    };
  };
}
