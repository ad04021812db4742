import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { silentLogger, systemClock, systemRandom } from '../../clock.ts';
import { memoryLog, type EmbeddedLog } from '../../connectors/embedded/embedded-log.ts';
import type { Connector } from '../../connectors/connector.ts';
import { payoutConnectors } from '../../program/payout-connector.ts';
import { readSettings } from '../../program/settings.ts';
import type { Payout } from '../../schemas/app/billing/payout.ts';
import { billingTopics } from '../../schemas/app/billing/topics.ts';
import { connectorTopics } from '../../schemas/app/connector-topics.ts';
import { stringSerde } from '../../schemas/serde.ts';
import { money } from '../support/billing/commands.ts';
import { PayoutServer } from '../support/billing/payout-server.ts';
import { produce, readAll, until } from '../support/cluster.ts';
import { connectorPorts } from '../support/connector-ports.ts';
import { rawBytesOf } from '../support/raw-read.ts';
import { measuredBy } from '../support/measured.ts';

const waitMs = 60_000;
const topics = billingTopics();
let server: PayoutServer;
let log: EmbeddedLog;
const running: Running[] = [];

interface Running {
  readonly measured: ReturnType<typeof measuredBy>;
  close(): Promise<void>;
}

beforeEach(async () => {
  server = new PayoutServer();
  await server.start();
  log = memoryLog({ clock: systemClock, random: systemRandom, logger: silentLogger });
  const all = [topics.payouts, topics.requests, topics.deadLetter, connectorTopics().checkpoints];
  await log.admin.createTopics(all.map(({ name, create }) => ({ name, ...create, partitions: 1 })));
});

afterEach(async () => {
  await Promise.all(running.splice(0).map((one) => one.close()));
  await log.close();
  await server.stop();
});

function start(env: Readonly<Record<string, string>> = {}): Running {
  const own = log.client();
  const given = { env: { PAYOUT_URL: server.url, ...env }, topologies: ['billing-saga'] };
  const connectors: readonly Connector[] = payoutConnectors(connectorPorts(own, given));
  for (const connector of connectors) connector.start();
  let ending: Promise<void> | undefined;
  const end = async (): Promise<void> => {
    await Promise.all(connectors.map((connector) => connector.close()));
    await own.close();
  };
  const one: Running = { measured: measuredBy(connectors), close: () => (ending ??= end()) };
  running.push(one);
  return one;
}

function payout(index: number): Payout {
  return {
    txId: `tx-${String(index)}`,
    commandId: `payout-${String(index)}`,
    sourceAccountId: 'ann',
    destinationAccountId: 'external:bank',
    amount: money('10.5'),
    currency: 'USD',
    reference: 'rent',
    requestedAt: 1_767_225_600_000_000,
  };
}

async function ask(...indexes: readonly number[]): Promise<void> {
  await produce(
    log,
    topics.payouts,
    indexes.map((index) => ({ key: payout(index).txId, value: payout(index) })),
  );
}

async function answers() {
  return (await readAll(log, topics.requests)).map(({ value }) => value);
}

const answered = (count: number) => async (): Promise<boolean> => (await answers()).length === count;

test('what is to be paid is asked for under the id of the payout, and the saga is told what became of it', async () => {
  server.answers.push(201, 422);
  start({ PAYOUT_TOKEN: 'a-token-that-is-long' });
  await ask(1);
  await until('the first is answered', answered(1), waitMs);
  await ask(2);
  await until('both are answered', answered(2), waitMs);
  expect(await answers()).toEqual([
    { type: 'PAYOUT_ANSWER', txId: 'tx-1', commandId: 'payout-1', reference: 'paid-1' },
    { type: 'PAYOUT_ANSWER', txId: 'tx-2', commandId: 'payout-2', code: 'payout_refused' },
  ]);
  expect(server.asked[0]).toEqual({
    key: 'payout-1',
    authorization: 'Bearer a-token-that-is-long',
    body: {
      payoutId: 'payout-1',
      transactionId: 'tx-1',
      sourceAccountId: 'ann',
      destinationAccountId: 'external:bank',
      amount: '10.5',
      currency: 'USD',
      reference: 'rent',
      requestedAt: '2026-01-01T00:00:00.000000Z',
    },
  });
  const how = { isolation: 'read_committed', patienceMs: waitMs } as const;
  const [first] = await rawBytesOf(log, topics.requests.name, how);
  const headers = Object.fromEntries((first?.headers ?? []).map(({ key, value }) => [key, String(value)]));
  expect(headers).toMatchObject({ eventType: 'PAYOUT_ANSWER', causationId: 'payout-1' });
});

test('what says neither yes nor no is no answer, and keeps nobody else waiting', async () => {
  server.answers.push(202, 404, 400);
  const one = start();
  await ask(1, 2, 3, 4);
  await until('the last is answered', answered(1), waitMs);
  expect(server.paid.size).toBe(1);
  const counted = (outcome: string): number => one.measured('billing_payouts_total', { outcome });
  expect([counted('pending'), counted('unclear'), counted('paid'), counted('refused')]).toEqual([1, 2, 1, 0]);
});

test('a system that is away is waited for, in order, and asked under the same key', async () => {
  server.answers.push(503, 429, -1);
  const one = start();
  await ask(1);
  await until('it is answered', answered(1), waitMs);
  expect(server.asked.map(({ key }) => key)).toEqual(Array.from({ length: 4 }, () => 'payout-1'));
  expect([server.paid.size, one.measured('billing_payouts_errors_total')]).toEqual([1, 3]);
});

test('after one that was killed between asking and telling, another asks again, and the saga is told once', async () => {
  const first = start();
  let isAsked: () => void = () => undefined;
  const asked = new Promise<void>((resolve) => {
    isAsked = resolve;
  });
  server.onRequest = () => isAsked();
  await ask(1);
  await asked;
  await first.close();
  server.onRequest = () => undefined;
  start();
  await until('it is answered', async () => (await answers()).length > 0, waitMs);
  expect(new Set(server.asked.map(({ key }) => key))).toEqual(new Set(['payout-1']));
  expect(await answers()).toHaveLength(1);
});

test('a record that is no payout is put aside, and the next one is paid', async () => {
  const one = start();
  await produce(log, { ...topics.payouts, value: stringSerde }, [{ key: 'odd', value: '{}' }]);
  await ask(1);
  await until('the next is answered', answered(1), waitMs);
  expect(one.measured('billing_payouts_dead_letters_total')).toBe(1);
  expect(await readAll(log, topics.deadLetter)).toHaveLength(1);
});

test('nobody pays where no sagas run, or where no address is given', () => {
  start({ PAYOUT_URL: '' });
  expect(running.map((one) => one.measured('billing_payouts_waiting'))).toEqual([0]);
  expect(() => readSettings({ env: { PAYOUT_TOKEN: 'a-token-that-is-long' }, topologies: [] })).toThrow(/PAYOUT_TOKEN/);
});
