/** Aggregations of several streams into one store. */
import { aggregateStream } from '../processors/aggregate.ts';
import { storeView } from '../processors/table.ts';
import type { UserFunction } from '../processors/user-function.ts';
import type { SessionWindows, SlidingWindows, TimeWindows } from '../processors/windows.ts';
import type { Serde } from '../schemas/serde.ts';
import { aggregationTable, firstStream, inputsByKey, type AggregationInput } from './aggregation.ts';
import type {
  CogroupedKStream,
  Handles,
  KGroupedStream,
  KTable,
  SessionWindowedCogroupedKStream,
  TimeWindowedCogroupedKStream,
  WindowedTable,
} from './handles.ts';
import { storeName, tableStore, type TableStore } from './table-store.ts';
import { sessionTable, timeWindowedTable } from './windowed-stream.ts';
import type { SessionStoreFor, WindowStoreFor } from './window-store.ts';

interface Initial<A> {
  readonly initial: UserFunction<[], A>;
  readonly valueSerde?: Serde<A>;
}

type Inputs<K> = readonly AggregationInput<K>[];

export class CogroupedHandle<K, A> implements CogroupedKStream<K, A> {
  readonly #handles: Handles;
  readonly #inputs: Inputs<K>;

  constructor(handles: Handles, inputs: Inputs<K>) {
    this.#handles = handles;
    this.#inputs = inputs;
    Object.freeze(this);
  }

  cogroup<V>(
    stream: KGroupedStream<K, V>,
    add: UserFunction<[aggregate: A, value: V, key: K], A | null>,
  ): CogroupedKStream<K, A> {
    firstStream(this.#inputs).declaration.own('cogroup', stream.state);
    return new CogroupedHandle(this.#handles, [...this.#inputs, { stream: stream.state, add }]);
  }

  aggregate(store: TableStore<K, A>, { initial, valueSerde }: Initial<A>): KTable<K, A> {
    const name = storeName(store);
    const what = 'cogroup';
    const inputs = inputsByKey(this.#inputs, { name, what });
    const { declaration, key } = firstStream(inputs);
    const spec = tableStore(store, { declaration, key, value: valueSerde });
    return aggregationTable(this.#handles, {
      name,
      what,
      inputs,
      spec,
      create: (step, add) => aggregateStream(step, { store: name, initial, add }),
      key: spec.key,
      value: spec.value,
      view: storeView(name),
    });
  }

  windowedBy(windows: TimeWindows | SlidingWindows): TimeWindowedCogroupedKStream<K, A>;
  windowedBy(windows: SessionWindows): SessionWindowedCogroupedKStream<K, A>;
  windowedBy(
    windows: TimeWindows | SlidingWindows | SessionWindows,
  ): TimeWindowedCogroupedKStream<K, A> | SessionWindowedCogroupedKStream<K, A> {
    return windows.kind === 'session'
      ? new SessionCogroupedHandle(this.#handles, this.#inputs, windows)
      : new TimeCogroupedHandle(this.#handles, this.#inputs, windows);
  }
}

class TimeCogroupedHandle<K, A> implements TimeWindowedCogroupedKStream<K, A> {
  readonly #handles: Handles;
  readonly #inputs: Inputs<K>;
  readonly #windows: TimeWindows | SlidingWindows;

  constructor(handles: Handles, inputs: Inputs<K>, windows: TimeWindows | SlidingWindows) {
    this.#handles = handles;
    this.#inputs = inputs;
    this.#windows = windows;
    Object.freeze(this);
  }

  aggregate(store: WindowStoreFor<K, A>, { initial, valueSerde }: Initial<A>): WindowedTable<K, A> {
    const how = { what: 'windowed cogroup', inputs: this.#inputs, windows: this.#windows, emit: 'on-update' } as const;
    return timeWindowedTable(this.#handles, { store, initial, valueSerde, ...how });
  }
}

class SessionCogroupedHandle<K, A> implements SessionWindowedCogroupedKStream<K, A> {
  readonly #handles: Handles;
  readonly #inputs: Inputs<K>;
  readonly #windows: SessionWindows;

  constructor(handles: Handles, inputs: Inputs<K>, windows: SessionWindows) {
    this.#handles = handles;
    this.#inputs = inputs;
    this.#windows = windows;
    Object.freeze(this);
  }

  aggregate(
    store: SessionStoreFor<K, A>,
    { initial, merge, valueSerde }: Initial<A> & { readonly merge: UserFunction<[a: A, b: A, key: K], A> },
  ): WindowedTable<K, A> {
    const how = { what: 'session cogroup', inputs: this.#inputs, windows: this.#windows, emit: 'on-update' } as const;
    return sessionTable(this.#handles, { store, initial, merge, valueSerde, ...how });
  }
}
