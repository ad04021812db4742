import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { silentLogger, systemClock, systemRandom } from '../../../clock.ts';
import { kafkaLog } from '../../../connectors/kafka/kafka-log.ts';
import type { Log } from '../../../connectors/log.ts';
import { requestTo } from '../../../commands/api-client.ts';
import { projectionCommand } from '../../../commands/projection.ts';
import { formatAmount } from '../../../schemas/app/billing/money.ts';
import { startApplication, type RunningApplication } from '../../support/application.ts';
import { BillingClient } from '../../support/billing/client.ts';
import { billingDeployment } from '../../support/billing/deployment.ts';
import { PayoutServer } from '../../support/billing/payout-server.ts';
import { auditTopics } from '../../support/billing/topic-audit.ts';
import { latest, readAll, until } from '../../support/cluster.ts';
import { describeKafka } from '../../support/kafka.ts';

const deployment = billingDeployment('billing');
const { topics } = deployment;
const users = Array.from({ length: 12 }, (_, index) => `user-${String(index)}`);
const commandCount = 300;
/** For anything that a loaded machine takes long for. */
const patienceMs = 120_000;

describeKafka('billing on Kafka', (brokers) => {
  const running: RunningApplication[] = [];
  const payer = new PayoutServer();
  let directory = '';
  let log: Log;

  function start(id: string): RunningApplication {
    const started = startApplication({
      KAFKA_BROKERS: brokers.join(','),
      ...deployment.environment,
      DATA_DIR: join(directory, id),
      SESSION_TIMEOUT_MS: '6000',
      PAYOUT_URL: payer.url,
    });
    running.push(started);
    return started;
  }

  beforeAll(async () => {
    await payer.start();
    payer.refuses = ({ amount }) => Number(amount) % 4 === 0;
    // Now and then it is away, or an answer is lost.
    payer.onRequest = () => {
      if (payer.asked.length % 7 === 0) payer.answers.push(503);
      if (payer.asked.length % 5 === 0) payer.answers.push(-1);
    };
    directory = await mkdtemp(join(tmpdir(), 'rivulet-billing-'));
    log = kafkaLog({ brokers, clientId: 'test' }, { clock: systemClock, random: systemRandom, logger: silentLogger });
    await log.admin.createTopics(deployment.newTopics);
  });

  afterAll(async () => {
    for (const { signal, ended } of running) {
      signal('SIGKILL');
      await ended;
    }
    await payer.stop();
    await log.close();
    await rm(directory, { recursive: true, force: true });
  });

  /** What was paid is what was posted, to the transaction and to the amount; and what was refused was not. */
  async function expectPaidOnce(): Promise<void> {
    const ended = (await readAll(log, topics.transactionEvents)).flatMap(({ value }) => value ?? []);
    const posted = ended.filter(({ type }) => type === 'WithdrawalCompleted');
    const shown = posted.map(({ txId, amount = 0n }) => [txId, formatAmount(amount)]);
    const paid = [...payer.paid.values()].map((body) => [body['transactionId'], body['amount']]);
    expect(paid.sort()).toEqual(shown.sort());
    expect(paid.length).toBeGreaterThan(5);
    const refused = ended.filter(({ errorCode }) => errorCode === 'payout_refused');
    expect(new Set(payer.asked.map(({ key }) => key)).size).toBe(paid.length + refused.length);
    expect(payer.asked.length).toBeGreaterThan(paid.length + refused.length);
  }

  test('I-M1 to I-M9: of two processes one is killed under load, and what clients asked for again and again happened once; balances made anew are the same', async () => {
    const [steady, victim] = [start('steady'), start('victim')];
    const client = new BillingClient([await steady.url, await victim.url], patienceMs);
    await client.ready();
    await Promise.all(users.map((user) => client.open(user)));
    await Promise.all(users.map((user) => client.topUp(`fund-${user}`, user, '100')));
    const asked = client.mixture(users, commandCount, 11);
    await until('some commands are accepted', () => client.accepted.size > 100, patienceMs);
    victim.signal('SIGKILL');
    await victim.ended;
    client.urls = [await steady.url];
    await until('more commands are accepted', () => client.accepted.size > 200, patienceMs);
    client.urls = [await steady.url, await start('victim').url];
    await asked;
    expect(client.accepted.size).toBe(commandCount + 2 * users.length);

    const outcomes = await client.outcomes();
    await until('everything is shown', () => deployment.isAtRest(log), patienceMs);
    const report = await auditTopics((topic) => readAll(log, topic), topics);
    expect(report.violations).toEqual([]);
    expect(report.requests).toBe(client.accepted.size);
    expect(outcomes.get('completed')).toBe(report.completed);
    expect(outcomes.get('failed') ?? 0).toBe(report.failed);
    await expectPaidOnce();
    // Neither an opening nor a top-up is ever given up; a transfer is if the machine is so slow that its saga loses patience.
    expect(report.completed).toBeGreaterThanOrEqual(2 * users.length);
    expect(report.failed).toBeGreaterThan(0);
    await balancesAreShown(client, log);
    await madeAnewTwice(client);
    await transactionsMadeAnew(client);
  }, 480_000);
});

async function balancesAreShown(client: BillingClient, log: Log): Promise<void> {
  for (const [accountId, balance] of latest(await readAll(log, topics.balances)))
    expect(await client.balanceAfter(accountId ?? '', balance?.version ?? 0)).toMatchObject({
      balance: formatAmount(balance?.balance ?? 0n),
    });
}

async function transactionsMadeAnew(client: BillingClient): Promise<void> {
  const printed: string[] = [];
  const print = (line: string): unknown => printed.push(line);
  const ask = { print, clock: systemClock, request: requestTo(client.urls[0] ?? '', {}) };
  expect([await projectionCommand(['rebuild', 'daily-totals'], ask), printed]).toEqual([0, expect.anything()]);
  for (const [name, least] of [
    ['account-transactions', commandCount],
    ['daily-totals', 1],
  ] as const) {
    await until(
      `${name} is what the events say`,
      async () => (await projectionCommand(['verify', name], ask)) === 0,
      patienceMs,
    );
    const { partitions, entries } = JSON.parse(printed.at(-1) ?? '') as Record<string, number>;
    expect(partitions).toBe(10);
    expect(entries).toBeGreaterThanOrEqual(least);
  }
}

async function madeAnewTwice(client: BillingClient): Promise<void> {
  for (const generation of [2, 3]) {
    const printed: string[] = [];
    const screen = { print: (line: string) => printed.push(line), clock: systemClock };
    const ask = { ...screen, request: requestTo(client.urls[generation % 2] ?? '', {}) };
    expect([await projectionCommand(['rebuild', 'balance'], ask), printed]).toEqual([0, expect.anything()]);
    expect(printed.at(-1)).toContain(`generation ${String(generation)} answers`);
    await until(
      'both processes have changed over',
      async () => (await client.generations()) === `${generation} ${generation}`,
      patienceMs,
    );
    await until(
      'what it answers is what the events say',
      async () => (await projectionCommand(['verify', 'balance'], ask)) === 0,
      patienceMs,
    );
    expect(JSON.parse(printed.at(-1) ?? '')).toMatchObject({
      partitions: 10,
      accounts: users.length,
      differenceCount: 0,
    });
  }
}
