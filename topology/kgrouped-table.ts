/** Aggregations of a table's rows by group. */
import { aggregateTable, countTable } from '../processors/aggregate.ts';
import type { CreateNode } from '../processors/node.ts';
import { storeView } from '../processors/table.ts';
import { int64Serde, type Serde } from '../schemas/serde.ts';
import { isKept, type GroupedTableState } from './handle-state.ts';
import type { Handles, KGroupedTable, KTable } from './handles.ts';
import type { TableAggregation } from './operands.ts';
import { storeName, tableStore, type TableStore } from './table-store.ts';

interface Aggregator<K, A> {
  readonly what: string;
  readonly store: TableStore<K, A>;
  readonly valueSerde: Serde<A> | undefined;
  readonly isExact?: boolean;
  readonly create: (store: string) => CreateNode;
}

export class GroupedTableHandle<K, V> implements KGroupedTable<K, V> {
  readonly state: GroupedTableState<K, V>;
  readonly #handles: Handles;

  constructor(handles: Handles, state: GroupedTableState<K, V>) {
    this.#handles = handles;
    this.state = Object.freeze(state);
    Object.freeze(this);
  }

  count(store: TableStore<K, number>): KTable<K, number> {
    return this.#aggregate({ what: 'count', store, valueSerde: int64Serde, isExact: true, create: countTable });
  }

  reduce(
    store: TableStore<K, V>,
    { add, subtract }: Pick<TableAggregation<K, V, V>, 'add' | 'subtract'>,
  ): KTable<K, V> {
    return this.#aggregate({
      what: 'reduce',
      store,
      valueSerde: this.state.value,
      create: (name) => aggregateTable(name, { store: name, initial: undefined, add, subtract }),
    });
  }

  aggregate<A>(
    store: TableStore<K, A>,
    { initial, add, subtract, valueSerde }: TableAggregation<K, V, A> & { readonly valueSerde?: Serde<A> },
  ): KTable<K, A> {
    return this.#aggregate({
      what: 'aggregate',
      store,
      valueSerde,
      create: (name) => aggregateTable(name, { store: name, initial, add, subtract }),
    });
  }

  #aggregate<A>({ what, store, valueSerde, isExact = false, create }: Aggregator<K, A>): KTable<K, A> {
    const { declaration, onError, key, node: parent } = this.state;
    const name = storeName(store);
    const spec = tableStore(store, { declaration, key, value: valueSerde, isExact });
    const node = declaration.processor({
      name: declaration.stepName('KTABLE-AGGREGATE', name),
      what,
      parents: [parent],
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
