import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { parseSourceChange, sourceChangeSerde, type SourceChange } from '../../../../schemas/app/customer/change.ts';
import { conflictEventSerde, parseConflictEvent } from '../../../../schemas/app/customer/conflict-event.ts';
import { contributionChangeSerde, parseContributionChange } from '../../../../schemas/app/customer/contribution.ts';
import { parseSourceRef, sourceRef } from '../../../../schemas/app/customer/fields.ts';
import {
  customerMergedSerde,
  detachedCustomerSerde,
  parseCustomerMerged,
  parseDetachedCustomer,
} from '../../../../schemas/app/customer/merged.ts';
import { mergeStateSerde } from '../../../../schemas/app/customer/merge-state.ts';
import { parseStewardOverrides, stewardOverridesSerde } from '../../../../schemas/app/customer/override.ts';
import { defaultPolicy, fieldPolicySerde, parseFieldPolicy } from '../../../../schemas/app/customer/policy.ts';
import { parseSourceRecord, sourceRecordSerde } from '../../../../schemas/app/customer/source-record.ts';
import { customerTopics } from '../../../../schemas/app/customer/topics.ts';
import type { Serde } from '../../../../schemas/serde.ts';
import { registeredAvro } from '../../../support/avro.ts';
import { histories, overrideLists } from '../../../support/customer/arbitraries.ts';
import { foldAll } from '../../../support/customer/fold.ts';
import type { OverrideInput } from '../../../support/customer/reference-fold.ts';

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('utf8');

const avro = customerTopics('', await registeredAvro());

function expectRoundTrip<T>(serde: Serde<T>, value: T): void {
  const bytes = serde.serialize(value);
  const back = serde.deserialize(bytes);
  expect(back).toEqual(value);
  expect(text(serde.serialize(back))).toBe(text(bytes));
}

/** Also as Avro: what comes back is the same to the byte. */
function expectBothRoundTrips<T>(json: Serde<T>, value: T, { value: inAvro }: { readonly value: Serde<T> }): void {
  expectRoundTrip(json, value);
  const bytes = inAvro.serialize(value);
  expect(bytes[0]).toBe(0);
  expect(text(json.serialize(inAvro.deserialize(bytes)))).toBe(text(json.serialize(value)));
  expect(inAvro.deserialize(json.serialize(value))).toEqual(value);
}

function expectAllRoundTrip(changes: readonly SourceChange[], overrides: readonly OverrideInput[]): void {
  const { identity, merge } = foldAll(changes, overrides);
  const each = <T>(serde: Serde<T>, values: Iterable<T | null>, topic?: { readonly value: Serde<T> }): void => {
    for (const value of values)
      if (value !== null && topic !== undefined) expectBothRoundTrips(serde, value, topic);
      else if (value !== null) expectRoundTrip(serde, value);
  };
  each(sourceChangeSerde, changes);
  each(
    contributionChangeSerde,
    identity.results.flatMap(({ contributions }) => contributions),
  );
  each(sourceRecordSerde, identity.records.values(), avro.sources);
  each(mergeStateSerde, merge.states.values());
  each(customerMergedSerde, [...merge.published.values()].flat(), avro.merged);
  each(conflictEventSerde, merge.events, avro.conflicts);
  each(
    detachedCustomerSerde,
    merge.results.flatMap(({ detached }) => detached.map(({ value }) => value)),
    avro.detached,
  );
  each(
    stewardOverridesSerde,
    overrides.map((input) => input.overrides),
    avro.overrides,
  );
}

