/** What the log has of requests: the first one under each transaction id counts, whoever wrote it. */
import { StreamError } from '../../index.ts';

export interface RegisteredRequest {
  /** SHA-256 of what it asks for. */
  readonly fingerprint: string;
  readonly correlationId: string;
  /** Where it lies in the partition of its transaction. */
  readonly offset: number;
}

export interface WrittenRequest extends RegisteredRequest {
  readonly txId: string;
  readonly partition: number;
}

export interface RequestRegister {
  /** `undefined`: there is none among what was read so far. Throws `STORE_NOT_READY` until everything was read that was there at the start. */
  find(txId: string): RegisteredRequest | undefined;
  /** As of now: everything has been read that is in the log when it is asked. Rejects with `STORE_NOT_READY`, or `LOG_UNAVAILABLE` when that cannot be read in time. */
  current(txId: string): Promise<RegisteredRequest | undefined>;
  /**
   * The first one of the transaction of a request that has just been written. Known at once if everything before that one is; else it is waited for. Rejects
   * with `STORE_NOT_READY`, or `LOG_UNAVAILABLE` when it is not read in time.
   */
  first(written: WrittenRequest): Promise<RegisteredRequest>;
}

const nothingRead = () => new StreamError('STORE_NOT_READY', 'no requests are read here');

/** Of a process that accepts no requests. */
export const noRegister: RequestRegister = {
  find: () => {
    throw nothingRead();
  },
  current: () => Promise.reject(nothingRead()),
  first: () => Promise.reject(nothingRead()),
};
