/** Declares joins of a stream with a table or a global table. */
import { streamGlobalJoin, type GlobalJoin } from '../processors/global-join.ts';
import { streamTableJoin, streamTableLeftJoin, type Joiner } from '../processors/joins.ts';
import { withGrace } from '../processors/join-grace.ts';
import type { TableView } from '../processors/table.ts';
import { bytesSerde } from '../schemas/serde.ts';
import { defineStore } from '../state-stores/spec.ts';
import type { GlobalTableState, StreamState, TableState } from './handle-state.ts';
import { byKey, requireSerdes } from './repartition.ts';

export interface StreamTableJoinStep {
  readonly name: string;
  readonly isLeft: boolean;
  readonly joiner: Joiner;
  /** How long records wait for the table; needs a versioned one. */
  readonly graceMs?: number | undefined;
}

/** The joined stream, but for its values. Repartitions if the key changed. */
export function declareStreamTableJoin<K, V>(
  state: StreamState<K, V>,
  table: TableState<K, unknown>,
  { name, isLeft, joiner, graceMs }: StreamTableJoinStep,
): StreamState<K, V> {
  const what = isLeft ? 'leftJoin' : 'join';
  const stream = byKey(state, { name, what });
  const { declaration } = stream;
  const { keep, view } = declaration.own(name, table);
  keep('rows');
  const join = isLeft ? streamTableLeftJoin(name, view, joiner) : streamTableJoin(name, view, joiner);
  const waiting = graceMs === undefined ? undefined : graceOf(stream, { name, graceMs, view });
  const node = declaration.processor({
    name: declaration.stepName('KSTREAM-JOIN', name),
    what,
    parents: [stream.node],
    create: waiting === undefined ? join : withGrace(join, waiting.grace),
    stores: waiting === undefined ? [] : [waiting.store],
    reads: view.stores,
    onError: stream.onError,
    takesNullKeys: isLeft,
  });
  return { ...stream, node };
}

/** The store of what waits, and how long that is. Throws `TOPOLOGY_INVALID` for a table that will not know by then what it was. */
function graceOf<K, V>(
  stream: StreamState<K, V>,
  { name, graceMs, view }: { readonly name: string; readonly graceMs: number; readonly view: TableView },
) {
  const { historyRetentionMs } = view;
  if (!Number.isSafeInteger(graceMs) || graceMs < 0)
    throw stream.declaration.refuse(name, 'needs a grace in whole ms, at least 0');
  if (historyRetentionMs === undefined || historyRetentionMs < graceMs)
    throw stream.declaration.refuse(
      name,
      'has a grace: its table must be versioned, and its history reach as far back',
    );
  const { key, value } = requireSerdes(name, stream);
  const store = defineStore(`${name}-buffer`, { key: bytesSerde, value: bytesSerde, ordered: true });
  return { store, grace: { store: store.name, graceMs, key, value } };
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
