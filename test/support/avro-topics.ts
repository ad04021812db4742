/** What lies in the application's topics, read with the schemas of a registry. */
import { systemClock } from '../../clock.ts';
import type { Log } from '../../connectors/log.ts';
import { avroFormat } from '../../schemas/app/record-format.ts';
import { billingTopics, type BillingTopics } from '../../schemas/app/billing/topics.ts';
import { customerTopics, type CustomerTopics } from '../../schemas/app/customer/topics.ts';
import { createAvroSerdes } from '../../schemas/avro/avro-serde.ts';
import type { SchemaRegistry } from '../../schemas/schema-registry.ts';
import type { Topic } from '../../schemas/topic.ts';
import { rawBytesOf } from './raw-read.ts';

const avroMagic = 0;

/** The topics whose values are the application's own. */
const declared = {
  customer: ['sources', 'overrides', 'merged', 'conflicts', 'policy', 'detached'],
  billing: [
    'requests',
    'commands',
    'results',
    'accountEvents',
    'transactionEvents',
    'sagaEvents',
    'balances',
    'dailyTotals',
    'notifications',
  ],
} as const satisfies { customer: readonly (keyof CustomerTopics)[]; billing: readonly (keyof BillingTopics)[] };

/** A process of its own, as far as the registry can tell. */
export interface AvroReader {
  readonly customer: CustomerTopics;
  /** By topic: how many values were read, all of them Avro. Rejects if one is not. */
  counts(log: Log): Promise<ReadonlyMap<string, number>>;
}

export async function avroReader(registry: SchemaRegistry, prefix = ''): Promise<AvroReader> {
  const serdes = createAvroSerdes(registry, systemClock);
  const format = avroFormat(serdes);
  const [customer, billing] = [customerTopics(prefix, format), billingTopics(prefix, format)];
  await serdes.register();
  const topics: readonly Topic<string, unknown>[] = [
    ...declared.customer.map((name): Topic<string, unknown> => customer[name] as Topic<string, unknown>),
    ...declared.billing.map((name): Topic<string, unknown> => billing[name] as Topic<string, unknown>),
  ];
  return {
    customer,
    counts: async (log) => {
      const counts = new Map<string, number>();
      for (const topic of topics) counts.set(topic.name.slice(prefix.length), await countOf(log, topic));
      return counts;
    },
  };
}

async function countOf(log: Log, { name, value: serde }: Topic<string, unknown>): Promise<number> {
  let count = 0;
  for (const { value } of await rawBytesOf(log, name, { isolation: 'read_committed' })) {
    if (value === undefined) continue;
    if (value[0] !== avroMagic) throw new Error(`a value of ${name} is no Avro`);
    await serde.prepare?.([value]);
    serde.deserialize(value);
    count += 1;
  }
  return count;
}
