import { describe, expect, test } from '@jest/globals';
import { defineTopic, defineTopology, int64Serde, jsonSerde, stringSerde, validatedSerde } from '../../index.ts';
import type { StandardSchema } from '../../index.ts';
import { TestDriver } from '../../testing.ts';
import { failureOf } from '../support/node-harness.ts';

interface Person {
  readonly name: string;
}

/** As the libraries make them. */
const person: StandardSchema<Person> = {
  '~standard': {
    version: 1,
    vendor: 'by-hand',
    validate: (value) =>
      typeof value === 'object' && value !== null && 'name' in value && typeof value.name === 'string'
        ? { value: { name: value.name } }
        : { issues: [{ message: 'secret', path: ['name', { key: 0 }] }, { message: 'secret' }] },
  },
};

const positive: StandardSchema<number> = {
  '~standard': {
    version: 1,
    vendor: 'by-hand',
    validate: (value) =>
      typeof value === 'number' && value > 0 ? { value } : { issues: [{ message: 'not positive' }] },
  },
};

describe('schemas of serdes', () => {
  test('JSON becomes what its schema makes of it', () => {
    const serde = jsonSerde(person);
    const read: Person = serde.deserialize(Buffer.from('{"name":"Ann","more":1}'));
    expect(read).toEqual({ name: 'Ann' });
  });

  test('the failure names places, never values', () => {
    const error = failureOf(() => jsonSerde(person).deserialize(Buffer.from('{"name":7}')));
    expect(error).toMatchObject({
      code: 'DESERIALIZATION_FAILED',
      message: 'does not fit its schema at name.0, the whole',
    });
    expect(JSON.stringify(error)).not.toContain('secret');
  });

  test('a schema that is asynchronous is refused', () => {
    const late: StandardSchema<string> = {
      '~standard': { version: 1, vendor: 'by-hand', validate: () => Promise.resolve({ value: 'late' }) },
    };
    expect(failureOf(() => jsonSerde(late).deserialize(Buffer.from('1')))).toMatchObject({
      code: 'DESERIALIZATION_FAILED',
    });
  });

  test('a topic whose serde has a schema takes only what fits', () => {
    const amounts = defineTopic({ name: 'amounts', key: stringSerde, value: validatedSerde(int64Serde, positive) });
    const topology = defineTopology('checked', (t) => {
      t.stream(amounts, { onError: 'skip' }).to(defineTopic({ ...amounts, name: 'out' }));
    });
    const driver = new TestDriver(topology);
    for (const amount of [1, -1, 2]) driver.pipe(amounts, 'k', amount);
    expect(driver.read(defineTopic({ ...amounts, name: 'out' })).map(({ value }) => value)).toEqual([1, 2]);
  });
});
