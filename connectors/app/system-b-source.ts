/** System B as a source: what changed since, asked of its REST API, and once in a while everything, to see what is gone. */
import { StreamError, hasCode } from '../../index.ts';
import type {
  BackfillPage,
  BackfillSource,
  HttpSource,
  JsonAnswer,
  OutgoingRecord,
  PollContext,
  PollPage,
  PollSource,
  PollState,
} from '../../index.ts';
import { isoFromMicros } from '../../schemas/app/customer/instant.ts';
import { isObject, ownValue } from '../../schemas/app/reader.ts';
import {
  changeEvent,
  decodeKnown,
  deletionEvent,
  encodeKnown,
  readListed,
  type CustomerOperation,
  type KnownCustomer,
  type ListedCustomer,
} from './system-b-events.ts';

export interface SystemBOptions {
  readonly http: HttpSource;
  /** Of the API, e.g. `https://b.example/api`; `/customers` is appended. */
  readonly baseUrl: string;
  /** Of the change events. */
  readonly topic: string;
  /** Between two complete scans, which find deletions and changes without a newer `updatedAt`. */
  readonly scanIntervalMs: number;
}

/** Where the poller stands. Instants in microseconds. */
interface Position {
  /** Everything updated before this is known. */
  readonly since?: number;
  /** A poll under way: where its next page is, and the latest update it has met. */
  readonly cursor?: string;
  readonly highest?: number;
  /** End of the last complete scan, epoch milliseconds. */
  readonly scannedAtMs?: number;
}

const sourceName = 'system-b';
const pageSize = 500;
/** Pages of one poll: a cursor that never ends is none. */
const pagesMax = 100_000;
/**
 * How far before the latest update each poll begins: transactions that were still open then, clocks that differ, updates in the same instant. What is
 * found again is known and not told again.
 */
const overlapMicros = 5 * 60 * 1_000_000;
/** A customer is gone after so many complete scans in a row without it. */
const scansWithout = 2;
/** A scan that misses more than this share of many customers is not believed. */
const lossShareMax = 0.5;
const lossCountMin = 20;

const positionKey = 'position';
const customerKey = (id: string): string => `customer|${id}`;

export function systemBSource(options: SystemBOptions): PollSource {
  // The tag of an empty answer, so that a system without news need not say so at length.
  const seen: { url?: string; etag?: string } = {};
  return {
    name: sourceName,
    poll: (state, context) => poll(new SystemB(options, seen), state, context),
  };
}

/** Everything the system lists, as snapshots; what is known of it already is dropped by whoever reads them. */
export function systemBBackfill(options: SystemBOptions): BackfillSource {
  const { topic } = options;
  const system = new SystemB(options, {});
  return {
    name: sourceName,
    topic,
    pages: (cursor, context) => snapshots(system, cursor, context),
  };
}

async function* snapshots(
  system: SystemB,
  cursor: string | undefined,
  context: PollContext,
): AsyncGenerator<BackfillPage> {
  for await (const { customers, next } of system.pages({ since: undefined, cursor }, context)) {
    const items = customers.map((customer) => ({
      ref: `b:${customer.id}`,
      record: changeEvent(customer, 'SNAPSHOT', { topic: system.topic, nowMs: context.nowMs }),
    }));
    yield { items, cursor: next };
  }
}

async function* poll(system: SystemB, state: PollState, context: PollContext): AsyncGenerator<PollPage> {
  yield* changes(system, state, context);
  const { since, scannedAtMs = 0 } = positionOf(state);
  if (since !== undefined && context.nowMs - scannedAtMs >= system.scanIntervalMs) yield* scan(system, state, context);
}

/** What changed since the last poll. The first one ever tells everything there is. */
async function* changes(system: SystemB, state: PollState, context: PollContext): AsyncGenerator<PollPage> {
  const begun = positionOf(state);
  const since = begun.since === undefined ? undefined : Math.max(0, begun.since - overlapMicros);
  const operation = begun.since === undefined ? 'SNAPSHOT' : undefined;
  let highest = begun.highest ?? begun.since ?? 0;
  for await (const page of system.pages({ since, cursor: begun.cursor }, context)) {
    for (const { updatedAt } of page.customers) highest = Math.max(highest, updatedAt ?? 0);
    const told = tell(page.customers, state, { topic: system.topic, nowMs: context.nowMs, operation });
    const position =
      page.next === undefined ? ended(begun, highest, context.nowMs) : { ...begun, highest, cursor: page.next };
    yield withPosition(told, position, state);
  }
}

/** Where a poll that came to its end leaves us. The one that tells everything is a scan as well. */
function ended({ since, scannedAtMs }: Position, highest: number, nowMs: number): Position {
  const scanned = since === undefined ? nowMs : scannedAtMs;
  return { since: Math.min(highest, nowMs * 1_000), ...(scanned === undefined ? {} : { scannedAtMs: scanned }) };
}

