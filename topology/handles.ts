/**
 * What a topology is declared with: typed, immutable handles of streams and tables. Every method adds a step and returns a new handle.
 *
 * User functions take the value first, then the key. They are synchronous and free of effects, and may run again for the same record.
 * They return `null` for "no value"; `undefined` or a promise fails the record with `PROCESSING_FAILED`.
 *
 * A step that remembers something or has a topic of its own carries its author's name: it becomes the name of a store and its changelog, or
 * of a repartition topic, and renaming it is a migration. Other steps may be named.
 */
import type { FixedKeyDefinition } from '../processors/fixed-key-processor.ts';
import type { AsyncCall } from '../processors/map-async.ts';
import type { ProcessorDefinition, StoreSpecs } from '../processors/processor.ts';
import type { UserFunction } from '../processors/user-function.ts';
import type { Change, RecordMetadata } from '../schemas/record.ts';
import type { Serde } from '../schemas/serde.ts';
import type { ErrorPolicy } from './error-policy.ts';
import type { GlobalTableState, GroupedState, GroupedTableState, StreamState, TableState } from './handle-state.ts';
import type { TableStoreSpec } from './table-store.ts';
import type { EmitOptions, EmitStrategy, SessionWindows, SlidingWindows, TimeWindows } from '../processors/windows.ts';
import type { SessionStoreSpec, WindowStoreSpec } from '../state-stores/window-spec.ts';
import type { SessionStoreFor, WindowedStoreOptions, WindowStoreFor } from './window-store.ts';
import type { TimeLimit, WindowClose } from '../processors/suppress.ts';
import type { Windowed } from '../schemas/windowed.ts';
import type {
  Accepts,
  Aggregation,
  AsyncOptions,
  BranchValue,
  ForeignKeyJoin,
  Initial,
  InitialSession,
  KeyOf,
  PredicateFor,
  Present,
  RepartitionOptions,
  SerdeOptions,
  SessionAggregationOf,
  SinkOptions,
  Step,
  StreamJoin,
  TableJoinOptions,
  TableAggregation,
  TopicFor,
  ValueSerde,
} from './operands.ts';

/** A stream for each branch, under its name. */
export type BranchStreams<K, V, B> = { readonly [N in keyof B]: KStream<K, BranchValue<V, B[N]>> };

/** A stream of records: each one a fact of its own. A null value is a missing value, not a delete. */
export interface KStream<in out K, out V> {
  /** What the builder knows of it; for operators, not for applications. */
  readonly state: StreamState<K, V>;

  /** How keys and values are written from here on. Adds no step. */
  withSerdes(serdes: SerdeOptions<K, Present<V>>): KStream<K, V>;
  /** What happens to records that fail in the steps declared from here on. Adds no step. */
  withErrorPolicy(policy: ErrorPolicy): KStream<K, V>;

  filter<W extends V>(...step: Step<(value: V, key: K) => value is W>): KStream<K, W>;
  filter(...step: Step<PredicateFor<K, V>>): KStream<K, V>;
  filterNot(...step: Step<PredicateFor<K, V>>): KStream<K, V>;
  /** New key and value; the key counts as changed. */
  map<K2, V2>(...step: Step<(value: V, key: K) => readonly [K2, V2]>): KStream<K2, V2>;
  mapValues<V2>(...step: Step<(value: V, key: K) => V2>): KStream<K, V2>;
  /** Any number of pairs for each record, in order; the key counts as changed. */
  flatMap<K2, V2>(...step: Step<(value: V, key: K) => Iterable<readonly [K2, V2]>>): KStream<K2, V2>;
  flatMapValues<V2>(...step: Step<(value: V, key: K) => Iterable<V2>>): KStream<K, V2>;
  /** Steps after it that depend on the key repartition the stream first. */
  selectKey<K2>(...step: Step<(value: V, key: K) => K2>): KStream<K2, V>;
  /** Effects of `look` are outside the exactly-once guarantee. */
  peek(...step: Step<(value: V, key: K) => void>): KStream<K, V>;
  /** Ends the stream. Effects of `visit` are outside the exactly-once guarantee. */
  foreach(...step: Step<(value: V, key: K) => void>): void;
  /** Records of both, in no promised order between them. */
  merge<V2>(other: KStream<K, V2>, name?: string): KStream<K, V | V2>;
  /**
   * A stream for each predicate: a record goes to the first that holds, in the order of the object, or to the default, or is dropped
   * (`no-branch`). Their steps are named `<name>-<branch>`.
   */
  branch<B extends Readonly<Record<string, PredicateFor<K, V>>>>(name: string, branches: B): BranchStreams<K, V, B>;
  branch<B extends Readonly<Record<string, PredicateFor<K, V>>>, D extends string>(
    name: string,
    branches: B,
    options: { readonly default: D },
  ): BranchStreams<K, V, B> & { readonly [N in D]: KStream<K, V> };

