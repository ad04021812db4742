import { StreamError } from '../../errors.ts';
import type { AnyRecord, CreateNode, DropReason, Node, NodeContext, Schedule } from '../../processors/node.ts';
import { noHeaders, type Header, type RecordMetadata } from '../../schemas/record.ts';
import type { Timestamped, TimestampedState } from '../../state-stores/typed-store.ts';

/** A timestamped store in a map that counts how it is used. */
export class MapState implements TimestampedState<unknown, unknown> {
  readonly rows = new Map<unknown, Timestamped<unknown>>();
  gets = 0;
  writes = 0;

  get(key: unknown): Timestamped<unknown> | undefined {
    this.gets += 1;
    return this.rows.get(key);
  }

  put(key: unknown, value: unknown, timestampMs: number): void {
    this.writes += 1;
    this.rows.set(key, { value, timestampMs });
  }

  delete(key: unknown): void {
    this.writes += 1;
    this.rows.delete(key);
  }

  /** Rows as `[key, value, timestamp]`. */
  list(): readonly (readonly [unknown, unknown, number])[] {
    return [...this.rows].map(([key, { value, timestampMs }]) => [key, value, timestampMs] as const);
  }
}

export interface HarnessOptions {
  readonly stores?: Readonly<Record<string, unknown>>;
}

export interface Scheduled {
  readonly schedule: Schedule;
  readonly run: (timestampMs: number) => void;
  isCancelled: boolean;
}

/** One node alone: its context, what it forwarded and what it dropped. */
export class NodeHarness {
  readonly drops: DropReason[] = [];
  readonly scheduled: Scheduled[] = [];
  commitRequests = 0;
  metadata: RecordMetadata | undefined;
  streamTimeMs = -1;
  wallClockMs = 0;
  readonly #node: Node;
  #forwarded: { readonly to: string | undefined; readonly record: AnyRecord }[] = [];

  constructor(create: CreateNode, options: HarnessOptions = {}) {
    this.#node = create(this.#context(options.stores ?? {}));
  }

  /** Processes one record and returns what it forwarded. */
  pipe(key: unknown, value: unknown, timestampMs = 0, headers: readonly Header[] = noHeaders): readonly AnyRecord[] {
    this.send(key, value, timestampMs, headers);
    return this.take();
  }

  /** Processes one record. */
  send(key: unknown, value: unknown, timestampMs = 0, headers: readonly Header[] = noHeaders): void {
    this.streamTimeMs = Math.max(this.streamTimeMs, timestampMs);
    this.metadata = { topic: 'input', partition: 0, offset: 0 };
    try {
      this.#node.process({ key, value, timestampMs, headers });
    } finally {
      this.metadata = undefined;
    }
  }

  /** As `pipe`, for the step of a table. */
  change(key: unknown, change: readonly [from: unknown, to: unknown], timestampMs = 0): readonly AnyRecord[] {
    return this.pipe(key, { oldValue: change[0], newValue: change[1] }, timestampMs);
  }

  /** What was forwarded since the last call. */
  take(): readonly AnyRecord[] {
    return this.takeAddressed().map(({ record }) => record);
  }

  takeAddressed(): readonly { readonly to: string | undefined; readonly record: AnyRecord }[] {
    const forwarded = this.#forwarded;
    this.#forwarded = [];
    return forwarded;
  }

  close(): void {
    this.#node.close?.();
  }

  #context(stores: Readonly<Record<string, unknown>>): NodeContext {
    const metadata = (): RecordMetadata | undefined => this.metadata;
    const streamTimeMs = (): number => this.streamTimeMs;
    const wallClockMs = (): number => this.wallClockMs;
    return {
      applicationId: 'application',
      taskId: '0_0',
      partition: 0,
      forward: (record) => {
        this.#forwarded.push({ to: undefined, record });
      },
      forwardTo: (to, record) => {
        this.#forwarded.push({ to, record });
      },
      savedTime: () => ({ ms: -1 }),
      store: (name) => {
        if (!(name in stores)) throw new StreamError('STORE_UNKNOWN', `no store ${name}`);
        return stores[name];
      },
      get metadata() {
        return metadata();
      },
      get streamTimeMs() {
        return streamTimeMs();
      },
      get wallClockMs() {
        return wallClockMs();
      },
      drop: (reason) => {
        this.drops.push(reason);
      },
      schedule: (schedule, run) => {
        const entry = { schedule, run, isCancelled: false };
        this.scheduled.push(entry);
        return {
          cancel: () => {
            entry.isCancelled = true;
          },
        };
      },
      requestCommit: () => {
        this.commitRequests += 1;
      },
      post: (run) => {
        run();
      },
      after: () => ({ cancel: () => undefined }),
      hold: () => undefined,
    };
  }
}

/** The code and message of what `run` throws. */
export function failureOf(run: () => unknown): { readonly code: string; readonly message: string } {
  try {
    run();
  } catch (error) {
    if (error instanceof StreamError) return { code: error.code, message: error.message };
    throw error;
  }
  throw new Error('nothing was thrown');
}

/** `[key, value, timestamp]` of records, for short expectations. */
export function brief(records: readonly AnyRecord[]): readonly (readonly [unknown, unknown, number])[] {
  return records.map(({ key, value, timestampMs }) => [key, value, timestampMs] as const);
}

/** `[key, old, new, timestamp]` of changes. */
export function briefChanges(records: readonly AnyRecord[]): readonly (readonly [unknown, unknown, unknown, number])[] {
  return records.map(({ key, value, timestampMs }) => {
    const { oldValue, newValue } = value as { readonly oldValue: unknown; readonly newValue: unknown };
    return [key, oldValue, newValue, timestampMs] as const;
  });
}
