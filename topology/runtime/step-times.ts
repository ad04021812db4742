import type { SavedTime } from '../../processors/node.ts';
import type { Undoable } from '../../state-stores/store-layers.ts';
import { checkStepTimes } from './commit-metadata.ts';

/** The times that the steps of a task keep: committed with the offsets of its inputs. */
export class StepTimes implements Undoable {
  readonly #found: readonly ReadonlyMap<string, number>[];
  readonly #times = new Map<string, SavedTime>();
  #before: number[] | undefined;

  /** `found`: the times that came with the committed offset of each input, which all carry those of their last commit. */
  constructor(found: readonly ReadonlyMap<string, number>[]) {
    this.#found = found;
  }

  /** Throws `TOPOLOGY_INVALID` when there are more than a committed offset takes. */
  of(name: string): SavedTime {
    const present = this.#times.get(name);
    if (present !== undefined) return present;
    const time = { ms: Math.max(-1, ...this.#found.map((times) => times.get(name) ?? -1)) };
    this.#times.set(name, time);
    checkStepTimes(this.#times.keys());
    return time;
  }

  get all(): ReadonlyMap<string, SavedTime> {
    return this.#times;
  }

  beginAttempt(): void {
    this.#before = [...this.#times.values()].map(({ ms }) => ms);
  }

  endAttempt(): void {
    this.#before = undefined;
  }

  undoAttempt(): void {
    const before = this.#before ?? [];
    this.#before = undefined;
    let index = 0;
    for (const time of this.#times.values()) {
      time.ms = before[index] ?? -1;
      index += 1;
    }
  }
}