  /** Sends the stream through an internal topic, to the partition of its key (a new one by `key`). */
  repartition(
    name: string,
    options?: RepartitionOptions<K, Present<V>> & { readonly key?: KeyOf<K, V, K> },
  ): KStream<K, V>;
  repartition<K2>(
    name: string,
    options: RepartitionOptions<K2, Present<V>> & { readonly key: KeyOf<K, V, K2>; readonly keySerde: Serde<K2> },
  ): KStream<K2, V>;

  /**
   * Groups by the key as it is. If the key changed, each aggregation repartitions under its own name; with a `name` here they share one
   * topic of that name.
   */
  groupByKey(options?: SerdeOptions<K, Present<V>> & { readonly name?: string }): KGroupedStream<K, Present<V>>;
  /** Groups by a new key, through the repartition topic `name`. Records with a null key are dropped. */
  groupBy(
    name: string,
    key: (value: V, key: K) => K,
    options?: SerdeOptions<K, Present<V>>,
  ): KGroupedStream<K, Present<V>>;
  groupBy<K2>(
    name: string,
    key: (value: V, key: K) => K2,
    options: SerdeOptions<K2, Present<V>> & { readonly keySerde: Serde<K2> },
  ): KGroupedStream<K2, Present<V>>;
  /** The latest value of each key: null deletes, a null key is dropped. Repartitions if the key changed. */
  toTable(store: string | TableStoreSpec<K, Present<V>>): KTable<K, Present<V>>;

  /** With the row of the same key at that moment, of a versioned table at the time of the record; without one, or with a null key or value, the record is dropped. Time: the record's. */
  join<VT, VR>(
    name: string,
    table: KTable<K, VT>,
    joiner: (value: Present<V>, row: VT, key: K) => VR,
    options?: TableJoinOptions,
  ): KStream<K, VR>;
  /** As `join`, with `null` for a missing row or key. */
  leftJoin<VT, VR>(
    name: string,
    table: KTable<K, VT>,
    joiner: (value: Present<V>, row: VT | null, key: K) => VR,
    options?: TableJoinOptions,
  ): KStream<K, VR>;

  /**
   * With the records of the other stream that have the same key and lie in the window around this one, whichever comes first; several of one
   * time count each. Repartitions a side whose key changed. A null key or value is dropped. Time: the later of both.
   */
  joinStream<V2, VR>(
    name: string,
    other: KStream<K, V2>,
    how: StreamJoin<K, Present<V>, Present<V2>, VR>,
  ): KStream<K, VR>;
  /** As `joinStream`; a record of this stream that found nothing is joined with `null` once its window has closed, or at once without a key. */
  leftJoinStream<V2, VR>(
    name: string,
    other: KStream<K, V2>,
    how: StreamJoin<K, Present<V>, Present<V2> | null, VR>,
  ): KStream<K, VR>;
  /** As `leftJoinStream`, for records of both streams. */
  outerJoinStream<V2, VR>(
    name: string,
    other: KStream<K, V2>,
    how: StreamJoin<K, Present<V> | null, Present<V2> | null, VR>,
  ): KStream<K, VR>;

