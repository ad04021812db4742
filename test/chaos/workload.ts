/** What runs and what is fed under chaos: counting, and the customer merge, with bad records among the good ones. */
import fc from 'fast-check';
import type { SourceChange } from '../../schemas/app/customer/change.ts';
import { customerTopics } from '../../schemas/app/customer/topics.ts';
import { int64Serde, stringSerde } from '../../schemas/serde.ts';
import { defineTopic } from '../../schemas/topic.ts';
import { customerMerge } from '../../topology/app/customer-merge.ts';
import { defineTopology } from '../../topology/builder.ts';
import { histories, interleaved } from '../support/customer/arbitraries.ts';
import { written } from '../support/customer/records.ts';

export const partitions = 6;
/** Short, so that a fault costs seconds; long enough for a machine that has much else to do. */
export const timeouts = {
  sessionTimeoutMs: 10_000,
  heartbeatIntervalMs: 1_000,
  rebalanceTimeoutMs: 30_000,
  transactionTimeoutMs: 10_000,
} as const;
/** One record in so many is bad. */
const pillEvery = 100;
const distinctValues = 50;

/** What the counting topology refuses. */
export function isPill(value: string): boolean {
  return value.startsWith('pill');
}

/** All names end or begin with `suffix`. */
export function chaosWorkload(suffix: string) {
  const events = defineTopic({ name: `events-${suffix}`, key: stringSerde, value: stringSerde });
  const counts = defineTopic({ name: `counts-${suffix}`, key: stringSerde, value: int64Serde });
  const dlq = defineTopic({ name: `dlq-${suffix}`, key: stringSerde, value: stringSerde });
  const customers = customerTopics(`${suffix}.`);
  const counting = defineTopology(
    'counting',
    (t) => {
      t.stream(events)
        .mapValues('digest', (value) => {
          if (isPill(value)) throw new Error('a pill');
          return value;
        })
        .groupBy('by-value', (value) => value, { keySerde: stringSerde, valueSerde: stringSerde })
        .count('counts-by-value')
        .toStream()
        .to(counts);
    },
    { onError: 'dead-letter', deadLetterTopic: dlq.name },
  );
  const countingId = `counting-${suffix}`;
  const mergeId = `merge-${suffix}`;
  return {
    events,
    counts,
    dlq,
    customers,
    changelog: { name: `${countingId}-counts-by-value-changelog`, key: stringSerde, value: int64Serde },
    applications: [
      {
        applicationId: countingId,
        topology: counting,
        inputs: [events.name],
        repartitions: [`${countingId}-by-value-repartition`],
        outputs: [counts.name, dlq.name],
      },
      {
        applicationId: mergeId,
        topology: customerMerge(`${suffix}.`),
        inputs: [customers.changesA.name, customers.changesB.name],
        // In the order in which records pass through them.
        repartitions: [`${mergeId}-by-source-repartition`, `${mergeId}-by-email-repartition`],
        outputs: [customers.merged.name, customers.dlq.name],
      },
    ],
  } as const;
}

export type ChaosWorkload = ReturnType<typeof chaosWorkload>;

export interface FedRecord {
  readonly topic: string;
  readonly key: Uint8Array;
  readonly value: Uint8Array | undefined;
}

/** Endless; the same for the same seed. */
export function* feed({ events, customers }: ChaosWorkload, seed: number): Generator<FedRecord, never> {
  let changes: readonly SourceChange[] = [];
  let family = 0;
  for (let index = 0, next = 0; ; index += 1) {
    const bad = index % pillEvery === pillEvery - 1;
    const value = bad ? `pill ${String(index)}` : `v${String(index % distinctValues)}`;
    yield { topic: events.name, key: Buffer.from(`k${String(index)}`), value: Buffer.from(value) };
    if (index % 5 !== 0) continue;
    if (next >= changes.length) {
      changes = familyOf(seed, family);
      family += 1;
      next = 0;
    }
    const change = changes[next];
    next += 1;
    if (change === undefined) continue;
    const record = written(change);
    const topic = record.source === 'system_a' ? customers.changesA.name : customers.changesB.name;
    yield { topic, key: record.key, value: index % 250 === 0 ? Buffer.from('{"not json') : record.value };
  }
}

/** Histories of a few records that share addresses with each other and with no other family. */
function familyOf(seed: number, family: number): readonly SourceChange[] {
  const [queues = []] = fc.sample(histories, { numRuns: 1, seed: seed * 1_000 + family });
  const [order = []] = fc.sample(fc.array(fc.nat(1_000), { minLength: 20, maxLength: 20 }), { numRuns: 1, seed });
  return interleaved(
    queues.map((history) => history.map((change) => renamed(change, family))),
    order,
  );
}

function renamed(change: SourceChange, family: number): SourceChange {
  const sourceId = `${String(family)}-${change.sourceId}`;
  if (change.op === 'TOMBSTONE') return { ...change, sourceId };
  const own = (email: string): string => email.replace('@', `.${String(family)}@`);
  const { email, emailRaw } = change;
  return {
    ...change,
    sourceId,
    ...(email === undefined ? {} : { email: own(email) }),
    ...(emailRaw === undefined ? {} : { emailRaw: own(emailRaw) }),
  };
}
