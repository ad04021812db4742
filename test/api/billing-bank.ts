/** Billing behind its API: what is written is carried out when the test says so. */
import { expect } from '@jest/globals';
import { measuresOf, type RoutePorts } from '../../api/app/application.ts';
import { billingApplications } from '../../api/app/billing-application.ts';
import type { RequestRegister } from '../../api/app/request-register.ts';
import { accountTransactions } from '../../processors/app/billing/account-transactions.ts';
import { holds, stripes } from '../../processors/app/billing/ledger-processor.ts';
import {
  accountBalances,
  balanceHistory,
  dailyParts,
  effectiveHistory,
} from '../../processors/app/billing/projections.ts';
import { sagaTimers, transactions } from '../../processors/app/billing/saga-processor.ts';
import { routesOf } from '../../program/routes-of.ts';
import type { SagaRequest } from '../../schemas/app/billing/request.ts';
import { jsonFormat } from '../../schemas/app/record-format.ts';
import { billingTopics } from '../../schemas/app/billing/topics.ts';
import type { StoreSpec } from '../../state-stores/spec.ts';
import type { TestDriver } from '../../topology/runtime/driver.ts';
import { BillingBench, startMs } from '../support/billing/bench.ts';
import { FakeCluster, FakeInstance, apiOf, hurriedClock, type Api } from './fake-instance.ts';

const { requests } = billingTopics();
const clock = { ...hurriedClock, nowMs: () => startMs };
const shownBySaga = [transactions, sagaTimers];
const shownByBalances = [accountBalances, balanceHistory, effectiveHistory];
const shownByTransactions = [dailyParts, accountTransactions];
export interface Bank {
  /** So much that nothing more is accepted. */
  readonly backlog: { isTooLong: boolean };
  /** Lets time pass. */
  pass(ms: number): void;
  readonly api: Api;
  readonly bench: BillingBench;
  close(): Promise<void>;
  readonly written: SagaRequest[];
  /** Runs what was written, and shows the API what became of it; without answers of the ledger if `isCutOff`. */
  run(isCutOff?: boolean): Promise<void>;
}

export function openBank(write?: () => Promise<void>): Bank {
  const cluster = new FakeCluster({
    specs: [...shownBySaga, ...shownByBalances, ...shownByTransactions, holds, stripes],
  });
  const bench = new BillingBench();
  const written: SagaRequest[] = [];
  let done = 0;
  const record: RoutePorts['write'] = async ({ topic, key, value, headers }) => {
    await write?.();
    expect(topic).toBe('billing.requests');
    const request = requests.value.deserialize(value!);
    expect(requests.key.deserialize(key!)).toBe(request.txId);
    const told = new Map(headers.map((header) => [header.key, Buffer.from(header.value ?? []).toString()]));
    expect(told.get('eventType')).toBe(request.type);
    for (const name of ['correlationId', 'causationId', 'eventId', 'eventVersion', 'actorId'])
      expect(told.get(name)).toMatch(/./);
    written.push(request);
    return { topic, partition: 0, offset: written.length - 1 };
  };
  const find: RequestRegister['find'] = (txId) => {
    const offset = written.findIndex((request) => request.txId === txId);
    const request = written[offset];
    return request !== undefined && 'fingerprint' in request ? { ...request, offset } : undefined;
  };
  const backlog = { isTooLong: false };
  const register: RequestRegister = {
    find,
    current: async (txId) => find(txId),
    first: async ({ txId }) => find(txId)!,
  };
  const sources = { health: () => [], noteDegraded: () => undefined };
  const ports = { topicPrefix: '', format: jsonFormat, write: record, register, backlog, sources };
  const applications = billingApplications(clock);
  const instances = [new FakeInstance(cluster, 'one')];
  const api = apiOf(instances, {
    routes: routesOf(applications, ports).here,
    measures: () => measuresOf(applications, instances),
    clock: hurriedClock,
    rateLimitPerSecond: 0,
  });
  return {
    api,
    backlog,
    bench,
    close: async () => {
      bench.close();
      await api.close();
    },
    written,
    pass: (ms) => bench.pass(ms),
    run: async (isCutOff = false) => {
      for (const request of written.slice(done)) bench.request(request);
      done = written.length;
      if (!isCutOff) bench.settle();
      const show = async (driver: TestDriver, spec: StoreSpec<string, unknown, unknown>): Promise<void> => {
        for (let partition = 0; partition < cluster.partitions; partition += 1)
          cluster.data(spec.name, partition).rows.clear();
        for (const { key, value } of await driver.rows<string, unknown, unknown>(spec))
          cluster.put(spec.name, key, value);
      };
      for (const spec of shownBySaga) await show(bench.saga, spec);
      for (const spec of [holds, stripes]) await show(bench.ledger, spec);
      for (const spec of shownByBalances) await show(bench.balances, spec);
      for (const spec of shownByTransactions) await show(bench.transactions, spec);
    },
  };
}

export async function post(
  { api }: Bank,
  url: string,
  payload: Readonly<Record<string, unknown>>,
  headers: Readonly<Record<string, string>> = {},
): Promise<{ status: number; code: string | undefined; location: unknown; replayed: unknown; body: unknown }> {
  const response = await api.inject({ method: 'POST', url, payload, headers });
  const body = response.json<{ code?: string }>();
  const { location, 'idempotency-replayed': replayed } = response.headers;
  return { status: response.statusCode, code: body.code, location, replayed, body };
}

export const account = (accountId: string) => ({
  idempotencyKey: `open-${accountId}`,
  accountId,
  ownerId: 'o',
  ownerType: 'USER',
  accountType: 'wallet',
  currency: 'USD',
});
export const topUp = {
  sourceAccountId: 'external:bank',
  destinationAccountId: 'ann',
  amount: '10.50',
  currency: 'USD',
};
export const transfer = { sourceAccountId: 'ann', destinationAccountId: 'bob', amount: '3', currency: 'USD' };

export async function annAndBob(): Promise<Bank> {
  const bank = openBank();
  for (const id of ['ann', 'bob']) await post(bank, '/accounts', account(id));
  await bank.run();
  await post(bank, '/transactions/topup', { ...topUp, idempotencyKey: 'fund' });
  await bank.run();
  return bank;
}
