/** The step at which records become the rows of a table. */
import { storeView, tableSource, unkeptTableSource } from '../processors/table.ts';
import type { AnyStoreSpec } from '../state-stores/spec.ts';
import type { Declaration } from './declaration.ts';
import type { ErrorPolicy } from './error-policy.ts';
import type { TableState } from './handle-state.ts';

export interface TableSource {
  readonly name: string;
  readonly what: string;
  readonly parent: string;
  readonly storeName: string;
  /** Called at most once, when it is known that rows are kept. */
  readonly spec: () => AnyStoreSpec;
  /** How far back the store knows its rows. */
  readonly historyRetentionMs?: number | undefined;
  /** Whether rows are kept even if no step needs them. */
  readonly isKept: boolean;
  readonly onError: ErrorPolicy | undefined;
}

/** Declares it. Without `isKept` its rows are kept from the moment a later step asks for it. */
export function declareTable(
  declaration: Declaration,
  { name, what, parent, storeName, spec, historyRetentionMs, isKept, onError }: TableSource,
): Pick<TableState<unknown, unknown>, 'node' | 'view' | 'keep'> {
  const isNeeded = { now: isKept };
  const node = declaration.processor({
    name,
    what,
    parents: [parent],
    create: (context) => (isNeeded.now ? tableSource(storeName) : unkeptTableSource())(context),
    stores: isKept ? [spec()] : [],
    onError,
  });
  const keep = (): void => {
    if (isNeeded.now) return;
    declaration.attach(node, spec());
    isNeeded.now = true;
  };
  return { node, keep, view: { ...storeView(storeName, historyRetentionMs), tracksOldValues: () => isNeeded.now } };
}
