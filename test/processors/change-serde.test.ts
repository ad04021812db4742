import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { changeSerde } from '../../processors/change-serde.ts';
import { stringSerde, type Serde } from '../../schemas/serde.ts';
import { failureOf } from '../support/node-harness.ts';

const serde = changeSerde(stringSerde);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

describe('a change on its way to its group', () => {
  // Kafka Streams writes and reads exactly these.
  test.each([
    [{ newValue: null, oldValue: 'ab' }, '616200'],
    [{ newValue: 'ab', oldValue: null }, '616201'],
    [{ newValue: 'ab', oldValue: 'c' }, '0461626302'],
    [{ newValue: '', oldValue: '' }, '0002'],
    [{ newValue: 'n'.repeat(64), oldValue: 'o' }, `8001${'6e'.repeat(64)}6f02`],
  ])('%j', (change, bytes) => {
    expect(hex(serde.serialize(change))).toBe(bytes);
    expect(serde.deserialize(Buffer.from(bytes, 'hex'))).toEqual(change);
  });

  test.each([
    ['61620103', { newValue: null, oldValue: 'ab' }],
    ['61620004', { newValue: 'ab', oldValue: null }],
    ['046162630105', { newValue: 'ab', oldValue: 'c' }],
  ])('%s, which says whether it is the latest, is understood', (bytes, change) => {
    expect(serde.deserialize(Buffer.from(bytes, 'hex'))).toEqual(change);
  });

  test('any change comes back', () => {
    const value = fc.option(fc.string({ unit: 'grapheme' }), { nil: null });
    fc.assert(
      fc.property(value, value, (newValue, oldValue) => {
        fc.pre(newValue !== null || oldValue !== null);
        expect(serde.deserialize(serde.serialize({ newValue, oldValue }))).toEqual({ newValue, oldValue });
      }),
    );
  });

  test.each(['', '06', '04', '02', '0a616202', 'ffffffffff02', '0261620f', '0102'])('%j is refused', (bytes) => {
    expect(failureOf(() => serde.deserialize(Buffer.from(bytes, 'hex'))).code).toBe('DESERIALIZATION_FAILED');
  });

  test('a change of nothing is refused', () => {
    expect(failureOf(() => serde.serialize({ newValue: null, oldValue: null })).code).toBe('SERIALIZATION_FAILED');
  });

  test('prepares both values of every change', async () => {
    const prepared: string[] = [];
    const inner: Serde<string> = {
      ...stringSerde,
      prepare: async (values) => {
        prepared.push(...values.map((bytes) => Buffer.from(bytes).toString()));
      },
    };
    const changes = changeSerde(inner);
    await changes.prepare?.([
      changes.serialize({ newValue: 'a', oldValue: 'b' }),
      changes.serialize({ newValue: null, oldValue: 'c' }),
    ]);
    expect(prepared).toEqual(['a', 'b', 'c']);
    expect('prepare' in serde).toBe(false);
  });
});
