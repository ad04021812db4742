import { describe, expect, test } from '@jest/globals';
import { failureOf } from '../support/node-harness.ts';
import { instruction, responseSerde, subscriptionPrefix, subscriptionSerde } from '../../processors/subscription.ts';
import { stringSerde } from '../../schemas/serde.ts';

const hash = Buffer.from('00112233445566778899aabbccddeeff', 'hex');
const primaryKey = Buffer.from('pk');

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

describe('the messages of a foreign-key join', () => {
  test.each([
    [{ hash, partition: 5 }, `0102${hex(hash)}706b00000005`],
    [{ hash: undefined, partition: 5 }, '8102706b00000005'],
    [{ hash, partition: undefined }, `0002${hex(hash)}706b`],
  ])('a subscription has the layout of Kafka Streams: %#', (some, bytes) => {
    const subscription = { instruction: instruction.answer, primaryKey, ...some };

    expect(hex(subscriptionSerde.serialize(subscription))).toBe(bytes);
    expect(subscriptionSerde.deserialize(Buffer.from(bytes, 'hex'))).toEqual(subscription);
  });

  test.each([
    [{ hash, value: 'v' }, `00${hex(hash)}76`],
    [{ hash, value: null }, `00${hex(hash)}`],
    [{ hash: undefined, value: null }, '80'],
  ])('a response has the layout of Kafka Streams: %#', (some, bytes) => {
    const serde = responseSerde(stringSerde);
    const response = { ...some, partition: undefined };

    expect(hex(serde.serialize(response))).toBe(bytes);
    expect(serde.deserialize(Buffer.from(bytes, 'hex'))).toEqual(response);
  });

  test.each(['', '01', '0109706b00000005', '0202706b', '0102aa', '8102aa'])(
    'what is no subscription is refused: %j',
    (bytes) => {
      expect(failureOf(() => subscriptionSerde.deserialize(Buffer.from(bytes, 'hex'))).code).toBe(
        'DESERIALIZATION_FAILED',
      );
    },
  );

  test('subscriptions to a key lie together, and apart from those to keys that begin like it', () => {
    expect(hex(subscriptionPrefix(Buffer.from('ab')))).toBe('000000026162');
    expect(hex(subscriptionPrefix(Buffer.from('abc'))).startsWith('000000026162')).toBe(false);
  });

  test('prepares the values that answers carry', async () => {
    const prepared: string[] = [];
    const serde = responseSerde({
      ...stringSerde,
      prepare: async (values) => {
        prepared.push(...values.map((bytes) => Buffer.from(bytes).toString()));
      },
    });

    await serde.prepare?.([
      serde.serialize({ hash, value: 'v', partition: undefined }),
      serde.serialize({ hash, value: null, partition: undefined }),
    ]);

    expect(prepared).toEqual(['v']);
  });
});
