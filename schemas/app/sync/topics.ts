import { bytesSerde, defineTopic, jsonSerde, stringSerde, type Topic, type TopicSettings } from '../../../index.ts';
import { jsonFormat, type DeclaredValue, type EdgeValue, type RecordFormat } from '../record-format.ts';
import { entityMappingValue, syncCommandValue, syncConflictValue, syncResultValue } from './avro.ts';
import type { SyncCommand, SyncResult } from './command.ts';
import type { EntityMapping, SyncConflict } from './mapping.ts';
import type { SyncSignal } from './values.ts';

/** All topics of the two-way sync. The changes are Debezium's, or whoever writes as it does. */
export interface SyncTopics {
  readonly legacyEvents: Topic<EdgeValue, EdgeValue>;
  readonly revampEvents: Topic<EdgeValue, EdgeValue>;
  /** By pair, like all that follow. */
  readonly commands: Topic<string, SyncCommand>;
  readonly results: Topic<string, SyncResult>;
  /** What pairs tell each other and themselves. */
  readonly signals: Topic<string, SyncSignal>;
  readonly mappings: Topic<string, EntityMapping>;
  readonly conflicts: Topic<string, SyncConflict>;
  readonly dlq: Topic<Uint8Array, Uint8Array>;
}

const sevenDaysMs = 604_800_000;
const thirtyDaysMs = 2_592_000_000;

/** Everything meets by row, then by pair: equally many partitions throughout. */
const partitions = 3;

const kept = (retentionMs: number): TopicSettings => ({
  partitions,
  configs: { 'cleanup.policy': 'delete', 'retention.ms': String(retentionMs) },
});

/** The topics under their names, each with `prefix` (empty, or e.g. `staging.`) before it. */
export function syncTopics(prefix = '', format: RecordFormat = jsonFormat): SyncTopics {
  const topic = <T>(suffix: string, declared: DeclaredValue<T>, create: TopicSettings): Topic<string, T> => {
    const name = `${prefix}sync.${suffix}`;
    return defineTopic({ name, key: stringSerde, value: format.value(name, declared), create });
  };
  const events = { key: format.edge, value: format.edge, create: kept(sevenDaysMs) };
  return Object.freeze({
    legacyEvents: defineTopic({ ...events, name: `${prefix}legacy.events` }),
    revampEvents: defineTopic({ ...events, name: `${prefix}revamp.events` }),
    commands: topic('commands', syncCommandValue, kept(sevenDaysMs)),
    results: topic('results', syncResultValue, kept(sevenDaysMs)),
    signals: defineTopic({
      name: `${prefix}sync.signals`,
      key: stringSerde,
      value: jsonSerde<SyncSignal>(),
      create: kept(sevenDaysMs),
    }),
    mappings: topic('mappings', entityMappingValue, { partitions, configs: { 'cleanup.policy': 'compact' } }),
    conflicts: topic('conflicts', syncConflictValue, kept(thirtyDaysMs)),
    dlq: defineTopic({
      key: bytesSerde,
      value: bytesSerde,
      name: `${prefix}sync.dlq`,
      create: { ...kept(thirtyDaysMs), partitions: 1 },
    }),
  });
}
