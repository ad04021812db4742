import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { createCustomerShadow } from '../../../api/app/customer-shadow.ts';
import { findInView } from '../../../api/app/customer-view-search.ts';
import { silentLogger, systemClock, systemRandom } from '../../../clock.ts';
import { customerView, customerViewMigrations } from '../../../connectors/app/customer-view.ts';
import type { Database } from '../../../connectors/database.ts';
import { memoryLog, type EmbeddedLog } from '../../../connectors/embedded/embedded-log.ts';
import { postgresDatabase } from '../../../connectors/postgres/postgres-database.ts';
import type { TableSink } from '../../../connectors/table-sink.ts';
import type { CustomerMerged } from '../../../schemas/app/customer/merged.ts';
import { customerTopics } from '../../../schemas/app/customer/topics.ts';
import { shadowTopics, type Comparison } from '../../../schemas/app/shadow.ts';
import { produce, until } from '../../support/cluster.ts';
import { foldAll } from '../../support/customer/fold.ts';
import { polled } from '../../support/customer/records.ts';
import { startPostgres, type RunningPostgres } from '../../support/postgres.ts';
import { testSink } from '../../support/sinks.ts';

// Longer than any wait within: what is waited for in vain is named.
jest.setTimeout(240_000);

const topics = customerTopics();
const { comparisons } = shadowTopics();
const waitMs = 60_000;
const ann = 'ann@x.test';
let postgres: RunningPostgres;
let log: EmbeddedLog;
let database: Database;
let sink: TableSink;

beforeAll(async () => {
  postgres = await startPostgres();
  database = postgresDatabase({ url: await postgres.createDatabase('shadow'), logger: silentLogger });
  log = memoryLog({ clock: systemClock, random: systemRandom, logger: silentLogger });
  await log.admin.createTopics([topics.merged, topics.dlq].map(({ name }) => ({ name, partitions: 1 })));
  const tables = [customerView(topics.merged)];
  sink = testSink({ log, database, tables, migrations: customerViewMigrations, deadLetterTopic: topics.dlq.name });
  sink.start();
});

afterAll(async () => {
  await sink.close();
  await database.close();
  await log.close();
  await postgres.stop();
});

/** What comes of comparing these with the table. */
async function compare(customer: CustomerMerged | undefined, settleMs: number): Promise<Comparison> {
  const written: Comparison[] = [];
  const shadow = createCustomerShadow({
    legacy: undefined,
    others: [{ pair: 'merge|view', isLeft: false, find: (email) => findInView(database, email) }],
    ...{ comparisons, settleMs, clock: systemClock, logger: silentLogger },
    write: ({ value }) => Promise.resolve(written.push(comparisons.value.deserialize(value!))),
  });
  shadow.compare(ann, () => Promise.resolve(customer));
  await until('it is compared', () => written.length === 1 || shadow.skipped > 0, waitMs);
  await shadow.close();
  return written[0]!;
}

describe('the table of customers, compared with the merge', () => {
  test('is the same once the sink has shown it; then it differs by what somebody has changed, and lacks what is gone', async () => {
    const fields = { email: ann, name: 'Ann', address: '1 High St', contractType: 'gold', contractStart: '2026-01-31' };
    const lastUpdated = new Date(Date.UTC(2026, 0, 1)).toISOString();
    const { merge } = foldAll([polled({ id: 1, operation: 'CREATE', lastUpdated, fields })]);
    const customer = merge.latest().get(ann)!;
    await until('the table is there', () => sink.lags().length === 1, waitMs);
    expect(await compare(customer, 1)).toMatchObject({ pair: 'merge|view', outcome: 'missing_right' });

    const compared = compare(customer, waitMs);
    await produce(log, topics.merged, [{ key: ann, value: customer }]);
    expect(await compared).toMatchObject({ outcome: 'match', fields: [] });

    const changed = `UPDATE unified_customers SET address = 'elsewhere', contract_start = '2026-02-01'`;
    await database.run({ text: changed, values: [] });
    const fieldsThatDiffer = ['address', 'contractStart'];
    expect(await compare(customer, 1)).toMatchObject({ outcome: 'mismatch', fields: fieldsThatDiffer });
    expect(await compare(undefined, 1)).toMatchObject({ outcome: 'missing_left', fields: [] });
  });
});
