/** What a backfill asks of a system: everything it has, page by page. */
import type { OutgoingRecord } from './outgoing-record.ts';
import type { PollContext } from './poll-source.ts';

export interface BackfillItem {
  /** By what the merge knows the record, e.g. `b:<uuid>`. */
  readonly ref: string;
  readonly record: OutgoingRecord;
}

/** Written as a whole, with the cursor, or not at all. */
export interface BackfillPage {
  readonly items: readonly BackfillItem[];
  /** Where the next page begins; `undefined`: there is none. */
  readonly cursor: string | undefined;
}

export interface BackfillSource {
  readonly name: string;
  /** Of the change events. */
  readonly topic: string;
  /** From the page that `cursor` names, or the first. Rejects with `DEPENDENCY_UNAVAILABLE`: the backfill goes on later from the last page. */
  pages(cursor: string | undefined, context: PollContext): AsyncIterable<BackfillPage>;
}