  /**
   * With the row of a global table whose key is made of the record (which may have none itself), as it is here and now; without one the record
   * is dropped. Time: the record's.
   */
  joinGlobal<KG, VG, VR>(
    name: string,
    table: GlobalTable<KG, VG>,
    how: {
      readonly key: (value: Present<V>, key: K) => KG | null;
      readonly joiner: (value: Present<V>, row: VG, key: K) => VR;
    },
  ): KStream<K, VR>;
  /** As `joinGlobal`, with `null` for a missing row or key. */
  leftJoinGlobal<KG, VG, VR>(
    name: string,
    table: GlobalTable<KG, VG>,
    how: {
      readonly key: (value: Present<V>, key: K) => KG | null;
      readonly joiner: (value: Present<V>, row: VG | null, key: K) => VR;
    },
  ): KStream<K, VR>;

  /**
   * A processor written by hand. Its input is **not** repartitioned, even if the key changed: its stores hold what its partition sees. Its
   * output counts as re-keyed.
   */
  process<KIn, VIn, KOut, VOut, S extends StoreSpecs>(
    ...step: Step<ProcessorDefinition<KIn, VIn, KOut, VOut, S> & Accepts<K, V>>
  ): KStream<KOut, VOut>;

  /** As `process`, with a processor that keeps the key: its output is partitioned as before. */
  processValues<KIn, VIn, VOut, S extends StoreSpecs>(
    ...step: Step<FixedKeyDefinition<KIn, VIn, VOut, S> & Accepts<K, V>>
  ): KStream<K, VOut>;

  /**
   * Calls an asynchronous function for each record, many at a time, and goes on with its result. Records that wait are kept in a store of the
   * step's name, so that a commit takes them along: results are exactly once, calls at least once. See `AsyncOptions` for order, limits and retries.
   */
  mapValuesAsync<V2>(
    name: string,
    mapper: (value: V, key: K, call: AsyncCall) => Promise<V2>,
    options?: AsyncOptions<K, Present<V>>,
  ): KStream<K, V2>;
  /** As `mapValuesAsync`, with a new key and value; the key counts as changed. */
  mapAsync<K2, V2>(
    name: string,
    mapper: (value: V, key: K, call: AsyncCall) => Promise<readonly [K2, V2]>,
    options?: AsyncOptions<K, Present<V>>,
  ): KStream<K2, V2>;

  /** Writes to a user's topic, which must exist. Ends the stream. */
  to(topic: TopicFor<K, V>, options?: SinkOptions<K, V>): void;
  /** Writes each record to the topic that is named for it. */
  to(
    topic: UserFunction<[key: K, value: V, metadata: RecordMetadata | undefined], string>,
    options?: SinkOptions<K, V> & SerdeOptions<K, Present<V>>,
  ): void;
}

/** A stream by key, to be aggregated. Records with a null key or value are dropped. The time of a row is the latest of its records'. */
export interface KGroupedStream<in out K, out V> {
  readonly state: GroupedState<K, V>;
  count(store: string | TableStoreSpec<K, number>): KTable<K, number>;
  /** The first value is the aggregate; null deletes it. */
  reduce(store: string | TableStoreSpec<K, V>, add: (aggregate: V, value: V, key: K) => V | null): KTable<K, V>;
  aggregate<A>(store: string, how: Aggregation<K, V, A> & { readonly valueSerde: Serde<A> }): KTable<K, A>;
  aggregate<A>(store: TableStoreSpec<K, A>, how: Aggregation<K, V, A>): KTable<K, A>;
  /** Begins an aggregation of several streams into one store. */
  cogroup<A>(add: UserFunction<[aggregate: A, value: V, key: K], A | null>): CogroupedKStream<K, A>;
  /** Aggregations for each window on its own. */
  windowedBy(windows: TimeWindows | SlidingWindows): TimeWindowedKStream<K, V>;
  windowedBy(windows: SessionWindows): SessionWindowedKStream<K, V>;
}

/** The table of a windowed aggregation. */
export type WindowedTable<K, A> = KTable<Windowed<K>, A>;

/**
 * A stream by key and time window, to be aggregated. Records with a null key are dropped, and those whose window has closed (`late`: once for
 * each window). Null values reach `add` as in Kafka Streams, except that sliding windows drop them; leave them out by `filter` before.
 */
