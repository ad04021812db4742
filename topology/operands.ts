/** What the operators are given: functions, names, serdes and options. */
import type { AsyncFailure } from '../processors/map-async.ts';
import type { JoinWindows } from '../processors/stream-join.ts';
import type { UserFunction } from '../processors/user-function.ts';
import type { StreamRecord } from '../schemas/record.ts';
import type { Serde } from '../schemas/serde.ts';

/** A value that is there. */
export type Present<V> = Exclude<V, null>;

/** A step's function, after its name if it has one. */
export type Step<F> = readonly [run: F] | readonly [name: string, run: F];

/** How keys and values are written from here on, where their types changed on the way. */
export interface SerdeOptions<K, V> {
  readonly keySerde?: Serde<K>;
  readonly valueSerde?: Serde<V>;
}

/** Chooses the partition of a record; `undefined`: murmur2 of the key. */
export type PartitionerFor<K, V> = UserFunction<[key: K, value: V, partitions: number], number | undefined>;

export interface RepartitionOptions<K, V> extends SerdeOptions<K, V> {
  /** Fixed number of partitions; absent: as many as the topics before it have, or those it meets in a store. */
  readonly partitions?: number;
  readonly partitioner?: PartitionerFor<K, V>;
}

export interface SinkOptions<K, V> {
  readonly name?: string;
  readonly partitioner?: PartitionerFor<K, V>;
}

/** How a step calls its function. A name, serdes of what comes in, and limits; all have defaults. */
export interface AsyncOptions<K, V> extends SerdeOptions<K, V> {
  /** Calls that run at one time, per task; default 100. */
  readonly concurrency?: number;
  /** Records that wait, per task; the task takes no more until some are done. Default 1000. */
  readonly pendingMax?: number;
  /** How long one try may take; default 30 s. */
  readonly timeoutMs?: number;
  /** Further tries of a call that failed; default: none. The wait between them doubles. */
  readonly retry?: { readonly attempts: number; readonly backoffMs: number; readonly backoffMsMax?: number };
  /**
   * `offset` (default): results leave in the order of their records. `key`: a result leaves as soon as those of the same key before it have.
   * Records of one key are called one after the other in either.
   */
  readonly order?: 'offset' | 'key';
  /** After the last try: `fail` (default) stops the instance, `skip` drops the record. */
  readonly onFailure?: AsyncFailure;
}

/** A serde that can write `T`, and perhaps more. */
export type Writes<T> = Serde<unknown> & { readonly serialize: (value: T) => Uint8Array };

/** A topic that takes these keys and values, and perhaps others too. */
export interface TopicFor<K, V> {
  readonly name: string;
  readonly key: Writes<Present<K>>;
  readonly value: Writes<Present<V>>;
}

/** A processor that takes what this stream carries, and perhaps more. */
export interface Accepts<K, V> {
  readonly process: (record: StreamRecord<K, V>, context: never) => void;
}

/** Gives a record its new key. */
export type KeyOf<K, V, K2> = UserFunction<[value: V, key: K], K2>;

export type PredicateFor<K, V> = (value: V, key: K) => boolean;

/** What a branch holds: the type its predicate asserts, if it asserts one. */
export type BranchValue<V, P> = P extends ((value: V, key: never) => value is infer W extends V) ? W : V;

export interface TableJoinOptions {
  /**
   * How long records wait for late rows of the table, ms of the stream's time; what comes later still is joined at once. Needs a versioned table
   * whose history reaches as far back.
   */
  readonly graceMs?: number;
}

/** What two records make, and which records meet. */
export interface StreamJoin<K, V, V2, VR> {
  readonly windows: JoinWindows;
  readonly joiner: (value: V, other: V2, key: K) => VR;
}

/** How an aggregate of a stream comes about. */
export interface Aggregation<K, V, A> {
  /** The aggregate of a key before its first record. */
  readonly initial: UserFunction<[], A>;
  /** The next aggregate; null deletes it, and the next record starts anew. Must not change `aggregate` in place. */
  readonly add: UserFunction<[aggregate: A, value: V, key: K], A | null>;
}

/** How the aggregate of a session comes about. */
export interface SessionAggregationOf<K, V, A> extends Aggregation<K, V, A> {
  /** The aggregate of two sessions that a record joins; the first one may be `initial`. */
  readonly merge: UserFunction<[a: A, b: A, key: K], A>;
}

export interface Initial<A> {
  /** The aggregate of a key before the first record of any of the streams. */
  readonly initial: UserFunction<[], A>;
}

export interface InitialSession<K, A> extends Initial<A>, Pick<SessionAggregationOf<K, never, A>, 'merge'> {}

export interface ValueSerde<A> {
  readonly valueSerde: Serde<A>;
}

/** How rows refer to rows of another table, and what the two make. */
export interface ForeignKeyJoin<K, V, KO, VO, VR> {
  /** The key of the row that a row refers to; null: none. */
  readonly foreignKey: (value: V, key: K) => KO | null;
  readonly joiner: (value: V, other: VO, key: K) => VR;
  /** Of the result; needed only if a later step keeps its rows. */
  readonly valueSerde?: Serde<Present<VR>>;
  /** How the other table's topic was partitioned, if not by murmur2 of the key. */
  readonly otherPartitioner?: UserFunction<[key: KO, partitions: number], number | undefined>;
}

/** How an aggregate of a table's rows comes about. */
export interface TableAggregation<K, V, A> extends Aggregation<K, V, A> {
  /** Takes a row out again that `add` put in; called before `add` when a row changed. */
  readonly subtract: UserFunction<[aggregate: A, value: V, key: K], A | null>;
}
