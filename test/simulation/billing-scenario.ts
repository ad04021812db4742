/** Billing as it ships: saga, ledger and projections, each with instances of its own, exchange commands and answers while everything around them fails. */
import type { SagaRequest, TransactionRequest } from '../../schemas/app/billing/request.ts';
import { moneyJson } from '../../schemas/app/billing/money.ts';
import { uuid5 } from '../../schemas/app/billing/names.ts';
import { billingTopics } from '../../schemas/app/billing/topics.ts';
import { billingBalances } from '../../topology/app/billing-balances.ts';
import { billingLedger } from '../../topology/app/billing-ledger.ts';
import { billingProjections } from '../../topology/app/billing-projections.ts';
import { billingSaga } from '../../topology/app/billing-saga.ts';
import { billingTransactions } from '../../topology/app/billing-transactions.ts';
import { money, userTerms } from '../support/billing/commands.ts';
import { auditTopics } from '../support/billing/topic-audit.ts';
import { auditTransactionState } from '../support/billing/transaction-state-audit.ts';
import { batchesOf } from './batches.ts';
import type { Chance } from './chance.ts';
import { epochMs } from './process.ts';
import type { Append, InputOptions, ReadTopic, Scenario } from './scenario.ts';

const topics = billingTopics();
const topicNames = Object.values<{ readonly name: string }>({ ...topics }).map(({ name }) => name);

export const billingScenario: Scenario = {
  name: 'billing',
  topologies: [billingSaga(), billingLedger(), billingProjections(), billingBalances(), billingTransactions()],
  marks: ['input: aborted'],
  topics: topicNames.map((name) => ({ name })),
  inputs,
  verify,
};

const users = ['ann', 'bob', 'cid', 'dora'];
const bank = 'external:bank';

/** What a request is about, without what follows from its key. */
type Subject = TransactionRequest extends infer R
  ? R extends TransactionRequest
    ? Pick<R, Exclude<keyof R, 'txId' | 'idempotencyKey' | 'fingerprint' | 'actorId' | 'correlationId' | 'requestedAt'>>
    : never
  : never;

function requestOf(key: string, subject: Subject): TransactionRequest {
  const fingerprint = uuid5(moneyJson(subject) ?? '');
  const about = { txId: uuid5('default', key), idempotencyKey: key, fingerprint, actorId: 'test', correlationId: key };
  return { ...about, ...subject, requestedAt: epochMs * 1_000 };
}

/** Accounts and their first money, then anything: also from accounts that do not exist, twice under one key, or in transactions that come to nothing. */
function inputs({ chance, records, partitions, durationMs }: InputOptions): readonly Append[] {
  const append = (atMs: number, request: SagaRequest, outcome: Append['outcome'] = 'plain'): Append => ({
    atMs,
    outcome,
    batches: batchesOf(topics.requests, partitions, [{ key: request.txId, value: request, timestampMs: epochMs }]),
  });
  const appends: Append[] = [];
  const terms = { ...userTerms, maxBalance: money('100') };
  for (const [index, accountId] of users.entries()) {
    appends.push(
      append(index, requestOf(`open-${accountId}`, { type: 'ACCOUNT', accountId, change: { kind: 'OPEN', terms } })),
    );
    appends.push(append(durationMs * 0.1, requestOf(`fund-${accountId}`, topUp(accountId, '50'))));
  }
  for (let index = 0; index < records; index += 1) {
    const isRepeated = index > 0 && chance.isTrue(0.1);
    const key = `k${isRepeated ? chance.below(index) : index}`;
    const outcome = chance.isTrue(0.05) ? 'aborted' : 'plain';
    const subject = drawSubject(chance, index);
    // What is aborted has a key of its own: nobody may ever hear of it.
    const request = requestOf(outcome === 'aborted' ? `aborted-${index}` : key, subject);
    appends.push(append(durationMs * (0.1 + 0.9 * chance.next()), request, outcome));
  }
  return appends;
}

function topUp(destinationAccountId: string, amount: string): Subject {
  return { type: 'TOPUP', sourceAccountId: bank, destinationAccountId, amount: money(amount), currency: 'USD' };
}

function drawSubject(chance: Chance, index: number): Subject {
  const [from, to] = [chance.pick(users), chance.pick([...users, 'nobody'])];
  const sum = { amount: money(chance.pick(['1', '7', '40', '95'])), currency: chance.isTrue(0.05) ? 'EUR' : 'USD' };
  const kind = chance.pick(['TOPUP', 'WITHDRAWAL', 'REFUND', 'TRANSFER', 'TRANSFER', 'TRANSFER', 'STATUS'] as const);
  if (kind === 'REFUND')
    return { type: 'REFUND', originalTxId: uuid5('default', `k${chance.below(index + 1)}`), ...sum };
  if (kind === 'STATUS')
    return {
      type: 'ACCOUNT',
      accountId: from,
      change: { kind: chance.pick(['FREEZE', 'UNFREEZE', 'UNFREEZE'] as const) },
    };
  if (kind === 'WITHDRAWAL') return { type: kind, sourceAccountId: from, destinationAccountId: bank, ...sum };
  if (kind === 'TOPUP' || from === to) return { ...topUp(from, '1'), ...sum };
  return { type: kind, sourceAccountId: from, destinationAccountId: to, ...sum };
}

async function verify(read: ReadTopic): Promise<readonly string[]> {
  return [...(await auditTopics(read, topics)).violations, ...(await auditTransactionState(read, topics))];
}
