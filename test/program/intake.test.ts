import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, jest, test } from '@jest/globals';
import { startApplication, type RunningApplication } from '../support/application.ts';
import { logForBilling } from '../support/billing/local-log.ts';
import { until } from '../support/cluster.ts';

// Longer than any wait within: what is waited for in vain is named.
jest.setTimeout(240_000);

const waitMs = 90_000;
let directory: string;
let application: RunningApplication;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'rivulet-intake-'));
});

afterEach(async () => {
  application.signal('SIGKILL');
  await application.ended;
  await rm(directory, { recursive: true, force: true });
});

async function ask(path: string, body?: object): Promise<{ readonly status: number; readonly code: unknown }> {
  const response = await fetch(`${await application.url}${path}`, {
    ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
    headers: { 'content-type': 'application/json' },
  });
  const { code } = (await response.json()) as { readonly code?: unknown };
  return { status: response.status, code };
}

const transfer = {
  ...{ sourceAccountId: 'ann', destinationAccountId: 'bob', amount: '1', currency: 'USD' },
  idempotencyKey: 'k',
};

test('a process that runs no topology is ready once it knows what was accepted before, and takes commands in', async () => {
  await logForBilling(directory);
  application = startApplication({ DATA_DIR: directory, TOPOLOGIES: 'billing-intake', LOG_LEVEL: 'warn' });
  await until('it is ready', async () => (await ask('/health/ready')).status === 200, waitMs);
  expect(await ask('/transactions/transfer', transfer)).toEqual({ status: 202, code: undefined });
  const other = { ...transfer, amount: '2' };
  expect(await ask('/transactions/transfer', other)).toEqual({ status: 422, code: 'idempotency_key_reused' });
  expect(await ask('/accounts/ann/balance')).toEqual({ status: 421, code: 'topology_elsewhere' });
});

test('while there are no requests to be read it is not ready, and says what it waits for', async () => {
  application = startApplication({ DATA_DIR: directory, TOPOLOGIES: 'billing-intake', LOG_LEVEL: 'error' });
  expect(await ask('/health/ready')).toEqual({ status: 503, code: 'not_ready' });
  expect(await ask('/transactions/transfer', transfer)).toEqual({ status: 503, code: 'store_not_ready' });
});
