/** The steps of an aggregation: one for each stream that feeds it, and one that brings their results together if they are several. */
import { assert } from '../errors.ts';
import type { CreateNode } from '../processors/node.ts';
import { passThrough } from '../processors/stateless.ts';
import type { TableView } from '../processors/table.ts';
import type { Serde } from '../schemas/serde.ts';
import type { AnyStoreSpec } from '../state-stores/spec.ts';
import type { UserFunction } from '../processors/user-function.ts';
import { isKept, type GroupedState } from './handle-state.ts';
import type { Handles, KTable } from './handles.ts';
import { byKey } from './repartition.ts';

/** Adds a value to an aggregate. */
export type Combine = UserFunction<[aggregate: unknown, value: unknown, key: unknown], unknown>;

/** A stream that feeds an aggregation in its own way. */
export interface AggregationInput<K> {
  readonly stream: GroupedState<K, unknown>;
  readonly add: Combine;
}

export function firstStream<K>(inputs: readonly AggregationInput<K>[]): GroupedState<K, unknown> {
  const [first] = inputs;
  assert(first !== undefined, 'an aggregation has an input');
  return first.stream;
}

/** The inputs as they must be: repartitioned by their keys, under the aggregation's name, if these changed. */
export function inputsByKey<K>(
  inputs: readonly AggregationInput<K>[],
  { name, what }: { readonly name: string; readonly what: string },
): readonly AggregationInput<K>[] {
  return inputs.map(({ stream, add }, index) => ({
    add,
    stream: byKey(stream, {
      name: inputs.length === 1 ? name : `${name}-${String(index + 1)}`,
      what,
    }),
  }));
}

export interface AggregationSteps<K, A> {
  readonly name: string;
  readonly what: string;
  /** As `inputsByKey` gave them. */
  readonly inputs: readonly AggregationInput<unknown>[];
  readonly spec: AnyStoreSpec;
  readonly create: (step: string, add: Combine) => CreateNode;
  readonly key: Serde<K>;
  readonly value: Serde<A>;
  readonly view: TableView;
  /** Of windowed tables: how long after its end a window may still change. */
  readonly closesAfterMs?: number;
}

/** Adds the steps, and gives their table. */
export function aggregationTable<K, A>(handles: Handles, steps: AggregationSteps<K, A>): KTable<K, A> {
  const { name, what, inputs, spec, create, key, value, view, closesAfterMs } = steps;
  const { declaration, onError } = firstStream(inputs);
  const isSingle = inputs.length === 1;
  const nodes = inputs.map(({ stream, add }, index) => {
    const step = isSingle ? name : `${name}-cogroup-${String(index + 1)}`;
    return declaration.processor({
      name: declaration.stepName('KSTREAM-AGGREGATE', step),
      what,
      parents: [stream.node],
      create: create(step, add),
      stores: [spec],
      onError: stream.onError,
    });
  });
  const node = isSingle
    ? name
    : declaration.processor({
        name: declaration.stepName('COGROUPKSTREAM-MERGE', name),
        what,
        parents: nodes,
        create: passThrough(),
        onError,
      });
  return handles.table({ declaration, onError, node, key, value, view, ...isKept, closesAfterMs });
}
