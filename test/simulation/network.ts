/** The way between a process and the log: delays, losses before and after the effect, requests that arrive after their sender gave up. */
import type { Carrier, RequestName } from '../../connectors/embedded/connection.ts';
import { StreamError } from '../../errors.ts';
import type { Chance } from './chance.ts';
import type { SimProcess } from './process.ts';
import type { Scheduler } from './scheduler.ts';
import type { Trace } from './trace.ts';

/** What becomes of a request. */
export type Fate = 'delivered' | 'request lost' | 'response lost' | 'late' | 'refused' | 'slow';

export interface NetworkOptions {
  readonly scheduler: Scheduler;
  readonly trace: Trace;
  readonly chance: Chance;
  /** One way, at most. */
  readonly latencyMs: number;
  /** After so long the sender of a lost request gives up. */
  readonly requestTimeoutMs: number;
  /** Of one request, as the faults in force have it. */
  fate(process: SimProcess, request: RequestName): Fate;
}

/** Called when a request is sent; what it returns is called at the log once the effect has happened there. */
export type OnSent = (request: RequestName) => () => void;

/** Requests are late, or slow, by at most this. */
const lateMs = 20_000;
const slowMs = 3_000;

export class Network {
  readonly #options: NetworkOptions;
  #requests = 0;

  constructor(options: NetworkOptions) {
    this.#options = options;
  }

  carrierOf(process: SimProcess, onSent: OnSent): Carrier {
    return (request, effect) => {
      process.onStep(request);
      return new Promise((resolve, reject) => {
        if (process.isDead) return;
        const took = onSent(request);
        this.#send(process, request, {
          run: async () => {
            const result = await effect();
            took();
            return result;
          },
          answer: (settle) => {
            process.at(this.#latency(), () => {
              settle(resolve, reject);
            });
          },
          giveUp: (afterMs) => {
            process.at(afterMs, () => {
              reject(lost(request));
            });
          },
        });
      });
    };
  }

  #send<T>(process: SimProcess, request: RequestName, way: Way<T>): void {
    const { scheduler, requestTimeoutMs, chance, trace } = this.#options;
    const fate = this.#options.fate(process, request);
    const id = (this.#requests += 1);
    const note = (what: string, isMilestone = false): void => {
      trace.add({ atMs: scheduler.nowMs, who: process.name, what: `${request} #${id} ${what}`, isMilestone });
    };
    if (fate === 'delivered') note('sent');
    else {
      note(fate, request !== 'fetch' && request !== 'heartbeat');
      trace.mark(`network: ${fate}`);
    }
    const arrive = (afterMs: number, isAnswered: boolean): void => {
      scheduler.at(afterMs, undefined, () => {
        way.run().then(
          (value) => {
            note('done');
            if (isAnswered) way.answer((resolve) => resolve(value));
          },
          (error: unknown) => {
            note(`failed: ${codeOf(error)}`, request !== 'fetch' && request !== 'heartbeat');
            if (isAnswered) way.answer((_, reject) => reject(error));
          },
        );
      });
    };
    if (fate === 'refused') way.giveUp(this.#latency());
    else if (fate === 'request lost') way.giveUp(requestTimeoutMs);
    else if (fate === 'slow') arrive(this.#latency() + chance.next() * slowMs, true);
    else if (fate === 'delivered') arrive(this.#latency(), true);
    else {
      way.giveUp(requestTimeoutMs);
      arrive(fate === 'late' ? requestTimeoutMs + chance.next() * lateMs : this.#latency(), false);
    }
  }

  #latency(): number {
    return this.#options.chance.next() * this.#options.latencyMs;
  }
}

interface Way<T> {
  run(): Promise<T>;
  answer(settle: (resolve: (value: T) => void, reject: (error: unknown) => void) => void): void;
  giveUp(afterMs: number): void;
}

function lost(request: RequestName): StreamError {
  if (request === 'end-txn') return new StreamError('COMMIT_INDEFINITE', 'no answer to the end of the transaction');
  return new StreamError('LOG_UNAVAILABLE', `no answer to ${request}`);
}

function codeOf(error: unknown): string {
  return error instanceof StreamError ? error.code : String(error);
}
