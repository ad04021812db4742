import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { canonicalJson } from '../../schemas/serde.ts';

test('equal values have one text, whatever the order in which they were made, and it is read back as they were', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const text = canonicalJson(value) ?? '';
      expect(canonicalJson(reversed(JSON.parse(text)))).toBe(text);
      expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(value)));
    }),
  );
});

test('keys lie in the order of their code units, numbers among them', () => {
  expect(canonicalJson({ b: 1, '10': 2, '9': 3, a: 4, A: 5 })).toBe('{"10":2,"9":3,"A":5,"a":4,"b":1}');
});

test('any text is written as JSON writes it', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      expect(canonicalJson({ [text]: text })).toBe(JSON.stringify({ [text]: text }));
    }),
  );
  for (const text of ['"', '\\', '\u0000', '\u001f', '\u007f', '\u2028', '\ud800'])
    expect(canonicalJson(text)).toBe(JSON.stringify(text));
});

test('a bigint has the text that is given for it, and none otherwise', () => {
  expect(canonicalJson({ b: [1n], a: 2n }, (value) => `${value}n`)).toBe('{"a":"2n","b":["1n"]}');
  expect(() => canonicalJson({ a: 1n })).toThrow(TypeError);
});

function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .map(([key, item]) => [key, reversed(item)] as const)
      .toReversed(),
  );
}
