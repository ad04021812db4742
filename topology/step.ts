/** A step as its author wrote it. */
import type { CreateNode } from '../processors/node.ts';
import type { Serde } from '../schemas/serde.ts';
import type { Step } from './operands.ts';

/** The step's own name, if it has one, and its function. */
export function parts<F>(step: Step<F>): { readonly name: string | undefined; readonly run: F } {
  return step.length === 1 ? { name: undefined, run: step[0] } : { name: step[0], run: step[1] };
}

/** The step before a repartition topic that gives records their new key. */
export function selectorOf(name: string): string {
  return `${name}-select-key`;
}

/** A step that remembers nothing. */
export interface StatelessStep {
  /** Of generated names, as in Kafka Streams. */
  readonly prefix: string;
  readonly what: string;
  readonly name: string | undefined;
  readonly create: (step: string) => CreateNode;
}

/** What is known of the records after a step. */
export interface After<K, V> {
  readonly key: Serde<K> | undefined;
  readonly value: Serde<V> | undefined;
  readonly keyChanged: boolean;
}
