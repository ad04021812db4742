import { describe, expect, test } from '@jest/globals';
import { Type, type Static } from '@sinclair/typebox';
import { Value } from '@sinclair/typebox/value';
import * as v from 'valibot';
import { z } from 'zod';
import { canonicalJsonSerde, jsonSerde, type Serde } from '../../index.ts';

interface Order {
  readonly id: string;
  readonly amount: number;
  readonly note?: string | undefined;
}

const typeboxOrder = Type.Object({
  id: Type.String(),
  amount: Type.Integer({ minimum: 1 }),
  note: Type.Optional(Type.String()),
});

// Of zod and valibot the schema itself, which is a Standard Schema; typebox has none, and goes in as a function.
const zodOrder = z.object({ id: z.string(), amount: z.int().min(1), note: z.string().optional() });
const valibotOrder = v.object({
  id: v.string(),
  amount: v.pipe(v.number(), v.integer(), v.minValue(1)),
  note: v.optional(v.string()),
});
const decodeTypebox = (value: unknown): Static<typeof typeboxOrder> => Value.Decode(typeboxOrder, value);

const serdes: Readonly<Record<string, readonly [plain: Serde<Order>, canonical: Serde<Order>]>> = {
  zod: [jsonSerde(zodOrder), canonicalJsonSerde(zodOrder)],
  valibot: [jsonSerde(valibotOrder), canonicalJsonSerde(valibotOrder)],
  typebox: [jsonSerde(decodeTypebox), canonicalJsonSerde(decodeTypebox)],
};

describe.each(Object.entries(serdes))('a schema of %s', (_, [plain, canonical]) => {
  test('types and checks what is read', () => {
    expect(plain.deserialize(plain.serialize({ id: 'a', amount: 3 }))).toEqual({ id: 'a', amount: 3 });
    expect(Buffer.from(canonical.serialize({ id: 'a', amount: 3 })).toString()).toBe('{"amount":3,"id":"a"}');
    expect(canonical.deserialize(Buffer.from('{"amount":3,"id":"a","note":"n"}'))).toEqual({
      id: 'a',
      amount: 3,
      note: 'n',
    });
  });

  test.each(['{"id":"a","amount":0}', '{"id":7,"amount":1}', '{"amount":1}', '[]', 'null'])('refuses %s', (text) => {
    for (const serde of [plain, canonical]) expect(() => serde.deserialize(Buffer.from(text))).toThrow();
  });
});
