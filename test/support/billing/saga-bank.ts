import { decide, evolve, holdOf, type Decision } from '../../../processors/app/billing/ledger.ts';
import { commandIdOf, stepOf, type TransactionMessage } from '../../../processors/app/billing/saga-definitions.ts';
import {
  advanceSaga,
  isWaiting,
  startSaga,
  type SagaAdvance,
  type SagaProgress,
  type SagaStage,
  type SagaStep,
} from '../../../processors/app/billing/saga-engine.ts';
import type { Account, AccountTerms, Hold } from '../../../schemas/app/billing/account.ts';
import type { AccountEvent } from '../../../schemas/app/billing/account-event.ts';
import type { LedgerCommand } from '../../../schemas/app/billing/ledger-command.ts';
import type { Movement } from '../../../schemas/app/billing/request.ts';
import { Auditor } from './auditor.ts';

export type Stages = readonly SagaStage<TransactionMessage>[];
export type Progress = SagaProgress<Decision>;

interface Saga {
  readonly stages: Stages;
  progress: Progress;
}

/**
 * Sagas and a ledger without topics between them: commands wait in one queue for each account, answers in one for each saga, and a schedule says which
 * queue moves next. Everything that happens is audited.
 */
export class SagaBank {
  readonly auditor = new Auditor();
  readonly sagas = new Map<string, Saga>();
  readonly events: AccountEvent[] = [];
  readonly #accounts = new Map<string, Account>();
  readonly #holds = new Map<string, Hold>();
  readonly #answered = new Map<string, Decision>();
  readonly #queues = new Map<string, (() => void)[]>();

  open(accountId: string, terms: AccountTerms, balance: bigint): void {
    const base = { txId: 'open', accountId, effectiveAt: 1 };
    this.#carryOut({ ...base, commandId: `open-${accountId}`, kind: 'OPEN', terms });
    if (balance === 0n) return;
    const movement = { amount: balance, currency: terms.currency, counter: 'external:bank' };
    this.#carryOut({ ...base, commandId: `fund-${accountId}`, kind: 'POST_CREDIT', ...movement });
  }

  start(txId: string, stages: Stages): void {
    const advance = startSaga<Decision, TransactionMessage>(stages);
    this.sagas.set(txId, { stages, progress: advance.progress });
    this.#send(txId, advance);
  }

  /** A command of somebody else, queued behind what is there. */
  command(command: LedgerCommand): void {
    this.#queue(`account ${command.accountId}`, () => this.#carryOut(command));
  }

  /** Moves one of the queues that are not empty, or twice runs what is at its front if `twice`; false if all are empty. */
  move(choice: number, twice = false): boolean {
    const waiting = [...this.#queues].filter(([, queue]) => queue.length > 0);
    const [, queue] = waiting[choice % waiting.length] ?? [];
    const next = queue?.shift();
    if (queue === undefined || next === undefined) return false;
    next();
    if (twice) queue.push(next);
    return true;
  }

  timeOut(choice: number): void {
    const running = [...this.sagas].filter(([, { progress }]) => isWaiting(progress));
    const [txId, saga] = running[choice % running.length] ?? [];
    if (txId === undefined || saga === undefined) return;
    this.#advance(txId, { kind: 'timed-out', seq: saga.progress.seq });
  }

  /** What a transaction moved, by account; stripes of transit as one. */
  movedBy(txId: string): ReadonlyMap<string, bigint> {
    const moved = new Map<string, bigint>();
    for (const event of this.events)
      if (event.txId === txId && event.type === 'BalanceChanged')
        for (const { account, amount } of event.postings) {
          const name = account.startsWith('transit:') ? 'transit' : account;
          moved.set(name, (moved.get(name) ?? 0n) + amount);
        }
    return new Map([...moved].filter(([, amount]) => amount !== 0n));
  }

  #queue(name: string, run: () => void): void {
    const queue = this.#queues.get(name) ?? [];
    queue.push(run);
    this.#queues.set(name, queue);
  }

