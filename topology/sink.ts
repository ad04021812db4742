/** Declares where records leave the topology. */
import type { UserFunction } from '../processors/user-function.ts';
import type { RecordMetadata } from '../schemas/record.ts';
import type { Serde } from '../schemas/serde.ts';
import type { StreamState } from './handle-state.ts';
import type { SinkOptions, TopicFor } from './operands.ts';
import { partitioning, requireSerdes } from './repartition.ts';

export type TopicExtractor<K, V> = UserFunction<[key: K, value: V, metadata: RecordMetadata | undefined], string>;

export interface SinkStep<K, V> extends SinkOptions<K, V> {
  readonly topic: TopicFor<K, V> | TopicExtractor<K, V>;
  /** What a computed topic is written with; a topic that is named brings its own. */
  readonly keySerde: Serde<K> | undefined;
  readonly valueSerde: Serde<V> | undefined;
}

/** Throws `TOPOLOGY_INVALID` where serdes are missing. */
export function declareSink<K, V>(
  { declaration, node }: StreamState<K, V>,
  { topic, name: given, partitioner, keySerde, valueSerde }: SinkStep<K, V>,
): void {
  const name = declaration.stepName('KSTREAM-SINK', given);
  const serdes =
    typeof topic === 'function'
      ? requireSerdes(name, { declaration, key: keySerde, value: valueSerde })
      : { key: topic.key, value: topic.value };
  declaration.sink({
    kind: 'sink',
    name,
    parents: [node],
    stores: [],
    topic: typeof topic === 'function' ? topic : Object.freeze({ name: topic.name }),
    ...serdes,
    ...partitioning(partitioner),
  });
}
