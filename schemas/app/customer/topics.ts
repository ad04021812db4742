import { bytesSerde, defineTopic, stringSerde, type Topic } from '../../../index.ts';
import { conflictEventSerde, type ConflictEvent } from './conflict-event.ts';
import { customerMergedSerde, detachedCustomerSerde, type CustomerMerged, type DetachedCustomer } from './merged.ts';
import { stewardOverridesSerde, type StewardOverrides } from './override.ts';
import { fieldPolicySerde, type FieldPolicy } from './policy.ts';
import { sourceRecordSerde, type SourceRecord } from './source-record.ts';

/** All topics of the customer merge. Changes and dead letters are bytes: what arrives there may be anything. */
export interface CustomerTopics {
  readonly changesA: Topic<Uint8Array, Uint8Array>;
  readonly changesB: Topic<Uint8Array, Uint8Array>;
  /** By reference. */
  readonly sources: Topic<string, SourceRecord>;
  /** By e-mail; the value is the full list. */
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
export function customerTopics(prefix = ''): CustomerTopics {
  const raw = { key: bytesSerde, value: bytesSerde };
  const changes = { ...raw, create: { partitions, configs: kept(sevenDaysMs) } };
  const byKey = { key: stringSerde };
  const table = { partitions, configs: compacted };
  return Object.freeze({
    changesA: defineTopic({ ...changes, name: `${prefix}customer.changes.system-a` }),
    changesB: defineTopic({ ...changes, name: `${prefix}customer.changes.system-b` }),
    sources: defineTopic({ ...byKey, name: `${prefix}customer.sources`, value: sourceRecordSerde, create: table }),
    overrides: defineTopic({
      ...byKey,
      name: `${prefix}customer.overrides`,
      value: stewardOverridesSerde,
      create: table,
    }),
    merged: defineTopic({
      ...byKey,
      name: `${prefix}customer.merged`,
      value: customerMergedSerde,
      create: { partitions, configs: { ...compacted, 'min.cleanable.dirty.ratio': '0.3' } },
    }),
    conflicts: defineTopic({
      ...byKey,
      name: `${prefix}customer.conflicts`,
      value: conflictEventSerde,
      create: { partitions, configs: kept(thirtyDaysMs) },
    }),
    policy: defineTopic({
      ...byKey,
      name: `${prefix}customer.policy`,
      value: fieldPolicySerde,
      create: { partitions: 1, configs: compacted },
    }),
    dlq: defineTopic({
      ...raw,
      name: `${prefix}customer.dlq`,
      create: { partitions: 1, configs: kept(thirtyDaysMs) },
    }),
    detached: defineTopic({
      ...byKey,
      name: `${prefix}customer.detached`,
      value: detachedCustomerSerde,
      create: table,
    }),
  });
}
