/** What the embedded log remembers besides records, as the fold of its journal. */
import { partitionId, type TopicPartition } from '../../schemas/record.ts';

export interface StoredOffset extends TopicPartition {
  readonly offset: number;
  readonly metadata: string;
}

/** Where a transaction's records begin in one partition. */
export interface TransactionPart extends TopicPartition {
  readonly firstOffset: number;
}

/** The decision that a transaction is committed: one entry, so all of it happens or nothing. */
export interface CommitEntry {
  readonly type: 'commit';
  readonly producerId: number;
  readonly epoch: number;
  readonly parts: readonly TransactionPart[];
  readonly offsets: readonly { readonly groupId: string; readonly offsets: readonly StoredOffset[] }[];
}

export interface TransactionalIdEntry {
  readonly type: 'transactional-id';
  readonly id: string;
  readonly producerId: number;
  readonly epoch: number;
}

export interface TopicEntry {
  readonly type: 'topic';
  readonly name: string;
  readonly id: string;
  readonly partitions: number;
  readonly configs: Readonly<Record<string, string>>;
}

export type Entry =
  | { readonly type: 'format'; readonly version: number; readonly clusterId: string }
  /** The log was opened: from here on a last write may be unfinished. */
  | { readonly type: 'opened' }
  /** Recovery has ended every transaction of before. */
  | { readonly type: 'settled' }
  /** The log was closed in order, and everything is on the medium. */
  | { readonly type: 'closed' }
  | TopicEntry
  | { readonly type: 'topic-deleted'; readonly name: string }
  /** Records below were deleted. */
  | ({ readonly type: 'start'; readonly offset: number } & TopicPartition)
  /** Compaction has been over everything below. */
  | ({ readonly type: 'cleaned'; readonly offset: number } & TopicPartition)
  /** Producer ids below may have been given out. */
  | { readonly type: 'producer-ids'; readonly below: number }
  | TransactionalIdEntry
  | { readonly type: 'transactional-id-forgotten'; readonly id: string }
  | CommitEntry
  | { readonly type: 'offsets'; readonly groupId: string; readonly offsets: readonly StoredOffset[] }
  | { readonly type: 'generation'; readonly groupId: string; readonly generation: number };

type EntryOf<T extends Entry['type']> = Extract<Entry, { readonly type: T }>;

/** Of the journal's entries. */
export const formatVersion = 1;

/**
 * What must survive power loss at once whatever the policy: without it, records that do survive would belong to no topic, or
 * to two producers.
 */
export const durableTypes: ReadonlySet<Entry['type']> = new Set<Entry['type']>([
  'topic',
  'topic-deleted',
  'start',
  'producer-ids',
  'transactional-id',
]);

export class Metadata {
  clusterId = '';
  /** Whether the last process closed the log in order. */
  isClosed = false;
  producerIdsBelow = 0;
  readonly topics = new Map<string, TopicEntry>();
  /** Their directories may still be there. */
  readonly deletedTopics = new Set<string>();
  /** By `partitionId`. */
  readonly starts = new Map<string, number>();
  readonly cleaned = new Map<string, number>();
  readonly transactionalIds = new Map<string, TransactionalIdEntry>();
  /** The last commit of each producer, by producer id; its markers may be missing. */
  readonly commits = new Map<number, CommitEntry>();
  /** By group, then by `partitionId`. */
  readonly offsets = new Map<string, Map<string, StoredOffset>>();
  readonly generations = new Map<string, number>();

  apply(entry: Entry): void {
    this.isClosed = false;
    applyEntry(this, entry);
  }

  /** The entries from which the same state results. */
  *entries(): Generator<Entry> {
    yield { type: 'format', version: formatVersion, clusterId: this.clusterId };
    yield { type: 'opened' };
    yield { type: 'producer-ids', below: this.producerIdsBelow };
    yield* this.topics.values();
    yield* positions('start', this.starts);
    yield* positions('cleaned', this.cleaned);
    yield* this.transactionalIds.values();
    yield* this.commits.values();
    for (const [groupId, offsets] of this.offsets) yield { type: 'offsets', groupId, offsets: [...offsets.values()] };
    for (const [groupId, generation] of this.generations) yield { type: 'generation', groupId, generation };
  }
}

function* positions(type: 'start' | 'cleaned', offsets: ReadonlyMap<string, number>): Generator<Entry> {
  for (const [id, offset] of offsets) {
    const [topic = '', partition] = id.split('/');
    yield { type, topic, partition: Number(partition), offset };
  }
}

const appliers: { readonly [T in Entry['type']]: (to: Metadata, entry: EntryOf<T>) => void } = {
  format: (to, { clusterId }) => (to.clusterId = clusterId),
  opened: () => undefined,
  settled: (to) => {
    to.commits.clear();
  },
  closed: (to) => (to.isClosed = true),
  topic: (to, entry) => {
    to.topics.set(entry.name, entry);
    to.deletedTopics.delete(entry.name);
  },
  'topic-deleted': (to, { name }) => {
    forgetTopic(to, name);
  },
  start: (to, { topic, partition, offset }) => to.starts.set(partitionId(topic, partition), offset),
  cleaned: (to, { topic, partition, offset }) => to.cleaned.set(partitionId(topic, partition), offset),
  'producer-ids': (to, { below }) => (to.producerIdsBelow = below),
  'transactional-id': (to, entry) => to.transactionalIds.set(entry.id, entry),
  'transactional-id-forgotten': (to, { id }) => to.transactionalIds.delete(id),
  commit: (to, entry) => {
    to.commits.set(entry.producerId, entry);
    for (const { groupId, offsets } of entry.offsets) putOffsets(to, groupId, offsets);
  },
  offsets: (to, { groupId, offsets }) => {
    putOffsets(to, groupId, offsets);
  },
  generation: (to, { groupId, generation }) => to.generations.set(groupId, generation),
};

function applyEntry<T extends Entry['type']>(to: Metadata, entry: EntryOf<T>): void {
  const apply: (to: Metadata, entry: EntryOf<T>) => void = appliers[entry.type];
  apply(to, entry);
}

function putOffsets(to: Metadata, groupId: string, offsets: readonly StoredOffset[]): void {
  const committed = to.offsets.get(groupId) ?? new Map<string, StoredOffset>();
  to.offsets.set(groupId, committed);
  for (const offset of offsets) committed.set(partitionId(offset.topic, offset.partition), offset);
}

function forgetTopic(to: Metadata, name: string): void {
  to.topics.delete(name);
  to.deletedTopics.add(name);
  const isOfTopic = (id: string): boolean => id.startsWith(`${name}/`);
  for (const map of [to.starts, to.cleaned, ...to.offsets.values()])
    for (const id of [...map.keys()]) if (isOfTopic(id)) map.delete(id);
}
