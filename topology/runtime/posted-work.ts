/** What the steps of a task do between its records: results that arrived meanwhile, timers that ran out. */
import type { Clock } from '../../clock.ts';
import type { Cancellable } from '../../processors/node.ts';

export class PostedWork {
  #posted: (() => void)[] = [];
  readonly #holding = new Set<string>();
  readonly #clock: Clock;
  readonly #wake: () => void;
  #isClosed = false;

  /** `wake` is called whenever there is something to run. */
  constructor(clock: Clock, wake: () => void) {
    this.#clock = clock;
    this.#wake = wake;
  }

  get isEmpty(): boolean {
    return this.#posted.length === 0;
  }

  /** A step cannot take more records for now. */
  get isHolding(): boolean {
    return this.#holding.size > 0;
  }

  post(run: () => void): void {
    if (this.#isClosed) return;
    this.#posted.push(run);
    this.#wake();
  }

  /** As `post`, in `ms`. */
  after(ms: number, run: () => void): Cancellable {
    return this.#clock.timer(ms, () => {
      this.post(run);
    });
  }

  hold(step: string, isHeld: boolean): void {
    if (isHeld) this.#holding.add(step);
    else this.#holding.delete(step);
  }

  /** What was posted before the call, in order. */
  take(): readonly (() => void)[] {
    const taken = this.#posted;
    this.#posted = [];
    return taken;
  }

  close(): void {
    this.#isClosed = true;
    this.#posted = [];
  }
}
