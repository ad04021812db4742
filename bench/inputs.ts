/** Fills the input topics with the same bytes each time: the generator of the Java yardstick, record for record. */
import type { Log, OutgoingBatch } from '../connectors/log.ts';
import { partitionForKey } from '../schemas/murmur2.ts';
import { noHeaders } from '../schemas/record.ts';
import { BatchBuilder } from '../schemas/record-batch.ts';
import { JavaRandom } from './java-random.ts';
import { partitions } from './workloads.ts';

const customers = 200_000;
const customerChanges = 500_000;
const accounts = 100_000;
const startMs = 1_700_000_000_000;
const sendRecords = 20_000;

export const inputTopics = ['bench.customers.a', 'bench.customers.b', 'bench.billing'] as const;

/** Creates and fills the topics that are missing; returns which. `billingEvents` beyond the yardstick's million are for memory runs. */
export async function ensureInputs(log: Log, billingEvents = 1_000_000): Promise<readonly string[]> {
  const existing = await log.admin.listTopics();
  const missing = inputTopics.filter((topic) => !existing.includes(topic));
  if (missing.length === 0) return [];
  await log.admin.createTopics(missing.map((name) => ({ name, partitions, configs: { 'retention.ms': '-1' } })));
  const writer = await Writer.open(log, new Set(missing));
  const random = new JavaRandom(42n);
  for (let index = 0; index < customerChanges; index += 1) await customerPair(writer, random, index);
  for (let index = 0; index < billingEvents; index += 1) await billingEvent(writer, random, index);
  await writer.close();
  return missing;
}

async function customerPair(writer: Writer, random: JavaRandom, index: number): Promise<void> {
  const timestampMs = startMs + index;
  const a = random.nextInt(customers);
  const emailA = `c${String(a)}@example.com`;
  const nameA = random.nextInt(1000);
  const streetA = random.nextInt(500);
  await writer.write('bench.customers.a', emailA, timestampMs, {
    eventId: `a-${String(index)}`,
    source: 'system_a',
    operation: 'UPDATE',
    timestamp: timestampMs,
    payload: {
      email: emailA,
      id: `A${String(a)}`,
      name: `Name ${String(nameA)}`,
      address: `${String(streetA)} Main Street, Springfield`,
      contractStartDate: '2024-01-01',
      contractType: 'gold',
      lastUpdated: timestampMs,
    },
  });
  const b = random.nextInt(customers);
  const emailB = `c${String(b)}@example.com`;
  const nameB = random.nextInt(1000);
  const streetB = random.nextInt(500);
  await writer.write('bench.customers.b', emailB, timestampMs, {
    eventId: `b-${String(index)}`,
    source: 'system_b',
    operation: 'UPDATE',
    timestamp: timestampMs,
    payload: {
      email: emailB,
      uuid: `B${String(b)}`,
      name: `Name ${String(nameB)}`,
      address: `${String(streetB)} Main Street, Springfield`,
      phone: `+1-555-${String(random.nextInt(10000))}`,
      lastUpdated: timestampMs,
    },
  });
}

async function billingEvent(writer: Writer, random: JavaRandom, index: number): Promise<void> {
  const accountId = `acc-${String(random.nextInt(accounts))}`;
  const type = random.nextInt(3) === 0 ? 'debit' : 'credit';
  const whole = random.nextInt(1000);
  const cents = 10 + random.nextInt(90);
  await writer.write('bench.billing', accountId, startMs + index, {
    eventId: `e-${String(index)}`,
    type,
    accountId,
    amount: `${String(whole)}.${String(cents)}`,
    currency: 'USD',
    transactionId: `t-${String(index)}`,
  });
}

class Writer {
  readonly #producer: Awaited<ReturnType<Log['producer']>>;
  readonly #topics: ReadonlySet<string>;
  #open = new Map<string, OutgoingBatch>();
  #count = 0;

  private constructor(producer: Awaited<ReturnType<Log['producer']>>, topics: ReadonlySet<string>) {
    this.#producer = producer;
    this.#topics = topics;
  }

  static async open(log: Log, topics: ReadonlySet<string>): Promise<Writer> {
    return new Writer(await log.producer({}), topics);
  }

  async write(topic: string, key: string, timestampMs: number, value: unknown): Promise<void> {
    if (!this.#topics.has(topic)) return;
    const keyBytes = Buffer.from(key);
    const partition = partitionForKey(keyBytes, partitions);
    const id = `${topic}/${String(partition)}`;
    let batch = this.#open.get(id);
    if (batch === undefined) {
      batch = { topic, partition, records: new BatchBuilder() };
      this.#open.set(id, batch);
    }
    batch.records.append(timestampMs, keyBytes, Buffer.from(JSON.stringify(value)), noHeaders);
    this.#count += 1;
    if (this.#count >= sendRecords) await this.#flush();
  }

  async close(): Promise<void> {
    await this.#flush();
    await this.#producer.close();
  }

  async #flush(): Promise<void> {
    this.#count = 0;
    const batches = [...this.#open.values()];
    this.#open = new Map();
    if (batches.length > 0) await this.#producer.send(batches);
  }
}
