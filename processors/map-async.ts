/**
 * A step that waits: it calls an author's asynchronous function for each record and forwards the result when it is there.
 *
 * Records that wait are rows of the step's store until their results are forwarded, so a commit takes them along whenever it happens: what was
 * forwarded is done, what was not is called again by whoever opens the task next.
 */
import { StreamError } from '../errors.ts';
import type { StreamRecord } from '../schemas/record.ts';
import type { OrderedState } from '../state-stores/typed-store.ts';
import type { AnyRecord, Cancellable, CreateNode, Node, NodeContext } from './node.ts';
import { expectResult, type UserFunction } from './user-function.ts';

/** What a call is given besides its record. */
export interface AsyncCall {
  /** Aborted when the call timed out or its task closed: the result is no longer wanted. */
  readonly signal: AbortSignal;
  /** 1 for the first try. */
  readonly attempt: number;
}

/** What to do for a record whose call failed for good. */
export type AsyncFailure = 'fail' | 'skip';

export interface AsyncLimits {
  /** Calls that run at one time, per task. */
  readonly concurrency: number;
  /** Records that wait, per task, beyond which it takes no more. One record that fans out may go beyond. */
  readonly pendingMax: number;
  /** How long one try may take. */
  readonly timeoutMs: number;
  /** Tries of one call. */
  readonly attemptsMax: number;
  /** Wait before the second try, doubled for each further one. */
  readonly backoffMs: number;
  readonly backoffMsMax: number;
}

export interface AsyncStepOptions extends AsyncLimits {
  /** Of the records that wait. */
  readonly store: string;
  /** `offset`: results leave in the order of their records. `key`: in the order of the records of their key. */
  readonly order: 'offset' | 'key';
  readonly onFailure: AsyncFailure;
  readonly call: UserFunction<[value: unknown, key: unknown, call: AsyncCall], Promise<unknown>>;
  /** The record that a result makes. */
  readonly toRecord: (step: string, record: AnyRecord, result: unknown) => AnyRecord;
}

type Outcome = { readonly result: unknown } | { readonly error: unknown };

interface Waiting {
  readonly id: number;
  readonly record: AnyRecord;
  /** Records of one key are called one after the other. */
  readonly keyId: string;
  attempt: number;
  controller: AbortController | undefined;
  timer: Cancellable | undefined;
  outcome: Outcome | undefined;
}

export function mapAsync(step: string, options: AsyncStepOptions, keyIdOf: (key: unknown) => string): CreateNode {
  return (context) => new AsyncStep(step, options, { context, keyIdOf });
}

class AsyncStep implements Node {
  readonly #step: string;
  readonly #options: AsyncStepOptions;
  readonly #context: NodeContext;
  readonly #keyIdOf: (key: unknown) => string;
  readonly #rows: OrderedState<number, StreamRecord<unknown, unknown>>;
  /** In the order in which the records came. */
  readonly #waiting = new Map<number, Waiting>();
  /** By key: the one whose turn it is, then those behind it. */
  readonly #chains = new Map<string, Waiting[]>();
  readonly #ready: Waiting[] = [];
  #nextId = 0;
  #running = 0;
  #isClosed = false;

  constructor(
    step: string,
    options: AsyncStepOptions,
    { context, keyIdOf }: { readonly context: NodeContext; readonly keyIdOf: (key: unknown) => string },
  ) {
    this.#step = step;
    this.#options = options;
    this.#context = context;
    this.#keyIdOf = keyIdOf;
    // Its spec was made with this step.
    this.#rows = context.store(options.store) as OrderedState<number, StreamRecord<unknown, unknown>>;
    for (const [id, record] of this.#rows.range()) {
      this.#nextId = id + 1;
      this.#admit(id, record);
    }
    if (this.#waiting.size > 0) context.post(() => this.#startReady());
  }

  process(record: AnyRecord): void {
    const id = this.#nextId;
    this.#nextId += 1;
    this.#rows.put(id, record);
    this.#context.post(() => {
      // A record that failed in another step left nothing behind here either.
      if (this.#rows.get(id) === undefined) return;
      this.#admit(id, record);
      this.#startReady();
    });
  }

