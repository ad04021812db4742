/** Reads all requests of billing, and remembers which was the first under each transaction id: on disk, so that a start reads only what is new. */
import type { RegisteredRequest, RequestRegister, WrittenRequest } from '../api/app/request-register.ts';
import type { Clock, Logger } from '../clock.ts';
import { measuresWith, type Connector } from '../connectors/connector.ts';
import type { FetchedBatch, Log, Reader } from '../connectors/log.ts';
import { StreamError, hasCode } from '../errors.ts';
import type { SagaRequest, TransactionRequest } from '../schemas/app/billing/request.ts';
import type { RecordCursor } from '../schemas/record-batch.ts';
import type { TopicPartition } from '../schemas/record.ts';
import type { Topic } from '../schemas/topic.ts';
import type { Stores } from '../state-stores/store.ts';
import { openRegisterStore, type RegisterStore } from './register-store.ts';

export interface RequestRegisterOptions {
  readonly log: Pick<Log, 'reader' | 'admin'>;
  readonly stores: Stores;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly topic: Topic<string, SagaRequest>;
  /** What it is called among the stores of this process. */
  readonly name: string;
}

export interface OpenRegister extends RequestRegister {
  /** Whether everything was read that was there at the start. */
  readonly isReady: boolean;
  readonly connector: Connector;
}

const pollMs = 1_000;
/** Between two reads while nobody waits for one: what this process wrote itself it knows already, and each read that finds a record or two costs the log as much as one of hundreds. */
const restMs = 100;
const retryMs = 2_000;
/** Read in one go, then others get a turn. */
const sliceRecords = 200;
/** For a request, or everything that is there, to come back from the log. */
const readMsMax = 5_000;
/** Between two looks whether it has. */
const lookAgainMs = 5;
/** Who waits for requests to come back: no more than records that wait to be written. */
const waitersMax = 10_000;

interface Waiter {
  readonly resolve: (request: RegisteredRequest) => void;
  readonly reject: (error: StreamError) => void;
}

export function openRequestRegister(options: RequestRegisterOptions): OpenRegister {
  const register = new Register(options);
  const end = new AbortController();
  let following: Promise<void> | undefined;
  return {
    get isReady() {
      return register.isReady;
    },
    find: (txId) => register.find(txId),
    current: (txId) => register.current(txId),
    first: (written) => register.first(written),
    connector: {
      name: 'request-register',
      start: () => {
        following ??= register.follow(end.signal);
      },
      close: async () => {
        end.abort();
        await following;
      },
      measures: () => [
        measuresWith({})('rivulet_request_register_lag', 'Records of billing.requests not read yet', register.lag),
      ],
    },
  };
}

class Register {
  readonly #options: RequestRegisterOptions;
  readonly #waiters = new Map<string, Set<Waiter>>();
  #store: RegisterStore | undefined;
  #reader: Reader | undefined;
  #resting: AbortController | undefined;
  #hasCaughtUp = false;

  constructor(options: RequestRegisterOptions) {
    this.#options = options;
  }

  find(txId: string): RegisteredRequest | undefined {
    return this.#ready().get(txId);
  }

  get isReady(): boolean {
    return this.#hasCaughtUp && this.#store !== undefined;
  }

  #ready(): RegisterStore {
    if (!this.#hasCaughtUp || this.#store === undefined)
      throw new StreamError('STORE_NOT_READY', 'the requests that were accepted before are being read');
    return this.#store;
  }

