/** Billing under chaos: the application as it is started for good, and requests that touch, repeat and contradict each other. */
import { fingerprintOf, txIdOf } from '../../api/app/billing-accept.ts';
import type { Subject } from '../../api/app/billing-commands.ts';
import { projectionCommand } from '../../commands/projection.ts';
import { requestTo } from '../../commands/api-client.ts';
import { systemClock } from '../../clock.ts';
import type { Log } from '../../connectors/log.ts';
import { parseAmount } from '../../schemas/app/billing/money.ts';
import type { BillingTopics } from '../../schemas/app/billing/topics.ts';
import type { TransactionRequest } from '../../schemas/app/billing/request.ts';
import { startApplication } from '../support/application.ts';
import { billingDeployment, type BillingDeployment } from '../support/billing/deployment.ts';
import { auditTopics } from '../support/billing/topic-audit.ts';
import { readAll } from '../support/cluster.ts';
import { rawBytesOf } from '../support/raw-read.ts';
import { seeded } from '../support/seeded.ts';
import { timeouts, type ChaosWorkload, type FedRecord, type Verdict } from './workload.ts';

const users = Array.from({ length: 30 }, (_, index) => `user-${String(index)}`);
const bank = 'external:bank';
const currency = 'USD';
const errorsMax = 20_000;

export function billingWorkload(): ChaosWorkload {
  const deployment = billingDeployment('chaos');
  const environment = {
    ...deployment.environment,
    SESSION_TIMEOUT_MS: String(timeouts.sessionTimeoutMs),
    TRANSACTION_TIMEOUT_MS: String(timeouts.transactionTimeoutMs),
  };
  return {
    topics: deployment.newTopics,
    inputs: deployment.inputs,
    recordsPerTurn: 10,
    feed: (seed) => feed(deployment, seed),
    start: ({ directory, brokers }) => {
      const process = startApplication({ ...environment, KAFKA_BROKERS: brokers, DATA_DIR: directory });
      let url: string | undefined;
      void process.url.then((found) => {
        url = found;
      });
      const errors = (): string => process.stderr().slice(-errorsMax);
      return Promise.resolve({ ...process, errors, url: () => Promise.resolve(url) });
    },
    isThrough: (log) => deployment.isAtRest(log),
    verify: (log, urls) => verify(log, deployment, urls),
  };
}

function* feed({ topics: { requests } }: BillingDeployment, seed: number): Generator<FedRecord, never> {
  const random = seeded(seed);
  const requestOf = (idempotencyKey: string, subject: Subject): FedRecord => {
    const txId = txIdOf(idempotencyKey);
    const about = { idempotencyKey, actorId: 'chaos', correlationId: txId, requestedAt: systemClock.nowMs() * 1_000 };
    const value: TransactionRequest = { txId, fingerprint: fingerprintOf(subject), ...about, ...subject };
    return { topic: requests.name, key: requests.key.serialize(txId), value: requests.value.serialize(value) };
  };
  for (const user of users) yield requestOf(`open-${user}`, opening(user));
  for (const user of users) yield requestOf(`fund-${user}`, toppedUp(user, money(100)));
  for (let index = 0; ; index += 1) {
    // Now and then a key that was used before: for the same, or for something else.
    const number = random() < 0.05 ? Math.floor(random() * index) : index;
    yield requestOf(`k${String(number)}`, drawn(random));
  }
}

function opening(accountId: string): Subject {
  const terms = { ownerId: 'o', ownerType: 'USER', accountType: 'wallet', currency, maxBalance: money(250) } as const;
  return { type: 'ACCOUNT', accountId, change: { kind: 'OPEN', terms } };
}

/** Transfers above all; more than there is, or more than an account takes, among everything. */
function drawn(random: () => number): Subject {
  const from = Math.floor(random() * users.length);
  const to = (from + 1 + Math.floor(random() * (users.length - 1))) % users.length;
  const [user = '', other = ''] = [users[from], users[to]];
  const sum = { amount: money(1 + Math.floor(random() * 20)), currency };
  const kind = random();
  if (kind < 0.1) return toppedUp(user, sum.amount);
  if (kind < 0.2) return { type: 'WITHDRAWAL', sourceAccountId: user, destinationAccountId: bank, ...sum };
  if (kind < 0.3) return { type: 'REFUND', originalTxId: txIdOf(`k${String(Math.floor(random() * 500))}`), ...sum };
  if (kind < 0.31) return { type: 'ACCOUNT', accountId: user, change: { kind: 'FREEZE' } };
  if (kind < 0.41) return { type: 'ACCOUNT', accountId: user, change: { kind: 'UNFREEZE' } };
  return { type: 'TRANSFER', sourceAccountId: user, destinationAccountId: other, ...sum };
}

function toppedUp(user: string, amount: bigint): Subject {
  return { type: 'TOPUP', sourceAccountId: bank, destinationAccountId: user, amount, currency };
}

function money(whole: number): bigint {
  const amount = parseAmount(String(whole));
  if (typeof amount === 'string') throw new Error(amount);
  return amount;
}

/** From the topics alone, and what is stored and answered against the events. */
async function verify(log: Log, { topics }: BillingDeployment, urls: readonly string[]): Promise<Verdict> {
  const { violations, ...counts } = await auditTopics((topic) => readAll(log, topic), topics);
  const wrong = [...violations];
  const printed: string[] = [];
  const print = (line: string): number => printed.push(line);
  const ask = { request: requestTo(urls[0] ?? '', {}), print, clock: systemClock };
  if ((await projectionCommand(['verify', 'balance'], ask)) !== 0) wrong.push(...printed);
  let aborted = 0;
  for (const { name } of [topics.requests, topics.commands, topics.results, topics.accountEvents])
    aborted +=
      (await rawBytesOf(log, name, { isolation: 'read_uncommitted' })).length -
      (await rawBytesOf(log, name, { isolation: 'read_committed' })).length;
  const checked = { ...counts, ...(await refusalsIn(log, topics)) };
  return { lost: [], duplicated: [], wrong, checked, aborted };
}

/** Why what failed did so. */
async function refusalsIn(log: Log, topics: BillingTopics): Promise<Readonly<Record<string, number>>> {
  const found: Record<string, number> = {};
  for (const { value } of await readAll(log, topics.transactionEvents))
    if (value?.errorCode !== undefined) found[value.errorCode] = (found[value.errorCode] ?? 0) + 1;
  return found;
}
