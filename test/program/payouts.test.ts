import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { startApplication, type RunningApplication } from '../support/application.ts';
import { BillingClient } from '../support/billing/client.ts';
import { logForBilling } from '../support/billing/local-log.ts';
import { PayoutServer } from '../support/billing/payout-server.ts';
import { until } from '../support/cluster.ts';

// Longer than any wait within: what is waited for in vain is named.
jest.setTimeout(300_000);

const waitMs = 90_000;
let server: PayoutServer;
let directory: string;
let application: RunningApplication;

beforeEach(async () => {
  server = new PayoutServer();
  await server.start();
  directory = await mkdtemp(join(tmpdir(), 'rivulet-payouts-'));
  await logForBilling(directory);
  start();
});

afterEach(async () => {
  application.signal('SIGKILL');
  await application.ended;
  await server.stop();
  await rm(directory, { recursive: true, force: true });
});

function start(): void {
  const TOPOLOGIES = 'billing-saga,billing-ledger,billing-balances';
  application = startApplication({ DATA_DIR: directory, PAYOUT_URL: server.url, TOPOLOGIES, LOG_LEVEL: 'warn' });
}

async function withdraw(query: string, body: object): Promise<{ readonly status: number; readonly body: unknown }> {
  const response = await fetch(`${await application.url}/transactions/withdraw${query}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: await response.json() };
}

async function balance(): Promise<unknown> {
  const response = await fetch(`${await application.url}/accounts/ann/balance?wait=5000`);
  const { balance: total, available } = (await response.json()) as Record<string, unknown>;
  return { total, available };
}

const withdrawal = (key: string, amount: string) => ({
  sourceAccountId: 'ann',
  destinationAccountId: 'external:bank',
  currency: 'USD',
  amount,
  idempotencyKey: key,
});

async function annHas50(): Promise<void> {
  const client = new BillingClient([await application.url], waitMs);
  await client.ready();
  await client.open('ann');
  await client.topUp('fund', 'ann', '50');
  expect([await client.outcome('open-ann'), await client.outcome('fund')]).toEqual(['completed', 'completed']);
}

test('a withdrawal is paid by somebody outside before it is posted, and one that is refused gives its money back', async () => {
  await annHas50();
  const paid = await withdraw('?wait=10000', withdrawal('rent', '20'));
  expect(paid).toMatchObject({ status: 200, body: { status: 'completed' } });
  expect([...server.paid.values()]).toMatchObject([{ amount: '20', sourceAccountId: 'ann' }]);
  server.answers.push(422);
  const refused = await withdraw('?wait=10000', withdrawal('car', '25'));
  expect(refused).toMatchObject({ status: 422, body: { code: 'payout_refused' } });
  await until(
    'all is given back',
    async () => JSON.stringify(await balance()) === '{"total":"30","available":"30"}',
    waitMs,
  );
  expect(server.paid.size).toBe(1);
});

test('a process that is killed while it is paid has it paid once', async () => {
  await annHas50();
  let isAsked = false;
  server.onRequest = () => {
    isAsked = true;
    return new Promise(() => undefined);
  };
  expect(await withdraw('', withdrawal('rent', '20'))).toMatchObject({ status: 202 });
  await until('it is asked for', () => isAsked, waitMs);
  application.signal('SIGKILL');
  await application.ended;
  server.onRequest = () => undefined;
  start();
  await until('it is paid', () => server.paid.size === 1, waitMs);
  await until(
    'it is posted',
    async () => JSON.stringify(await balance()) === '{"total":"30","available":"30"}',
    waitMs,
  );
  expect(new Set(server.asked.map(({ key }) => key)).size).toBe(1);
});
