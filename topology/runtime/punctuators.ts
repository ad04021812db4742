/** When scheduled callbacks fire. Kafka Streams' rules: semantics of `ProcessorContext.schedule`, release 4.3. */
import type { Cancellable, Schedule } from '../../processors/node.ts';

interface Punctuator {
  readonly everyMs: number;
  readonly run: (timestampMs: number) => void;
  nextMs: number;
  isCancelled: boolean;
}

/** The schedules of one task on one clock. */
export class Punctuators {
  /** Time at which something is due; Infinity without schedules. */
  nextMs = Infinity;
  #entries: Punctuator[] = [];

  /**
   * Stream time: first due as soon as time is known (aligned to 0). Wall clock: one interval after `nowMs`.
   * With `startAtMs` the first is the first `startAtMs + n * everyMs` not before `nowMs`.
   */
  add(schedule: Schedule, nowMs: number, run: (timestampMs: number) => void): Cancellable {
    const entry: Punctuator = { everyMs: schedule.everyMs, run, nextMs: firstDue(schedule, nowMs), isCancelled: false };
    this.#entries.push(entry);
    this.#refresh();
    return {
      cancel: () => {
        entry.isCancelled = true;
        this.#entries = this.#entries.filter((other) => other !== entry);
        this.#refresh();
      },
    };
  }

  /** Fires each due schedule once, however far time jumped, through `call`, and sets its next due time past `nowMs`. */
  fire(nowMs: number, call: (run: (timestampMs: number) => void) => void): number {
    let fired = 0;
    if (nowMs < this.nextMs) return fired;
    for (const entry of [...this.#entries]) {
      if (entry.isCancelled || nowMs < entry.nextMs) continue;
      entry.nextMs += (Math.floor((nowMs - entry.nextMs) / entry.everyMs) + 1) * entry.everyMs;
      call(entry.run);
      fired += 1;
    }
    this.#refresh();
    return fired;
  }

  #refresh(): void {
    let next = Infinity;
    for (const entry of this.#entries) if (entry.nextMs < next) next = entry.nextMs;
    this.nextMs = next;
  }
}

function firstDue(schedule: Schedule, nowMs: number): number {
  const { everyMs, startAtMs } = schedule;
  if (startAtMs !== undefined) {
    if (startAtMs >= nowMs) return startAtMs;
    return startAtMs + Math.ceil((nowMs - startAtMs) / everyMs) * everyMs;
  }
  return schedule.by === 'stream-time' ? 0 : nowMs + everyMs;
}
