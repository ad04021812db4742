/** Compares balances and histories with the events, folded once more by other means: no stored balance, no code of the projection. */
import { StreamError, type InstanceView, type Topic } from '../../index.ts';
import { accountBalances, balanceHistory, effectiveHistory } from '../../processors/app/billing/projections.ts';
import type { AccountEvent } from '../../schemas/app/billing/account-event.ts';
import { formatAmount } from '../../schemas/app/billing/money.ts';
import type { Balance, BalanceEntry } from '../../schemas/app/billing/projection.ts';
import { eachEvent, rowsOf } from './partition-events.ts';
import { differencesShownMax, type Verification, type VerifiedPartition } from './projection.ts';

/** Each account is compared as of the version that is stored. */
export async function verifyBalances(
  accountEvents: Topic<string, AccountEvent>,
  { view, log, partition }: VerifiedPartition,
): Promise<Verification> {
  // First: everything below was in the stores when they are read.
  const position = view.localStore(accountBalances.name, partition).position();
  const offset = position.get(`${accountEvents.name}/${partition}`) ?? 0;
  const stored = await readStores(view, partition);
  const books = new Map<string, Book>();
  await eachEvent(log, { topic: accountEvents, partition }, (event, at) => write(books, event, at < offset));
  const differences: string[] = [];
  for (const [accountId, book] of books) compareAccount({ accountId, book, stored }, differences);
  for (const accountId of stored.balances.keys())
    if (!books.has(accountId)) differences.push(`${accountId}: a balance, but no event`);
  return {
    partition,
    offset,
    accounts: stored.balances.size,
    entries: stored.entryCount,
    differenceCount: differences.length,
    differences: differences.slice(0, differencesShownMax),
  };
}

// ---- what is stored -------------------------------------------------------------------------------------------------

interface Stored {
  readonly balances: ReadonlyMap<string, Balance>;
  readonly entryCount: number;
  /** By account. */
  readonly recorded: ReadonlyMap<string, readonly BalanceEntry[]>;
  readonly effective: ReadonlyMap<string, readonly BalanceEntry[]>;
}

async function readStores(view: InstanceView, partition: number): Promise<Stored> {
  const balances = [...(await rowsOf(view, accountBalances, partition)).values()];
  const history = [...(await rowsOf(view, balanceHistory, partition)).values()];
  const effective = [...(await rowsOf(view, effectiveHistory, partition)).values()];
  return {
    balances: new Map(balances.map((balance) => [balance.accountId, balance])),
    entryCount: history.length,
    recorded: byAccount(history),
    effective: byAccount(effective),
  };
}

function byAccount(entries: readonly BalanceEntry[]): ReadonlyMap<string, readonly BalanceEntry[]> {
  const found = new Map<string, BalanceEntry[]>();
  for (const entry of entries) {
    const list = found.get(entry.accountId) ?? [];
    found.set(entry.accountId, list);
    list.push(entry);
  }
  return found;
}

// ---- what the events say --------------------------------------------------------------------------------------------

/** An account after one of its events. */
interface Page {
  readonly balance: bigint;
  readonly held: bigint;
  /** What moved; absent for what is in no history. */
  readonly change: bigint | undefined;
  readonly recordedAt: number;
  readonly effectiveAt: number;
}

interface Book {
  /** Of version 1, 2, 3 … */
  readonly pages: Page[];
  /** So many of them lie below what the stores had reached. */
  due: number;
  readonly holds: Map<string, bigint>;
}

/** Adds an event to its account's book, by its postings and holds alone: what it says of balances is not believed. */
function write(books: Map<string, Book>, event: AccountEvent, isDue: boolean): void {
  const book = books.get(event.accountId) ?? { pages: [], due: 0, holds: new Map<string, bigint>() };
  books.set(event.accountId, book);
  if (event.aggregateVersion <= book.pages.length) return;
  if (event.aggregateVersion !== book.pages.length + 1)
    throw new StreamError('RECORD_INVALID', 'an event of the account is missing in the topic');
  keepHolds(book, event);
  const change = changeOf(event);
  book.pages.push({
    balance: (book.pages.at(-1)?.balance ?? 0n) + (change ?? 0n),
    held: [...book.holds.values()].reduce((sum, amount) => sum + amount, 0n),
    change,
    recordedAt: event.recordedAt,
    effectiveAt: event.effectiveAt,
  });
  if (isDue) book.due = book.pages.length;
}

function keepHolds({ holds }: Book, event: AccountEvent): void {
  if (event.type === 'FundsReserved') holds.set(event.holdId, event.amount);
  if (event.type === 'ReservationReleased') holds.delete(event.holdId);
  if (event.type === 'BalanceChanged' && event.holdId !== undefined) holds.delete(event.holdId);
}

/** What an event moved on its account; nothing for one that is in no history. */
function changeOf(event: AccountEvent): bigint | undefined {
  if (event.type === 'AccountCreated') return 0n;
  if (event.type !== 'BalanceChanged') return undefined;
  const own = event.postings.filter(({ account }) => account === event.accountId);
  return own.reduce((sum, { amount }) => sum + amount, 0n);
}

// ---- side by side ---------------------------------------------------------------------------------------------------

interface Compared {
  readonly accountId: string;
  readonly book: Book;
  readonly stored: Stored;
}

function compareAccount({ accountId, book, stored }: Compared, differences: string[]): void {
  const balance = stored.balances.get(accountId);
  const version = balance?.version ?? 0;
  if (version < book.due || version > book.pages.length) {
    differences.push(`${accountId}: version ${version}, the events say ${book.due} to ${book.pages.length}`);
    return;
  }
  const page = book.pages[version - 1];
  if (page === undefined || balance === undefined) return;
  const expected = [page.balance, page.held, page.balance - page.held].map(formatAmount).join(', ');
  const found = [balance.balance, balance.held, balance.available].map(formatAmount).join(', ');
  if (found !== expected)
    differences.push(
      `${accountId}: balance, held and available are ${found} at version ${version}, the events say ${expected}`,
    );
  compareEntries('history', { entries: stored.recorded.get(accountId) ?? [], book, version, accountId }, differences);
  compareEntries('dates', { entries: stored.effective.get(accountId) ?? [], book, version, accountId }, differences);
}

interface Entries {
  readonly entries: readonly BalanceEntry[];
  readonly book: Book;
  readonly version: number;
  readonly accountId: string;
}

function compareEntries(what: string, { entries, book, version, accountId }: Entries, differences: string[]): void {
  const byVersion = new Map(entries.map((entry) => [entry.version, entry]));
  for (const [index, page] of book.pages.slice(0, version).entries()) {
    const entry = byVersion.get(index + 1);
    const isRight =
      page.change === undefined
        ? entry === undefined
        : entry?.balance === page.balance &&
          entry.change === page.change &&
          entry.recordedAt === page.recordedAt &&
          entry.effectiveAt === page.effectiveAt;
    if (!isRight) differences.push(`${accountId}: ${what} of version ${index + 1} is not what the events say`);
  }
  // What was recorded while the stores were read is later than the balance.
  const unknown = entries.filter((entry) => entry.version > book.pages.length || entry.version < 1);
  if (unknown.length > 0 || byVersion.size < entries.length)
    differences.push(`${accountId}: ${what} has entries that no event knows of`);
}