export interface TimeWindowedKStream<in out K, out V> {
  /** `on-update` (default): every change. `on-close`: the final result of a window, once, when stream time passes its end and grace. */
  emitStrategy(emit: EmitStrategy, options?: EmitOptions): TimeWindowedKStream<K, V>;
  count(store: WindowStoreFor<K, number>): WindowedTable<K, number>;
  /** The first value is the aggregate; null deletes it. */
  reduce(store: WindowStoreFor<K, V>, add: (aggregate: V, value: V, key: K) => V | null): WindowedTable<K, V>;
  aggregate<A>(
    store: string | WindowedStoreOptions,
    how: Aggregation<K, V, A> & { readonly valueSerde: Serde<A> },
  ): WindowedTable<K, A>;
  aggregate<A>(store: WindowStoreSpec<K, A>, how: Aggregation<K, V, A>): WindowedTable<K, A>;
}

/** As `TimeWindowedKStream`, by key and session. */
export interface SessionWindowedKStream<in out K, out V> {
  emitStrategy(emit: EmitStrategy, options?: EmitOptions): SessionWindowedKStream<K, V>;
  count(store: SessionStoreFor<K, number>): WindowedTable<K, number>;
  reduce(store: SessionStoreFor<K, V>, add: (aggregate: V, value: V, key: K) => V | null): WindowedTable<K, V>;
  aggregate<A>(
    store: string | WindowedStoreOptions,
    how: SessionAggregationOf<K, V, A> & { readonly valueSerde: Serde<A> },
  ): WindowedTable<K, A>;
  aggregate<A>(store: SessionStoreSpec<K, A>, how: SessionAggregationOf<K, V, A>): WindowedTable<K, A>;
}

/**
 * Streams of one key type that are aggregated into one store, each in its own way. Those whose key changed repartition under
 * `<store>-<number>`. Records are dropped by the rules of an aggregation of one stream.
 */
export interface CogroupedKStream<in out K, in out A> {
  cogroup<V>(
    stream: KGroupedStream<K, V>,
    add: UserFunction<[aggregate: A, value: V, key: K], A | null>,
  ): CogroupedKStream<K, A>;
  aggregate(store: string, how: Initial<A> & ValueSerde<A>): KTable<K, A>;
  aggregate(store: TableStoreSpec<K, A>, how: Initial<A>): KTable<K, A>;
  windowedBy(windows: TimeWindows | SlidingWindows): TimeWindowedCogroupedKStream<K, A>;
  windowedBy(windows: SessionWindows): SessionWindowedCogroupedKStream<K, A>;
}

/** As in Kafka Streams, each stream has its own time: a record is late by what its own stream has seen. */
export interface TimeWindowedCogroupedKStream<in out K, in out A> {
  aggregate(store: string | WindowedStoreOptions, how: Initial<A> & ValueSerde<A>): WindowedTable<K, A>;
  aggregate(store: WindowStoreSpec<K, A>, how: Initial<A>): WindowedTable<K, A>;
}

/** As `TimeWindowedCogroupedKStream`, by session. */
export interface SessionWindowedCogroupedKStream<in out K, in out A> {
  aggregate(store: string | WindowedStoreOptions, how: InitialSession<K, A> & ValueSerde<A>): WindowedTable<K, A>;
  aggregate(store: SessionStoreSpec<K, A>, how: InitialSession<K, A>): WindowedTable<K, A>;
}

/** A changing table: for each key its latest value. Functions never see a null value. */
export interface KTable<in out K, out V> {
  /** What the builder knows of it; for operators, not for applications. */
  readonly state: TableState<K, V>;

