/** Declares a step of the Processor API. */
import type { ProcessorDefinition, StoreSpecs } from '../processors/processor.ts';
import { userProcessor } from '../processors/user-processor.ts';
import type { StreamState } from './handle-state.ts';

export interface ProcessStep<KIn, VIn, KOut, VOut, S extends StoreSpecs> {
  readonly name: string;
  readonly what: string;
  readonly definition: { readonly stores?: StoreSpecs };
  /** Makes what runs, once per task. */
  readonly make: () => ProcessorDefinition<KIn, VIn, KOut, VOut, S>;
}

/** Returns the name of its node. */
export function declareProcess<KIn, VIn, KOut, VOut, S extends StoreSpecs>(
  { declaration, node, onError }: StreamState<unknown, unknown>,
  { name, what, definition: { stores = {} }, make }: ProcessStep<KIn, VIn, KOut, VOut, S>,
): string {
  return declaration.processor({
    name: declaration.stepName('KSTREAM-PROCESSOR', name),
    what,
    parents: [node],
    create: (context) => userProcessor(name, make())(context),
    stores: Object.values(stores),
    onError,
  });
}