/** Everything there is: tells what the other polls missed, and in the end who is gone. A scan that fails on the way proves nothing. */
async function* scan(system: SystemB, state: PollState, context: PollContext): AsyncGenerator<PollPage> {
  const known = [...state.keys()].filter((key) => key.startsWith(customerKey('')));
  const found = new Set<string>();
  for await (const { customers } of system.pages({ since: undefined, cursor: undefined }, context)) {
    for (const { id } of customers) found.add(customerKey(id));
    yield tell(customers, state, { topic: system.topic, nowMs: context.nowMs, operation: undefined });
  }
  if (context.signal.aborted) return;
  const missing = known.filter((key) => !found.has(key));
  const scanned = { ...positionOf(state), scannedAtMs: context.nowMs };
  if (missing.length > lossCountMin && missing.length > known.length * lossShareMax) {
    yield withPosition(emptyPage, scanned, state);
    throw new StreamError(
      'DEPENDENCY_REFUSED',
      'most customers are missing from a complete scan, which is not believed',
      {
        facts: { known: known.length, missing: missing.length },
      },
    );
  }
  for (let index = 0; index < missing.length; index += pageSize)
    yield miss(missing.slice(index, index + pageSize), state, { topic: system.topic, nowMs: context.nowMs });
  yield withPosition(emptyPage, scanned, state);
}

const emptyPage: PollPage = { records: [], state: new Map() };

/** Events of those customers that are not known as listed. */
function tell(
  customers: readonly ListedCustomer[],
  state: PollState,
  options: { readonly topic: string; readonly nowMs: number; readonly operation: CustomerOperation | undefined },
): PollPage {
  const records: OutgoingRecord[] = [];
  const changed = new Map<string, string>();
  for (const customer of customers) {
    const key = customerKey(customer.id);
    const text = changed.get(key) ?? state.get(key);
    const before = text === undefined ? undefined : decodeKnown(text);
    if (isNews(customer, before)) {
      const operation = options.operation ?? (before === undefined ? 'CREATE' : 'UPDATE');
      records.push(changeEvent(customer, operation, { ...options, before }));
      const { email, updatedAt, hash } = customer;
      changed.set(key, encodeKnown({ email, updatedAt, hash, missing: 0 }));
    } else if (before !== undefined && before.missing > 0) changed.set(key, encodeKnown({ ...before, missing: 0 }));
  }
  return { records, state: changed };
}

/** Whether it says something else than before; but the second page of a list that moved may still hold what was true before. */
function isNews(customer: ListedCustomer, before: KnownCustomer | undefined): boolean {
  if (before === undefined) return true;
  const isOlder =
    before.updatedAt !== undefined && customer.updatedAt !== undefined && customer.updatedAt < before.updatedAt;
  return customer.hash !== before.hash && !isOlder;
}

/** Customers that a complete scan did not find: gone if it is not the first time. */
function miss(
  keys: readonly string[],
  state: PollState,
  options: { readonly topic: string; readonly nowMs: number },
): PollPage {
  const records: OutgoingRecord[] = [];
  const changed = new Map<string, string | undefined>();
  for (const key of keys) {
    const text = state.get(key);
    if (text === undefined) continue;
    const known = decodeKnown(text);
    const id = key.slice(customerKey('').length);
    const isGone = known.missing + 1 >= scansWithout;
    changed.set(key, isGone ? undefined : encodeKnown({ ...known, missing: known.missing + 1 }));
    // A record that never had an id was never a customer.
    if (isGone && !id.startsWith('#')) records.push(deletionEvent(id, known, options));
  }
  return { records, state: changed };
}

function positionOf(state: PollState): Position {
  const text = state.get(positionKey);
  return text === undefined ? {} : (JSON.parse(text) as Position);
}

/** The page with the new position, unless that is the one already remembered. */
function withPosition(page: PollPage, position: Position, state: PollState): PollPage {
  const text = JSON.stringify(position);
  if (state.get(positionKey) === text) return page;
  return { ...page, state: new Map([...page.state, [positionKey, text]]) };
}

interface Page {
  readonly customers: readonly ListedCustomer[];
  readonly next: string | undefined;
}

/** The API of system B. */
class SystemB {
  readonly topic: string;
  readonly scanIntervalMs: number;
  readonly #http: HttpSource;
  readonly #base: string;
  readonly #seen: { url?: string; etag?: string };

  constructor(options: SystemBOptions, seen: { url?: string; etag?: string }) {
    this.topic = options.topic;
    this.scanIntervalMs = options.scanIntervalMs;
    this.#http = options.http;
    this.#base = `${options.baseUrl.replace(/\/+$/, '')}/customers`;
    this.#seen = seen;
  }

  /** All pages from a cursor on, or from the first. A cursor that the system no longer knows begins anew. */
  async *pages(
    from: { readonly since: number | undefined; readonly cursor: string | undefined },
    { signal }: PollContext,
  ): AsyncGenerator<Page> {
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
    url.searchParams.set('limit', String(pageSize));
    if (since !== undefined) url.searchParams.set('updatedSince', isoFromMicros(since));
    if (cursor !== undefined) url.searchParams.set('cursor', cursor);
    return url.href;
  }

  /** A list, or an object with the list as `items` and the next cursor as `next`. */
  #page({ body, next: link }: JsonAnswer): Page {
    const items = isObject(body) ? ownValue(body, 'items') : body;
    if (!Array.isArray(items)) throw new StreamError('DEPENDENCY_REFUSED', 'the answer is no list of customers');
    const named = isObject(body) ? ownValue(body, 'next') : undefined;
    const next = typeof named === 'string' ? named : this.#cursorOf(link);
    return { customers: items.map(readListed), next };
  }

  /** Only the cursor is taken from a link: nobody else decides whom we ask. */
  #cursorOf(link: string | undefined): string | undefined {
    if (link === undefined || !URL.canParse(link, this.#base)) return undefined;
    return new URL(link, this.#base).searchParams.get('cursor') ?? undefined;
  }
}
