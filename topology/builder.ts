/** Where a topology begins: its author's function gets a builder, what it declares becomes data. */
import { storeView, tableSource, unkeptTableSource } from '../processors/table.ts';
import { recordTimestamp, type TimestampExtractor } from '../schemas/timestamp.ts';
import type { Topic } from '../schemas/topic.ts';
import { Declaration } from './declaration.ts';
import type { ErrorPolicy } from './error-policy.ts';
import type { OffsetReset, Topology, TopologySettings } from './graph.ts';
import type { Handles, KStream, KTable } from './handles.ts';
import { GroupedStreamHandle } from './kgrouped-stream.ts';
import { GroupedTableHandle } from './kgrouped-table.ts';
import { StreamHandle } from './kstream.ts';
import { TableHandle } from './ktable.ts';
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
    const { name, timestamp = recordTimestamp, offsetReset = 'earliest', onError } = options;
    const all = isList(topics) ? topics : [topics];
    const [first] = all;
    const step = declaration.stepName('KSTREAM-SOURCE', name);
    if (first === undefined) throw declaration.refuse(step, 'reads no topic');
    if (all.some((topic) => topic.key !== first.key || topic.value !== first.value))
      throw declaration.refuse(step, 'reads topics of different serdes: declare a stream for each and merge them');
    const node = declaration.source({
      kind: 'source',
      name: step,
      parents: [],
      stores: [],
      topics: Object.freeze(all.map((topic) => Object.freeze({ name: topic.name }))),
      key: first.key,
      value: first.value,
      timestamp,
      offsetReset,
      ...(onError === undefined ? {} : { onError }),
    });
    return this.#handles.stream({ declaration, node, key: first.key, value: first.value, keyChanged: false, onError });
  }

  /**
   * The latest value of each key of a topic, in the topic's order: a null value deletes, a null key is dropped. Without a `store` its rows
   * are kept only if a step reads them, in a store of the topic's name.
   */
  table<K, V>(topic: Topic<K, V>, options: TableOptions<K, V> = {}): KTable<K, V> {
    const declaration = this.#declaration;
    const { state } = this.stream(topic, options);
    const { onError } = state;
    const spec = tableStore(options.store ?? topic.name, state);
    const { name, key, value } = spec;
    const isNeeded = { now: options.store !== undefined };
    const node = declaration.processor({
      name: declaration.stepName('KTABLE-SOURCE', name),
      what: 'table',
      parents: [state.node],
      create: (context) => (isNeeded.now ? tableSource(name) : unkeptTableSource())(context),
      stores: isNeeded.now ? [spec] : [],
      onError,
    });
    const keep = (): void => {
      if (isNeeded.now) return;
      isNeeded.now = true;
      declaration.attach(node, spec);
    };
    const view = { ...storeView(name), tracksOldValues: () => isNeeded.now };
    return this.#handles.table({ declaration, node, key, value, view, keep, onError });
  }
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
