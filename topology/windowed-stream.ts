/** Aggregations of streams by key and window. */
import { sessionView, windowView } from '../processors/table.ts';
import { aggregateSessions } from '../processors/session-aggregate.ts';
import { aggregateSlidingWindows, aggregateTimeWindows } from '../processors/window-aggregate.ts';
import type { EmitOptions, EmitStrategy, SessionWindows, SlidingWindows, TimeWindows } from '../processors/windows.ts';
import type { UserFunction } from '../processors/user-function.ts';
import { int64Serde, type Serde } from '../schemas/serde.ts';
import { sessionWindowedSerde, timeWindowedSerde } from '../schemas/windowed.ts';
import { aggregationTable, firstStream, inputsByKey, type AggregationInput, type Combine } from './aggregation.ts';
import type { GroupedState } from './handle-state.ts';
import { requireKeySerde } from './repartition.ts';
import { storeName } from './table-store.ts';
import { sessionStore, windowStore, type SessionStoreFor, type WindowStoreFor } from './window-store.ts';
import type { Handles, SessionWindowedKStream, TimeWindowedKStream, WindowedTable } from './handles.ts';
import type { Aggregation, SessionAggregationOf } from './operands.ts';

/** What is aggregated by windows. */
interface Windowing<W> {
  readonly windows: W;
  readonly emit: EmitStrategy;
  readonly emitEveryMs?: number;
}

interface Aggregated<K, A> {
  readonly what: string;
  readonly inputs: readonly AggregationInput<K>[];
  readonly initial: () => unknown;
  readonly valueSerde: Serde<A> | undefined;
  readonly isExact?: boolean;
}

const countOne: Combine = (aggregate) => Number(aggregate) + 1;

/** The first value is the aggregate. */
function orFirst(reduce: Combine): Combine {
  return (aggregate, value, key) => (aggregate === null ? value : reduce(aggregate, value, key));
}

export class TimeWindowedHandle<K, V> implements TimeWindowedKStream<K, V> {
  readonly #handles: Handles;
  readonly #stream: GroupedState<K, V>;
  readonly #windowing: Windowing<TimeWindows | SlidingWindows>;

  constructor(handles: Handles, stream: GroupedState<K, V>, windowing: Windowing<TimeWindows | SlidingWindows>) {
    this.#handles = handles;
    this.#stream = stream;
    this.#windowing = windowing;
    Object.freeze(this);
  }

