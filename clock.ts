/** The only file with Date, timers and chance. Everything else receives these through `Host`. */
import { randomFillSync } from 'node:crypto';

export interface Timer {
  cancel(): void;
}

/** Time as the engine sees it. `nowMs` is wall-clock time (may jump), `monotonicMs` only grows. */
export interface Clock {
  nowMs(): number;
  monotonicMs(): number;
  /** Resolves after `ms`; resolves early (never rejects) when `signal` aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Runs once after `ms`. A timer does not keep the process alive. */
  timer(ms: number, run: () => void): Timer;
  /** Lets timers, sockets and other tasks run (a macrotask). Those that wait at one time take turns, with timers and sockets between them. */
  yield(): Promise<void>;
}

export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** A version 4 UUID. */
  uuid(): string;
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogFacts = Readonly<Record<string, unknown>>;

/** Structured logging: a constant message and facts; never values of records, never secrets. */
export interface Logger {
  debug(message: string, facts?: LogFacts): void;
  info(message: string, facts?: LogFacts): void;
  warn(message: string, facts?: LogFacts): void;
  error(message: string, facts?: LogFacts): void;
}

export const silentLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

/** Warnings and errors on stderr; the default. */
export const consoleLogger: Logger = {
  ...silentLogger,
  warn: (message, facts) => {
    console.warn(message, facts ?? '');
  },
  error: (message, facts) => {
    console.error(message, facts ?? '');
  },
};

/** Who has yielded and waits for a turn. */
const yielded: (() => void)[] = [];

/** One turn in each round of the event loop: what is set within a turn runs in the next round. */
function takeTurn(): void {
  yielded.shift()?.();
  if (yielded.length > 0) setImmediate(takeTurn);
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted === true) {
        resolve();
        return;
      }
      const finish = (): void => {
        clearTimeout(handle);
        signal?.removeEventListener('abort', finish);
        resolve();
      };
      const handle = setTimeout(finish, ms);
      signal?.addEventListener('abort', finish, { once: true });
    }),
  timer: (ms, run) => {
    const handle = setTimeout(run, ms);
    handle.unref();
    return {
      cancel: () => {
        clearTimeout(handle);
      },
    };
  },
  yield: () =>
    new Promise((resolve) => {
      if (yielded.push(resolve) === 1) setImmediate(takeTurn);
    }),
};

export const systemRandom: Random = {
  next: () => Math.random(),
  uuid: () => {
    const bytes = randomFillSync(Buffer.allocUnsafe(16));
    bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
    bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
    const hex = bytes.toString('hex');
    return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
  },
};
