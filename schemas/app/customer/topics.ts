import { bytesSerde, defineTopic, stringSerde, type Topic, type TopicSettings } from '../../../index.ts';
import { jsonFormat, type DeclaredValue, type EdgeValue, type RecordFormat } from '../record-format.ts';
import {
  conflictEventValue,
  customerMergedValue,
  detachedCustomerValue,
  fieldPolicyValue,
  sourceRecordValue,
  stewardDecisionValue,
  stewardOverridesValue,
} from './avro.ts';
import type { ConflictEvent } from './conflict-event.ts';
import type { CustomerMerged, DetachedCustomer } from './merged.ts';
import type { StewardOverride, StewardOverrides } from './override.ts';
import type { FieldPolicy } from './policy.ts';
import type { SourceRecord } from './source-record.ts';

/** All topics of the customer merge. What arrives as a change or a dead letter may be anything. */
export interface CustomerTopics {
  readonly changesA: Topic<EdgeValue, EdgeValue>;
  readonly changesB: Topic<EdgeValue, EdgeValue>;
  /** By reference. */
  readonly sources: Topic<string, SourceRecord>;
  /** By e-mail: one decision of a steward each. */
  readonly decisions: Topic<string, StewardOverride>;
  /** By e-mail; the value is the full list, written by the steward step alone. */
  readonly overrides: Topic<string, StewardOverrides>;
  /** By e-mail. */
  readonly merged: Topic<string, CustomerMerged>;
  /** By e-mail. */
  readonly conflicts: Topic<string, ConflictEvent>;
  /** By field. */
  readonly policy: Topic<string, FieldPolicy>;
  readonly dlq: Topic<Uint8Array, Uint8Array>;
  /** By reference. */
  readonly detached: Topic<string, DetachedCustomer>;
}

const sevenDaysMs = 604_800_000;
const thirtyDaysMs = 2_592_000_000;

/** Topics that are joined or repartitioned among each other have equally many partitions. */
const partitions = 6;

const kept = (retentionMs: number): Readonly<Record<string, string>> => ({
  'cleanup.policy': 'delete',
  'retention.ms': String(retentionMs),
});
const compacted = { 'cleanup.policy': 'compact' };

/** The topics under their names, each with `prefix` (empty, or e.g. `staging.`) before it. */
export function customerTopics(prefix = '', format: RecordFormat = jsonFormat): CustomerTopics {
  const topic = <T>(suffix: string, declared: DeclaredValue<T>, create: TopicSettings): Topic<string, T> => {
    const name = `${prefix}customer.${suffix}`;
    return defineTopic({ name, key: stringSerde, value: format.value(name, declared), create });
  };
  const changes = { key: format.edge, value: format.edge, create: { partitions, configs: kept(sevenDaysMs) } };
  const table = { partitions, configs: compacted };
  return Object.freeze({
    changesA: defineTopic({ ...changes, name: `${prefix}customer.changes.system-a` }),
    changesB: defineTopic({ ...changes, name: `${prefix}customer.changes.system-b` }),
    sources: topic('sources', sourceRecordValue, table),
    decisions: topic('decisions', stewardDecisionValue, { partitions, configs: kept(thirtyDaysMs) }),
    overrides: topic('overrides', stewardOverridesValue, table),
    merged: topic('merged', customerMergedValue, {
      partitions,
      configs: { ...compacted, 'min.cleanable.dirty.ratio': '0.3' },
    }),
    conflicts: topic('conflicts', conflictEventValue, { partitions, configs: kept(thirtyDaysMs) }),
    policy: topic('policy', fieldPolicyValue, { partitions: 1, configs: compacted }),
    dlq: defineTopic({
      key: bytesSerde,
      value: bytesSerde,
      name: `${prefix}customer.dlq`,
      create: { partitions: 1, configs: kept(thirtyDaysMs) },
    }),
    detached: topic('detached', detachedCustomerValue, table),
  });
}
