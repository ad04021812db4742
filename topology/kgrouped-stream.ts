/** Aggregations of a stream by key. */
import { aggregateStream, countStream } from '../processors/aggregate.ts';
import type { CreateNode } from '../processors/node.ts';
import { storeView } from '../processors/table.ts';
import { int64Serde, type Serde } from '../schemas/serde.ts';
import { isKept, type GroupedState } from './handle-state.ts';
import type {
  CogroupedKStream,
  Handles,
  KGroupedStream,
  KTable,
  SessionWindowedKStream,
  TimeWindowedKStream,
} from './handles.ts';
import type { Aggregation } from './operands.ts';
import type { UserFunction } from '../processors/user-function.ts';
import { CogroupedHandle } from './cogrouped-stream.ts';
import { byKey } from './repartition.ts';
import { SessionWindowedHandle, TimeWindowedHandle } from './windowed-stream.ts';
import type { SessionWindows, SlidingWindows, TimeWindows } from '../processors/windows.ts';
import { storeName, tableStore, type TableStore } from './table-store.ts';

interface Aggregator<K, A> {
  readonly what: string;
  readonly store: TableStore<K, A>;
  readonly valueSerde: Serde<A> | undefined;
  readonly isExact?: boolean;
  readonly create: (store: string) => CreateNode;
}

export class GroupedStreamHandle<K, V> implements KGroupedStream<K, V> {
  readonly state: GroupedState<K, V>;
  readonly #handles: Handles;

  constructor(handles: Handles, state: GroupedState<K, V>) {
    this.#handles = handles;
    this.state = Object.freeze(state);
    Object.freeze(this);
  }

  count(store: TableStore<K, number>): KTable<K, number> {
    return this.#aggregate({ what: 'count', store, valueSerde: int64Serde, isExact: true, create: countStream });
  }

  reduce(store: TableStore<K, V>, add: (aggregate: V, value: V, key: K) => V | null): KTable<K, V> {
    return this.#aggregate({
      what: 'reduce',
      store,
      valueSerde: this.state.value,
      create: (name) => aggregateStream(name, { store: name, initial: undefined, add }),
    });
  }

  aggregate<A>(
    store: TableStore<K, A>,
    { initial, add, valueSerde }: Aggregation<K, V, A> & { readonly valueSerde?: Serde<A> },
  ): KTable<K, A> {
    return this.#aggregate({
      what: 'aggregate',
      store,
      valueSerde,
      create: (name) => aggregateStream(name, { store: name, initial, add }),
    });
  }

  cogroup<A>(add: UserFunction<[aggregate: A, value: V, key: K], A | null>): CogroupedKStream<K, A> {
    return new CogroupedHandle(this.#handles, [{ stream: this.state, add }]);
  }

  windowedBy(windows: TimeWindows | SlidingWindows): TimeWindowedKStream<K, V>;
  windowedBy(windows: SessionWindows): SessionWindowedKStream<K, V>;
  windowedBy(
    windows: TimeWindows | SlidingWindows | SessionWindows,
  ): TimeWindowedKStream<K, V> | SessionWindowedKStream<K, V> {
    return windows.kind === 'session'
      ? new SessionWindowedHandle(this.#handles, this.state, { windows, emit: 'on-update' })
      : new TimeWindowedHandle(this.#handles, this.state, { windows, emit: 'on-update' });
  }

  #aggregate<A>({ what, store, valueSerde, isExact = false, create }: Aggregator<K, A>): KTable<K, A> {
    const name = storeName(store);
    const stream = byKey(this.state, { name, what });
    const { declaration, onError } = stream;
    const spec = tableStore(store, { declaration, key: stream.key, value: valueSerde, isExact });
    const node = declaration.processor({
      name: declaration.stepName('KSTREAM-AGGREGATE', name),
      what,
      parents: [stream.node],
      create: create(name),
      stores: [spec],
      onError,
    });
    return this.#handles.table({
      declaration,
      onError,
      node,
      key: spec.key,
      value: spec.value,
      view: storeView(name),
      keep: isKept,
    });
  }
}
