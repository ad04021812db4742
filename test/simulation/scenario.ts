/** What a simulation runs: topologies, its inputs, and what must come of them. */
import type { NewTopic, OutgoingBatch } from '../../connectors/log.ts';
import type { ReadRecord } from '../support/cluster.ts';
import type { Topic } from '../../schemas/topic.ts';
import type { Topology } from '../../topology/graph.ts';
import type { Chance } from './chance.ts';

/** Some records, appended together. */
export interface Append {
  readonly atMs: number;
  /** `aborted` and `abandoned` are transactions that come to nothing: ended, or left to time out. */
  readonly outcome: 'plain' | 'committed' | 'aborted' | 'abandoned';
  readonly batches: readonly OutgoingBatch[];
}

export interface InputOptions {
  readonly chance: Chance;
  /** How many records come to something. */
  readonly records: number;
  readonly partitions: number;
  /** The last record is appended by then. */
  readonly durationMs: number;
}

/** Reads everything committed in a topic. */
export type ReadTopic = <K, V>(topic: Topic<K, V>) => Promise<readonly ReadRecord<K, V>[]>;

export interface Scenario {
  readonly name: string;
  /** Applications that every machine runs, each named after its topology. No two call a store the same. */
  readonly topologies: readonly Topology[];
  /** Rare paths that its own inputs must reach. */
  readonly marks: readonly string[];
  /** User topics, each with as many partitions as the simulation draws. */
  readonly topics: readonly Omit<NewTopic, 'partitions'>[];
  inputs(options: InputOptions): readonly Append[];
  /** Once everything is consumed: what is wrong with the outputs, computed from the inputs in the log. */
  verify(read: ReadTopic): Promise<readonly string[]>;
}
