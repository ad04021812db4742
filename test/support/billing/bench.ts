import type { LedgerCommand } from '../../../schemas/app/billing/ledger-command.ts';
import type { Payout } from '../../../schemas/app/billing/payout.ts';
import { payoutRefused, type AccountChange, type SagaRequest } from '../../../schemas/app/billing/request.ts';
import type { AccountEvent } from '../../../schemas/app/billing/account-event.ts';
import type { SagaTransition, TransactionEvent } from '../../../schemas/app/billing/transaction.ts';
import { uuid5 } from '../../../schemas/app/billing/names.ts';
import { billingTopics, type BillingTopics } from '../../../schemas/app/billing/topics.ts';
import { jsonFormat, type RecordFormat } from '../../../schemas/app/record-format.ts';
import { billingBalances } from '../../../topology/app/billing-balances.ts';
import { billingLedger } from '../../../topology/app/billing-ledger.ts';
import { billingProjections } from '../../../topology/app/billing-projections.ts';
import { billingTransactions } from '../../../topology/app/billing-transactions.ts';
import { billingSaga } from '../../../topology/app/billing-saga.ts';
import { TestDriver } from '../../../topology/runtime/driver.ts';
import { Auditor } from './auditor.ts';
import { money, userTerms } from './commands.ts';

export const startMs = 1_767_225_600_000;

interface Asked {
  readonly type: 'TOPUP' | 'WITHDRAWAL' | 'TRANSFER' | 'IMPORT';
  readonly from: string;
  readonly to: string;
  readonly amount: string;
  readonly currency?: string;
}

/** Saga, ledger and projections, each a topology of its own under the test driver, with the topics between them. */
export class BillingBench {
  readonly saga: TestDriver;
  readonly ledger: TestDriver;
  readonly balances: TestDriver;
  readonly projections: TestDriver;
  readonly transactions: TestDriver;
  readonly auditor = new Auditor();
  readonly accountEvents: AccountEvent[] = [];
  readonly events: TransactionEvent[] = [];
  readonly transitions: SagaTransition[] = [];
  readonly commands: LedgerCommand[] = [];
  readonly payouts: Payout[] = [];

  readonly #topics: BillingTopics;

  constructor(partitions = 2, format: RecordFormat = jsonFormat, choices = { paysOut: false }) {
    const options = { partitions, wallClockMs: startMs };
    this.#topics = billingTopics('', format);
    this.saga = new TestDriver(billingSaga('', format, choices), options);
    this.ledger = new TestDriver(billingLedger('', format), options);
    this.projections = new TestDriver(billingProjections('', format), options);
    this.balances = new TestDriver(billingBalances('', format), options);
    this.transactions = new TestDriver(billingTransactions('', format), options);
  }

  close(): void {
    this.saga.close();
    this.ledger.close();
    this.balances.close();
    this.projections.close();
    this.transactions.close();
  }