  pendingCount(): number {
    return this.#waiting.size;
  }

  close(): void {
    this.#isClosed = true;
    for (const entry of this.#waiting.values()) this.#release(entry);
  }

  #admit(id: number, record: AnyRecord): void {
    const keyId = this.#keyIdOf(record.key);
    const entry: Waiting = {
      id,
      record,
      keyId,
      attempt: 0,
      controller: undefined,
      timer: undefined,
      outcome: undefined,
    };
    this.#waiting.set(id, entry);
    const chain = this.#chains.get(keyId);
    if (chain === undefined) {
      this.#chains.set(keyId, [entry]);
      this.#ready.push(entry);
    } else chain.push(entry);
    this.#holdBack();
  }

  #startReady(): void {
    while (this.#running < this.#options.concurrency) {
      const entry = this.#ready.shift();
      if (entry === undefined) return;
      this.#running += 1;
      this.#try(entry);
    }
  }

  #try(entry: Waiting): void {
    entry.attempt += 1;
    const { attempt } = entry;
    const controller = new AbortController();
    entry.controller = controller;
    const settle = (outcome: Outcome): void => {
      this.#context.post(() => {
        if (!this.#isClosed && entry.attempt === attempt && entry.outcome === undefined) this.#settled(entry, outcome);
      });
    };
    const { timeoutMs } = this.#options;
    entry.timer = this.#context.after(timeoutMs, () => {
      const error = new StreamError('PROCESSING_FAILED', `step ${this.#step}: a call took longer than ${timeoutMs} ms`);
      settle({ error });
      controller.abort(error);
    });
    this.#call(entry.record, { signal: controller.signal, attempt }).then(
      (result) => settle({ result }),
      (error: unknown) => settle({ error }),
    );
  }

  /** A function that throws at once fails like one whose promise rejects. */
  async #call({ key, value }: AnyRecord, call: AsyncCall): Promise<unknown> {
    return await this.#options.call(value, key, call);
  }

  #settled(entry: Waiting, outcome: Outcome): void {
    this.#release(entry);
    const { attemptsMax, backoffMs, backoffMsMax } = this.#options;
    if ('error' in outcome && entry.attempt < attemptsMax) {
      const waitMs = Math.min(backoffMsMax, backoffMs * 2 ** (entry.attempt - 1));
      entry.timer = this.#context.after(waitMs, () => this.#try(entry));
      return;
    }
    entry.outcome = outcome;
    this.#running -= 1;
    this.#nextOfKey(entry.keyId);
    this.#forwardDone(entry);
    this.#startReady();
    this.#holdBack();
  }

  #release(entry: Waiting): void {
    entry.timer?.cancel();
    entry.timer = undefined;
    if (this.#isClosed) entry.controller?.abort();
  }

  #nextOfKey(keyId: string): void {
    const chain = this.#chains.get(keyId);
    chain?.shift();
    const next = chain?.[0];
    if (next === undefined) this.#chains.delete(keyId);
    else this.#ready.push(next);
  }

  #forwardDone(entry: Waiting): void {
    if (this.#options.order === 'key') {
      this.#finish(entry);
      return;
    }
    for (const first of this.#waiting.values()) {
      if (first.outcome === undefined) return;
      this.#finish(first);
    }
  }

  /** The row goes and its result comes in one step: no commit comes between. */
  #finish({ id, record, outcome, attempt }: Waiting): void {
    this.#waiting.delete(id);
    this.#rows.delete(id);
    if (outcome === undefined) return;
    if ('error' in outcome) {
      if (this.#options.onFailure === 'skip') this.#context.drop('failed');
      else throw failure(this.#step, attempt, outcome.error);
      return;
    }
    this.#context.forward(this.#options.toRecord(this.#step, record, expectResult(this.#step, outcome.result)));
  }

  #holdBack(): void {
    this.#context.hold(this.#waiting.size >= this.#options.pendingMax);
  }
}

function failure(step: string, attempts: number, cause: unknown): StreamError {
  return new StreamError('PROCESSING_FAILED', `step ${step}: a call failed`, { facts: { step, attempts }, cause });
}
