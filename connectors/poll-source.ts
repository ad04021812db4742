/** What a poller asks of the system it polls: pages of records, each with what is to be remembered once they are in the log. */
import type { OutgoingRecord } from './outgoing-record.ts';

/** What a source remembers from poll to poll, as text by name. Survives restarts and moves: it lies in a compacted topic. */
export type PollState = ReadonlyMap<string, string>;

/** One step of a poll: committed as a whole, or not at all. */
export interface PollPage {
  readonly records: readonly OutgoingRecord[];
  /** Changes of the state; `undefined` forgets a name. */
  readonly state: ReadonlyMap<string, string | undefined>;
}

export interface PollContext {
  readonly signal: AbortSignal;
  /** Epoch milliseconds. */
  readonly nowMs: number;
}

export interface PollSource {
  /** Names the source in checkpoints, metrics and answers, e.g. `system-b`. */
  readonly name: string;
  /**
   * One poll. A page is in the log, with the state it asked for, before the next one is asked for; `state` then shows it. Rejects with
   * `DEPENDENCY_UNAVAILABLE` (the system is away; what was not yielded is found by the next poll) or `DEPENDENCY_REFUSED`.
   */
  poll(state: PollState, context: PollContext): AsyncIterable<PollPage>;
}
