/** A header travels with a record; the same key may appear several times, in order. */
export interface Header {
  readonly key: string;
  readonly value: Uint8Array | undefined;
}

export const noHeaders: readonly Header[] = Object.freeze([]);

/**
 * One record inside a topology. Immutable: derive a new one to change it.
 *
 * `timestampMs` is event time in epoch milliseconds, at least 0. A `null` value is a tombstone in a table
 * and an ordinary missing value in a stream.
 */
export interface StreamRecord<K, V> {
  readonly key: K;
  readonly value: V;
  readonly timestampMs: number;
  readonly headers: readonly Header[];
}

/** A change of one table row: what it is now and what it was; `null` means absent. */
export interface Change<V> {
  readonly newValue: V | null;
  readonly oldValue: V | null;
  /** `false`: an older version of a versioned table changed, not the row as it is now. */
  readonly isLatest?: boolean;
}

/** Where the record being processed came from; absent inside punctuators. */
export interface RecordMetadata {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

export interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}

/** The partitions of a topic that has so many, in their order; none by default. */
export function topicPartitions(topic: string, count = 0): readonly TopicPartition[] {
  return Array.from({ length: count }, (_, partition) => ({ topic, partition }));
}

/** A map key for a topic partition; topics cannot contain `/`. */
export function partitionId(topic: string, partition: number): string {
  return `${topic}/${String(partition)}`;
}