describe('records of the customer merge', () => {
  test('every value that the merge produces comes back from its bytes as it was', () => {
    fc.assert(
      fc.property(histories, overrideLists, (queues, overrides) => {
        expectAllRoundTrip(queues.flat(), overrides);
      }),
      { numRuns: 200 },
    );
    for (const policy of Object.values(defaultPolicy)) expectBothRoundTrips(fieldPolicySerde, policy, avro.policy);
  });

  // Written once and never edited: old bytes stay readable for ever.
  test.each<[string, Serde<never>, string]>([
    [
      'CustomerChange',
      sourceChangeSerde as Serde<never>,
      '{"email":"ann@x.test","emailRaw":"Ann@x.test","eventId":"e1","image":{"address":null,"name":"Ann"},"ingestedAt":9,"op":"UPDATE","present":["name","address","email"],"source":"system_a","sourceId":"1","updatedAt":8,"version":{"seq":7,"tie":"","ts":8}}',
    ],
    [
      'SourceRecord',
      sourceRecordSerde as Serde<never>,
      '{"acceptedCount":2,"clocks":{"name":{"record":true,"seq":0,"ts":8}},"deleted":false,"email":"ann@x.test","emailRaw":"Ann@x.test","eventId":"e1","firstSeen":3,"image":{"address":null,"name":"Ann"},"ref":"a:1","source":"system_a","updatedAt":8,"version":{"seq":7,"tie":"","ts":8}}',
    ],
    [
      'CustomerMerged',
      customerMergedSerde as Serde<never>,
      '{"address":"2 Low Rd","conflicts":{"address":{"candidates":[{"changedAt":1,"ref":"a:1","source":"system_a","value":"1 High St"},{"changedAt":2,"ref":"b:u1","source":"system_b","value":"2 Low Rd"}],"chosen":"b:u1","newerSource":"system_b","rule":"recency","since":2}},"createdAt":1,"email":"ann@x.test","fieldMetadata":{"address":{"changedAt":2,"pinned":false,"ref":"b:u1","rule":"recency","source":"system_b"}},"isPartial":false,"lastMergedAt":2,"sources":["system_a","system_b"],"systemAId":"1","systemAUpdated":1,"systemBUpdated":2,"systemBUuid":"u1","vector":{"a:1":{"seq":0,"ts":1},"b:u1":{"seq":0,"ts":2}},"version":2}',
    ],
    [
      'ConflictEvent',
      conflictEventSerde as Serde<never>,
      '{"at":2,"conflict":{"candidates":[],"chosen":"b:u1","newerSource":"equal","rule":"recency","since":2},"email":"ann@x.test","field":"address","kind":"field_value","resolvedBy":"retraction","type":"resolved","version":2}',
    ],
    [
      'StewardOverrides',
      stewardOverridesSerde as Serde<never>,
      '[{"action":"PIN_VALUE","actorId":"s1","at":5,"email":"ann@x.test","expectedVersion":3,"field":"name","reason":"phone call","value":null},{"action":"DETACH_REF","actorId":"s1","at":6,"email":"ann@x.test","reason":"","ref":"b:u1"}]',
    ],
    [
      'FieldPolicy',
      fieldPolicySerde as Serde<never>,
      '{"equivalence":"name","nullPolicy":"ignore","priority":["system_a","system_b"],"strategy":["pinned","valid","trust","recency"],"trust":{"system_a":5},"trustDecayPerDay":1}',
    ],
    [
      'ContributionChange',
      contributionChangeSerde as Serde<never>,
      '{"email":"ann@x.test","kind":"retract","retraction":{"acceptedCount":2,"at":9,"cause":"moved","firstSeen":1,"ref":"a:1","source":"system_a","version":{"seq":0,"tie":"~","ts":9}}}',
    ],
  ])('golden bytes of %s', (_name, serde, golden) => {
    expect(text(serde.serialize(serde.deserialize(Buffer.from(golden))))).toBe(golden);
  });

  test('an override may date itself in ISO 8601', () => {
    const [override] = parseStewardOverrides([
      { email: 'a@x.test', action: 'RELEASE', field: 'name', actorId: 's1', reason: 'r', at: '1970-01-01T00:00:01Z' },
    ]);
    expect(override?.at).toBe(1_000_000);
  });

  test.each([
    ['no list', {}],
    ['an unknown action', [{ email: 'a@x.test', action: 'ERASE', actorId: 's', at: 1 }]],
    ['a pin of no field', [{ email: 'a@x.test', action: 'PIN_VALUE', actorId: 's', at: 1 }]],
    ['an unknown field', [{ email: 'a@x.test', action: 'PIN_VALUE', field: 'constructor', actorId: 's', at: 1 }]],
    ['a detachment of nothing', [{ email: 'a@x.test', action: 'DETACH_REF', actorId: 's', at: 1 }]],
    ['a date that is none', [{ email: 'a@x.test', action: 'RELEASE', field: 'name', actorId: 's', at: 'soon' }]],
  ])('overrides with %s are refused', (_name, value) => {
    expect(() => parseStewardOverrides(value)).toThrow(expect.objectContaining({ code: 'DESERIALIZATION_FAILED' }));
  });

  test('references name a system and an id', () => {
    expect(parseSourceRef(sourceRef('system_b', 'u:1'))).toEqual({ source: 'system_b', sourceId: 'u:1' });
    for (const wrong of ['', 'a:', 'c:1', '__proto__']) expect(parseSourceRef(wrong)).toBeUndefined();
  });
});

