/** A hook around every step of a topology: for tracing, measuring or checking what flows. */
import type { AnyRecord, CreateNode } from './node.ts';
import { expectNoPromise } from './user-function.ts';

/**
 * Returns what runs instead of a step's `process`; it should call `process` once for each record, and what that throws must come through.
 * Called once for each step and task. Synchronous, like the step itself.
 */
export type ProcessorWrapper = (step: string, process: (record: AnyRecord) => void) => (record: AnyRecord) => void;

export function wrapped(step: string, create: CreateNode, wrapper: ProcessorWrapper): CreateNode {
  return (context) => {
    const node = create(context);
    const run: (record: AnyRecord) => unknown = wrapper(step, (record) => {
      node.process(record);
    });
    return {
      process: (record) => {
        expectNoPromise(step, run(record));
      },
      close: () => node.close?.(),
      beforeCommit: () => node.beforeCommit?.(),
      pendingCount: () => node.pendingCount?.() ?? 0,
    };
  };
}
