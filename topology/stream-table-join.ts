/** Declares joins of a stream with a table or a global table. */
import { streamGlobalJoin, type GlobalJoin } from '../processors/global-join.ts';
import { streamTableJoin, streamTableLeftJoin, type Joiner } from '../processors/joins.ts';
import type { GlobalTableState, StreamState, TableState } from './handle-state.ts';
import { byKey } from './repartition.ts';

export interface StreamTableJoinStep {
  readonly name: string;
  readonly isLeft: boolean;
  readonly joiner: Joiner;
}

/** The joined stream, but for its values. Repartitions if the key changed. */
export function declareStreamTableJoin<K, V>(
  state: StreamState<K, V>,
  table: TableState<K, unknown>,
  { name, isLeft, joiner }: StreamTableJoinStep,
): StreamState<K, V> {
  const what = isLeft ? 'leftJoin' : 'join';
  const stream = byKey(state, { name, what });
  const { declaration } = stream;
  const { keep, view } = declaration.own(name, table);
  keep();
  const node = declaration.processor({
    name: declaration.stepName('KSTREAM-JOIN', name),
    what,
    parents: [stream.node],
    create: isLeft ? streamTableLeftJoin(name, view, joiner) : streamTableJoin(name, view, joiner),
    reads: view.stores,
    onError: stream.onError,
    takesNullKeys: isLeft,
  });
  return { ...stream, node };
}

/** The joined stream, but for its values. */
export function declareGlobalJoin<K, V>(
  state: StreamState<K, V>,
  table: GlobalTableState<unknown, unknown>,
  join: GlobalJoin & { readonly name: string },
): StreamState<K, V> {
  const { declaration } = state;
  const { name } = join;
  const { store } = declaration.own(name, table);
  const node = declaration.processor({
    name: declaration.stepName('KSTREAM-LEFTJOIN', name),
    what: 'join with a global table',
    parents: [state.node],
    create: streamGlobalJoin(name, store, join),
    globals: [store],
    onError: state.onError,
    takesNullKeys: join.isLeft,
  });
  return { ...state, node };
}
