/** The Avro schemas of the customer topics. Compacted topics keep old values for ever: their schemas are readable in both directions. */
import {
  count,
  field,
  flag,
  instant,
  list,
  map,
  nullable,
  oneOf,
  optional,
  optionalList,
  record,
  text,
  topicSchema,
  type AvroField,
} from '../avro-fields.ts';
import type { DeclaredValue } from '../record-format.ts';
import { changeOps, parseSourceChange, sourceChangeSerde, type SourceChange } from './change.ts';
import { conflictEventSerde, parseConflictEvent, type ConflictEvent } from './conflict-event.ts';
import { sourceSystems } from './fields.ts';
import {
  customerMergedSerde,
  detachedCustomerSerde,
  newerSources,
  parseCustomerMerged,
  parseDetachedCustomer,
  type CustomerMerged,
  type DetachedCustomer,
} from './merged.ts';
import {
  overrideActions,
  parseStewardOverride,
  parseStewardOverrides,
  stewardOverrideSerde,
  stewardOverridesSerde,
  type StewardOverride,
  type StewardOverrides,
} from './override.ts';
import { equivalences, fieldPolicySerde, parseFieldPolicy, strategySteps, type FieldPolicy } from './policy.ts';
import { parseSourceRecord, sourceRecordSerde, type SourceRecord } from './source-record.ts';
import { isObject } from '../reader.ts';

const source = oneOf('SourceSystem', sourceSystems);
/** A field that is not there was never told; one without value is empty. */
const image = map(nullable(text));
const seq: AvroField = { name: 'seq', type: count, default: 0 };
const version = record('Version', field('ts', instant), seq, { name: 'tie', type: text, default: '' });
const clock = record('FieldClock', field('ts', instant), seq, flag('record'));

export const customerChangeValue: DeclaredValue<SourceChange> = {
  json: sourceChangeSerde,
  avro: {
    level: 'BACKWARD_TRANSITIVE',
    parse: parseSourceChange,
    schema: topicSchema(
      'CustomerChange',
      optional('eventId', text),
      field('source', source),
      field('sourceId', text),
      field('op', oneOf('ChangeOp', [...changeOps, 'TOMBSTONE'])),
      optional('version', version),
      optional('email', text),
      optional('emailRaw', text),
      optional('image', image),
      optionalList('present', text),
      optional('updatedAt', instant),
      optional('before', record('Before', field('email', text))),
      flag('tombstoneFollows'),
      field('ingestedAt', instant),
    ),
  },
};

export const sourceRecordValue: DeclaredValue<SourceRecord> = {
  json: sourceRecordSerde,
  avro: {
    level: 'FULL_TRANSITIVE',
    parse: parseSourceRecord,
    schema: topicSchema(
      'SourceRecord',
      field('ref', text),
      field('source', source),
      optional('email', text),
      optional('emailRaw', text),
      field('version', version),
      field('image', image),
      field('clocks', map(clock)),
      flag('deleted'),
      optional('deletedAt', instant),
      field('acceptedCount', count),
      field('firstSeen', instant),
      optional('updatedAt', instant),
      field('eventId', text),
      flag('tombstoneDue'),
    ),
  },
};

const metadata = record(
  'FieldMetadata',
  field('source', oneOf('ValueSource', [...sourceSystems, 'steward'])),
  field('ref', text),
  field('changedAt', instant),
  field('rule', text),
  flag('pinned'),
);

const candidate = record(
  'ConflictCandidate',
  field('source', source),
  field('ref', text),
  optional('value', text),
  field('changedAt', instant),
);

const conflict = record(
  'FieldConflict',
  field('candidates', list(candidate)),
  field('newerSource', oneOf('NewerSource', newerSources)),
  field('chosen', text),
  field('rule', text),
  field('since', instant),
);

const mergedFields: readonly AvroField[] = [
  field('email', text),
  optional('name', text),
  optional('address', text),
  optional('phone', text),
  // Text: a steward may pin what is no date.
  optional('contractStart', text),
  optional('contractType', text),
  optional('systemAId', text),
  optional('systemBUuid', text),
  field('sources', list(source)),
  field('isPartial', 'boolean'),
  field('version', count),
  field('createdAt', instant),
  field('lastMergedAt', instant),
  optional('systemAUpdated', instant),
  optional('systemBUpdated', instant),
  field('fieldMetadata', map(metadata)),
  field('conflicts', map(conflict)),
  optional('duplicates', map(list(text))),
  field('vector', map(record('Position', field('ts', instant), field('seq', count)))),
];