  emitStrategy(emit: EmitStrategy, { everyMs = 0 }: EmitOptions = {}): TimeWindowedKStream<K, V> {
    return new TimeWindowedHandle(this.#handles, this.#stream, { ...this.#windowing, emit, emitEveryMs: everyMs });
  }

  count(store: WindowStoreFor<K, number>): WindowedTable<K, number> {
    const inputs = [{ stream: this.#stream, add: countOne }];
    const how = { what: 'windowed count', inputs, initial: () => 0, valueSerde: int64Serde, isExact: true };
    return timeWindowedTable(this.#handles, { store, ...this.#windowing, ...how });
  }

  reduce(store: WindowStoreFor<K, V>, add: (aggregate: V, value: V, key: K) => V | null): WindowedTable<K, V> {
    const inputs = [{ stream: this.#stream, add: orFirst(add) }];
    const how = { what: 'windowed reduce', inputs, initial: () => null, valueSerde: this.#stream.value };
    return timeWindowedTable(this.#handles, { store, ...this.#windowing, ...how });
  }

  aggregate<A>(
    store: WindowStoreFor<K, A>,
    { initial, add, valueSerde }: Aggregation<K, V, A> & { readonly valueSerde?: Serde<A> },
  ): WindowedTable<K, A> {
    const how = { what: 'windowed aggregate', inputs: [{ stream: this.#stream, add }], initial, valueSerde };
    return timeWindowedTable(this.#handles, { store, ...this.#windowing, ...how });
  }
}

export class SessionWindowedHandle<K, V> implements SessionWindowedKStream<K, V> {
  readonly #handles: Handles;
  readonly #stream: GroupedState<K, V>;
  readonly #windowing: Windowing<SessionWindows>;

  constructor(handles: Handles, stream: GroupedState<K, V>, windowing: Windowing<SessionWindows>) {
    this.#handles = handles;
    this.#stream = stream;
    this.#windowing = windowing;
    Object.freeze(this);
  }

  emitStrategy(emit: EmitStrategy, { everyMs = 0 }: EmitOptions = {}): SessionWindowedKStream<K, V> {
    return new SessionWindowedHandle(this.#handles, this.#stream, { ...this.#windowing, emit, emitEveryMs: everyMs });
  }

  count(store: SessionStoreFor<K, number>): WindowedTable<K, number> {
    const merge: Combine = (a, b) => Number(a) + Number(b);
    const inputs = [{ stream: this.#stream, add: countOne }];
    const how = { what: 'session count', inputs, initial: () => 0, merge, valueSerde: int64Serde, isExact: true };
    return sessionTable(this.#handles, { store, ...this.#windowing, ...how });
  }

  reduce(store: SessionStoreFor<K, V>, add: (aggregate: V, value: V, key: K) => V | null): WindowedTable<K, V> {
    const combine = orFirst(add);
    const inputs = [{ stream: this.#stream, add: combine }];
    const how = { what: 'session reduce', inputs, initial: () => null, merge: combine, valueSerde: this.#stream.value };
    return sessionTable(this.#handles, { store, ...this.#windowing, ...how });
  }

  aggregate<A>(
    store: SessionStoreFor<K, A>,
    { initial, add, merge, valueSerde }: SessionAggregationOf<K, V, A> & { readonly valueSerde?: Serde<A> },
  ): WindowedTable<K, A> {
    const how = { what: 'session aggregate', inputs: [{ stream: this.#stream, add }], initial, merge, valueSerde };
    return sessionTable(this.#handles, { store, ...this.#windowing, ...how });
  }
}

export function timeWindowedTable<K, A>(
  handles: Handles,
  how: Aggregated<K, A> & Windowing<TimeWindows | SlidingWindows> & { readonly store: WindowStoreFor<K, A> },
): WindowedTable<K, A> {
  const { what, windows, emit, emitEveryMs = 0, initial, valueSerde: value, isExact = false } = how;
  const name = storeName(how.store);
  const inputs = inputsByKey(how.inputs, { name, what });
  const { declaration, key } = firstStream(inputs);
  const spec = windowStore(how.store, { declaration, key, value, windows, emit, isExact });
  const { sizeMs } = spec.windows;
  return aggregationTable(handles, {
    name,
    what,
    inputs,
    spec,
    create: (step, add) => {
      const common = { step, store: name, emit, emitEveryMs, initial, add };
      return windows.kind === 'time'
        ? aggregateTimeWindows({ ...common, windows })
        : aggregateSlidingWindows({ ...common, windows });
    },
    key: timeWindowedSerde(requireKeySerde(name, { declaration, key }), sizeMs),
    value: spec.value,
    view: windowView(name),
    closesAfterMs: windows.graceMs,
  });
}

export function sessionTable<K, A>(
  handles: Handles,
  how: Aggregated<K, A> &
    Windowing<SessionWindows> & {
      readonly store: SessionStoreFor<K, A>;
      readonly merge: UserFunction<[a: unknown, b: unknown, key: unknown], unknown>;
    },
): WindowedTable<K, A> {
  const { what, windows, emit, emitEveryMs = 0, initial, merge, valueSerde: value, isExact = false } = how;
  const name = storeName(how.store);
  const inputs = inputsByKey(how.inputs, { name, what });
  const { declaration, key } = firstStream(inputs);
  const spec = sessionStore(how.store, { declaration, key, value, windows, emit, isExact });
  return aggregationTable(handles, {
    name,
    what,
    inputs,
    spec,
    create: (step, add) => aggregateSessions({ step, store: name, emit, emitEveryMs, initial, add, merge, windows }),
    key: sessionWindowedSerde(requireKeySerde(name, { declaration, key })),
    value: spec.value,
    view: sessionView(name),
    closesAfterMs: windows.graceMs + windows.gapMs,
  });
}
