/** Whether what lies in the topics of billing keeps all that billing promises: recomputed from the requests and the events, by code that billing does not use. */
import { isDeepStrictEqual } from 'node:util';
import type { AccountEvent } from '../../../schemas/app/billing/account-event.ts';
import type { Notification } from '../../../schemas/app/billing/notification.ts';
import type { Balance, DailyTotal } from '../../../schemas/app/billing/projection.ts';
import type { SagaRequest, TransactionRequest } from '../../../schemas/app/billing/request.ts';
import type { BillingTopics } from '../../../schemas/app/billing/topics.ts';
import type { TransactionEvent } from '../../../schemas/app/billing/transaction.ts';
import type { Topic } from '../../../schemas/topic.ts';
import type { ReadRecord } from '../cluster.ts';
import { Auditor } from './auditor.ts';

/** Reads everything committed in a topic, partition by partition in order. */
export type ReadTopic = <K, V>(topic: Topic<K, V>) => Promise<readonly ReadRecord<K, V>[]>;

export interface AuditReport {
  /** Each names the invariant that is broken. Empty: all hold. */
  readonly violations: readonly string[];
  readonly requests: number;
  readonly completed: number;
  readonly failed: number;
  readonly movements: number;
}

/** For topics at rest: whoever is still under way is taken for lost. Every prefix of every partition is looked at. */
export async function auditTopics(read: ReadTopic, topics: BillingTopics): Promise<AuditReport> {
  const violations: string[] = [];
  const requests = transactionsIn(valuesOf(await read(topics.requests)));
  const accountEvents = valuesOf(await read(topics.accountEvents));
  const transactionEvents = valuesOf(await read(topics.transactionEvents));
  const auditor = watchAll(accountEvents, violations);
  if (auditor.total() !== 0n) violations.push(`I-M1: all postings add up to ${auditor.total()}`);
  if (auditor.total('transit:') !== 0n) violations.push(`I-M2: ${auditor.total('transit:')} are in transit at rest`);
  if (auditor.holds.size > 0) violations.push(`I-M7: ${auditor.holds.size} holds are left at rest`);
  const outcomes = outcomesOf(requests, transactionEvents, violations);
  checkMovements({ requests, outcomes, accountEvents }, violations);
  checkRefunds(requests, outcomes, violations);
  checkBalances(valuesOf(await read(topics.balances)), accountEvents, violations);
  checkDays(valuesOf(await read(topics.dailyTotals)), transactionEvents, violations);
  checkNotifications(valuesOf(await read(topics.notifications)), outcomes, violations);
  checkTransitions(valuesOf(await read(topics.sagaEvents)), violations);
  const dead = await read(topics.deadLetter);
  if (dead.length > 0) violations.push(`${dead.length} good records were dead-lettered`);
  const endings = [...outcomes.values()];
  return {
    violations,
    requests: requests.size,
    completed: endings.filter(isCompletion).length,
    failed: endings.filter((ending) => !isCompletion(ending)).length,
    movements: accountEvents.filter(({ type }) => type === 'BalanceChanged').length,
  };
}

function valuesOf<K, V>(records: readonly ReadRecord<K, V>[]): readonly V[] {
  return records.flatMap(({ value }) => (value === null ? [] : [value]));
}

/** The first request under each id is the transaction; later ones change nothing. */
function transactionsIn(requests: readonly SagaRequest[]): ReadonlyMap<string, TransactionRequest> {
  const found = new Map<string, TransactionRequest>();
  for (const request of requests)
    if ('fingerprint' in request && !found.has(request.txId)) found.set(request.txId, request);
  return found;
}

function watchAll(events: readonly AccountEvent[], violations: string[]): Auditor {
  const auditor = new Auditor();
  for (const event of events)
    try {
      auditor.watch(event);
    } catch (error) {
      violations.push(error instanceof Error ? error.message : String(error));
      break;
    }
  return auditor;
}

const isCompletion = ({ type }: TransactionEvent): boolean => type.endsWith('Completed');

