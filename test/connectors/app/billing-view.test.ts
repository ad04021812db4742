import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, jest, test } from '@jest/globals';
import pg from 'pg';
import { silentLogger, systemClock, systemRandom } from '../../../clock.ts';
import type { Database } from '../../../connectors/database.ts';
import { memoryLog, type EmbeddedLog } from '../../../connectors/embedded/embedded-log.ts';
import { postgresDatabase } from '../../../connectors/postgres/postgres-database.ts';
import type { TableSink } from '../../../connectors/table-sink.ts';
import { billingView, billingViewMigrations } from '../../../connectors/app/billing-view.ts';
import type { AccountEvent } from '../../../schemas/app/billing/account-event.ts';
import type { Balance } from '../../../schemas/app/billing/projection.ts';
import { billingTopics } from '../../../schemas/app/billing/topics.ts';
import type { TransactionEvent } from '../../../schemas/app/billing/transaction.ts';
import { produce, until } from '../../support/cluster.ts';
import { startPostgres, type RunningPostgres } from '../../support/postgres.ts';
import { testSink } from '../../support/sinks.ts';

// Longer than any wait within: what is waited for in vain is named.
jest.setTimeout(240_000);

const topics = billingTopics();
const waitMs = 60_000;
let postgres: RunningPostgres;
let log: EmbeddedLog;
let client: pg.Client;
let database: Database;
let sink: TableSink;

beforeAll(async () => {
  postgres = await startPostgres();
}, 180_000);

afterAll(async () => {
  await postgres.stop();
});

beforeEach(async () => {
  client = new pg.Client({ connectionString: postgres.url });
  await client.connect();
  log = memoryLog({ clock: systemClock, random: systemRandom, logger: silentLogger });
  const shown = [topics.balances, topics.transactionEvents, topics.accountEvents, topics.deadLetter];
  await log.admin.createTopics(shown.map(({ name, create }) => ({ name, partitions: 1, ...create })));
  database = postgresDatabase({ url: postgres.url, logger: silentLogger });
  sink = testSink({
    log,
    database,
    migrations: billingViewMigrations,
    tables: billingView(topics),
    deadLetterTopic: topics.deadLetter.name,
  });
  sink.start();
});

afterEach(async () => {
  await sink.close();
  await database.close();
  await client.end();
  await log.close();
});

const money = (units: number): bigint => BigInt(units) * 100_000_000n;
const at = (second: number): number => 1_700_000_000_000_000 + second * 1_000_000;

function balance(accountId: string, version: number, units: number): Balance {
  const amount = money(units);
  return { accountId, balance: amount, available: amount, held: 0n, currency: 'USD', version, recordedAt: at(version) };
}

function moved(accountId: string, version: number, units: number): AccountEvent {
  const [before, after] = [money(units - 1), money(units)];
  return {
    type: 'BalanceChanged',
    reason: 'AccountCredited',
    eventId: `event-${accountId}-${String(version)}`,
    accountId,
    aggregateVersion: version,
    commandId: `command-${String(version)}`,
    txId: `tx-${String(version)}`,
    currency: 'USD',
    balanceBefore: before,
    balanceAfter: after,
    heldDebit: 0n,
    heldCredit: 0n,
    effectiveAt: at(version),
    recordedAt: at(version),
    postings: [
      { account: accountId, amount: money(1) },
      { account: 'transit:USD#0', amount: -money(1) },
    ],
  };
}

function transaction(txId: string, type: TransactionEvent['type'], second: number): TransactionEvent {
  return {
    eventId: `${txId}-${type}`,
    type,
    txId,
    idempotencyKey: `key-${txId}`,
    sourceAccountId: 'user-1',
    destinationAccountId: 'user-2',
    amount: money(5),
    currency: 'USD',
    effectiveAt: at(second),
    requestedAt: at(1),
    at: at(second),
  };
}

async function rows(text: string): Promise<readonly Record<string, unknown>[]> {
  const result = await client.query<Record<string, unknown>>(text).catch(() => ({ rows: [] }));
  return result.rows;
}

describe('the tables of billing', () => {
  test('show the latest balance, every transaction once, and when each balance held', async () => {
    await produce(log, topics.balances, [
      { key: 'user-1', value: balance('user-1', 2, 20) },
      { key: 'user-1', value: balance('user-1', 3, 15) },
      { key: 'user-2', value: balance('user-2', 1, 5) },
    ]);
    await produce(log, topics.transactionEvents, [
      { key: 'tx-1', value: transaction('tx-1', 'TransferRequested', 1) },
      { key: 'tx-1', value: transaction('tx-1', 'TransferCompleted', 2) },
      { key: 'tx-2', value: transaction('tx-2', 'TransferRequested', 3) },
    ]);
    await produce(log, topics.accountEvents, [
      { key: 'user-1', value: moved('user-1', 1, 10) },
      { key: 'user-1', value: moved('user-1', 2, 20) },
    ]);
    const balances = `SELECT account_id, balance::text AS balance, version FROM projections.account_balance ORDER BY 1`;
    await until('balances are shown', async () => (await rows(balances)).length === 2, waitMs);
    expect(await rows(balances)).toEqual([
      { account_id: 'user-1', balance: '15.00000000', version: '3' },
      { account_id: 'user-2', balance: '5.00000000', version: '1' },
    ]);

    const history = `SELECT transaction_id, type, status, amount::text AS amount, completed_at - created_at > '0 s' AS ended
      FROM projections.transaction_history ORDER BY 1`;
    await until('transactions are shown', async () => (await rows(history)).length === 2, waitMs);
    expect(await rows(history)).toEqual([
      { transaction_id: 'tx-1', type: 'transfer', status: 'completed', amount: '5.00000000', ended: true },
      { transaction_id: 'tx-2', type: 'transfer', status: 'processing', amount: '5.00000000', ended: null },
    ]);

    // A third entry, in a transaction of its own, ends the second one; what comes again changes nothing.
    const entries = `SELECT version::int AS version, balance::float AS balance,
      extract(epoch FROM valid_to - valid_from)::float AS seconds FROM projections.balance_history ORDER BY 1`;
    await until('entries are shown', async () => (await rows(entries)).length === 2, waitMs);
    await produce(log, topics.accountEvents, [
      { key: 'user-1', value: moved('user-1', 3, 15) },
      { key: 'user-1', value: moved('user-1', 2, 20) },
    ]);
    await produce(log, topics.transactionEvents, [
      { key: 'tx-2', value: transaction('tx-2', 'TransferFailed', 4) },
      { key: 'tx-1', value: transaction('tx-1', 'TransferRequested', 1) },
    ]);
    await until('the third is shown', async () => (await rows(entries)).length === 3, waitMs);
    expect(await rows(entries)).toEqual([
      { version: 1, balance: 10, seconds: 1 },
      { version: 2, balance: 20, seconds: 1 },
      { version: 3, balance: 15, seconds: null },
    ]);
    await until('the failure is shown', async () => (await rows(history))[1]?.['status'] === 'failed', waitMs);
    await until('all is read', () => sink.lags().every(({ records }) => records === 0), waitMs);
    expect((await rows(history))[0]).toMatchObject({ status: 'completed', ended: true });
    expect(sink.counts.deadLetters).toBe(0);
  });
});
