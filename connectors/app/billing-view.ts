/** `projections.*`: what is known of accounts and transactions, as tables. */
import { sinkTable } from '../../index.ts';
import type { Migration, SinkTable, Statement, Topic } from '../../index.ts';
import type { AccountEvent } from '../../schemas/app/billing/account-event.ts';
import { formatAmount } from '../../schemas/app/billing/money.ts';
import type { Balance } from '../../schemas/app/billing/projection.ts';
import type { BillingTopics } from '../../schemas/app/billing/topics.ts';
import type { TransactionEvent } from '../../schemas/app/billing/transaction.ts';
import { isoFromMicros } from '../../schemas/app/customer/instant.ts';

export const billingViewMigrations: readonly Migration[] = [
  {
    name: 'billing-view-001',
    statements: [
      'CREATE SCHEMA IF NOT EXISTS projections',
      `CREATE TABLE projections.account_balance (
        account_id text PRIMARY KEY,
        balance numeric(20,8) NOT NULL,
        currency varchar(10) NOT NULL,
        version bigint NOT NULL,
        updated_at timestamptz NOT NULL
      )`,
      'CREATE INDEX idx_account_balance_updated ON projections.account_balance (updated_at)',
      'CREATE INDEX idx_account_balance_currency ON projections.account_balance (currency)',
      `CREATE TABLE projections.transaction_history (
        transaction_id text PRIMARY KEY,
        idempotency_key text NOT NULL UNIQUE,
        type text NOT NULL,
        source_account_id text,
        destination_account_id text,
        amount numeric(20,8),
        currency varchar(10),
        status text NOT NULL,
        created_at timestamptz NOT NULL,
        completed_at timestamptz
      )`,
      'CREATE INDEX idx_transaction_source ON projections.transaction_history (source_account_id, created_at DESC)',
      'CREATE INDEX idx_transaction_destination ON projections.transaction_history (destination_account_id, created_at DESC)',
      'CREATE INDEX idx_transaction_status ON projections.transaction_history (status)',
      'CREATE INDEX idx_transaction_created ON projections.transaction_history (created_at)',
      `CREATE TABLE projections.balance_history (
        account_id text NOT NULL,
        balance numeric(20,8) NOT NULL,
        version bigint NOT NULL,
        valid_from timestamptz NOT NULL,
        valid_to timestamptz,
        PRIMARY KEY (account_id, version)
      )`,
      'CREATE INDEX idx_balance_history_time ON projections.balance_history (account_id, valid_from, valid_to)',
    ],
  },
];

export function billingView(topics: BillingTopics): readonly SinkTable[] {
  return [
    sinkTable<Balance>({ ...readingValues(topics.balances), statements: balanceStatements }),
    sinkTable<TransactionEvent>({ ...readingValues(topics.transactionEvents), statements: transactionStatements }),
    sinkTable<AccountEvent>({ ...readingValues(topics.accountEvents), statements: historyStatements }),
  ];
}

function readingValues<V>({
  name,
  value: serde,
}: Pick<Topic<string, V>, 'name' | 'value'>): Pick<SinkTable<V>, 'topic' | 'prepare' | 'decode'> {
  return {
    topic: name,
    prepare: async (values) => serde.prepare?.(values),
    decode: ({ value }) => (value === undefined ? undefined : serde.deserialize(value)),
  };
}

const rowsOf = (text: string, rows: readonly object[]): readonly Statement[] =>
  rows.length === 0 ? [] : [{ text, values: [JSON.stringify(rows)] }];

// ---- balances -------------------------------------------------------------------------------------------------------

const balanceUpsert = `INSERT INTO projections.account_balance AS present
    (account_id, balance, currency, version, updated_at)
  SELECT account_id, balance, currency, version, updated_at
  FROM jsonb_to_recordset($1::jsonb) AS given(
    account_id text, balance numeric(20,8), currency text, version bigint, updated_at timestamptz)
  ON CONFLICT (account_id) DO UPDATE SET
    balance = excluded.balance, currency = excluded.currency, version = excluded.version, updated_at = excluded.updated_at
  WHERE excluded.version > present.version`;

function balanceStatements(balances: readonly Balance[]): readonly Statement[] {
  const latest = new Map(balances.map((balance) => [balance.accountId, balance]));
  const rows = [...latest.values()].map(({ accountId, balance, currency, version, recordedAt }) => ({
    account_id: accountId,
    balance: formatAmount(balance),
    currency,
    version,
    updated_at: isoFromMicros(recordedAt),
  }));
  return rowsOf(balanceUpsert, rows);
}

