/** What runs under chaos besides billing: counting, and the customer merge. */
import { customerTopics } from '../../schemas/app/customer/topics.ts';
import { int64Serde, stringSerde } from '../../schemas/serde.ts';
import { defineTopic } from '../../schemas/topic.ts';
import { customerMerge } from '../../topology/app/customer-merge.ts';
import { defineTopology } from '../../topology/builder.ts';

/** What the counting topology refuses. */
export function isPill(value: string): boolean {
  return value.startsWith('pill');
}

/** All names end or begin with `suffix`. */
export function customerApplications(suffix: string) {
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

export type CustomerApplications = ReturnType<typeof customerApplications>;
