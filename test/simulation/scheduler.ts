/** Virtual time: a heap of events. Nothing waits for anything real. */
import type { Chance } from './chance.ts';

/** Whose events these are: they wait while it is paused, and never run once it is dead. */
export interface Owner {
  readonly isDead: boolean;
  /** Until when its events wait, ms of virtual time. */
  readonly pausedUntilMs: number;
}

interface Event {
  atMs: number;
  /** Orders what is due at the same time. */
  readonly tie: number;
  readonly owner: Owner | undefined;
  run: (() => void) | undefined;
}

/** Events at one instant beyond which something is turning in circles. */
const eventsPerInstantMax = 100_000;

export class Scheduler {
  nowMs = 0;
  /** Events run so far. */
  count = 0;
  readonly #chance: Chance;
  readonly #heap: Event[] = [];
  #instantCount = 0;

  constructor(chance: Chance) {
    this.#chance = chance;
  }

  /** Runs once after `delayMs`; returns how to take it back. `owner` is `undefined` for what belongs to no process. */
  at(delayMs: number, owner: Owner | undefined, run: () => void): () => void {
    const event: Event = { atMs: this.nowMs + Math.max(0, delayMs), tie: this.#chance.next(), owner, run };
    this.#push(event);
    return () => {
      event.run = undefined;
    };
  }

  /** Runs what is due up to `untilMs`, each event with everything that it causes at once, until `isDone`. */
  async run(untilMs: number, isDone: () => boolean): Promise<void> {
    for (let next = this.#heap[0]; next !== undefined && next.atMs <= untilMs && !isDone(); next = this.#heap[0]) {
      this.#pop();
      if (next.run === undefined || next.owner?.isDead === true) continue;
      if (next.owner !== undefined && next.owner.pausedUntilMs > next.atMs) {
        next.atMs = next.owner.pausedUntilMs;
        this.#push(next);
        continue;
      }
      this.#advance(next.atMs);
      this.count += 1;
      next.run();
      await settled();
    }
    if (!isDone()) this.nowMs = Math.max(this.nowMs, untilMs);
  }

  #advance(toMs: number): void {
    if (toMs > this.nowMs) {
      this.nowMs = toMs;
      this.#instantCount = 0;
    }
    this.#instantCount += 1;
    if (this.#instantCount > eventsPerInstantMax) throw new Error('time stands still: an endless loop');
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let index = heap.push(event) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent];
      if (above === undefined || !isBefore(event, above)) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      const left = heap[child];
      const right = heap[child + 1];
      if (left === undefined) break;
      if (right !== undefined && isBefore(right, left)) child += 1;
      const smaller = heap[child];
      if (smaller === undefined || !isBefore(smaller, last)) break;
      heap[index] = smaller;
      index = child;
    }
    heap[index] = last;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.tie < b.tie);
}

/** Resolves when no promise is left that could go on by itself. */
function settled(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