// ---- transactions ---------------------------------------------------------------------------------------------------

/** What has ended stays ended: the news that it began may come again. */
const transactionUpsert = `INSERT INTO projections.transaction_history AS present
    (transaction_id, idempotency_key, type, source_account_id, destination_account_id, amount, currency, status,
     created_at, completed_at)
  SELECT transaction_id, idempotency_key, type, source_account_id, destination_account_id, amount, currency, status,
    created_at, completed_at
  FROM jsonb_to_recordset($1::jsonb) AS given(
    transaction_id text, idempotency_key text, type text, source_account_id text, destination_account_id text,
    amount numeric(20,8), currency text, status text, created_at timestamptz, completed_at timestamptz)
  ON CONFLICT (transaction_id) DO UPDATE SET
    status = excluded.status, completed_at = excluded.completed_at,
    source_account_id = coalesce(excluded.source_account_id, present.source_account_id),
    destination_account_id = coalesce(excluded.destination_account_id, present.destination_account_id),
    amount = coalesce(excluded.amount, present.amount), currency = coalesce(excluded.currency, present.currency)
  WHERE present.status = 'processing'`;

const statuses = { Requested: 'processing', Completed: 'completed', Failed: 'failed' } as const;
type Phase = keyof typeof statuses;

/** `TransferCompleted`: a `transfer`, `Completed`. */
function nameParts(name: TransactionEvent['type']): { readonly type: string; readonly phase: Phase } {
  const phases: readonly Phase[] = ['Requested', 'Completed', 'Failed'];
  const phase = phases.find((candidate) => name.endsWith(candidate)) ?? 'Requested';
  return { type: name.slice(0, -phase.length).toLowerCase(), phase };
}

interface HistoryRow {
  readonly transaction_id: string;
  readonly created_at: string;
  readonly completed_at: string | null;
  readonly [column: string]: string | null;
}

function transactionRow(event: TransactionEvent): HistoryRow {
  const { type, phase } = nameParts(event.type);
  const at = isoFromMicros(event.at);
  const { sourceAccountId, destinationAccountId = null, accountId = null, amount, currency = null } = event;
  return {
    transaction_id: event.txId,
    idempotency_key: event.idempotencyKey,
    type,
    source_account_id: sourceAccountId ?? accountId,
    destination_account_id: destinationAccountId,
    amount: amount === undefined ? null : formatAmount(amount),
    currency,
    status: statuses[phase],
    created_at: isoFromMicros(event.requestedAt),
    completed_at: phase === 'Requested' ? null : at,
  };
}

/** Beginning and end of a transaction may come together: one row. */
function transactionStatements(events: readonly TransactionEvent[]): readonly Statement[] {
  const rows = new Map<string, HistoryRow>();
  for (const event of events) {
    const row = transactionRow(event);
    const before = rows.get(event.txId);
    if (before?.completed_at !== undefined && before.completed_at !== null) continue;
    const known = Object.entries(row).filter(([, value]) => value !== null);
    rows.set(event.txId, before === undefined ? row : { ...before, ...Object.fromEntries(known) });
  }
  return rowsOf(transactionUpsert, [...rows.values()]);
}

// ---- history of balances --------------------------------------------------------------------------------------------

const historyInsert = `INSERT INTO projections.balance_history (account_id, balance, version, valid_from)
  SELECT account_id, balance, version, valid_from
  FROM jsonb_to_recordset($1::jsonb) AS given(
    account_id text, balance numeric(20,8), version bigint, valid_from timestamptz)
  ON CONFLICT (account_id, version) DO NOTHING`;

/** An entry ends where the next one begins; versions have no gaps. */
const historyEnds = `UPDATE projections.balance_history AS present SET valid_to = later.valid_from
  FROM jsonb_to_recordset($1::jsonb) AS later(account_id text, version bigint, valid_from timestamptz)
  WHERE present.account_id = later.account_id AND present.version = later.version - 1 AND present.valid_to IS NULL`;

function historyStatements(events: readonly AccountEvent[]): readonly Statement[] {
  const rows = events.map(({ accountId, balanceAfter, aggregateVersion, recordedAt }) => ({
    account_id: accountId,
    balance: formatAmount(balanceAfter),
    version: aggregateVersion,
    valid_from: isoFromMicros(recordedAt),
  }));
  return [...rowsOf(historyInsert, rows), ...rowsOf(historyEnds, rows)];
}
