/** One partition of a reader. Seeking makes a new one: what is fetched for the old one is then nobody's. */
import type { StreamError } from '../../errors.ts';
import type { FetchedBatch, ReaderPosition } from '../log.ts';

export interface Failing {
  readonly error: StreamError;
  readonly nowMs: number;
  /** The failure is kept to itself until it has lasted so long. */
  readonly silenceMs: number;
}

export class FetchedPartition {
  readonly topic: string;
  readonly partition: number;
  /** The lower, the earlier it is served. */
  turn: number;
  isPaused: boolean;
  failureCount = 0;
  #fetchOffset: number;
  #deliveredOffset: number;
  #end: number | undefined;
  #highWatermark: number | undefined;
  #isBeingFetched = false;
  #batch: FetchedBatch | undefined;
  #error: StreamError | undefined;
  #failingSinceMs: number | undefined;
  #isResting = false;

  constructor(at: {
    readonly topic: string;
    readonly partition: number;
    readonly offset: number;
    readonly isPaused: boolean;
    readonly turn: number;
  }) {
    this.topic = at.topic;
    this.partition = at.partition;
    this.turn = at.turn;
    this.isPaused = at.isPaused;
    this.#fetchOffset = at.offset;
    this.#deliveredOffset = at.offset;
  }

  get offset(): number {
    return this.#fetchOffset;
  }

  get fetchOffset(): number {
    return this.#fetchOffset;
  }

  get position(): ReaderPosition {
    return { offset: this.#deliveredOffset, end: this.#end, highWatermark: this.#highWatermark };
  }

  /** Has something for the next poll. */
  get isReady(): boolean {
    return !this.isPaused && (this.#batch !== undefined || this.#error !== undefined);
  }

  get wantsFetch(): boolean {
    if (this.isPaused || this.#isBeingFetched || this.#isResting) return false;
    return this.#batch === undefined && this.#error === undefined;
  }

  startFetch(): void {
    this.#isBeingFetched = true;
  }

  endFetch(): void {
    this.#isBeingFetched = false;
  }

  accept(fetched: {
    readonly batch: FetchedBatch | undefined;
    readonly end: number;
    readonly highWatermark: number;
  }): void {
    this.#end = fetched.end;
    this.#highWatermark = fetched.highWatermark;
    this.failureCount = 0;
    this.#failingSinceMs = undefined;
    if (fetched.batch === undefined) return;
    this.#batch = fetched.batch;
    this.#fetchOffset = fetched.batch.nextOffset;
  }

  /** It is left alone until `endRest`. */
  fail({ error, nowMs, silenceMs }: Failing): void {
    this.#failingSinceMs ??= nowMs;
    this.failureCount += 1;
    this.#isResting = true;
    if (nowMs - this.#failingSinceMs >= silenceMs) this.#error = error;
  }

  endRest(): void {
    this.#isResting = false;
  }

  take(): { readonly batch: FetchedBatch | undefined; readonly error: StreamError | undefined } {
    const taken = { batch: this.#batch, error: this.#error };
    this.#batch = undefined;
    this.#error = undefined;
    if (taken.batch !== undefined) this.#deliveredOffset = taken.batch.nextOffset;
    return taken;
  }
}
