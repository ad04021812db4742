/** `history`: takes over accounts and transactions that began elsewhere, through a running instance, and compares every balance afterwards. */
import { parseArgs } from 'node:util';
import { isObject } from '../api/peer-answer.ts';
import { Problem } from '../api/problem.ts';
import type { Clock } from '../clock.ts';
import { StreamError } from '../errors.ts';
import { formatAmount, parseLimit } from '../schemas/app/billing/money.ts';
import type { Answer, Request } from './api-client.ts';
import { accountOf, transactionOf, type HistoryItem } from './history-commands.ts';
import { historySource, type HistoryPorts, type HistorySource } from './history-source.ts';
import type { Row } from './history-rows.ts';

export interface HistoryConsole extends HistoryPorts {
  /** Of a running instance. */
  readonly request: Request;
  readonly print: (line: string) => void;
  readonly clock: Clock;
}

const usage = `migrate:history -- --transactions SOURCE [--accounts SOURCE] [--dry-run]
  SOURCE is FILE.csv, FILE.jsonl or table:SCHEMA.NAME of HISTORY_POSTGRES_URL
  --accounts opens them first, and says what their balances have to be; without it the transactions have to add up to the balances
  --dry-run  only reads and checks
  API_URL, or http://127.0.0.1:PORT, is where an instance answers; it may be run again, whatever became of it the last time`;

/** Sums are kept for so many accounts while it runs. */
const accountsMax = 1_000_000;
/** In one request, and in characters: below what the API takes. */
const batchRowsMax = 500;
const batchCharsMax = 400_000;
/** Problems and differences that are told; all are counted. */
const toldMax = 100;
/** Without anything having moved on. */
const patienceMs = 120_000;
const retryMs = 500;
const waitMs = 5_000;
/** Balances asked for at once. */
const lanes = 16;

/** What the source says of an account, and what is known of it here. */
interface Book {
  sum: bigint;
  given: bigint | undefined;
  /** The latest version that a transaction of the source has led to. */
  version: number;
}

interface Counts {
  total: number;
  imported: number;
  /** Known before it was asked for by this run. */
  already: number;
  failed: number;
}

/** Returns the exit code: 0 if every row is there and every balance right, 1 if not, 2 for arguments that make no sense. */
export async function historyCommand(args: readonly string[], console: HistoryConsole): Promise<number> {
  const history = parse(args, console);
  if (history === undefined) {
    console.print(usage);
    return 2;
  }
  try {
    return await new Migration(history, console).run();
  } catch (error) {
    if (!(error instanceof StreamError)) throw error;
    console.print(`${error.code}: ${error.message}`);
    return 1;
  }
}

interface History {
  readonly transactions: HistorySource;
  readonly accounts: HistorySource | undefined;
  readonly isDryRun: boolean;
}

const options = {
  transactions: { type: 'string' },
  accounts: { type: 'string' },
  'dry-run': { type: 'boolean' },
} as const;

function parse(args: readonly string[], ports: HistoryPorts): History | undefined {
  try {
    const { values } = parseArgs({ args: [...args], options });
    const transactions = historySource(values.transactions ?? '', ['created_at', 'transaction_id'], ports);
    const accounts = values.accounts === undefined ? undefined : historySource(values.accounts, ['account_id'], ports);
    if (transactions === undefined || (values.accounts !== undefined && accounts === undefined)) return undefined;
    return { transactions, accounts, isDryRun: values['dry-run'] === true };
  } catch {
    return undefined;
  }
}

interface Entry {
  readonly line: number;
  readonly item: HistoryItem;
}

type Phase = 'accounts' | 'transactions';

class Migration {
  readonly #history: History;
  readonly #console: HistoryConsole;
  readonly #books = new Map<string, Book>();
  readonly #counts: Record<Phase, Counts> = { accounts: noCounts(), transactions: noCounts() };
  #toldCount = 0;

  constructor(history: History, console: HistoryConsole) {
    this.#history = history;
    this.#console = console;
  }

