/** One process of the simulation: its clock, and whether it lives. A killed one never runs again, wherever it stood; a paused one runs later. */
import type { Clock, Timer } from '../../clock.ts';
import type { Owner, Scheduler } from './scheduler.ts';

/** 2023-11-14T22:13:20Z: what wall clocks show when a simulation begins. */
export const epochMs = 1_700_000_000_000;

export class SimProcess implements Owner {
  readonly name: string;
  readonly scheduler: Scheduler;
  readonly clock: Clock;
  isDead = false;
  pausedUntilMs = 0;
  /** How far its wall clock is off. */
  skewMs = 0;
  /** Called at each step that others can see: every request, every touch of the disk, every fault point. */
  onStep: (step: string) => void = () => undefined;

  constructor(name: string, scheduler: Scheduler, yieldMs: number) {
    this.name = name;
    this.scheduler = scheduler;
    this.clock = this.#makeClock(yieldMs);
  }

  get isPaused(): boolean {
    return this.pausedUntilMs > this.scheduler.nowMs;
  }

  /** Runs in this process after `delayMs`, unless it is dead by then; later if it is paused. */
  at(delayMs: number, run: () => void): () => void {
    return this.scheduler.at(delayMs, this, run);
  }

  /** Something that takes `ms` and happens outside: resolves in this process. Never resolves in a dead one. */
  wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.at(ms, resolve);
    });
  }

  #makeClock(yieldMs: number): Clock {
    return {
      nowMs: () => Math.floor(epochMs + this.scheduler.nowMs + this.skewMs),
      monotonicMs: () => this.scheduler.nowMs,
      sleep: (ms, signal) => this.#sleep(ms, signal),
      timer: (ms, run): Timer => ({ cancel: this.at(ms, run) }),
      yield: () => this.wait(yieldMs),
    };
  }

  #sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.at(ms, () => {
        signal?.removeEventListener('abort', wake);
        resolve();
      });
      // Whoever aborts may be another process: this one wakes by an event of its own.
      const wake = (): void => {
        cancel();
        this.at(0, resolve);
      };
      if (signal?.aborted === true) wake();
      else signal?.addEventListener('abort', wake, { once: true });
    });
  }
}
