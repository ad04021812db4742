/** System B as a source: what changed since, asked of its REST API, and once in a while everything, to see what is gone. */
import { StreamError, hasCode } from '../../index.ts';
import type { HttpSource, JsonAnswer, PollContext } from '../../index.ts';
import { isoFromMicros } from '../../schemas/app/customer/instant.ts';
import { isObject, ownValue } from '../../schemas/app/reader.ts';
import { readListed } from './customer-events.ts';
import { listPageSize, type CustomerListing, type ListedFrom, type ListedPage } from './polled-customers.ts';

export interface SystemBOptions {
  readonly http: HttpSource;
  /** Of the API, e.g. `https://b.example/api`; `/customers` is appended. */
  readonly baseUrl: string;
  /** Of the change events. */
  readonly topic: string;
  /** Between two complete scans, which find deletions and changes without a newer `updatedAt`. */
  readonly scanIntervalMs: number;
}

/** Pages of one poll: a cursor that never ends is none. */
const pagesMax = 100_000;

export function systemBListing(options: SystemBOptions): CustomerListing {
  return new SystemB(options);
}

/** The API of system B. */
class SystemB implements CustomerListing {
  readonly name = 'system-b';
  readonly source = 'system_b';
  readonly topic: string;
  readonly scanIntervalMs: number;
  readonly #http: HttpSource;
  readonly #base: string;
  /** The tag of an empty answer, so that a system without news need not say so at length. */
  readonly #seen: { url?: string; etag?: string } = {};

  constructor(options: SystemBOptions) {
    this.topic = options.topic;
    this.scanIntervalMs = options.scanIntervalMs;
    this.#http = options.http;
    this.#base = `${options.baseUrl.replace(/\/+$/, '')}/customers`;
  }

  /** All pages from a cursor on, or from the first. A cursor that the system no longer knows begins anew. */
  async *pages(from: ListedFrom, { signal }: PollContext): AsyncGenerator<ListedPage> {
    let { cursor } = from;
    for (let count = 0; count < pagesMax && !signal.aborted; count += 1) {
      const url = this.#url(from.since, cursor);
      const answer = await this.#ask(url, { isTagged: from.since !== undefined && cursor === undefined, signal }).catch(
        (error: unknown) => {
          if (count > 0 || cursor === undefined || !hasCode(error, 'DEPENDENCY_REFUSED')) throw error;
          return undefined;
        },
      );
      if (answer === undefined) {
        cursor = undefined;
        continue;
      }
      if (answer.kind === 'not-modified') return;
      const page = this.#page(answer);
      yield page;
      if (page.next === undefined) {
        // Only an answer in one page says all there is to say under its tag; and what is to show who is gone must be read.
        if (cursor === undefined && from.since !== undefined) this.#remember(url, answer.etag);
        return;
      }
      cursor = page.next;
    }
    if (!signal.aborted) throw new StreamError('DEPENDENCY_REFUSED', 'the pages of the system do not end');
  }

  async #ask(
    url: string,
    { isTagged, signal }: { readonly isTagged: boolean; readonly signal: AbortSignal },
  ): Promise<JsonAnswer> {
    const etag = isTagged && this.#seen.url === url ? this.#seen.etag : undefined;
    return await this.#http.get(url, { signal, etag });
  }

  #remember(url: string, etag: string | undefined): void {
    if (etag === undefined) return;
    this.#seen.url = url;
    this.#seen.etag = etag;
  }

  #url(since: number | undefined, cursor: string | undefined): string {
    const url = new URL(this.#base);
    url.searchParams.set('limit', String(listPageSize));
    if (since !== undefined) url.searchParams.set('updatedSince', isoFromMicros(since));
    if (cursor !== undefined) url.searchParams.set('cursor', cursor);
    return url.href;
  }

  /** A list, or an object with the list as `items` and the next cursor as `next`. */
  #page({ body, next: link }: JsonAnswer): ListedPage {
    const items = isObject(body) ? ownValue(body, 'items') : body;
    if (!Array.isArray(items)) throw new StreamError('DEPENDENCY_REFUSED', 'the answer is no list of customers');
    const named = isObject(body) ? ownValue(body, 'next') : undefined;
    const next = typeof named === 'string' ? named : this.#cursorOf(link);
    return { customers: items.map((item) => readListed(item, this.source)), next };
  }

  /** Only the cursor is taken from a link: nobody else decides whom we ask. */
  #cursorOf(link: string | undefined): string | undefined {
    if (link === undefined || !URL.canParse(link, this.#base)) return undefined;
    return new URL(link, this.#base).searchParams.get('cursor') ?? undefined;
  }
}