  /** Everything is read before anything is sent: a source with a bad row is not imported at all. */
  async run(): Promise<number> {
    const { accounts, transactions, isDryRun } = this.#history;
    const badCount = (await this.#check('accounts', accounts)) + (await this.#check('transactions', transactions));
    if (badCount > 0 || isDryRun) {
      this.#report({ bad: badCount, accounts: this.#books.size });
      return badCount === 0 ? 0 : 1;
    }
    await this.#send('accounts', accounts);
    await this.#send('transactions', transactions);
    const differences = await this.#compare();
    this.#report({ accounts: this.#books.size, accountsFailed: this.#counts.accounts.failed, differences });
    const failed = this.#counts.accounts.failed + this.#counts.transactions.failed;
    return failed + differences === 0 ? 0 : 1;
  }

  #report(more: object): void {
    this.#console.print(JSON.stringify({ ...this.#counts.transactions, ...more }));
  }

  #tell(line: string): void {
    this.#toldCount += 1;
    if (this.#toldCount <= toldMax) this.#console.print(line);
  }

  // ---- what the source says ------------------------------------------------------------------------------------------

  /** Adds the source up, and tells every row that can never be imported: how many. */
  async #check(phase: Phase, source: HistorySource | undefined): Promise<number> {
    let badCount = 0;
    await source?.each((row) => {
      if (phase === 'transactions') this.#counts.transactions.total += 1;
      try {
        this.#book(phase, row);
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        badCount += 1;
        this.#tell(`${phase} line ${row.line}: ${error.code}: ${error.message}`);
      }
    });
    return badCount;
  }

  #book(phase: Phase, row: Row): void {
    if (phase === 'accounts') {
      const { accountId, balance } = accountOf(row);
      this.#bookOf(accountId).given = balance;
      return;
    }
    for (const { accountId, amount } of transactionOf(row).changes) this.#bookOf(accountId).sum += amount;
  }

  #bookOf(accountId: string): Book {
    const known = this.#books.get(accountId);
    if (known !== undefined) return known;
    if (this.#books.size >= accountsMax)
      throw new StreamError('CONFIG_INVALID', `more than ${accountsMax} accounts: split the history by account`);
    const book: Book = { sum: 0n, given: undefined, version: 0 };
    this.#books.set(accountId, book);
    return book;
  }

  // ---- sending -------------------------------------------------------------------------------------------------------

  async #send(phase: Phase, source: HistorySource | undefined): Promise<void> {
    let batch: Entry[] = [];
    let chars = 0;
    const flush = async (): Promise<void> => {
      await this.#sendBatch(phase, batch);
      batch = [];
      chars = 0;
    };
    await source?.each(async (row) => {
      const { item } = phase === 'accounts' ? accountOf(row) : transactionOf(row);
      if (item === undefined) return;
      batch.push({ line: row.line, item });
      chars += JSON.stringify(item).length;
      if (batch.length >= batchRowsMax || chars >= batchCharsMax) await flush();
    });
    await flush();
  }

  /** Until the application has answered what became of each: whatever is asked for again under its key happens once. */
  async #sendBatch(phase: Phase, entries: readonly Entry[]): Promise<void> {
    const { clock } = this.#console;
    const wasKnown = new Map<Entry, boolean>();
    let untilMs = clock.monotonicMs() + patienceMs;
    let left = entries;
    while (left.length > 0) {
      const items = await this.#post(left);
      const pending = left.filter((entry, index) => {
        const item = items?.[index];
        if (item === undefined) return true;
        if (!wasKnown.has(entry)) wasKnown.set(entry, item['isReplayed'] === true);
        return !this.#settle(phase, { entry, item, wasKnown: wasKnown.get(entry) === true });
      });
      if (pending.length < left.length) untilMs = clock.monotonicMs() + patienceMs;
      else if (clock.monotonicMs() > untilMs)
        throw new StreamError(
          'DEPENDENCY_UNAVAILABLE',
          `the application settles nothing for ${patienceMs} ms: run it again later`,
        );
      if (pending.length === left.length) await clock.sleep(retryMs);
      left = pending;
    }
  }

  /** `undefined`: not now. */
  async #post(entries: readonly Entry[]): Promise<readonly Readonly<Record<string, unknown>>[] | undefined> {
    const commands = entries.map(({ item }) => item);
    const { status, body } = await this.#console.request('POST', `/admin/history?wait=${waitMs}`, { commands });
    if (isPassing(status)) return undefined;
    const items: unknown = isObject(body) ? body['items'] : undefined;
    if (status !== 207 || !Array.isArray(items))
      throw new StreamError('DEPENDENCY_REFUSED', `the application refuses history with ${status} ${detailOf(body)}`);
    return items.map((item: unknown) => (isObject(item) ? item : {}));
  }

  /** Whether it is known what became of it. */
  #settle(
    phase: Phase,
    { entry, item, wasKnown }: { entry: Entry; item: Readonly<Record<string, unknown>>; wasKnown: boolean },
  ): boolean {
    const status = Number(item['status']);
    if (status === 202 || isPassing(status)) return false;
    const counts = this.#counts[phase];
    const isThere = phase === 'accounts' && item['code'] === 'account_exists';
    if (status === 200 || isThere) {
      if (wasKnown || isThere) counts.already += 1;
      else counts.imported += 1;
      this.#note(item['accounts']);
      return true;
    }
    counts.failed += 1;
    this.#tell(`${phase} line ${entry.line}: ${String(item['code'])}: ${detailOf(item)}`);
    return true;
  }

  /** The versions that a transaction has led to, from the tokens that its status shows. */
  #note(accounts: unknown): void {
    if (!Array.isArray(accounts)) return;
    for (const account of accounts as readonly unknown[]) {
      const token: unknown = isObject(account) ? account['token'] : undefined;
      const [, accountId = '', version] = /^(.+)@(\d+)$/.exec(String(token)) ?? [];
      const book = this.#books.get(accountId);
      if (book !== undefined) book.version = Math.max(book.version, Number(version));
    }
  }

  // ---- comparing -----------------------------------------------------------------------------------------------------

  /** Every balance with what the source says of it: how many are not so. */
  async #compare(): Promise<number> {
    const left = this.#books.entries();
    let differences = 0;
    const lane = async (): Promise<void> => {
      for (const [accountId, book] of left) {
        const expected = book.given ?? book.sum;
        const found = await this.#balanceOf(accountId, book.version);
        if (found === expected) continue;
        differences += 1;
        const shown = found === undefined ? 'there is no such account' : `the balance is ${formatAmount(found)}`;
        this.#tell(`${accountId}: ${shown}, the source says ${formatAmount(expected)}`);
      }
    };
    await Promise.all(Array.from({ length: lanes }, lane));
    return differences;
  }

  async #balanceOf(accountId: string, version: number): Promise<bigint | undefined> {
    const { request, clock } = this.#console;
    const after = version === 0 ? '' : `&after=${encodeURIComponent(`${accountId}@${version}`)}`;
    const path = `/accounts/${encodeURIComponent(accountId)}/balance?wait=${waitMs}${after}`;
    const untilMs = clock.monotonicMs() + patienceMs;
    while (true) {
      const { status, body }: Answer = await request('GET', path);
      if (status === 404) return undefined;
      const balance = parseLimit(isObject(body) ? body['balance'] : undefined);
      if (status === 200 && typeof balance === 'bigint') return balance;
      if (!isPassing(status) || clock.monotonicMs() > untilMs)
        throw new StreamError('DEPENDENCY_UNAVAILABLE', `a balance cannot be compared: ${status} ${detailOf(body)}`);
      await clock.sleep(retryMs);
    }
  }
}

const noCounts = (): Counts => ({ total: 0, imported: 0, already: 0, failed: 0 });

/** Nobody answered, or not now. */
function isPassing(status: number): boolean {
  return status === 0 || status === 429 || status >= 500;
}

function detailOf(body: unknown): string {
  const detail: unknown = isObject(body) ? body['detail'] : undefined;
  return typeof detail === 'string' ? detail : '';
}
