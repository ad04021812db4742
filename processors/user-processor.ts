/** Runs a declared processor as a node of the graph. */
import { StreamError } from '../errors.ts';
import { noHeaders } from '../schemas/record.ts';
import type { AnyRecord, CreateNode, NodeContext } from './node.ts';
import type { OutputRecord, ProcessorContext, ProcessorDefinition, StoreSpecs, StoreStates } from './processor.ts';
import { expectNoPromise, expectResult } from './user-function.ts';

/** A processor as the engine calls it: types were checked where it was attached, and what it returns must not be a promise. */
interface Callable<KOut, VOut, S extends StoreSpecs> {
  init?(context: ProcessorContext<KOut, VOut, S>): unknown;
  process(record: AnyRecord, context: ProcessorContext<KOut, VOut, S>): unknown;
  close?(context: ProcessorContext<KOut, VOut, S>): unknown;
}

/** The node of `definition`; its stores must be attached to the node under the names of their specs. */
export function userProcessor<KIn, VIn, KOut, VOut, S extends StoreSpecs>(
  step: string,
  definition: ProcessorDefinition<KIn, VIn, KOut, VOut, S>,
): CreateNode {
  const processor: Callable<KOut, VOut, S> = definition;
  return (node) => {
    const scope = new Scope<KOut, VOut, S>(step, node, definition.stores);
    expectNoPromise(step, processor.init?.(scope));
    return {
      process: (record) => {
        scope.current = record;
        try {
          expectNoPromise(step, processor.process(record, scope));
        } finally {
          scope.current = undefined;
        }
      },
      close: () => {
        expectNoPromise(step, processor.close?.(scope));
      },
    };
  };
}

/** Its functions are properties, so that a processor may take them out. */
class Scope<KOut, VOut, S extends StoreSpecs> implements ProcessorContext<KOut, VOut, S> {
  /** The record being processed: the source of the headers of what is forwarded. */
  current: AnyRecord | undefined;
  readonly stores: StoreStates<S>;
  readonly taskId: string;
  readonly applicationId: string;
  readonly forward: (record: OutputRecord<KOut, VOut>, to?: string) => void;
  readonly drop: NodeContext['drop'];
  readonly schedule: NodeContext['schedule'];
  readonly requestCommit: () => void;
  readonly #node: NodeContext;

  constructor(step: string, node: NodeContext, stores: S | undefined) {
    this.#node = node;
    this.taskId = node.taskId;
    this.applicationId = node.applicationId;
    this.stores = openStates(node, stores);
    this.forward = (output, to) => {
      const { key, value, timestampMs } = output;
      expectResult(step, key);
      expectResult(step, value);
      if (!(timestampMs >= 0))
        throw new StreamError('PROCESSING_FAILED', `step ${step} forwarded a record without a valid timestamp`, {
          facts: { step, timestampMs },
        });
      const record = { key, value, timestampMs, headers: output.headers ?? this.current?.headers ?? noHeaders };
      if (to === undefined) node.forward(record);
      else node.forwardTo(to, record);
    };
    this.drop = (reason) => {
      node.drop(reason);
    };
    this.schedule = (schedule, run: (timestampMs: number) => unknown) =>
      node.schedule(schedule, (timestampMs) => {
        expectNoPromise(step, run(timestampMs));
      });
    this.requestCommit = () => {
      node.requestCommit();
    };
  }

  get metadata(): NodeContext['metadata'] {
    return this.#node.metadata;
  }

  get streamTimeMs(): number {
    return this.#node.streamTimeMs;
  }

  get wallClockMs(): number {
    return this.#node.wallClockMs;
  }
}

function openStates<S extends StoreSpecs>(node: NodeContext, stores: S | undefined): StoreStates<S> {
  const states: Record<string, unknown> = {};
  for (const [property, spec] of Object.entries(stores ?? {})) states[property] = node.store(spec.name);
  // A spec makes the state its type names.
  return Object.freeze(states) as StoreStates<S>;
}
