/** Systems that list their customers, as sources: what changed since, and once in a while everything, to see what is gone. */
import { StreamError } from '../../index.ts';
import type {
  BackfillPage,
  BackfillSource,
  OutgoingRecord,
  PollContext,
  PollPage,
  PollSource,
  PollState,
} from '../../index.ts';
import { sourceRef, type SourceSystem } from '../../schemas/app/customer/fields.ts';
import {
  changeEvent,
  decodeKnown,
  deletionEvent,
  encodeKnown,
  type CustomerOperation,
  type EventOptions,
  type KnownCustomer,
  type ListedCustomer,
} from './customer-events.ts';

/** A system that can be asked for its customers, page by page. */
export interface CustomerListing {
  /** Of the source, e.g. `system-b`. */
  readonly name: string;
  readonly source: SourceSystem;
  /** Of the change events. */
  readonly topic: string;
  /** Between two complete scans, which find deletions and changes without a newer update. */
  readonly scanIntervalMs: number;
  /** All pages from a cursor on, or from the first. Rejects with `DEPENDENCY_UNAVAILABLE` or `DEPENDENCY_REFUSED`. */
  pages(from: ListedFrom, context: PollContext): AsyncIterable<ListedPage>;
}

export interface ListedFrom {
  /** Those that were updated since, in microseconds; `undefined`: all. */
  readonly since: number | undefined;
  readonly cursor: string | undefined;
}

export interface ListedPage {
  readonly customers: readonly ListedCustomer[];
  /** Cursor of the next page; `undefined`: there is none. */
  readonly next: string | undefined;
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

/** Customers of a page, so far as the system keeps to it. */
export const listPageSize = 500;
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

export function polledCustomers(listing: CustomerListing): PollSource {
  return { name: listing.name, poll: (state, context) => poll(listing, state, context) };
}

/** Everything the system lists, as snapshots; what is known of it already is dropped by whoever reads them. */
export function listedBackfill(listing: CustomerListing): BackfillSource {
  const { name, topic } = listing;
  return { name, topic, pages: (cursor, context) => snapshots(listing, cursor, context) };
}

async function* snapshots(
  listing: CustomerListing,
  cursor: string | undefined,
  context: PollContext,
): AsyncGenerator<BackfillPage> {
  for await (const { customers, next } of listing.pages({ since: undefined, cursor }, context)) {
    const items = customers.map((customer) => ({
      ref: sourceRef(listing.source, customer.id),
      record: changeEvent(customer, 'SNAPSHOT', eventsOf(listing, context)),
    }));
    yield { items, cursor: next };
  }
}

async function* poll(listing: CustomerListing, state: PollState, context: PollContext): AsyncGenerator<PollPage> {
  yield* changes(listing, state, context);
  const { since, scannedAtMs = 0 } = positionOf(state);
  if (since !== undefined && context.nowMs - scannedAtMs >= listing.scanIntervalMs)
    yield* scan(listing, state, context);
}

/** What changed since the last poll. The first one ever tells everything there is. */
async function* changes(listing: CustomerListing, state: PollState, context: PollContext): AsyncGenerator<PollPage> {
  const begun = positionOf(state);
  const since = begun.since === undefined ? undefined : Math.max(0, begun.since - overlapMicros);
  const operation = begun.since === undefined ? 'SNAPSHOT' : undefined;
  let highest = begun.highest ?? begun.since ?? 0;
  for await (const page of listing.pages({ since, cursor: begun.cursor }, context)) {
    for (const { updatedAt } of page.customers) highest = Math.max(highest, updatedAt ?? 0);
    const told = tell(page.customers, state, { ...eventsOf(listing, context), operation });
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
async function* scan(listing: CustomerListing, state: PollState, context: PollContext): AsyncGenerator<PollPage> {
  const known = [...state.keys()].filter((key) => key.startsWith(customerKey('')));
  const found = new Set<string>();
  for await (const { customers } of listing.pages({ since: undefined, cursor: undefined }, context)) {
    for (const { id } of customers) found.add(customerKey(id));
    yield tell(customers, state, { ...eventsOf(listing, context), operation: undefined });
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
  for (let index = 0; index < missing.length; index += listPageSize)
    yield miss(missing.slice(index, index + listPageSize), state, eventsOf(listing, context));
  yield withPosition(emptyPage, scanned, state);
}

function eventsOf({ source, topic }: CustomerListing, { nowMs }: PollContext): EventOptions {
  return { source, topic, nowMs };
}

const emptyPage: PollPage = { records: [], state: new Map() };

/** Events of those customers that are not known as listed. */
function tell(
  customers: readonly ListedCustomer[],
  state: PollState,
  options: EventOptions & { readonly operation: CustomerOperation | undefined },
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
function miss(keys: readonly string[], state: PollState, options: EventOptions): PollPage {
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
