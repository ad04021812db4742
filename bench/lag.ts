/**
 * `node --import ./test/support/typescript-loader.js bench/lag.ts [--via debezium|embedded] [--rate 200] [--seconds 30] [--customers 1000]`
 *
 * From the commit of a change in system A's database to its being seen: in `customer.merged`, in the answers of the API, and in `unified_customers`. The
 * application is a process of its own with its default settings, on a Kafka of its own.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { silentLogger, systemClock, systemRandom } from '../clock.ts';
import { newTopics } from '../api/app/application.ts';
import { kafkaLog } from '../connectors/kafka/kafka-log.ts';
import { connectorTopics } from '../schemas/app/connector-topics.ts';
import { customerTopics } from '../schemas/app/customer/topics.ts';
import { topicPartitions } from '../schemas/record.ts';
import { startApplication } from '../test/support/application.ts';
import { ConnectWorker } from '../test/support/connect/connect-worker.ts';
import { placed, shippedConnector } from '../test/support/connect/shipped-connectors.ts';
import { until } from '../test/support/cluster.ts';
import { SystemADatabase } from '../test/support/customer/system-a-database.ts';
import { startKafka } from '../test/support/kafka-broker.ts';
import { startPostgres } from '../test/support/postgres.ts';

const { values } = parseArgs({
  options: {
    via: { type: 'string', default: 'embedded' },
    rate: { type: 'string', default: '200' },
    seconds: { type: 'string', default: '30' },
    customers: { type: 'string', default: '1000' },
  },
});
const [rate, seconds, customers] = [values.rate, values.seconds, values.customers].map(Number) as [
  number,
  number,
  number,
];
/** Changes whose way to the API and the view is followed, at the same time; those of the topic are all seen. */
const probes = 4;
const probeEveryMs = 5;
const waitMs = 120_000;
const merged = customerTopics().merged;

class Samples {
  readonly #ms: number[] = [];
  add(ms: number): void {
    this.#ms.push(ms);
  }
  get count(): number {
    return this.#ms.length;
  }
  toString(): string {
    const sorted = this.#ms.toSorted((left, right) => left - right);
    const at = (share: number): string => `${(sorted[Math.floor((sorted.length - 1) * share)] ?? NaN).toFixed(0)} ms`;
    return `p50 ${at(0.5)}, p99 ${at(0.99)}, longest ${at(1)} (${String(sorted.length)} changes)`;
  }
}

const emailOf = (id: number): string => `user${String(id)}@x.test`;
/** Names say which change they are from. */
const nameOf = (change: number): string => `Name ${String(change)}`;

const kafka = await startKafka();
if ('skipped' in kafka) throw new Error(kafka.skipped);
const brokers = kafka.brokers.split(',');
const [ours, theirs] = await Promise.all([startPostgres(), startPostgres()]);
const directory = await mkdtemp(join(tmpdir(), 'rivulet-lag-'));
const systemA = await SystemADatabase.create(theirs);
await systemA.run(
  `INSERT INTO customers_a (id, email, name) SELECT i, 'user' || i || '@x.test', 'Name' FROM generate_series(1, ${String(customers)}) AS i`,
);
const viewUrl = await ours.createDatabase('unified');
const application = startApplication({
  DATA_DIR: directory,
  TOPOLOGIES: 'customer-merge',
  KAFKA_BROKERS: brokers.join(','),
  POSTGRES_URL: viewUrl,
  RATE_LIMIT_PER_SECOND: '0',
  ...(values.via === 'embedded' ? { SYSTEM_A_DATABASE_URL: systemA.captureUrl } : {}),
});
const view = new pg.Pool({ connectionString: viewUrl, max: probes });
const log = kafkaLog({ brokers, clientId: 'lag' }, { clock: systemClock, random: systemRandom, logger: silentLogger });
let worker: ConnectWorker | undefined;
try {
  await log.admin.createTopics(newTopics({ ...customerTopics(), ...connectorTopics() }));
  worker = values.via === 'debezium' ? await startDebezium() : undefined;
  await until('all customers are shown', async () => (await viewCount()) === customers, waitMs);
  await measure();
} finally {
  application.signal('SIGKILL');
  await Promise.all([application.ended, view.end(), systemA.close(), worker?.stop(), log.close()]);
  await Promise.all([ours.stop(), theirs.stop(), kafka.stop(), rm(directory, { recursive: true, force: true })]);
}

