/** Sends on at most one change of a row in each commit. */
import type { AnyRecord, CreateNode } from './node.ts';
import { changed, changeOf, type TableView } from './table.ts';

interface Held {
  readonly record: AnyRecord;
  /** What the row was when it was last sent on. */
  readonly oldValue: unknown;
}

/**
 * Changes wait for the next commit, which takes along what they cause; a row that came and went since the last one shows nothing. In the order of
 * the latest changes. What waits is bounded by what may be uncommitted: each change is a write to the table's store, too.
 */
export function oncePerCommit(table: TableView, keyIdOf: (key: unknown) => string): CreateNode {
  return (context) => {
    const read = table.open(context);
    const held = new Map<string, Held>();
    return {
      process: (record) => {
        const id = keyIdOf(record.key);
        const { oldValue } = held.get(id) ?? changeOf(record);
        held.delete(id);
        held.set(id, { record, oldValue });
      },
      beforeCommit: () => {
        const due = [...held.values()];
        held.clear();
        for (const { record, oldValue } of due) {
          // A record that failed later left no change behind: the row says what is.
          const row = read(record.key);
          const newValue = row === undefined ? null : row.value;
          if (newValue === null && oldValue === null) continue;
          context.forward(changed(record, { newValue, oldValue }, row?.timestampMs ?? record.timestampMs));
        }
      },
    };
  };
}
