import type { Clock } from '../../clock.ts';

/** Wakes one waiter; a notification that comes while nobody waits is kept for the next wait. */
export class Signal {
  readonly #clock: Clock;
  #isSet = false;
  #wake: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  notify(): void {
    this.#isSet = true;
    this.#wake?.();
  }

  /** Resolves at the next notification, or after `ms`. */
  async wait(ms: number): Promise<void> {
    if (!this.#isSet && ms > 0)
      await new Promise<void>((resolve) => {
        const timer = this.#clock.timer(ms, resolve);
        this.#wake = () => {
          timer.cancel();
          resolve();
        };
      });
    this.#wake = undefined;
    this.#isSet = false;
  }
}

/** Runs asynchronous jobs one after the other, in order of arrival. A job's failure is its own. */
export class Exclusive {
  #tail: Promise<unknown> = Promise.resolve();

  run<T>(job: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(job);
    this.#tail = result.catch(() => undefined);
    return result;
  }
}
