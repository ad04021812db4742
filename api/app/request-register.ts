/** What the log has of requests: the first one under each transaction id counts, whoever wrote it. */
import { StreamError } from '../../index.ts';

export interface RegisteredRequest {
  /** SHA-256 of what it asks for. */
  readonly fingerprint: string;
  readonly correlationId: string;
  /** Where it lies in the partition of its transaction. */
  readonly offset: number;
}

export interface RequestRegister {
  /** `undefined`: there is none among what was read so far. Throws `STORE_NOT_READY` until everything was read that was there at the start. */
  find(txId: string): RegisteredRequest | undefined;
  /** Waits for the first one of a transaction, of which one has been written. Rejects with `LOG_UNAVAILABLE` when it is not read in time. */
  first(txId: string): Promise<RegisteredRequest>;
}

/** Of a process that accepts no requests. */
export const noRegister: RequestRegister = {
  find: () => {
    throw new StreamError('STORE_NOT_READY', 'no requests are read here');
  },
  first: () => Promise.reject(new StreamError('STORE_NOT_READY', 'no requests are read here')),
};
