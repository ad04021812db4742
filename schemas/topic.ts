import { StreamError } from '../errors.ts';
import type { Serde } from './serde.ts';

/** Names of topics, stores, steps and applications: they become topic, directory and metric names. */
const namePattern = /^[a-zA-Z0-9._-]{1,200}$/;

/** Throws `TOPOLOGY_INVALID` unless `name` is safe as part of a topic name and of a path. */
export function checkName(kind: string, name: string): string {
  if (!namePattern.test(name) || name === '.' || name === '..')
    throw new StreamError('TOPOLOGY_INVALID', `${kind} name must match ${namePattern.source}`, {
      facts: { kind, name: name.slice(0, 64) },
    });
  return name;
}

/** A declared topic: its name and what its keys and values are. */
export interface Topic<K, V> {
  readonly name: string;
  readonly key: Serde<K>;
  readonly value: Serde<V>;
  /** How the application wants it created, by tools that create user topics; the engine itself never creates one. */
  readonly create?: TopicSettings;
}

export interface TopicSettings {
  readonly partitions: number;
  /** Kafka topic configurations by their own names, e.g. `cleanup.policy`. */
  readonly configs?: Readonly<Record<string, string>>;
}

/** Declares a topic once, frozen. */
export function defineTopic<K, V>(topic: Topic<K, V>): Topic<K, V> {
  checkName('topic', topic.name);
  return Object.freeze({ ...topic });
}
