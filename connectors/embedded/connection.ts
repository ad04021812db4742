/** What a client's parts share: the way to the broker, and whether it is still open. */
import type { Clock } from '../../clock.ts';
import { StreamError } from '../../errors.ts';
import type { Broker } from './broker.ts';

/**
 * Carries one request to the broker: runs `effect` there and brings back what it returns or throws. A simulation puts delays and
 * losses, before the effect or after it, in here; a lost request must reject with a `StreamError`, `LOG_UNAVAILABLE` or `COMMIT_INDEFINITE`.
 */
export type Carrier = <T>(request: RequestName, effect: () => T | Promise<T>) => Promise<T>;

export type RequestName =
  | 'admin'
  | 'fetch'
  | 'init-producer'
  | 'produce'
  | 'txn-offsets'
  | 'end-txn'
  | 'join'
  | 'sync'
  | 'heartbeat'
  | 'leave'
  | 'commit';

export const direct: Carrier = async (_request, effect) => effect();

export class Connection {
  readonly broker: Broker;
  /** The client's own: a simulation stops it while the client is paused, and the broker's goes on. */
  readonly clock: Clock;
  readonly #carry: Carrier;
  readonly #closers = new Set<() => void>();
  #isClosed = false;

  constructor(broker: Broker, carry: Carrier, clock: Clock) {
    this.broker = broker;
    this.clock = clock;
    this.#carry = carry;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Rejects with `LOG_CLOSED` after `close`, else as the effect or the carrier does. */
  async request<T>(name: RequestName, effect: () => T | Promise<T>): Promise<T> {
    if (this.#isClosed) throw new StreamError('LOG_CLOSED', 'the client is closed');
    return this.#carry(name, effect);
  }

  /** Runs `closer` at `close`, unless the returned function is called before. */
  onClose(closer: () => void): () => void {
    this.#closers.add(closer);
    return () => {
      this.#closers.delete(closer);
    };
  }

  /** Ends everything at once; members do not leave their groups, as when a process dies. */
  close(): void {
    this.#isClosed = true;
    for (const closer of [...this.#closers]) closer();
    this.#closers.clear();
  }
}