/** I-M5: how each request ended; exactly once, and nothing that nobody asked for. */
function outcomesOf(
  requests: ReadonlyMap<string, TransactionRequest>,
  events: readonly TransactionEvent[],
  violations: string[],
): ReadonlyMap<string, TransactionEvent> {
  const begun = new Set<string>();
  const outcomes = new Map<string, TransactionEvent>();
  for (const event of events) {
    const { txId, type } = event;
    const isBeginning = type.endsWith('Requested');
    if (!requests.has(txId)) violations.push(`I-M5: ${type} of ${txId}, which nobody asked for`);
    if (isBeginning ? begun.has(txId) : outcomes.has(txId)) violations.push(`I-M5: ${type} of ${txId} comes twice`);
    if (isBeginning) begun.add(txId);
    else outcomes.set(txId, event);
  }
  for (const [txId, { type }] of requests)
    if (!begun.has(txId) || !outcomes.has(txId)) violations.push(`I-M5: ${type} ${txId} has no outcome`);
  return outcomes;
}

type Moved = ReadonlyMap<string, bigint>;

/** I-M7: what completed has moved exactly its amount, what failed nothing. */
function checkMovements(
  given: {
    readonly requests: ReadonlyMap<string, TransactionRequest>;
    readonly outcomes: ReadonlyMap<string, TransactionEvent>;
    readonly accountEvents: readonly AccountEvent[];
  },
  violations: string[],
): void {
  const moved = movedBy(given.accountEvents);
  for (const txId of moved.keys())
    if (!given.requests.has(txId)) violations.push(`I-M7: ${txId} moved money, and nobody asked for it`);
  for (const [txId, outcome] of given.outcomes) {
    const expected = isCompletion(outcome) ? expectedOf(given.requests, txId) : new Map<string, bigint>();
    const found = moved.get(txId) ?? new Map<string, bigint>();
    if (!isDeepStrictEqual(found, expected))
      violations.push(`I-M7: ${outcome.type} ${txId} moved ${shown(found)} instead of ${shown(expected)}`);
  }
}