export const customerMergedValue: DeclaredValue<CustomerMerged> = {
  json: customerMergedSerde,
  avro: {
    level: 'FULL_TRANSITIVE',
    parse: parseCustomerMerged,
    schema: topicSchema('CustomerMerged', ...mergedFields),
  },
};

export const detachedCustomerValue: DeclaredValue<DetachedCustomer> = {
  json: detachedCustomerSerde,
  avro: {
    level: 'FULL_TRANSITIVE',
    parse: parseDetachedCustomer,
    schema: topicSchema('DetachedCustomer', field('ref', text), field('detached', 'boolean'), ...mergedFields),
  },
};

/** A pin to nothing differs from a decision without a value. */
const overrideFields: readonly AvroField[] = [
  field('email', text),
  field('action', oneOf('OverrideAction', overrideActions)),
  optional('field', text),
  optional('value', text),
  flag('isValueNull'),
  optional('source', source),
  optional('ref', text),
  optional('expectedVersion', count),
  field('actorId', text),
  field('reason', text),
  field('at', instant),
];
const override = record('StewardOverride', ...overrideFields);

const plainOverride = (decision: StewardOverride): object => ({ ...decision, isValueNull: decision.value === null });

function withValue(decision: unknown): unknown {
  if (!isObject(decision)) return decision;
  const { value, isValueNull, ...rest } = decision as { readonly value?: unknown; readonly isValueNull?: unknown };
  return value === null && isValueNull !== true ? rest : { ...rest, value };
}

export const stewardDecisionValue: DeclaredValue<StewardOverride> = {
  json: stewardOverrideSerde,
  avro: {
    level: 'BACKWARD_TRANSITIVE',
    plain: plainOverride,
    parse: (value) => parseStewardOverride(withValue(value)),
    schema: topicSchema('StewardDecision', ...overrideFields),
  },
};

export const stewardOverridesValue: DeclaredValue<StewardOverrides> = {
  json: stewardOverridesSerde,
  avro: {
    level: 'FULL_TRANSITIVE',
    // The root of a registered schema has to have a name: the list is wrapped.
    plain: (overrides) => ({ overrides: overrides.map(plainOverride) }),
    parse: (value) => {
      const { overrides } = value as { readonly overrides: readonly unknown[] };
      return parseStewardOverrides(overrides.map(withValue));
    },
    schema: topicSchema('StewardOverrides', field('overrides', list(override))),
  },
};

export const conflictEventValue: DeclaredValue<ConflictEvent> = {
  json: conflictEventSerde,
  avro: {
    level: 'BACKWARD_TRANSITIVE',
    plain: (event) => (event.kind === 'override' ? { ...event, override: plainOverride(event.override) } : event),
    parse: (value) => {
      const event = value as { readonly override?: unknown };
      return parseConflictEvent({ ...event, override: withValue(event.override) });
    },
    schema: topicSchema(
      'ConflictEvent',
      field('kind', oneOf('ConflictKind', ['field_value', 'duplicate_source_record', 'override'])),
      field('type', oneOf('ConflictState', ['opened', 'changed', 'resolved', 'accepted', 'refused'])),
      field('email', text),
      field('version', count),
      field('at', instant),
      optional('field', text),
      optional('conflict', conflict),
      optional('resolvedBy', text),
      optional('source', source),
      optional('refs', list(text)),
      optional('override', override),
      optional('versionBefore', count),
    ),
  },
};

const trust = record('Trust', ...sourceSystems.map((system) => optional(system, count)));

export const fieldPolicyValue: DeclaredValue<FieldPolicy> = {
  json: fieldPolicySerde,
  avro: {
    level: 'FULL_TRANSITIVE',
    parse: parseFieldPolicy,
    schema: topicSchema(
      'FieldPolicy',
      field('strategy', list(oneOf('StrategyStep', strategySteps))),
      optionalList('priority', source),
      field('nullPolicy', oneOf('NullPolicy', ['ignore', 'clear'])),
      field('equivalence', oneOf('Equivalence', equivalences)),
      optional('trust', trust),
      optional('trustDecayPerDay', count),
    ),
  },
};
