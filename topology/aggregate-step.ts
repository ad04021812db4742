/** Declares the step that keeps an aggregate, of a stream or of a table's groups. */
import type { CreateNode } from '../processors/node.ts';
import { storeView } from '../processors/table.ts';
import type { Serde } from '../schemas/serde.ts';
import { isKept, type GroupedState, type TableState } from './handle-state.ts';
import { tableStore, type TableStore } from './table-store.ts';

export interface Aggregator<K, A> {
  readonly what: string;
  readonly store: TableStore<K, A>;
  readonly valueSerde: Serde<A> | undefined;
  readonly isExact?: boolean;
  readonly create: (store: string) => CreateNode;
}

/** What an aggregation reads, and of generated names, as in Kafka Streams. */
export interface AggregateInput<K> extends Pick<GroupedState<K, unknown>, 'declaration' | 'onError' | 'node' | 'key'> {
  readonly name: string;
  readonly prefix: 'KSTREAM-AGGREGATE' | 'KTABLE-AGGREGATE';
}

/** The table of the aggregates, kept in a store of the same name. */
export function declareAggregate<K, A>(
  { declaration, onError, node: parent, key, name, prefix }: AggregateInput<K>,
  { what, store, valueSerde, isExact = false, create }: Aggregator<K, A>,
): TableState<K, A> {
  const spec = tableStore(store, { declaration, key, value: valueSerde, isExact });
  const node = declaration.processor({
    name: declaration.stepName(prefix, name),
    what,
    parents: [parent],
    create: create(name),
    stores: [spec],
    onError,
  });
  return { declaration, onError, node, key: spec.key, value: spec.value, view: storeView(name), ...isKept };
}
