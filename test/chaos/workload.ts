/** What runs, what it is fed and how it is judged under chaos; what happens to it is the same for all. */
import type { Log, NewTopic } from '../../connectors/log.ts';

/** Short, so that a fault costs seconds; long enough for a machine that has much else to do. */
export const timeouts = {
  sessionTimeoutMs: 10_000,
  heartbeatIntervalMs: 1_000,
  rebalanceTimeoutMs: 30_000,
  transactionTimeoutMs: 10_000,
} as const;

export interface FedRecord {
  readonly topic: string;
  readonly key: Uint8Array;
  readonly value: Uint8Array | undefined;
}

export interface Verdict {
  readonly lost: readonly string[];
  readonly duplicated: readonly string[];
  readonly wrong: readonly string[];
  /** What was compared, by what it is. */
  readonly checked: Readonly<Record<string, number>>;
  /** Records of outputs and changelogs that were written and then aborted. */
  readonly aborted: number;
}

/** One run of a process. */
export interface MemberProcess {
  signal(signal: NodeJS.Signals): void;
  /** Its exit code; anything else for one that was killed. */
  readonly ended: Promise<unknown>;
  /** The end of what it wrote to standard error. */
  errors(): string;
  /** Of its API; `undefined` while it has none. */
  url(): Promise<string | undefined>;
}

export interface Place {
  readonly id: string;
  /** Its own, kept over restarts; its state lies in `state`. */
  readonly directory: string;
  readonly brokers: string;
}

export interface ChaosWorkload {
  readonly topics: readonly NewTopic[];
  /** What each group reads of them: recovery is measured there. */
  readonly inputs: ReadonlyMap<string, readonly string[]>;
  /** Fed every tenth of a second. */
  readonly recordsPerTurn: number;
  /** Endless; the same for the same seed. */
  feed(seed: number): Generator<FedRecord, never>;
  start(place: Place): Promise<MemberProcess>;
  /** Whether everything that was fed has been dealt with. */
  isThrough(log: Log): Promise<boolean>;
  /** Recomputes everything, once it is through. `urls` are of all processes. */
  verify(log: Log, urls: readonly string[]): Promise<Verdict>;
}