async function startDebezium(): Promise<ConnectWorker> {
  const env = { DEBEZIUM_PASSWORD: SystemADatabase.password };
  const started = await ConnectWorker.start({ brokers, name: 'lag-connect', env });
  const connector = shippedConnector('system-a-cdc');
  await started.configure(
    connector.name,
    placed(connector, { url: systemA.url, topic: customerTopics().changesA.name }),
  );
  return started;
}

async function viewCount(): Promise<number> {
  const text = `SELECT count(*)::int AS count FROM unified_customers`;
  // Not there before the application has made it.
  const { rows } = await view.query<{ count: number }>(text).catch(() => ({ rows: [] }));
  return rows[0]?.count ?? 0;
}

async function measure(): Promise<void> {
  const total = rate * seconds;
  const committed = new Map<string, number>();
  const [inTopic, inApi, inView] = [new Samples(), new Samples(), new Samples()];
  const end = new AbortController();
  const following = followTopic(committed, { seen: inTopic, signal: end.signal });
  const base = await application.url;
  let [isBusy, skipped] = [0, 0];
  const probing: Promise<void>[] = [];
  const beginMs = performance.now();
  for (let change = 0; change < total; change += 1) {
    const aheadMs = beginMs + (change * 1_000) / rate - performance.now();
    if (aheadMs > 1) await systemClock.sleep(aheadMs);
    const [id, name] = [(change % customers) + 1, nameOf(change)];
    await systemA.run(`UPDATE customers_a SET name = '${name}', last_updated = now() WHERE id = ${String(id)}`);
    const committedMs = performance.now();
    committed.set(name, committedMs);
    if (isBusy === probes) {
      skipped += 1;
      continue;
    }
    isBusy += 1;
    probing.push(
      Promise.all([
        seenAfter(committedMs, inApi, async () => (await customerName(base, id)) === name),
        seenAfter(committedMs, inView, async () => (await viewedName(id)) === name),
      ]).then(() => {
        isBusy -= 1;
      }),
    );
  }
  const writtenSeconds = (performance.now() - beginMs) / 1_000;
  await Promise.all(probing);
  await until('all are in the topic', () => inTopic.count === total, waitMs);
  end.abort();
  await following;
  console.log(`via ${values.via}: ${(total / writtenSeconds).toFixed(0)} changes/s of ${String(customers)} customers`);
  console.log(`customer.merged    ${String(inTopic)}`);
  console.log(`API                ${String(inApi)}; ${String(skipped)} not asked for`);
  console.log(`unified_customers  ${String(inView)}`);
  console.log(`load of the machine over the last minute: ${(loadavg()[0] ?? 0).toFixed(1)}`);
}

async function seenAfter(committedMs: number, samples: Samples, isSeen: () => Promise<boolean>): Promise<void> {
  while (!(await isSeen())) await systemClock.sleep(probeEveryMs);
  samples.add(performance.now() - committedMs);
}

async function customerName(base: string, id: number): Promise<unknown> {
  const response = await fetch(`${base}/customers/${emailOf(id)}`);
  return response.ok ? ((await response.json()) as { readonly name: string }).name : undefined;
}

async function viewedName(id: number): Promise<unknown> {
  const text = 'SELECT name FROM unified_customers WHERE email = $1';
  return (await view.query<{ name: string }>({ text, values: [emailOf(id)], name: 'one' })).rows[0]?.name;
}

/** Notes every change that arrives, from now on. */
async function followTopic(
  committed: ReadonlyMap<string, number>,
  { seen, signal }: { readonly seen: Samples; readonly signal: AbortSignal },
): Promise<void> {
  const reader = log.reader({ isolation: 'read_committed' });
  const all = topicPartitions(merged.name, merged.create?.partitions ?? 1);
  for (const [index, { end }] of (await log.admin.offsets(all)).entries()) reader.seek(all[index]!, end);
  while (!signal.aborted) {
    const { batches } = await reader.poll(200);
    const nowMs = performance.now();
    for (const batch of batches) {
      const cursor = batch.cursor();
      while (cursor.next()) {
        const value = cursor.value();
        const name = value === undefined ? undefined : merged.value.deserialize(value).name;
        // One that is read before the answer to its COMMIT is.
        if (name !== undefined) seen.add(Math.max(0, nowMs - (committed.get(name) ?? nowMs)));
      }
    }
  }
  await reader.close();
}
