/** Which input of a task goes next: the one whose next record is the earliest, once that is known well enough. */
import type { Clock } from '../../clock.ts';
import type { PartitionQueue } from './partition-queue.ts';

export interface InputChoiceOptions {
  readonly queues: readonly PartitionQueue[];
  readonly clock: Clock;
  /**
   * How long an input that is empty and read to its end holds up the others, ms. 0: not at all, but one of which more is known to lie in the
   * log does. -1: no input holds up another.
   */
  readonly maxTaskIdleMs: number;
  /** Whether everything there is to read of an input was handed over. */
  readonly isCaughtUp: (queue: PartitionQueue) => boolean;
}

export class InputChoice {
  readonly #options: InputChoiceOptions;
  /** Since when an input has been empty and read to its end, monotonic ms. */
  readonly #idleSince = new Map<PartitionQueue, number>();

  constructor(options: InputChoiceOptions) {
    this.#options = options;
  }

  /** `undefined`: there is nothing, or it is too early to say. */
  next(): PartitionQueue | undefined {
    const { queues } = this.#options;
    if (queues.length === 1) {
      const only = queues[0];
      return only === undefined || only.isEmpty ? undefined : only;
    }
    let chosen: PartitionQueue | undefined;
    let isHeldUp = false;
    for (const queue of queues) {
      if (queue.isEmpty) isHeldUp = this.#holdsUp(queue) || isHeldUp;
      else {
        this.#idleSince.delete(queue);
        if (chosen === undefined || queue.headTimestampMs < chosen.headTimestampMs) chosen = queue;
      }
    }
    return isHeldUp ? undefined : chosen;
  }

  /** Until an empty input holds up the others no more, ms; Infinity if none waits for that. */
  get waitMs(): number {
    let waitMs = Infinity;
    for (const sinceMs of this.#idleSince.values()) {
      const leftMs = sinceMs + this.#options.maxTaskIdleMs - this.#options.clock.monotonicMs();
      if (leftMs > 0) waitMs = Math.min(waitMs, leftMs);
    }
    return waitMs;
  }

  #holdsUp(queue: PartitionQueue): boolean {
    const { maxTaskIdleMs, clock, isCaughtUp } = this.#options;
    if (maxTaskIdleMs < 0) return false;
    if (!isCaughtUp(queue)) return true;
    if (maxTaskIdleMs === 0) return false;
    const nowMs = clock.monotonicMs();
    const sinceMs = this.#idleSince.get(queue) ?? nowMs;
    this.#idleSince.set(queue, sinceMs);
    return nowMs - sinceMs < maxTaskIdleMs;
  }
}