  /** As if it had been written at `timestampMs`; now if that is absent. */
  request(request: SagaRequest, timestampMs = this.saga.wallClockMs): void {
    this.saga.pipe(this.#topics.requests, request.txId, request, { timestampMs });
    this.#collect();
  }

  ask(key: string, { type, from, to, amount, currency = 'USD' }: Asked, timestampMs?: number): string {
    const movement = { sourceAccountId: from, destinationAccountId: to, amount: money(amount), currency };
    const about = this.#about(key, `${type} ${from} ${to} ${amount} ${currency}`);
    this.request({ ...about, type, ...movement }, timestampMs);
    return about.txId;
  }

  /** Whoever pays out says what became of it. */
  answer({ txId, commandId }: Payout, outcome: 'paid' | 'refused'): void {
    const told = { type: 'PAYOUT_ANSWER', txId, commandId } as const;
    this.request(outcome === 'paid' ? told : { ...told, code: payoutRefused });
  }

  refund(key: string, originalTxId: string, amount: string): string {
    const about = this.#about(key, `${originalTxId} ${amount}`);
    this.request({ ...about, type: 'REFUND', originalTxId, amount: money(amount), currency: 'USD' });
    return about.txId;
  }

  change(key: string, accountId: string, change: AccountChange): string {
    const about = this.#about(key, `${accountId} ${change.kind}`);
    this.request({ ...about, type: 'ACCOUNT', accountId, change });
    return about.txId;
  }

  /** Opens an account for a user and puts money there. */
  open(accountId: string, balance?: string): void {
    this.change(`open ${accountId}`, accountId, { kind: 'OPEN', terms: { ...userTerms, maxBalance: money('100') } });
    this.settle();
    if (balance === undefined) return;
    this.ask(`fund ${accountId}`, { type: 'TOPUP', from: 'external:bank', to: accountId, amount: balance });
    this.settle();
  }

  /** Lets time pass for whoever reads the clock. */
  pass(ms: number): void {
    for (const driver of [this.saga, this.ledger, this.balances, this.projections, this.transactions])
      driver.advanceWallClock(ms);
  }

  /** Carries everything across until nothing is left, `copies` times each. */
  settle(copies = 1): void {
    let moved = true;
    while (moved) moved = this.carry(copies);
  }

  /** How a transaction ended, or that it has not. */
  outcome(txId: string): string {
    const ended = this.events.filter((event) => event.txId === txId && !event.type.endsWith('Requested'));
    return ended.map(({ type, errorCode }) => errorCode ?? type).join(' ');
  }

  balance(accountId: string): bigint | undefined {
    return this.auditor.accounts.get(accountId)?.balance;
  }

  #about(idempotencyKey: string, fingerprint: string) {
    const requestedAt = startMs * 1_000;
    const txId = uuid5('default', idempotencyKey);
    return {
      txId,
      idempotencyKey,
      fingerprint: fingerprint.slice(0, 64),
      actorId: 'test',
      correlationId: 'c',
      requestedAt,
    };
  }

  /** Carries what there is across once; whether there was anything. */
  carry(copies = 1): boolean {
    this.#collect();
    const commands = this.#commandsDue.splice(0);
    for (const command of commands) for (let copy = 0; copy < copies; copy += 1) this.#command(command);
    return this.#answer() + commands.length > 0;
  }

  /** Carries the latest command of a kind across, and nothing else. */
  carryOne(kind: LedgerCommand['kind']): void {
    for (const command of this.commands.filter((one) => one.kind === kind).slice(-1)) this.#command(command);
    this.#answer();
  }

  /** Refuses the latest command of a kind in place of the ledger, which may never do so. */
  refuse(kind: LedgerCommand['kind']): void {
    for (const { txId, commandId, accountId } of this.commands.filter((one) => one.kind === kind).slice(-1)) {
      const result = { txId, commandId, accountId, outcome: 'REJECTED', code: 'hold_not_found', version: 0 } as const;
      this.saga.pipe(this.#topics.results, txId, result);
    }
    this.#collect();
  }

  #command(command: LedgerCommand): void {
    this.ledger.pipe(this.#topics.commands, command.accountId, command);
  }

  /** Hands on what the ledger did; how much it answered. */
  #answer(): number {
    for (const { value } of this.ledger.read(this.#topics.accountEvents)) {
      this.auditor.watch(value!);
      this.accountEvents.push(value!);
      for (const driver of [this.balances, this.projections])
        driver.pipe(this.#topics.accountEvents, value!.accountId, value);
    }
    const results = this.ledger.read(this.#topics.results);
    for (const { key, value } of results) this.saga.pipe(this.#topics.results, key, value);
    this.#collect();
    return results.length;
  }

  readonly #commandsDue: LedgerCommand[] = [];

  #collect(): void {
    for (const { value } of this.saga.read(this.#topics.commands)) {
      this.commands.push(value!);
      this.#commandsDue.push(value!);
    }
    for (const { value } of this.saga.read(this.#topics.transactionEvents)) {
      this.events.push(value!);
      for (const driver of [this.transactions, this.projections])
        driver.pipe(this.#topics.transactionEvents, value!.txId, value);
    }
    for (const { value } of this.saga.read(this.#topics.sagaEvents)) this.transitions.push(value!);
    for (const { value } of this.saga.read(this.#topics.payouts)) this.payouts.push(value!);
  }
}
