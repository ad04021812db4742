/** The step at which records become the rows of a table. */
import { storeView, tableSource, unkeptTableSource, type OldValues } from '../processors/table.ts';
import type { AnyStoreSpec } from '../state-stores/spec.ts';
import type { Declaration } from './declaration.ts';
import type { ErrorPolicy } from './error-policy.ts';
import type { TableNeed, TableState } from './handle-state.ts';

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
  /** The source whose topic is the changelog of the store as well. */
  readonly restoredFrom?: string | undefined;
}

/** The topic may have lost an older value of a row to a newer one that is not processed yet. */
const unknownChanges =
  'cannot be restored from its source topic: a later step must know what rows were, which the topic may have forgotten';

/** Declares it. Without `isKept` its rows are kept from the moment a later step asks for it; what they were is read as far as asked for. */
export function declareTable(
  declaration: Declaration,
  { name, what, parent, storeName, spec, historyRetentionMs, isKept, onError, restoredFrom }: TableSource,
): Pick<TableState<unknown, unknown>, 'node' | 'view' | 'keep' | 'compare'> {
  const rows = { areKept: isKept };
  const needs = new Set<TableNeed>();
  const oldValues = (): OldValues => {
    if (needs.has('changes')) return 'all';
    return needs.has('deleted') ? 'of-deleted' : 'none';
  };
  const node = declaration.processor({
    name,
    what,
    parents: [parent],
    create: (context) => (rows.areKept ? tableSource(storeName, oldValues()) : unkeptTableSource())(context),
    stores: isKept ? [spec()] : [],
    onError,
  });
  const restoreFromSource = (): void => {
    if (restoredFrom !== undefined) declaration.sourceChangelog({ store: storeName, source: restoredFrom, step: node });
  };
  if (isKept) restoreFromSource();
  const keep = (need: TableNeed): void => {
    if (restoredFrom !== undefined && need !== 'rows') throw declaration.refuse(node, unknownChanges);
    needs.add(need);
    if (rows.areKept) return;
    declaration.attach(node, spec());
    rows.areKept = true;
    restoreFromSource();
  };
  const compare = (): boolean => {
    const isTold = rows.areKept && restoredFrom === undefined;
    if (isTold) needs.add('changes');
    return isTold;
  };
  return { node, keep, compare, view: storeView(storeName, historyRetentionMs) };
}
