/** Aggregations by key and session, after the rules of Kafka Streams 4.3. */
import { noHeaders } from '../schemas/record.ts';
import type { Window, Windowed } from '../schemas/windowed.ts';
import type { SessionRow, SessionState } from '../state-stores/window-state.ts';
import type { AnyRecord, CreateNode, NodeContext, SavedTime } from './node.ts';
import { expectResult, type UserFunction } from './user-function.ts';
import type { WindowAggregation } from './window-aggregate.ts';
import { atMostEvery, type SessionWindows } from './windows.ts';

export interface SessionAggregation extends WindowAggregation<SessionWindows> {
  /** The aggregate of two sessions that a record joins. */
  readonly merge: UserFunction<[a: unknown, b: unknown, key: unknown], unknown>;
}

/**
 * Adds each record to the sessions within the gap of it, which become one. A session that is swallowed is deleted first, unless it has the
 * very bounds of what comes out. What was too late would have ended before the close.
 */
export function aggregateSessions(how: SessionAggregation): CreateNode {
  const { step, windows } = how;
  const { gapMs, graceMs } = windows;
  return (context) => {
    const state = context.store(how.store) as SessionState<unknown, unknown>;
    const results = new SessionResults(context, how, state);
    const isDue = atMostEvery(context, how.emitEveryMs);
    const streamTime = context.savedTime();
    return {
      process: (record) => {
        const { key, timestampMs } = record;
        if (key === null) {
          context.drop('null-key');
          return;
        }
        if (timestampMs > streamTime.ms) streamTime.ms = timestampMs;
        const closeMs = streamTime.ms - graceMs - gapMs;
        const swallowed = state.find(key, timestampMs - gapMs, timestampMs + gapMs);
        let merged: Window = { startMs: timestampMs, endMs: timestampMs };
        let aggregate = expectResult(step, how.initial());
        for (const session of swallowed) {
          aggregate = expectResult(step, how.merge(aggregate, session.value, key));
          merged = span(merged, session);
        }
        if (merged.endMs < closeMs) context.drop('late');
        else {
          if (merged.startMs !== merged.endMs) results.swallow(key, swallowed);
          results.update(record, merged, expectResult(step, how.add(aggregate, record.value, key)));
        }
        if (isDue()) results.close(record, closeMs);
      },
    };
  };
}

function span(a: Window, b: Window): Window {
  return { startMs: Math.min(a.startMs, b.startMs), endMs: Math.max(a.endMs, b.endMs) };
}

/** What became of sessions: into the store, and on as changes. Their time is their end. */
class SessionResults {
  readonly #context: NodeContext;
  readonly #state: SessionState<unknown, unknown>;
  readonly #closed: SavedTime | undefined;

  constructor(context: NodeContext, { emit }: SessionAggregation, state: SessionState<unknown, unknown>) {
    this.#context = context;
    this.#state = state;
    this.#closed = emit === 'on-close' ? context.savedTime('closed') : undefined;
  }

  swallow(key: unknown, sessions: readonly SessionRow<unknown>[]): void {
    for (const { startMs, endMs, value } of sessions) {
      this.#state.delete(key, { startMs, endMs });
      this.#forward({ key, startMs, endMs }, null, value);
    }
  }

  update({ key }: AnyRecord, session: Window, value: unknown): void {
    if (value === null) this.#state.delete(key, session);
    else if (!this.#state.put(key, value, session)) this.#context.drop('expired');
    this.#forward({ key, ...session }, value, null);
  }

  /** Sends on the sessions that end before `closeMs`, by end, start and key. */
  close({ headers }: AnyRecord, closeMs: number): void {
    const closed = this.#closed;
    if (closed === undefined || closeMs <= closed.ms) return;
    const to = closeMs - 1;
    const from = Math.max(0, closed.ms);
    if (to < from) return;
    for (const { key, startMs, endMs, value } of this.#state.findAll(from, to)) {
      const change = { newValue: value, oldValue: null };
      this.#context.forward({ key: { key, startMs, endMs }, value: change, timestampMs: endMs, headers });
    }
    closed.ms = closeMs;
    this.#state.passBy(closeMs);
  }

  #forward(key: Windowed<unknown>, newValue: unknown, oldValue: unknown): void {
    if (this.#closed !== undefined) return;
    // A session is of many records: it has the headers of none.
    this.#context.forward({ key, value: { newValue, oldValue }, timestampMs: key.endMs, headers: noHeaders });
  }
}