/** By transaction and account, stripes as the account that they belong to, without what adds up to nothing. */
function movedBy(events: readonly AccountEvent[]): ReadonlyMap<string, Moved> {
  const moved = new Map<string, Map<string, bigint>>();
  for (const event of events) {
    if (event.type !== 'BalanceChanged') continue;
    const sums = moved.get(event.txId) ?? new Map<string, bigint>();
    moved.set(event.txId, sums);
    for (const { account, amount } of event.postings) {
      const name = account.replace(/:[A-Z0-9]+#\d+$/, '');
      const sum = (sums.get(name) ?? 0n) + amount;
      if (sum === 0n) sums.delete(name);
      else sums.set(name, sum);
    }
  }
  return moved;
}

function expectedOf(requests: ReadonlyMap<string, TransactionRequest>, txId: string): Moved {
  const request = requests.get(txId);
  if (request === undefined || request.type === 'ACCOUNT') return new Map();
  if (request.type !== 'REFUND') return movement(request.sourceAccountId, request.destinationAccountId, request.amount);
  const original = requests.get(request.originalTxId);
  if (original === undefined || original.type === 'ACCOUNT' || original.type === 'REFUND') return new Map();
  return movement(original.destinationAccountId, original.sourceAccountId, request.amount);
}

function movement(from: string, to: string, amount: bigint): Moved {
  return new Map([
    [from, -amount],
    [to, amount],
  ]);
}

function shown(moved: Moved): string {
  return JSON.stringify([...moved].map(([account, amount]) => [account, String(amount)]));
}

/** All refunds of a transaction together give back no more than it moved. */
function checkRefunds(
  requests: ReadonlyMap<string, TransactionRequest>,
  outcomes: ReadonlyMap<string, TransactionEvent>,
  violations: string[],
): void {
  const given = new Map<string, bigint>();
  for (const [txId, request] of requests) {
    const outcome = outcomes.get(txId);
    if (request.type !== 'REFUND' || outcome === undefined || !isCompletion(outcome)) continue;
    given.set(request.originalTxId, (given.get(request.originalTxId) ?? 0n) + request.amount);
  }
  for (const [txId, amount] of given) {
    const original = requests.get(txId);
    const isCovered = original !== undefined && 'amount' in original && amount <= original.amount;
    if (!isCovered) violations.push(`I-M7: refunds of ${txId} add up to ${amount}`);
  }
}

type ShownBalance = Pick<Balance, 'accountId' | 'balance' | 'held' | 'version'>;

/** I-M8: the last balance of each account is the fold of its events, and each was published once. */
function checkBalances(
  published: readonly ShownBalance[],
  events: readonly AccountEvent[],
  violations: string[],
): void {
  const expected = new Map<string, ShownBalance>();
  for (const { accountId, balanceAfter, heldDebit, aggregateVersion } of events)
    expected.set(accountId, { accountId, balance: balanceAfter, held: heldDebit, version: aggregateVersion });
  const found = new Map<string, ShownBalance>();
  for (const { accountId, balance, held, version } of published) {
    const before = found.get(accountId)?.version ?? 0;
    if (version <= before) violations.push(`I-M8: version ${version} of ${accountId} is published after ${before}`);
    found.set(accountId, { accountId, balance, held, version });
  }
  for (const accountId of new Set([...expected.keys(), ...found.keys()]))
    if (!isDeepStrictEqual(found.get(accountId), expected.get(accountId)))
      violations.push(`I-M8: the balance of ${accountId} is not the fold of its events`);
}

type ShownTotal = Pick<DailyTotal, 'amount' | 'count'>;

/** I-M9: each day's total is the sum of what was completed on it. */
function checkDays(published: readonly DailyTotal[], events: readonly TransactionEvent[], violations: string[]): void {
  const found = new Map<string, ShownTotal>();
  for (const { day, currency, type, amount, count } of published) {
    const key = `${day}|${currency}|${type}`;
    const before = found.get(key)?.count ?? 0;
    if (count <= before) violations.push(`I-M9: ${key} counts ${count} after ${before}`);
    found.set(key, { amount, count });
  }
  if (!isDeepStrictEqual(found, totalsOf(events)))
    violations.push('I-M9: daily totals are not the sum of what was completed');
}

/** By `day|currency|type`. */
export function totalsOf(events: readonly TransactionEvent[]): ReadonlyMap<string, ShownTotal> {
  const totals = new Map<string, ShownTotal>();
  for (const { type, amount, currency = '', at, effectiveAt } of events) {
    if (amount === undefined || !type.endsWith('Completed')) continue;
    const day = new Date((type === 'ImportCompleted' ? effectiveAt : at) / 1_000).toISOString().slice(0, 10);
    const key = `${day}|${currency}|${type.slice(0, -'Completed'.length).toUpperCase()}`;
    const before = totals.get(key) ?? { amount: 0n, count: 0 };
    totals.set(key, { amount: before.amount + amount, count: before.count + 1 });
  }
  return totals;
}

/** Every account that took part in what has ended is told once, and nobody else. */
function checkNotifications(
  published: readonly Notification[],
  outcomes: ReadonlyMap<string, TransactionEvent>,
  violations: string[],
): void {
  const due = new Set<string>();
  for (const [txId, { type, accountId, sourceAccountId, destinationAccountId }] of outcomes)
    for (const told of [accountId, sourceAccountId, destinationAccountId])
      // Names with a colon are those of unbounded accounts.
      if (told?.includes(':') === false) due.add(`${type} ${txId} ${told}`);
  for (const { type, txId, accountId } of published) {
    const notification = `${type} ${txId} ${accountId}`;
    if (!due.delete(notification)) violations.push(`notification of ${notification}: twice, or of nothing`);
  }
  for (const notification of due) violations.push(`notification of ${notification}: nobody was told`);
}

/** Each change of a saga's state begins where the last one ended. */
function checkTransitions(
  transitions: readonly { readonly txId: string; readonly from: string; readonly to: string }[],
  violations: string[],
): void {
  const states = new Map<string, string>();
  for (const { txId, from, to } of transitions) {
    const before = states.get(txId) ?? 'REQUESTED';
    if (from !== before) violations.push(`saga ${txId} goes on from ${from}, and was ${before}`);
    states.set(txId, to);
  }
}
