/** How a process ends: once, in reverse order of its start, within a bounded time. */
import type { Clock } from '../clock.ts';

export interface ShutdownOptions {
  readonly clock: Clock;
  /** For everything together. */
  readonly timeoutMs: number;
  /** Ends the process at once. */
  readonly exit: (code: number) => void;
}

interface Step {
  readonly name: string;
  readonly close: () => unknown;
}

/** What has to be undone, and whether it was asked for. */
export class Shutdown {
  readonly #options: ShutdownOptions;
  readonly #steps: Step[] = [];
  readonly #controller = new AbortController();
  readonly #problems: string[] = [];
  #requests = 0;
  #hasFailed = false;
  #closing: Promise<void> | undefined;

  constructor(options: ShutdownOptions) {
    this.#options = options;
  }

  /** Aborts when the end is asked for. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** What is closed before everything added earlier. Called at once if the end has begun. */
  add(name: string, close: () => unknown): void {
    const step = { name, close };
    this.#steps.push(step);
    if (this.#closing !== undefined) this.#closing = this.#closing.then(() => this.#closeAll());
  }

  /** The first request begins the end, a second one is the end. */
  request(exitCode: number): void {
    this.#requests += 1;
    if (this.#requests > 1) this.#options.exit(exitCode);
    this.#begin();
  }

  /** Begins the end because of an error. */
  fail(): void {
    this.#hasFailed = true;
    this.#begin();
  }

  #begin(): void {
    if (this.#closing !== undefined) return;
    this.#closing = this.#closeAll();
    this.#controller.abort();
  }

  /** Resolves when everything is closed or the time is up: what went wrong, in order. Call it after `request` or `fail`. */
  async finished(): Promise<{ readonly exitCode: number; readonly problems: readonly string[] }> {
    const late = new AbortController();
    const timeout = this.#options.clock.sleep(this.#options.timeoutMs, late.signal).then(() => {
      if (!late.signal.aborted) this.#problems.push(`not closed after ${this.#options.timeoutMs} ms`);
    });
    await Promise.race([this.#settled(), timeout]);
    late.abort();
    return { exitCode: this.#hasFailed || this.#problems.length > 0 ? 1 : 0, problems: [...this.#problems] };
  }

  /** Steps may be added while others are closed. */
  async #settled(): Promise<void> {
    let closing: Promise<void> | undefined;
    while (closing !== this.#closing) {
      closing = this.#closing;
      await closing;
    }
  }

  async #closeAll(): Promise<void> {
    for (let step = this.#steps.pop(); step !== undefined; step = this.#steps.pop()) {
      try {
        if ((await step.close()) === false) this.#problems.push(`${step.name}: not closed in time`);
      } catch (error) {
        this.#problems.push(`${step.name}: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  }
}

/** SIGTERM and SIGINT ask for the end. */
export function endOnSignals(shutdown: Shutdown, onSignal: (signal: string) => void): void {
  for (const [signal, number] of [
    ['SIGTERM', 15],
    ['SIGINT', 2],
  ] as const)
    process.on(signal, () => {
      onSignal(signal);
      shutdown.request(128 + number);
    });
}

/** A promise nobody waits for has failed, or something threw where nobody catches: no state can be trusted, the process ends. */
export function endOnBugs(onBug: (error: unknown) => void): void {
  const end = (error: unknown): void => {
    onBug(error);
    process.exit(1);
  };
  process.on('unhandledRejection', end);
  process.on('uncaughtException', end);
}
