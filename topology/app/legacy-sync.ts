/** T3: two databases kept alike, whichever is written to. */
import { defineTopology, jsonSerde, stringSerde } from '../../index.ts';
import type { Topology } from '../../index.ts';
import { createSyncCounts, type SyncCounts } from '../../processors/app/sync/counts.ts';
import {
  decodeStep,
  identifyStep,
  learnMappings,
  pairStep,
  type PairInput,
} from '../../processors/app/sync/processors.ts';
import { jsonFormat, type RecordFormat } from '../../schemas/app/record-format.ts';
import { believedTimestamp as timestamp } from '../../schemas/app/record-time.ts';
import { syncTopics } from '../../schemas/app/sync/topics.ts';
import type { RowImage } from '../../schemas/app/sync/values.ts';

export const legacySyncName = 'legacy-sync';

const rowSerdes = { keySerde: stringSerde, valueSerde: jsonSerde<RowImage>() };

/**
 * The topology over topics of this prefix. Commands leave it, results come back; so do the changes that the commands cause, through the capture of
 * the databases. What is no change, or waits for too long, goes to `sync.dlq`.
 */
export function legacySync(
  topicPrefix = '',
  format: RecordFormat = jsonFormat,
  counts: SyncCounts = createSyncCounts(),
): Topology {
  const topics = syncTopics(topicPrefix, format);
  return defineTopology(
    legacySyncName,
    (t) => {
      // Only this topology writes there: what it cannot read is not its own, and must not keep it from starting.
      t.globalStore(topics.mappings, learnMappings, { name: 'mappings', onError: 'skip' });

      const images = t
        .stream(topics.legacyEvents, { name: 'legacy-events', timestamp })
        .process(decodeStep('legacy'))
        .merge(
          t.stream(topics.revampEvents, { name: 'revamp-events', timestamp }).process(decodeStep('revamp')),
          'events',
        )
        .repartition('by-row', rowSerdes)
        .process(identifyStep)
        .repartition('by-map', rowSerdes)
        .mapValues('image-inputs', (image): PairInput => ({ kind: 'image', image }));
      const signals = t
        .stream(topics.signals, { name: 'signals', timestamp })
        .mapValues('signal-inputs', (signal): PairInput => signal);
      const results = t
        .stream(topics.results, { name: 'results', timestamp })
        .mapValues('result-inputs', (result): PairInput => ({ kind: 'result', result }));

      const settled = images.merge(signals, 'told').merge(results, 'inputs').process(pairStep(counts));

      settled
        .flatMapValues('commands', (output) => (output.kind === 'command' ? [output.command] : []))
        .to(topics.commands);
      settled
        .flatMapValues('conflicts', (output) => (output.kind === 'conflict' ? [output.conflict] : []))
        .to(topics.conflicts);
      settled
        .flatMapValues('mappings-out', (output) => (output.kind === 'mapping' ? [output.mapping] : []))
        .to(topics.mappings);
      settled
        .flatMapValues('signals-out', (output) => (output.kind === 'signal' ? [output.signal] : []))
        .to(topics.signals);
    },
    { onError: 'dead-letter', deadLetterTopic: topics.dlq.name },
  );
}
