/** Where records wait that come after a failed one of the same key: a store for each source that any step with the policy `park-key` takes records from. */
import { StreamError } from '../errors.ts';
import { bytesSerde, type Serde } from '../schemas/serde.ts';
import { defineStore, type AnyStoreSpec, type StoreSpec } from '../state-stores/spec.ts';
import type { KeyValueState } from '../state-stores/typed-store.ts';
import { finalPolicy } from './error-policy.ts';
import type { GraphNode, SourceNode, TopologySettings } from './graph.ts';

/** A key that waits. `letterId` is what it waits for; absent: its records are being processed. Those at `first` up to `next` are there. */
export interface WaitingKey {
  readonly kind: 'key';
  readonly letterId?: string;
  readonly first: number;
  readonly next: number;
}

/** What a store holds in all, and which places of the line of keys whose records are processed now are taken. */
export interface ParkedTotals {
  readonly kind: 'totals';
  readonly keys: number;
  readonly records: number;
  readonly first: number;
  readonly next: number;
}

/** A key in that line. */
export interface ReleasedKey {
  readonly kind: 'released';
  readonly key: Uint8Array;
}

/** As it lay in the log: a batch of one. */
export interface ParkedRecord {
  readonly kind: 'record';
  readonly topic: string;
  readonly batch: Uint8Array;
}

export type ParkedRow = WaitingKey | ParkedTotals | ReleasedKey | ParkedRecord;

export type ParkedState = KeyValueState<Uint8Array, ParkedRow>;

const storeKind = 'parked-records';
/** A parked record is a little larger than it was in its topic; Kafka's default bound of both is 1 MiB. */
const changelog = { 'max.message.bytes': String(2 * 1_048_588) };

/** By the names of the sources that need one. */
export function parkedStores(
  nodes: readonly GraphNode[],
  { onError }: TopologySettings,
): ReadonlyMap<string, AnyStoreSpec> {
  const parking = new Set<string>();
  for (const node of nodes.toReversed()) {
    const policy = node.kind === 'sink' ? onError : (node.onError ?? onError);
    if (finalPolicy(policy) === 'park-key') parking.add(node.name);
    if (parking.has(node.name)) for (const parent of node.parents) parking.add(parent);
  }
  const sources = nodes.filter((node) => node.kind === 'source' && parking.has(node.name));
  return new Map(sources.map((source) => [source.name, parkedStore(source as SourceNode)]));
}

/** The name of a source's store of parked records; `undefined` for one that has none. */
export function parkedStoreOf({ stores }: SourceNode): string | undefined {
  return stores[0];
}

/** Not for queries: bytes that nobody but the engine reads. */
export function isParkedStore({ kind }: AnyStoreSpec): boolean {
  return kind === storeKind;
}

/** Named after the topic, since names of steps may change. */
function parkedStore({ topics }: SourceNode): StoreSpec<Uint8Array, ParkedRow, ParkedState> {
  const name = topics.map((topic) =>
    topic.internal === undefined ? topic.name : `${topic.name}-${topic.internal}`,
  )[0];
  return Object.freeze({
    ...defineStore(`${name ?? ''}-parked`, { key: bytesSerde, value: parkedRowSerde, changelog }),
    kind: storeKind,
  });
}

const tags = { key: 0, totals: 1, released: 2, record: 3 } as const;

/** A tag, then JSON of the small rows, the bytes of a key, or the length of a topic's name, the name and the batch. */
const parkedRowSerde: Serde<ParkedRow> = {
  name: 'parked-row',
  serialize: (row) => {
    const tag = Buffer.of(tags[row.kind]);
    if (row.kind === 'released') return Buffer.concat([tag, row.key]);
    if (row.kind !== 'record') return Buffer.concat([tag, Buffer.from(JSON.stringify(row))]);
    const topic = Buffer.from(row.topic);
    return Buffer.concat([tag, Buffer.of(topic.length), topic, row.batch]);
  },
  deserialize: (bytes) => {
    const buffer = Buffer.from(bytes);
    const rest = buffer.subarray(1);
    if (buffer[0] === tags.released) return { kind: 'released', key: rest };
    if (buffer[0] === tags.key || buffer[0] === tags.totals)
      return JSON.parse(rest.toString('utf8')) as WaitingKey | ParkedTotals;
    if (buffer[0] !== tags.record) throw new StreamError('DESERIALIZATION_FAILED', 'no row of parked records');
    const topicEnd = 1 + (rest[0] ?? 0);
    return { kind: 'record', topic: rest.toString('utf8', 1, topicEnd), batch: rest.subarray(topicEnd) };
  },
};