  #send(txId: string, { send }: SagaAdvance<Decision, TransactionMessage>): void {
    for (const { message } of send) {
      if (message.to !== 'ledger') throw new Error('these sagas speak to the ledger only');
      const { command } = message;
      this.#queue(`account ${command.accountId}`, () => {
        const answer = this.#carryOut(command);
        const { stages, progress } = this.sagas.get(txId)!;
        const name = stepOf(stages, { txId, stage: progress.stage }, command.commandId)!;
        this.#queue(`saga ${txId}`, () => this.#advance(txId, { kind: 'answer', name, answer }));
      });
    }
  }

  #advance(txId: string, input: Parameters<typeof advanceSaga<Decision, TransactionMessage>>[2]): void {
    const saga = this.sagas.get(txId)!;
    const next = advanceSaga(saga.stages, saga.progress, input);
    saga.progress = next.progress;
    this.#send(txId, next);
  }

  #carryOut(command: LedgerCommand): Decision {
    const known = this.#answered.get(command.commandId);
    if (known !== undefined) return known;
    const holdId = 'holdId' in command ? command.holdId : undefined;
    const { accountId } = command;
    const view = {
      account: this.#accounts.get(accountId),
      hold: holdId === undefined ? undefined : this.#holds.get(holdId),
    };
    const partition = accountId.charCodeAt(accountId.length - 1) % 4;
    const decision = decide(view, command, { partition, at: 1 });
    this.#answered.set(command.commandId, decision);
    if (decision.outcome === 'APPLIED' && decision.event !== undefined) this.#keep(decision.event);
    return decision;
  }

  #keep(event: AccountEvent): void {
    this.auditor.watch(event);
    this.events.push(event);
    this.#accounts.set(event.accountId, evolve(this.#accounts.get(event.accountId), event));
    if (event.type === 'FundsReserved' || event.type === 'CreditHeld') this.#holds.set(event.holdId, holdOf(event));
    else if ('holdId' in event) this.#holds.delete(event.holdId);
  }
}

/**
 * A transfer in the order that is usually written down: reserve, debit, credit, release, and if something fails the reverse movements. The ledger and
 * the engine are the same, only the definition is another.
 */
export function literalStages(txId: string, movement: Movement): Stages {
  const { sourceAccountId, destinationAccountId, amount, currency } = movement;
  const base = { txId, effectiveAt: 1 };
  const holdId = commandIdOf(txId, 'reserve');
  const step = (name: string, command: Omitted): SagaStep<TransactionMessage> => ({
    name,
    message: { to: 'ledger', command: { ...base, ...command, commandId: commandIdOf(txId, name) } },
  });
  const post = (kind: 'POST_DEBIT' | 'POST_CREDIT', accountId: string): Omitted => ({
    kind,
    accountId,
    counter: 'transit',
    amount,
    currency,
  });
  const stage = (state: string, ...steps: SagaStep<TransactionMessage>[]): Stages[number] => ({
    state,
    steps,
    isAfterPivot: true,
  });
  const release = step('release', { kind: 'VOID', accountId: sourceAccountId, holdId });
  return [
    stage('RESERVING', {
      ...step('reserve', { kind: 'HOLD_DEBIT', accountId: sourceAccountId, amount, currency }),
      undo: step('unreserve', { kind: 'VOID', accountId: sourceAccountId, holdId }),
    }),
    stage('DEBITING', {
      ...step('debit', { kind: 'POST_DEBIT', accountId: sourceAccountId, counter: 'transit', holdId }),
      undo: step('reverse-debit', post('POST_CREDIT', sourceAccountId)),
    }),
    stage('CREDITING', {
      ...step('credit', post('POST_CREDIT', destinationAccountId)),
      undo: step('reverse-credit', post('POST_DEBIT', destinationAccountId)),
    }),
    stage('RELEASING', release),
  ];
}

type Omitted = LedgerCommand extends infer C
  ? C extends LedgerCommand
    ? Omit<C, 'commandId' | 'txId' | 'effectiveAt'>
    : never
  : never;
