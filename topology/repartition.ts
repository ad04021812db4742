/** Sends a stream through an internal topic, so that equal keys meet in one task. */
import { passThrough, requireKey } from '../processors/stateless.ts';
import { recordTimestamp } from '../schemas/timestamp.ts';
import type { Serde } from '../schemas/serde.ts';
import type { UserFunction } from '../processors/user-function.ts';
import type { SinkNode } from './graph.ts';
import type { StreamState } from './handle-state.ts';

type PartitionerFunction = UserFunction<[key: unknown, value: unknown, partitions: number], number | undefined>;

export interface Repartition {
  /** The author's name of the step that needs it; names the topic. */
  readonly name: string;
  readonly what: string;
  readonly partitions?: number | undefined;
  readonly partitioner?: PartitionerFunction | undefined;
  /** No record comes here without a key. */
  readonly isKeyed?: boolean;
}

/** The key serde of a stream; throws `TOPOLOGY_INVALID` naming the step that needs it. */
export function requireKeySerde<K>(
  step: string,
  { declaration, key }: Pick<StreamState<K, unknown>, 'declaration' | 'key'>,
): Serde<K> {
  if (key === undefined)
    throw declaration.refuse(step, 'needs a key serde: an earlier step changed the type; give it by withSerdes');
  return key;
}

/** Both serdes of a stream; throws `TOPOLOGY_INVALID` naming the step that needs them. */
export function requireSerdes<K, V>(
  step: string,
  { declaration, key, value }: Pick<StreamState<K, V>, 'declaration' | 'key' | 'value'>,
): { readonly key: Serde<K>; readonly value: Serde<V> } {
  if (key === undefined || value === undefined)
    throw declaration.refuse(
      step,
      `needs ${missing(key, value)}: an earlier step changed the type; give it in the options of the step or by withSerdes`,
    );
  return { key, value };
}

function missing(key: unknown, value: unknown): string {
  if (key !== undefined) return 'a value serde';
  return value === undefined ? 'a key serde and a value serde' : 'a key serde';
}

/** The stream as it comes out of the internal topic `<name>`. */
export function repartition<K, V>(stream: StreamState<K, V>, how: Repartition): StreamState<K, V> {
  const { declaration } = stream;
  const serdes = requireSerdes(how.name, stream);
  const { partitions } = how;
  if (partitions !== undefined && !(Number.isInteger(partitions) && partitions > 0))
    throw declaration.refuse(how.name, 'needs a whole number of partitions, at least 1');
  const chosen = partitions === undefined ? {} : { partitions };
  declaration.repartition({ name: how.name, kind: 'repartition', ...chosen }, how.what);
  const topic = Object.freeze({ name: how.name, internal: 'repartition' as const });
  const prefix = `${how.name}-repartition`;
  const parent = how.isKeyed === true ? stream.node : keyFilter(stream, prefix, how.what);
  declaration.sink({
    kind: 'sink',
    name: declaration.stepName('KSTREAM-SINK', `${prefix}-sink`),
    parents: [parent],
    stores: [],
    topic,
    ...serdes,
    ...partitioning(how.partitioner),
  });
  const node = declaration.source({
    kind: 'source',
    name: declaration.stepName('KSTREAM-SOURCE', `${prefix}-source`),
    parents: [],
    stores: [],
    topics: Object.freeze([topic]),
    ...serdes,
    timestamp: recordTimestamp,
    offsetReset: 'earliest',
    // Only this application writes here: what cannot be read is a fault, not bad input.
    onError: 'fail',
  });
  return { ...stream, node, keyChanged: false };
}

/** Keeps records without a key out of the topic, unless a later step has a use for them. */
function keyFilter(stream: StreamState<unknown, unknown>, prefix: string, what: string): string {
  const { declaration } = stream;
  const name = declaration.stepName('KSTREAM-FILTER', `${prefix}-filter`);
  return declaration.processor({
    name,
    what: `the repartition of ${what}`,
    parents: [stream.node],
    create: (context) => (declaration.passesNullKeys(name) ? passThrough() : requireKey())(context),
    onError: stream.onError,
  });
}

/** As `repartition`, but only if the key changed. */
export function byKey<K, V>(stream: StreamState<K, V>, how: Repartition): StreamState<K, V> {
  return stream.keyChanged ? repartition(stream, how) : stream;
}

/** The author's partitioner as the sink has it. */
export function partitioning(partitioner: PartitionerFunction | undefined): Pick<SinkNode, 'partitioner'> {
  if (partitioner === undefined) return {};
  return { partitioner: (key, value, partitions) => partitioner(key, value, partitions) };
}
