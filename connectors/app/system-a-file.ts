/** System A while it still is a file of SQLite: its table of customers, listed by last update and id. */
import type { PollContext, Sql } from '../../index.ts';
import { readListed } from './customer-events.ts';
import { listPageSize, type CustomerListing, type ListedFrom, type ListedPage } from './polled-customers.ts';

export interface SystemAFileOptions {
  readonly file: Sql;
  /** Of the change events. */
  readonly topic: string;
  /** Between two complete scans, which find deletions and changes without a newer `last_updated`. */
  readonly scanIntervalMs: number;
}

/**
 * Rows behind an id, in order of ids, which SQLite compares as the column does. `last_updated` is text that SQLite knows as a time, UTC, or milliseconds;
 * what is neither, or not there, is listed always.
 */
const select = `
  SELECT *, CAST(id AS TEXT) AS listed_id FROM customers_a
   WHERE (?1 IS NULL OR id > ?1)
     AND (?2 IS NULL OR coalesce(
           CASE typeof(last_updated) WHEN 'integer' THEN last_updated / 1000 ELSE unixepoch(last_updated) END >= ?2, 1))
   ORDER BY id LIMIT ${String(listPageSize)}`;

export function systemAFile({ file, topic, scanIntervalMs }: SystemAFileOptions): CustomerListing {
  return {
    name: 'system-a',
    source: 'system_a',
    topic,
    scanIntervalMs,
    pages: (from, context) => pages(file, from, context),
  };
}

async function* pages(file: Sql, { since, cursor }: ListedFrom, { signal }: PollContext): AsyncGenerator<ListedPage> {
  const sinceSeconds = since === undefined ? null : Math.floor(since / 1_000_000);
  for (let behind = cursor ?? null; !signal.aborted;) {
    const { rows } = await file.run({ text: select, values: [behind, sinceSeconds] });
    const last = rows.length < listPageSize ? undefined : rows.at(-1)?.['listed_id'];
    const next = typeof last === 'string' ? last : undefined;
    yield { customers: rows.map((row) => readListed({ ...row, id: row['listed_id'] }, 'system_a')), next };
    if (next === undefined) return;
    behind = next;
  }
}