  async first({ txId, partition, offset, fingerprint, correlationId }: WrittenRequest): Promise<RegisteredRequest> {
    const store = this.#ready();
    if (store.positionOf(partition) === offset) {
      store.advance(partition, offset + 1);
      return store.put(txId, { offset, fingerprint, correlationId });
    }
    const found = store.get(txId);
    if (found !== undefined) return found;
    if (this.#waiters.size >= waitersMax) throw new StreamError('LOG_UNAVAILABLE', 'too many requests wait');
    return await new Promise((resolve, reject) => {
      const waiters = this.#waiters.get(txId) ?? new Set();
      this.#waiters.set(txId, waiters);
      const leave = (): void => {
        timer.cancel();
        waiters.delete(waiter);
        if (waiters.size === 0) this.#waiters.delete(txId);
      };
      const waiter: Waiter = {
        resolve: (request) => {
          leave();
          resolve(request);
        },
        reject: (error) => {
          leave();
          reject(error);
        },
      };
      const timer = this.#options.clock.timer(readMsMax, () => {
        waiter.reject(new StreamError('LOG_UNAVAILABLE', 'the request is written, but was not read in time'));
      });
      waiters.add(waiter);
      this.#resting?.abort();
    });
  }

  async current(txId: string): Promise<RegisteredRequest | undefined> {
    const found = this.find(txId);
    const store = this.#store;
    if (found !== undefined || store === undefined) return found;
    const { log, clock } = this.#options;
    const ends = await log.admin.offsets(store.positions);
    const untilMs = clock.monotonicMs() + readMsMax;
    while (store.positions.some(({ offset }, partition) => offset < (ends[partition]?.end ?? 0))) {
      if (clock.monotonicMs() > untilMs || this.#store !== store)
        throw new StreamError('LOG_UNAVAILABLE', 'requests are not read in time');
      this.#resting?.abort();
      await clock.sleep(lookAgainMs);
    }
    return this.find(txId);
  }

  /** Records that are there and not read yet, as far as that is known. */
  get lag(): number {
    let lag = 0;
    for (const at of this.#store?.positions ?? []) {
      const { offset = 0, end = offset } = this.#reader?.position(at) ?? {};
      lag += Math.max(0, end - offset);
    }
    return lag;
  }

  /** Until `signal` aborts; gets over a log that is away. */
  async follow(signal: AbortSignal): Promise<void> {
    const { clock, logger, topic } = this.#options;
    while (!signal.aborted) {
      try {
        await this.#readOn(signal);
      } catch (error) {
        if (!(error instanceof StreamError)) throw error;
        logger.debug('requests cannot be read at the moment', { topic: topic.name, code: error.code });
        await clock.sleep(retryMs, signal);
      }
    }
    const stopped = new StreamError('LOG_UNAVAILABLE', 'the process stops');
    for (const { reject } of [...this.#waiters.values()].flatMap((waiters) => [...waiters])) reject(stopped);
  }

  async #readOn(signal: AbortSignal): Promise<void> {
    const store = await openRegisterStore(this.#options);
    // Requests are written outside of transactions, so they are certain at once; what sagas write between them, in transactions, is none.
    const reader = this.#options.log.reader({ isolation: 'read_uncommitted' });
    const wake = (): void => reader.wakeup();
    signal.addEventListener('abort', wake, { once: true });
    this.#store = store;
    this.#reader = reader;
    let isLost = false;
    try {
      await this.#read(reader, store, signal);
    } catch (error) {
      isLost = hasCode(error, 'OFFSET_OUT_OF_RANGE');
      throw error;
    } finally {
      signal.removeEventListener('abort', wake);
      this.#hasCaughtUp = false;
      this.#store = undefined;
      this.#reader = undefined;
      await reader.close();
      await (isLost ? store.destroy() : store.close());
    }
  }

  async #read(reader: Reader, store: RegisterStore, signal: AbortSignal): Promise<void> {
    const { positions } = store;
    for (const position of positions) reader.seek(position, position.offset);
    const ends = await this.#options.log.admin.offsets(positions);
    const isThere = (at: TopicPartition, index: number): boolean =>
      (reader.position(at)?.offset ?? 0) >= (ends[index]?.end ?? 0);
    while (!signal.aborted) {
      this.#hasCaughtUp ||= positions.every(isThere);
      const { batches, failures } = await reader.poll(pollMs);
      for (const { error } of failures) throw error;
      // A reader whose client was closed reads nothing, at once.
      if (positions.some((at) => reader.position(at) === undefined))
        throw new StreamError('LOG_CLOSED', 'the log was closed');
      for (const batch of batches) await this.#take(batch, store);
      await store.flushIfDue();
      if (this.#hasCaughtUp && this.lag === 0 && this.#waiters.size === 0) await this.#rest(signal);
    }
  }

  /** Until somebody waits for what is not read yet, or for a while. */
  async #rest(signal: AbortSignal): Promise<void> {
    const resting = new AbortController();
    const end = (): void => resting.abort();
    signal.addEventListener('abort', end, { once: true });
    this.#resting = resting;
    if (!signal.aborted) await this.#options.clock.sleep(restMs, resting.signal);
    this.#resting = undefined;
    signal.removeEventListener('abort', end);
  }

  async #take(batch: FetchedBatch, store: RegisterStore): Promise<void> {
    const { partition } = batch;
    let count = 0;
    for (const cursor = batch.cursor(); cursor.next();) {
      if (cursor.offset < store.positionOf(partition)) continue;
      const request = this.#requestOf(cursor);
      if (request !== undefined) this.#register(request, cursor.offset, store);
      count += 1;
      if (count % sliceRecords === 0) await this.#options.clock.yield();
    }
    store.advance(partition, batch.nextOffset);
  }

  #register({ txId, fingerprint, correlationId }: TransactionRequest, offset: number, store: RegisterStore): void {
    const first = store.put(txId, { fingerprint, correlationId, offset });
    for (const { resolve } of [...(this.#waiters.get(txId) ?? [])]) resolve(first);
  }

  /** `undefined` for what sagas tell each other, and for what the saga takes for no request either. */
  #requestOf(cursor: RecordCursor): TransactionRequest | undefined {
    const { key: keySerde, value: valueSerde } = this.#options.topic;
    const [key, value] = [cursor.key(), cursor.value()];
    if (key === undefined || value === undefined) return undefined;
    try {
      const request = valueSerde.deserialize(value);
      return 'fingerprint' in request && request.txId === keySerde.deserialize(key) ? request : undefined;
    } catch {
      // Whatever the serde says of it: the saga puts it aside.
      return undefined;
    }
  }
}
