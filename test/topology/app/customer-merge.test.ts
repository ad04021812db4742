import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { customerTopics } from '../../../schemas/app/customer/topics.ts';
import { jsonFormat } from '../../../schemas/app/record-format.ts';
import { canonicalJson } from '../../../schemas/serde.ts';
import { customerMerge } from '../../../topology/app/customer-merge.ts';
import { describe as describeTopology } from '../../../topology/describe.ts';
import { TestDriver } from '../../../topology/runtime/driver.ts';
import { registeredAvro } from '../../support/avro.ts';
import { choices, histories, interleaved, overrideLists } from '../../support/customer/arbitraries.ts';
import { decoded, written as asWritten } from '../../support/customer/records.ts';
import type { WrittenChange } from '../../support/customer/records.ts';
import { referenceFold } from '../../support/customer/reference-fold.ts';

const topics = customerTopics();
const formats = { JSON: jsonFormat, Avro: await registeredAvro() };
const timestampMs = 1_767_225_600_000;

function pipe(driver: TestDriver, record: WrittenChange): void {
  const topic = record.source === 'system_a' ? topics.changesA : topics.changesB;
  driver.pipeBytes(topic.name, record.key, record.value, { timestampMs });
}

function mergedIn(driver: TestDriver, { merged: topic } = topics): Map<string, string | null> {
  const merged = new Map<string, string | null>();
  for (const { key, value } of driver.read(topic))
    merged.set(key ?? '', value === null ? null : (canonicalJson(value) ?? ''));
  return merged;
}

describe('the customer merge, run as a topology', () => {
  it.each(Object.entries(formats))(
    'I-C1: customer.merged in %s equals the reference fold of all inputs byte for byte, in any interleaving and over several partitions',
    (_, format) => {
      const written = customerTopics('', format);
      fc.assert(
        fc.property(
          histories,
          overrideLists,
          choices,
          fc.integer({ min: 1, max: 3 }),
          (queues, overrides, order, partitions) => {
            const driver = new TestDriver(customerMerge('', format), { partitions });
            const inputs = interleaved(queues, order).map(asWritten);
            for (const input of inputs) pipe(driver, input);
            for (const { email, overrides: list } of overrides)
              driver.pipe(written.overrides, email, list, { timestampMs });
            const merged = mergedIn(driver, written);
            for (const [email, { json }] of referenceFold(
              inputs.flatMap((input) => decoded(input, timestampMs)),
              overrides,
            ))
              expect(merged.get(email) ?? null).toBe(json);
            expect(driver.read(topics.dlq)).toHaveLength(0);
          },
        ),
        { numRuns: 60 },
      );
    },
  );

  it('dead-letters what is no customer change, with its bytes, and goes on', () => {
    const driver = new TestDriver(customerMerge());
    const bad = Buffer.from([0xff, 0xfe, 0x00]);
    driver.pipeBytes(topics.changesA.name, Buffer.from('k'), bad, { timestampMs });
    driver.pipeBytes(topics.changesA.name, Buffer.from('k'), Buffer.from('{"__proto__":{"polluted":true}}'), {
      timestampMs,
    });
    driver.pipeBytes(topics.changesB.name, Buffer.from('__proto__'), Buffer.from('[1,2,3]'), { timestampMs });
    driver.pipeBytes(topics.changesB.name, undefined, Buffer.from('"text"'), { timestampMs });
    driver.pipeBytes(topics.changesB.name, Buffer.from('k'), Buffer.from('{}'), {
      timestampMs: Date.UTC(9999, 11, 31),
    });
    const good = {
      eventId: 'e',
      source: 'system_a',
      operation: 'UPDATE',
      timestamp: timestampMs,
      payload: { email: 'Ann@X.test', id: '1', name: 'Ann', address: 'Elm 1', lastUpdated: timestampMs },
    };
    driver.pipeBytes(topics.changesA.name, Buffer.from('ann@x.test'), Buffer.from(JSON.stringify(good)), {
      timestampMs,
    });
    const dead = driver.read(topics.dlq);
    expect(dead).toHaveLength(5);
    expect(dead[0]?.value).toEqual(bad);
    const headers = new Map(dead[4]?.headers.map(({ key, value }) => [key, Buffer.from(value ?? []).toString()]));
    expect(headers.get('rivulet.dlq.code')).toBe('TIMESTAMP_INVALID');
    expect(headers.get('__streams.errors.topic')).toBe(topics.changesB.name);
    expect([...mergedIn(driver).keys()]).toEqual(['ann@x.test']);
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });

  it('has the sub-topologies and internal topics that its documentation names', () => {
    const driver = new TestDriver(customerMerge(), { partitions: 6 });
    expect(driver.plan.internalTopics.map(({ name, partitions }) => `${name}/${String(partitions)}`)).toEqual([
      'customer-merge-by-email-repartition/6',
      'customer-merge-by-source-repartition/6',
      'customer-merge-customer.changes.system-a-replay/6',
      'customer-merge-customer.changes.system-b-replay/6',
      'customer-merge-customer.decisions-replay/6',
      'customer-merge-customer.overrides-replay/6',
      'customer-merge-customers-changelog/6',
      'customer-merge-source-records-changelog/6',
      'customer-merge-steward-decisions-changelog/6',
    ]);
    expect(driver.plan.subTopologies).toHaveLength(4);
    expect(describeTopology(customerMerge())).toContain('Sub-topology: 3');
  });
});