const parsers = [
  parseSourceChange,
  parseSourceRecord,
  parseCustomerMerged,
  parseDetachedCustomer,
  parseConflictEvent,
  parseStewardOverrides,
  parseFieldPolicy,
  parseContributionChange,
];

describe('parsers', () => {
  test('refuse anything else with one code, without touching prototypes', () => {
    const anything = fc.anything({ withBigInt: true, withMap: true, withNullPrototype: true, withDate: true });
    fc.assert(
      fc.property(anything, fc.constantFrom(...parsers), (value, parse) => {
        try {
          parse(value);
        } catch (error) {
          expect(error).toMatchObject({ code: 'DESERIALIZATION_FAILED' });
        }
        expect(Object.keys(Object.prototype)).toEqual([]);
      }),
      { numRuns: 3000 },
    );
  });

  test('refuse maps with names that objects inherit, and say where', () => {
    const merged = (vector: string): string =>
      `{"email":"a@x.test","sources":[],"version":1,"createdAt":1,"lastMergedAt":1,"fieldMetadata":{},"conflicts":{},"vector":${vector}}`;
    const parse = (vector: string): unknown => parseCustomerMerged(JSON.parse(merged(vector)));
    expect(parse('{"a:1":{"ts":1,"seq":0}}')).toMatchObject({ version: 1 });
    for (const name of ['__proto__', 'constructor', 'toString'])
      expect(() => parse(`{"${name}":{"ts":1,"seq":0}}`)).toThrow(/customer\.vector: reserved name/);
    expect(({} as { ts?: number }).ts).toBeUndefined();
  });

  test('never repeat a value in their message', () => {
    expect(() => parseSourceRecord({ ref: 'secret-value', source: 'secret-value' })).toThrow(/^(?!.*secret)/);
  });
});

describe('topics', () => {
  test('have their names, partitions and settings', () => {
    const rows = Object.values(customerTopics()).map((topic) => {
      const { name, create } = topic as {
        name: string;
        create: { partitions: number; configs: Record<string, string> };
      };
      return [name, create.partitions, ...Object.entries(create.configs).map(([key, value]) => `${key}=${value}`)];
    });
    expect(rows).toEqual([
      ['customer.changes.system-a', 6, 'cleanup.policy=delete', 'retention.ms=604800000'],
      ['customer.changes.system-b', 6, 'cleanup.policy=delete', 'retention.ms=604800000'],
      ['customer.sources', 6, 'cleanup.policy=compact'],
      ['customer.decisions', 6, 'cleanup.policy=delete', 'retention.ms=2592000000'],
      ['customer.overrides', 6, 'cleanup.policy=compact'],
      ['customer.merged', 6, 'cleanup.policy=compact', 'min.cleanable.dirty.ratio=0.3'],
      ['customer.conflicts', 6, 'cleanup.policy=delete', 'retention.ms=2592000000'],
      ['customer.policy', 1, 'cleanup.policy=compact'],
      ['customer.dlq', 1, 'cleanup.policy=delete', 'retention.ms=2592000000'],
      ['customer.detached', 6, 'cleanup.policy=compact'],
    ]);
  });

  test('take a prefix', () => {
    expect(customerTopics('staging.').merged.name).toBe('staging.customer.merged');
    expect(() => customerTopics('a/')).toThrow(expect.objectContaining({ code: 'TOPOLOGY_INVALID' }));
  });
});
