/** Timers of a clock that only moves when it is told to. */
import type { Timer } from '../../clock.ts';

interface Entry {
  readonly dueMs: number;
  readonly run: () => void;
}

export class VirtualTimers {
  readonly #entries = new Set<Entry>();

  add(dueMs: number, run: () => void): Timer {
    const entry = { dueMs, run };
    this.#entries.add(entry);
    return { cancel: () => this.#entries.delete(entry) };
  }

  /** Runs what is due, the earliest first. */
  fire(nowMs: number): void {
    const due = [...this.#entries].filter(({ dueMs }) => dueMs <= nowMs).sort((a, b) => a.dueMs - b.dueMs);
    for (const entry of due) if (this.#entries.delete(entry)) entry.run();
  }
}
