/** Aggregations of a stream by key. */
import { declareAggregate, type Aggregator } from './aggregate-step.ts';
import { aggregateStream, countStream } from '../processors/aggregate.ts';
import { int64Serde, type Serde } from '../schemas/serde.ts';
import type { GroupedState } from './handle-state.ts';
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
import { storeName, type TableStore } from './table-store.ts';

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

  #aggregate<A>(aggregator: Aggregator<K, A>): KTable<K, A> {
    const name = storeName(aggregator.store);
    const stream = byKey(this.state, { name, what: aggregator.what });
    return this.#handles.table(declareAggregate({ ...stream, name, prefix: 'KSTREAM-AGGREGATE' }, aggregator));
  }
}
