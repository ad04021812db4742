/** What one record did so far, over all stores of its task and the outputs: undone as a whole if it fails. */
import type { DropReason } from '../../processors/node.ts';
import type { Undoable } from '../../state-stores/store-layers.ts';
import type { Plan, SubTopology } from '../plan.ts';
import type { TaskCounters } from './counters.ts';

export class Attempt {
  /** Why the record was dropped, where it was. */
  readonly drops: DropReason[] = [];
  readonly #parts: readonly Undoable[];

  /** `parts` is empty where nothing ever goes on after a failure: then there is nothing to remember. */
  constructor(parts: readonly Undoable[]) {
    this.#parts = parts;
  }

  begin(): void {
    this.drops.length = 0;
    for (const part of this.#parts) part.beginAttempt();
  }

  /** What it did stays. */
  end({ dropped }: TaskCounters): void {
    for (const part of this.#parts) part.endAttempt();
    for (const reason of this.drops) dropped.set(reason, (dropped.get(reason) ?? 0) + 1);
    this.drops.length = 0;
  }

  undo(): void {
    for (const part of this.#parts) part.undoAttempt();
    this.drops.length = 0;
  }
}

/** Whether anything in a task lets it go on after a record that failed: only then is there something to undo. */
export function goesOnAfterFailures({ topology }: Plan, { nodes }: SubTopology): boolean {
  const { onError } = topology.settings;
  return nodes.some((node) => ((node.kind === 'sink' ? undefined : node.onError) ?? onError) !== 'fail');
}
