/** Aggregations of a table's rows by group. */
import { declareAggregate, type Aggregator } from './aggregate-step.ts';
import { aggregateTable, countTable } from '../processors/aggregate.ts';
import { int64Serde, type Serde } from '../schemas/serde.ts';
import type { GroupedTableState } from './handle-state.ts';
import type { Handles, KGroupedTable, KTable } from './handles.ts';
import type { TableAggregation } from './operands.ts';
import { storeName, type TableStore } from './table-store.ts';

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

  #aggregate<A>(aggregator: Aggregator<K, A>): KTable<K, A> {
    const name = storeName(aggregator.store);
    return this.#handles.table(declareAggregate({ ...this.state, name, prefix: 'KTABLE-AGGREGATE' }, aggregator));
  }
}
