/** T1: the change streams of two systems, joined into one compacted topic of customers. */
import { defineTopology, stringSerde } from '../../index.ts';
import type { Topology } from '../../index.ts';
import { decodeStep, identityStep, mergeStep, type MergeInput } from '../../processors/app/customer/processors.ts';
import { stewardStep } from '../../processors/app/customer/steward.ts';
import { sourceChangeSerde } from '../../schemas/app/customer/change.ts';
import { contributionChangeSerde } from '../../schemas/app/customer/contribution.ts';
import { defaultPolicy } from '../../schemas/app/customer/policy.ts';
import { customerTopics } from '../../schemas/app/customer/topics.ts';
import { jsonFormat, type RecordFormat } from '../../schemas/app/record-format.ts';
import { believedTimestamp as timestamp } from '../../schemas/app/record-time.ts';

export const customerMergeName = 'customer-merge';

/** The topology over topics of this prefix. What cannot be decoded goes to `customer.dlq`, in the same transaction. */
export function customerMerge(topicPrefix = '', format: RecordFormat = jsonFormat): Topology {
  const topics = customerTopics(topicPrefix, format);
  return defineTopology(
    customerMergeName,
    (t) => {
      const changes = t
        .stream(topics.changesA, { name: 'changes-a', timestamp })
        .process(decodeStep('system_a'))
        .merge(t.stream(topics.changesB, { name: 'changes-b', timestamp }).process(decodeStep('system_b')), 'changes');

      const identified = changes
        .repartition('by-source', { keySerde: stringSerde, valueSerde: sourceChangeSerde })
        .process(identityStep);

      identified
        .flatMapValues('sources', (output) => (output.kind === 'source' ? [output.record] : []))
        .to(topics.sources);

      const contributions = identified
        .flatMapValues('contributions', (output) => (output.kind === 'contribution' ? [output.change] : []))
        .repartition('by-email', {
          key: (change) => change.email,
          keySerde: stringSerde,
          valueSerde: contributionChangeSerde,
        })
        .mapValues('contribution-input', (change): MergeInput => ({ kind: 'contribution', change }));

      t.stream(topics.decisions, { name: 'decisions', timestamp }).process(stewardStep).to(topics.overrides);

      const overrides = t
        .stream(topics.overrides, { name: 'overrides', timestamp })
        .mapValues('override-input', (list): MergeInput => ({ kind: 'overrides', overrides: list }));

      const merged = contributions.merge(overrides, 'merge-inputs').process(mergeStep(defaultPolicy));

      merged.flatMapValues('merged', (output) => (output.kind === 'merged' ? [output.customer] : [])).to(topics.merged);
      merged
        .flatMapValues('conflicts', (output) => (output.kind === 'conflict' ? [output.event] : []))
        .to(topics.conflicts);
      merged
        .flatMapValues('detached', (output) => (output.kind === 'detached' ? [output.customer] : []))
        .to(topics.detached);
    },
    { onError: 'dead-letter', deadLetterTopic: topics.dlq.name },
  );
}
