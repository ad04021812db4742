/** The unanswered requests of one connection, each with its time limit. Takes the place of kafkajs's own queue, which polls a timer per connection. */
import type { PushedRequest, RequestQueue, ResponseFrame } from 'kafkajs/src/network/connection.js';
import type { Clock, Timer } from '../../clock.ts';
import { timeoutError } from './kafka-errors.ts';

interface Waiting {
  readonly request: PushedRequest;
  readonly timer: Timer;
}

export interface InFlightOptions {
  readonly clock: Clock;
  readonly broker: string;
  readonly requestTimeoutMs: number;
  /** A request was not answered in time: the connection is of no use any more. */
  readonly onTimeout: (error: Error) => void;
}

export class InFlight implements RequestQueue {
  readonly #options: InFlightOptions;
  readonly #waiting = new Map<number, Waiting>();

  constructor(options: InFlightOptions) {
    this.#options = options;
  }

  push(request: PushedRequest): void {
    const { clock, requestTimeoutMs, broker, onTimeout } = this.#options;
    const timeoutMs = request.requestTimeout ?? requestTimeoutMs;
    const { apiName, correlationId } = request.entry;
    const timer = clock.timer(timeoutMs, () => {
      onTimeout(timeoutError(`${apiName} was not answered in time`, { broker, timeoutMs }));
    });
    this.#waiting.set(correlationId, { request, timer });
    request.sendRequest();
  }

  fulfillRequest(frame: ResponseFrame): void {
    const entry = this.#take(frame.correlationId)?.entry;
    // kafkajs, when it authenticates, wants to be told what the answer is to.
    entry?.resolve({ ...frame, entry });
  }

  rejectAll(error: Error): void {
    for (const correlationId of [...this.#waiting.keys()]) this.#take(correlationId)?.entry.reject(error);
  }

  #take(correlationId: number): PushedRequest | undefined {
    const waiting = this.#waiting.get(correlationId);
    this.#waiting.delete(correlationId);
    waiting?.timer.cancel();
    return waiting?.request;
  }

  waitForPendingRequests(): Promise<void> {
    return Promise.resolve();
  }

  scheduleRequestTimeoutCheck(): void {
    // Each request has a timer of its own.
  }

  maybeThrottle(): void {
    // A broker that throttles delays its answers by itself.
  }

  destroy(): void {
    // Nothing runs between requests.
  }
}