  /** A row that does not match is absent; one that stops matching is deleted. */
  filter<W extends V>(...step: Step<(value: V, key: K) => value is W>): KTable<K, W>;
  filter(...step: Step<PredicateFor<K, V>>): KTable<K, V>;
  filterNot(...step: Step<PredicateFor<K, V>>): KTable<K, V>;
  /** Computed again on every read: must be a pure function. Null deletes the row. */
  mapValues<V2>(...step: Step<(value: V, key: K) => V2>): KTable<K, Present<V2>>;
  /** Keeps the rows of a derived table in a store of its own, to be queried or read cheaply. */
  materialize(store: string, serdes?: SerdeOptions<K, V>): KTable<K, V>;
  materialize(store: TableStoreSpec<K, V>): KTable<K, V>;
  /**
   * Holds changes back: until a time limit, or, of a windowed table, until windows close. What waits is kept in a store `name` with a changelog,
   * and in memory. Readers of the result see its rows as they were last sent on.
   */
  suppress(
    name: string,
    how: TimeLimit | (K extends Windowed<unknown> ? WindowClose : never),
    options?: SerdeOptions<K, V> & { readonly changelog?: boolean | Readonly<Record<string, string>> },
  ): KTable<K, V>;
  /**
   * At most one change of each row in each commit: the latest, together with what the row was at the last one. Readers of the table see every
   * change at once.
   */
  oncePerCommit(name?: string): KTable<K, V>;
  /** Every change as a record; a delete has the value null. */
  toStream(name?: string): KStream<K, V | null>;
  /** Every change as a record that says what the row is and what it was; the table's rows are kept for it. */
  toChanges(name?: string): KStream<K, Change<V>>;
  /**
   * Groups rows by a new key, through the repartition topic `name`; both the old and the new row travel. A null pair, group key or value
   * leaves the row out.
   */
  groupBy<K2, V2>(
    name: string,
    mapper: (value: V, key: K) => readonly [K2 | null, V2 | null] | null,
    serdes: { readonly keySerde: Serde<K2>; readonly valueSerde: Serde<V2> },
  ): KGroupedTable<K2, V2>;

  /** Rows present in both; a change on either side updates the result. Time: the later of both rows. */
  join<V2, VR>(name: string, other: KTable<K, V2>, joiner: (value: V, other: V2, key: K) => VR): KTable<K, Present<VR>>;
  leftJoin<V2, VR>(
    name: string,
    other: KTable<K, V2>,
    joiner: (value: V, other: V2 | null, key: K) => VR,
  ): KTable<K, Present<VR>>;
  outerJoin<V2, VR>(
    name: string,
    other: KTable<K, V2>,
    joiner: (value: V | null, other: V2 | null, key: K) => VR,
  ): KTable<K, Present<VR>>;

  /**
   * With the row that each row refers to by its foreign key; the tables need not be partitioned alike. A change on either side updates the
   * result, through topics of the application; a row without a foreign key has none. Time: the later of both rows when this side changed, else
   * the other row's.
   */
  foreignKeyJoin<KO, VO, VR>(
    name: string,
    other: KTable<KO, VO>,
    how: ForeignKeyJoin<K, V, KO, VO, VR>,
  ): KTable<K, Present<VR>>;
  /** As `foreignKeyJoin`, with `null` for a missing foreign key or row. */
  foreignKeyLeftJoin<KO, VO, VR>(
    name: string,
    other: KTable<KO, VO>,
    how: ForeignKeyJoin<K, V, KO, VO | null, VR>,
  ): KTable<K, Present<VR>>;
}

/**
 * A table that every instance holds whole, filled from all partitions of its topic: streams join it by any key, whatever their partitions. Not
 * in step with the tasks: a join sees what has been read so far, at least everything the topic held when the instance started.
 */
export interface GlobalTable<in out K, out V> {
  /** What the builder knows of it; for operators, not for applications. */
  readonly state: GlobalTableState<K, V>;
}

/** Rows of a table by group, to be aggregated. */
export interface KGroupedTable<in out K, out V> {
  readonly state: GroupedTableState<K, V>;
  /** Rows in the group; 0 stays when the last one left. */
  count(store: string | TableStoreSpec<K, number>): KTable<K, number>;
  reduce(store: string | TableStoreSpec<K, V>, how: Pick<TableAggregation<K, V, V>, 'add' | 'subtract'>): KTable<K, V>;
  aggregate<A>(store: string, how: TableAggregation<K, V, A> & { readonly valueSerde: Serde<A> }): KTable<K, A>;
  aggregate<A>(store: TableStoreSpec<K, A>, how: TableAggregation<K, V, A>): KTable<K, A>;
}

/** Makes the handles; breaks the circle between streams and tables. */
export interface Handles {
  stream<K, V>(state: StreamState<K, V>): KStream<K, V>;
  groupedStream<K, V>(state: GroupedState<K, V>): KGroupedStream<K, V>;
  table<K, V>(state: TableState<K, V>): KTable<K, V>;
  groupedTable<K, V>(state: GroupedTableState<K, V>): KGroupedTable<K, V>;
}
