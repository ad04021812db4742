/** Where a topology begins: its author's function gets a builder, what it declares becomes data. */
import type { CreateNode } from '../processors/node.ts';
import type { ProcessorDefinition, StoreSpecs } from '../processors/processor.ts';
import { storeView, tableOfChanges, tableSource } from '../processors/table.ts';
import { userProcessor } from '../processors/user-processor.ts';
import type { Change } from '../schemas/record.ts';
import { recordTimestamp, type TimestampExtractor } from '../schemas/timestamp.ts';
import type { Topic } from '../schemas/topic.ts';
import type { AnyStoreSpec } from '../state-stores/spec.ts';
import { Declaration } from './declaration.ts';
import { finalPolicy, type ErrorPolicy } from './error-policy.ts';
import type { OffsetReset, SourceNode, Topology, TopologySettings } from './graph.ts';
import { isKept } from './handle-state.ts';
import type { GlobalTable, Handles, KStream, KTable } from './handles.ts';
import type { SerdeOptions } from './operands.ts';
import { GroupedStreamHandle } from './kgrouped-stream.ts';
import { GroupedTableHandle } from './kgrouped-table.ts';
import { StreamHandle } from './kstream.ts';
import { TableHandle } from './ktable.ts';
import { declareTable } from './table-source.ts';
import { tableStore, type TableStoreSpec } from './table-store.ts';

export interface SourceOptions {
  readonly name?: string;
  /** The event time of a record; default: the record's own timestamp. */
  readonly timestamp?: TimestampExtractor;
  /** Where to begin without a committed offset; default `earliest`. */
  readonly offsetReset?: OffsetReset;
  /** For records that cannot be decoded or have no valid time, and for failures in the steps after it; default: the topology's. */
  readonly onError?: ErrorPolicy;
}

export interface TableOptions<K, V> extends SourceOptions {
  /** The store of its rows: they are kept, and can be queried. */
  readonly store?: string | TableStoreSpec<K, V>;
  /**
   * `source-topic`: the store is restored from the topic itself, and has no changelog; as `reuse.ktable.source.topics` in Kafka Streams. The
   * topic must be compacted, and nothing but: checked at the start. For tables that are looked up: steps that must know what a row was before
   * are refused, as are those that may pass over a record. Then `onError` is `fail`, `stop` or `skip`; `skip` is for what cannot be decoded,
   * then and in a restore, and steps after the table fail. Default `own`.
   */
  readonly changelog?: 'own' | 'source-topic';
}

export interface ChangesOptions<K, V> extends SerdeOptions<K, V> {
  /** Of windowed keys: how long after the end of a window its rows may change. */
  readonly closesAfterMs?: number;
}

export interface GlobalOptions {
  /** Of the source. */
  readonly name?: string;
  /** The event time of a record; default: the record's own timestamp. */
  readonly timestamp?: TimestampExtractor;
  /** For records that cannot be handled; default `fail`, whatever the topology's. */
  readonly onError?: 'fail' | 'skip';
}

export interface GlobalTableOptions<K, V> extends GlobalOptions {
  /** The store of its rows; default: of the topic's name. */
  readonly store?: string | TableStoreSpec<K, V>;
}

