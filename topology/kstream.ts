/** The operators of a stream. */
import { keepingKey, type FixedKeyDefinition } from '../processors/fixed-key-processor.ts';
import type { GlobalJoin } from '../processors/global-join.ts';
import type { AnyRecord, CreateNode } from '../processors/node.ts';
import type { AsyncCall } from '../processors/map-async.ts';
import type { ProcessorDefinition, StoreSpecs } from '../processors/processor.ts';
import * as stateless from '../processors/stateless.ts';
import type { Serde } from '../schemas/serde.ts';
import type { ErrorPolicy } from './error-policy.ts';
import { assumeSerde, sameSerde, type StreamState } from './handle-state.ts';
import type { BranchStreams, GlobalTable, Handles, KGroupedStream, KStream, KTable } from './handles.ts';
import type {
  Accepts,
  AsyncOptions,
  KeyOf,
  PredicateFor,
  Present,
  RepartitionOptions,
  SerdeOptions,
  SinkOptions,
  Step,
  StreamJoin,
  TableJoinOptions,
  TopicFor,
} from './operands.ts';
import { declareAsync } from './async-step.ts';
import { declareBranches } from './branch.ts';
import { declareProcess } from './process-step.ts';
import { byKey, repartition } from './repartition.ts';
import { declareSink, type TopicExtractor } from './sink.ts';
import { parts, selectorOf, type After, type StatelessStep } from './step.ts';
import { declareStreamJoin, type StreamJoinStep } from './stream-join.ts';
import { declareGlobalJoin, declareStreamTableJoin, type StreamTableJoinStep } from './stream-table-join.ts';
import { declareTable } from './table-source.ts';
import { storeName, tableStore, type TableStore } from './table-store.ts';

export class StreamHandle<K, V> implements KStream<K, V> {
  readonly state: StreamState<K, V>;
  readonly #handles: Handles;

  constructor(handles: Handles, state: StreamState<K, V>) {
    this.#handles = handles;
    this.state = Object.freeze(state);
    Object.freeze(this);
  }

  withSerdes({ keySerde, valueSerde }: SerdeOptions<K, Present<V>>): KStream<K, V> {
    const { state } = this;
    return this.#handles.stream<K, V>({ ...state, key: keySerde ?? state.key, value: valueSerde ?? state.value });
  }

  withErrorPolicy(onError: ErrorPolicy): KStream<K, V> {
    return this.#handles.stream({ ...this.state, onError });
  }

  filter<W>(...step: Step<PredicateFor<K, V>>): KStream<K, W> {
    const { name, run } = parts(step);
    return this.#filter({ what: 'filter', name, predicate: run, kept: true });
  }

  filterNot(...step: Step<PredicateFor<K, V>>): KStream<K, V> {
    const { name, run } = parts(step);
    return this.#filter({ what: 'filterNot', name, predicate: run, kept: false });
  }

