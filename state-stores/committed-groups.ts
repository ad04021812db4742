import { asBuffer, headKey, headOf, positionKey, rowOfQueryKey } from './group-key.ts';
import { decodeRows, isDirectory } from './group-page.ts';
import { timeKey } from './group-time.ts';
import { Group } from './group.ts';
import type { TimeBounds } from './store-layers.ts';
import type { Entry, KeyValueStore, Range } from './store.ts';

export interface CommittedGroupsOptions {
  readonly segmentMs: number;
  readonly retentionMs: number;
  /** `minor` is the start of a session, `major` its end. */
  readonly hasSessions: boolean;
}

/** Grouped rows as queries see them: what is applied. `timeMs` is the time of the store as applied, by which rows expire. */
export class CommittedGroups {
  readonly #backing: KeyValueStore;
  readonly #options: CommittedGroupsOptions;
  readonly #timeMs: () => number;

  constructor(backing: KeyValueStore, options: CommittedGroupsOptions, timeMs: () => number) {
    this.#backing = backing;
    this.#options = options;
    this.#timeMs = timeMs;
  }

  get(key: Uint8Array): Uint8Array | undefined {
    const { group, major, minor } = rowOfQueryKey(asBuffer(key));
    if (major < this.#visibleFromMs) return undefined;
    return this.#group(group, this.#segmentOf(major)).get(major, minor)?.stored;
  }

  async *scan(range: Range): AsyncIterable<Entry> {
    let left = range.limit ?? Infinity;
    if (left <= 0) return;
    for await (const [key, page] of this.#backing.scan(pagesOf(range))) {
      if (isDirectory(page)) continue;
      for (const entry of this.#rowsIn(headOf(key), page, range)) {
        yield entry;
        left -= 1;
        if (left <= 0) return;
      }
    }
  }

  /** Rows of one group: windows that start, sessions that end, at `fromMs` or later, and start no later than `toMs`. */
  *rowsOf(group: Uint8Array, { fromMs, toMs }: TimeBounds): Iterable<Entry> {
    const { hasSessions } = this.#options;
    const from = Math.max(0, fromMs, this.#visibleFromMs);
    const to = hasSessions ? this.#timeMs() : Math.min(toMs, this.#timeMs());
    for (let segment = this.#segmentOf(from); segment <= this.#segmentOf(to); segment += 1) {
      const head = headKey(segment, group);
      for (const row of this.#group(group, segment).range(from, to))
        if (row.stored !== undefined && !(hasSessions && row.minor > toMs)) yield [positionKey(head, row), row.stored];
    }
  }

  get #visibleFromMs(): number {
    return this.#timeMs() - this.#options.retentionMs + 1;
  }

  #segmentOf(major: number): number {
    return Math.floor(major / this.#options.segmentMs);
  }

  #group(bytes: Uint8Array, segment: number): Group<never> {
    return new Group(segment, { bytes, name: '' }, (key) => this.#backing.get(key));
  }

  /** The rows of a page that a scan shows. */
  *#rowsIn(head: Uint8Array, page: Uint8Array, { from, to, reverse }: Range): Iterable<Entry> {
    const rows = decodeRows(page);
    for (const row of reverse === true ? rows.reverse() : rows) {
      if (row.stored === undefined || row.major < this.#visibleFromMs) continue;
      const key = positionKey(head, row);
      if (from !== undefined && Buffer.compare(key, from) < 0) continue;
      if (to !== undefined && Buffer.compare(key, to) >= 0) continue;
      yield [key, row.stored];
    }
  }
}

/** Pages that may hold rows of a range: a page begins before the rows in it, so that a scan begins with the whole group. */
function pagesOf({ from, to, reverse }: Range): Range {
  return {
    ...(from === undefined ? {} : { from: headOf(from) }),
    to: to ?? timeKey,
    ...(reverse === undefined ? {} : { reverse }),
  };
}