/** Makes the first streams and tables of a topology. Valid inside `defineTopology` only. */
export class TopologyBuilder {
  readonly #declaration: Declaration;
  readonly #handles: Handles = {
    stream: (state) => new StreamHandle(this.#handles, state),
    groupedStream: (state) => new GroupedStreamHandle(this.#handles, state),
    table: (state) => new TableHandle(this.#handles, state),
    groupedTable: (state) => new GroupedTableHandle(this.#handles, state),
  };

  constructor(declaration: Declaration) {
    this.#declaration = declaration;
  }

  /** The records of one or several topics of the same types. A topic that is named again is read once, if it is named in the same way. */
  stream<K, V>(topics: Topic<K, V> | readonly Topic<K, V>[], options: SourceOptions = {}): KStream<K, V> {
    const declaration = this.#declaration;
    const { name, onError } = options;
    const all = isList(topics) ? topics : [topics];
    const [first] = all;
    const step = declaration.stepName('KSTREAM-SOURCE', name);
    if (first === undefined) throw declaration.refuse(step, 'reads no topic');
    if (all.some((topic) => topic.key !== first.key || topic.value !== first.value))
      throw declaration.refuse(step, 'reads topics of different serdes: declare a stream for each and merge them');
    const node = declaration.source(sourceNode(step, [first, ...all.slice(1)], options));
    return this.#handles.stream({ declaration, node, key: first.key, value: first.value, keyChanged: false, onError });
  }

  /**
   * The latest value of each key of a topic, in the topic's order: a null value deletes, a null key is dropped. Without a `store` its rows
   * are kept only if a step reads them, in a store of the topic's name.
   */
  table<K, V>(topic: Topic<K, V>, options: TableOptions<K, V> = {}): KTable<K, V> {
    const declaration = this.#declaration;
    const { state } = this.stream(topic, options);
    const isRestoredFromSource = options.changelog === 'source-topic';
    const { onError } = state;
    const spec = tableStore(options.store ?? topic.name, state);
    const table = declareTable(declaration, {
      name: declaration.stepName('KTABLE-SOURCE', spec.name),
      what: 'table',
      parent: state.node,
      storeName: spec.name,
      spec: () => spec,
      historyRetentionMs: spec.historyRetentionMs,
      isKept: options.store !== undefined,
      onError,
      restoredFrom: isRestoredFromSource ? state.node : undefined,
    });
    const isSkipping = onError !== undefined && finalPolicy(onError) === 'skip';
    const handedOn = isRestoredFromSource && isSkipping ? 'fail' : onError;
    return this.#handles.table({ declaration, key: spec.key, value: spec.value, onError: handedOn, ...table });
  }

  /**
   * The table whose changes the records of a stream are, as `KTable.toChanges` makes them: what a record says its row was is believed. Its rows
   * are kept in `store`. The key must be that by which the stream is partitioned.
   */
  tableOfChanges<K, V>(
    changes: KStream<K, Change<V>>,
    store: string | TableStoreSpec<K, V>,
    options: ChangesOptions<K, V> = {},
  ): KTable<K, V> {
    const { declaration, onError, node: parent, key: known } = this.#declaration.own('tableOfChanges', changes.state);
    const { keySerde = known, valueSerde, closesAfterMs } = options;
    const spec = tableStore(store, { declaration, key: keySerde, value: valueSerde });
    const { name, key, value } = spec;
    const node = declaration.processor({
      name: declaration.stepName('KTABLE-OF-CHANGES', name),
      what: 'tableOfChanges',
      parents: [parent],
      create: tableOfChanges(name, name),
      stores: [spec],
      onError,
    });
    const state = { declaration, node, key, value, view: storeView(name), ...isKept, onError, closesAfterMs };
    return this.#handles.table(state);
  }

  /**
   * A table that every instance holds whole, for joins by any key. Its topic is its log, read whole before any task runs: keep it compacted and
   * small enough for each instance. Not part of the transactions: a join sees what has been read so far.
   */
  globalTable<K, V>(topic: Topic<K, V>, options: GlobalTableOptions<K, V> = {}): GlobalTable<K, V> {
    const declaration = this.#declaration;
    const spec = tableStore(options.store ?? topic.name, { declaration, key: topic.key, value: topic.value });
    this.#global(topic, spec, {
      ...options,
      what: 'global table',
      step: spec.name,
      create: tableSource(spec.name, 'none'),
    });
    return Object.freeze({ state: Object.freeze({ declaration, store: spec.name, key: spec.key, value: spec.value }) });
  }

  /**
   * A store that every instance holds whole, kept by a processor of its own, which forwards nothing and declares this one store. Other
   * processors that declare it may read it. After a restart records may be processed again that the store already reflects.
   */
  globalStore<K, V, S extends StoreSpecs>(
    topic: Topic<K, V>,
    processor: ProcessorDefinition<K | null, V | null, never, never, S>,
    options: GlobalOptions = {},
  ): void {
    const [spec, ...others] = Object.values(processor.stores ?? {});
    if (spec === undefined || others.length > 0)
      throw this.#declaration.refuse(processor.name, 'must declare one store: the global one');
    const create = userProcessor(processor.name, processor);
    this.#global(topic, spec, { ...options, what: 'global store', step: processor.name, create });
  }

  #global<K, V>(topic: Topic<K, V>, spec: AnyStoreSpec, how: GlobalOptions & GlobalStep): void {
    const declaration = this.#declaration;
    const { name, timestamp, what, step, create } = how;
    // There is no transaction in which a dead letter could be written.
    const onError = how.onError ?? 'fail';
    const source = declaration.stepName('KSTREAM-SOURCE', name);
    declaration.global(
      sourceNode(source, [topic], { onError, ...(timestamp === undefined ? {} : { timestamp }) }),
      spec,
      { name: declaration.stepName('KTABLE-SOURCE', step), what, create, onError },
    );
  }
}

interface GlobalStep {
  readonly step: string;
  readonly what: string;
  readonly create: CreateNode;
}

function sourceNode<K, V>(
  name: string,
  topics: readonly [Topic<K, V>, ...Topic<K, V>[]],
  { timestamp = recordTimestamp, offsetReset = 'earliest', onError }: SourceOptions,
): SourceNode {
  const [{ key, value }] = topics;
  return {
    kind: 'source',
    name,
    parents: [],
    stores: [],
    topics: Object.freeze(topics.map((topic) => Object.freeze({ name: topic.name }))),
    key,
    value,
    timestamp,
    offsetReset,
    ...(onError === undefined ? {} : { onError }),
  };
}

/**
 * Declares a topology: runs `declare` once and freezes what it declared. Nothing runs yet; the same topology may run many times.
 *
 * Throws `TOPOLOGY_INVALID` naming the step if a name is taken or a serde is missing.
 */
export function defineTopology(
  name: string,
  declare: (builder: TopologyBuilder) => void,
  settings: Partial<TopologySettings> = {},
): Topology {
  const declaration = new Declaration(name);
  const run: (builder: TopologyBuilder) => unknown = declare;
  if (run(new TopologyBuilder(declaration)) instanceof Promise)
    throw declaration.refuse(name, 'is declared by an asynchronous function');
  return declaration.freeze({ onError: 'fail', retired: [], ...settings });
}

function isList<T>(value: T | readonly T[]): value is readonly T[] {
  return Array.isArray(value);
}