  map<K2, V2>(...step: Step<(value: V, key: K) => readonly [K2, V2]>): KStream<K2, V2> {
    const { name, run } = parts(step);
    return this.#then(
      { prefix: 'KSTREAM-MAP', what: 'map', name, create: (node) => stateless.map(node, run) },
      { key: undefined, value: undefined, keyChanged: true },
    );
  }

  mapValues<V2>(...step: Step<(value: V, key: K) => V2>): KStream<K, V2> {
    const { name, run } = parts(step);
    return this.#then(
      { prefix: 'KSTREAM-MAPVALUES', what: 'mapValues', name, create: (node) => stateless.mapValues(node, run) },
      { ...this.#known, value: undefined },
    );
  }

  flatMap<K2, V2>(...step: Step<(value: V, key: K) => Iterable<readonly [K2, V2]>>): KStream<K2, V2> {
    const { name, run } = parts(step);
    return this.#then(
      { prefix: 'KSTREAM-FLATMAP', what: 'flatMap', name, create: (node) => stateless.flatMap(node, run) },
      { key: undefined, value: undefined, keyChanged: true },
    );
  }

  flatMapValues<V2>(...step: Step<(value: V, key: K) => Iterable<V2>>): KStream<K, V2> {
    const { name, run } = parts(step);
    const create = (node: string): CreateNode => stateless.flatMapValues(node, run);
    return this.#then(
      { prefix: 'KSTREAM-FLATMAPVALUES', what: 'flatMapValues', name, create },
      { ...this.#known, value: undefined },
    );
  }

  selectKey<K2>(...step: Step<(value: V, key: K) => K2>): KStream<K2, V> {
    const { name, run } = parts(step);
    return this.#rekeyed({ what: 'selectKey', name, key: run }, undefined);
  }

  peek(...step: Step<(value: V, key: K) => void>): KStream<K, V> {
    const { name, run } = parts(step);
    const create = (node: string): CreateNode => stateless.peek(node, run);
    return this.#then({ prefix: 'KSTREAM-PEEK', what: 'peek', name, create }, this.#known);
  }

  foreach(...step: Step<(value: V, key: K) => void>): void {
    const { name, run } = parts(step);
    const create = (node: string): CreateNode => stateless.foreach(node, run);
    this.#add({ prefix: 'KSTREAM-FOREACH', what: 'foreach', name, create });
  }

  merge<V2>(other: KStream<K, V2>, name?: string): KStream<K, V | V2> {
    const { state } = this;
    const node = state.declaration.processor({
      name: state.declaration.stepName('KSTREAM-MERGE', name),
      what: 'merge',
      parents: [state.node, state.declaration.own(name ?? 'merge', other.state).node],
      create: stateless.passThrough(),
      onError: state.onError,
    });
    return this.#handles.stream<K, V | V2>({
      ...state,
      node,
      key: state.key === other.state.key ? state.key : undefined,
      value: sameSerde(state.value, other.state.value) ? assumeSerde<V | V2>(state.value) : undefined,
      keyChanged: state.keyChanged || other.state.keyChanged,
    });
  }

  branch<B extends Readonly<Record<string, PredicateFor<K, V>>>, D extends string>(
    name: string,
    branches: B,
    options?: { readonly default: D },
  ): BranchStreams<K, V, B> & { readonly [N in D]: KStream<K, V> } {
    const streams = declareBranches(this.state, name, { branches, rest: options?.default }).map(
      ({ branch, node }) => [branch, this.#handles.stream({ ...this.state, node })] as const,
    );
    // The streams carry the names and the asserted types of the predicates.
    return Object.freeze(Object.fromEntries(streams)) as BranchStreams<K, V, B> & { readonly [N in D]: KStream<K, V> };
  }

  repartition<K2>(
    name: string,
    options: RepartitionOptions<K2, Present<V>> & { readonly key?: KeyOf<K, V, K2> } = {},
  ): KStream<K2, V> {
    const { key, keySerde, valueSerde, partitions, partitioner } = options;
    const known = keySerde ?? assumeSerde<K2>(this.state.key);
    const rekeyed =
      key === undefined
        ? this.#handles.stream<K2, V>({ ...this.state, key: known })
        : this.#rekeyed<K2>({ what: 'repartition', name: selectorOf(name), key }, known);
    const stream = { ...rekeyed.state, value: valueSerde ?? this.state.value };
    return this.#handles.stream(repartition(stream, { name, what: 'repartition', partitions, partitioner }));
  }

  groupByKey(options: SerdeOptions<K, Present<V>> & { readonly name?: string } = {}): KGroupedStream<K, Present<V>> {
    const { name } = options;
    const { state } = this.withSerdes(options);
    const grouped = name === undefined ? state : byKey(state, { name, what: 'groupByKey' });
    return this.#handles.groupedStream({ ...grouped, value: assumeSerde<Present<V>>(grouped.value) });
  }

  groupBy<K2>(
    name: string,
    key: (value: V, key: K) => K2,
    { keySerde, valueSerde }: SerdeOptions<K2, Present<V>> = {},
  ): KGroupedStream<K2, Present<V>> {
    const known = keySerde ?? assumeSerde<K2>(this.state.key);
    const { state } = this.#rekeyed<K2>({ what: 'groupBy', name: selectorOf(name), key }, known);
    const value = assumeSerde<Present<V>>(valueSerde ?? state.value);
    return this.#handles.groupedStream(repartition({ ...state, value }, { name, what: 'groupBy' }));
  }

  toTable(store: TableStore<K, Present<V>>): KTable<K, Present<V>> {
    const name = storeName(store);
    const stream = byKey(
      { ...this.state, value: assumeSerde<Present<V>>(this.state.value) },
      { name, what: 'toTable' },
    );
    const { declaration, onError } = stream;
    const spec = tableStore(store, stream);
    const table = declareTable(declaration, {
      name: declaration.stepName('KSTREAM-TOTABLE', name),
      what: 'toTable',
      parent: stream.node,
      storeName: name,
      spec: () => spec,
      historyRetentionMs: spec.historyRetentionMs,
      isKept: true,
      onError,
    });
    return this.#handles.table({ declaration, onError, key: spec.key, value: spec.value, ...table });
  }

  join<VT, VR>(
    name: string,
    table: KTable<K, VT>,
    joiner: (value: Present<V>, row: VT, key: K) => VR,
    { graceMs }: TableJoinOptions = {},
  ): KStream<K, VR> {
    return this.#join({ name, isLeft: false, joiner, graceMs }, table);
  }

  leftJoin<VT, VR>(
    name: string,
    table: KTable<K, VT>,
    joiner: (value: Present<V>, row: VT | null, key: K) => VR,
    { graceMs }: TableJoinOptions = {},
  ): KStream<K, VR> {
    return this.#join({ name, isLeft: true, joiner, graceMs }, table);
  }

  joinStream<V2, VR>(
    name: string,
    other: KStream<K, V2>,
    how: StreamJoin<K, Present<V>, Present<V2>, VR>,
  ): KStream<K, VR> {
    return this.#joinStream(name, other, { ...how, what: 'stream-stream join', outer: { left: false, right: false } });
  }

  leftJoinStream<V2, VR>(
    name: string,
    other: KStream<K, V2>,
    how: StreamJoin<K, Present<V>, Present<V2> | null, VR>,
  ): KStream<K, VR> {
    const what = 'stream-stream left join';
    return this.#joinStream(name, other, { ...how, what, outer: { left: true, right: false } });
  }

  outerJoinStream<V2, VR>(
    name: string,
    other: KStream<K, V2>,
    how: StreamJoin<K, Present<V> | null, Present<V2> | null, VR>,
  ): KStream<K, VR> {
    const what = 'stream-stream outer join';
    return this.#joinStream(name, other, { ...how, what, outer: { left: true, right: true } });
  }

  joinGlobal<KG, VG, VR>(
    name: string,
    table: GlobalTable<KG, VG>,
    how: {
      readonly key: (value: Present<V>, key: K) => KG | null;
      readonly joiner: (value: Present<V>, row: VG, key: K) => VR;
    },
  ): KStream<K, VR> {
    return this.#joinGlobal(name, table, { ...how, isLeft: false });
  }

  leftJoinGlobal<KG, VG, VR>(
    name: string,
    table: GlobalTable<KG, VG>,
    how: {
      readonly key: (value: Present<V>, key: K) => KG | null;
      readonly joiner: (value: Present<V>, row: VG | null, key: K) => VR;
    },
  ): KStream<K, VR> {
    return this.#joinGlobal(name, table, { ...how, isLeft: true });
  }

  process<KIn, VIn, KOut, VOut, S extends StoreSpecs>(
    ...step: Step<ProcessorDefinition<KIn, VIn, KOut, VOut, S> & Accepts<K, V>>
  ): KStream<KOut, VOut> {
    const { name, run: definition } = parts<ProcessorDefinition<KIn, VIn, KOut, VOut, S>>(step);
    const node = declareProcess(this.state, {
      name: name ?? definition.name,
      what: 'process',
      definition,
      make: () => definition,
    });
    return this.#handles.stream({ ...this.state, node, key: undefined, value: undefined, keyChanged: true });
  }

  processValues<KIn, VIn, VOut, S extends StoreSpecs>(
    ...step: Step<FixedKeyDefinition<KIn, VIn, VOut, S> & Accepts<K, V>>
  ): KStream<K, VOut> {
    const { name, run: definition } = parts<FixedKeyDefinition<KIn, VIn, VOut, S>>(step);
    const node = declareProcess(this.state, {
      name: name ?? definition.name,
      what: 'processValues',
      definition,
      make: keepingKey(definition),
    });
    return this.#handles.stream<K, VOut>({ ...this.state, node, value: undefined });
  }

  mapAsync<K2, V2>(
    name: string,
    mapper: (value: V, key: K, call: AsyncCall) => Promise<readonly [K2, V2]>,
    options: AsyncOptions<K, Present<V>> = {},
  ): KStream<K2, V2> {
    const node = declareAsync(
      this.state,
      { name, what: 'mapAsync', call: mapper, toRecord: stateless.fromPair },
      options,
    );
    return this.#handles.stream<K2, V2>({ ...this.state, node, key: undefined, value: undefined, keyChanged: true });
  }

  mapValuesAsync<V2>(
    name: string,
    mapper: (value: V, key: K, call: AsyncCall) => Promise<V2>,
    options: AsyncOptions<K, Present<V>> = {},
  ): KStream<K, V2> {
    const toRecord = (_step: string, record: AnyRecord, value: unknown): AnyRecord => ({ ...record, value });
    const node = declareAsync(this.state, { name, what: 'mapValuesAsync', call: mapper, toRecord }, options);
    return this.#handles.stream<K, V2>({ ...this.state, node, value: undefined });
  }

  to(
    topic: TopicFor<K, V> | TopicExtractor<K, V>,
    options: SinkOptions<K, V> & SerdeOptions<K, Present<V>> = {},
  ): void {
    const { key, value } = this.withSerdes(options).state;
    declareSink(this.state, { topic, ...options, keySerde: key, valueSerde: value });
  }

  get #known(): After<K, V> {
    const { key, value, keyChanged } = this.state;
    return { key, value, keyChanged };
  }

  #add(step: StatelessStep): string {
    const { declaration, node, onError } = this.state;
    const name = declaration.stepName(step.prefix, step.name);
    return declaration.processor({ name, what: step.what, parents: [node], create: step.create(name), onError });
  }

  #then<K2, V2>(step: StatelessStep, after: After<K2, V2>): KStream<K2, V2> {
    const { declaration, onError } = this.state;
    return this.#handles.stream({ declaration, onError, node: this.#add(step), ...after });
  }

  #filter<W>(step: {
    readonly what: string;
    readonly name: string | undefined;
    readonly predicate: PredicateFor<K, V>;
    readonly kept: boolean;
  }): KStream<K, W> {
    const create = (node: string): CreateNode => stateless.filter(node, step.predicate, step.kept);
    return this.#then(
      { prefix: 'KSTREAM-FILTER', what: step.what, name: step.name, create },
      { ...this.#known, value: assumeSerde<W>(this.state.value) },
    );
  }

  #rekeyed<K2>(step: Rekeying<K, V, K2>, keySerde: Serde<K2> | undefined): KStream<K2, V> {
    const create = (node: string): CreateNode => stateless.selectKey(node, step.key);
    return this.#then(
      { prefix: 'KSTREAM-KEY-SELECT', what: step.what, name: step.name, create },
      { key: keySerde, value: this.state.value, keyChanged: true },
    );
  }

  #joinStream<V2, VR>(name: string, other: KStream<K, V2>, how: Omit<StreamJoinStep, 'name'>): KStream<K, VR> {
    const { state } = this;
    const right = state.declaration.own(name, other.state);
    const joined = declareStreamJoin(state, right, { ...how, name });
    return this.#handles.stream<K, VR>({ ...joined, key: assumeSerde<K>(joined.key), value: undefined });
  }

  #joinGlobal<KG, VG, VR>(name: string, table: GlobalTable<KG, VG>, join: GlobalJoin): KStream<K, VR> {
    return this.#handles.stream({ ...declareGlobalJoin(this.state, table.state, { ...join, name }), value: undefined });
  }

  #join<VT, VR>(step: StreamTableJoinStep, table: KTable<K, VT>): KStream<K, VR> {
    return this.#handles.stream({ ...declareStreamTableJoin(this.state, table.state, step), value: undefined });
  }
}

interface Rekeying<K, V, K2> {
  readonly what: string;
  readonly name: string | undefined;
  readonly key: KeyOf<K, V, K2>;
}
