import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { afterPrefix, fromBinaryKey, toBinaryKey } from '../../state-stores/binary-key.ts';
import { KeyIndex, type KeyRange } from '../../state-stores/key-index.ts';

const key = fc.uint8Array({ maxLength: 2 }).map((bytes) => toBinaryKey(bytes));
const range: fc.Arbitrary<KeyRange> = fc.record({ from: key, to: key, reverse: fc.boolean() }, { requiredKeys: [] });

function within(model: Iterable<string>, { from, to, reverse }: KeyRange): string[] {
  const keys = [...model]
    .filter((name) => (from === undefined || name >= from) && (to === undefined || name < to))
    .sort();
  return reverse === true ? keys.reverse() : keys;
}

test('binary keys order as their bytes do and come back as they were', () => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.uint8Array(), (a, b) => {
      const [first, second] = [toBinaryKey(a), toBinaryKey(b)];
      expect(first < second ? -1 : first > second ? 1 : 0).toBe(Buffer.compare(a, b));
      expect(Buffer.compare(fromBinaryKey(first), a)).toBe(0);
    }),
  );
});

test('the key after a prefix is above everything that begins with it, and nothing else is between', () => {
  expect(afterPrefix('a')).toBe('b');
  expect(afterPrefix('a\xff\xff')).toBe('b');
  expect(afterPrefix('\xff')).toBeUndefined();
  expect(afterPrefix('')).toBeUndefined();
});

test('it behaves as a sorted set does, at all sizes', () => {
  const index = new KeyIndex();
  const model = new Set<string>();
  for (let number = 0; number < 6000; number += 1) {
    const name = toBinaryKey(Buffer.of((number * 7919) & 0xff, (number * 7919) >> 8));
    index.add(name);
    model.add(name);
  }
  const operations = fc.array(fc.tuple(fc.boolean(), key), { maxLength: 400 });
  fc.assert(
    fc.property(operations, range, (changes, wanted) => {
      for (const [isAdded, name] of changes) {
        expect(index.has(name)).toBe(model.has(name));
        if (isAdded) {
          expect(index.add(name)).toBe(!model.has(name));
          model.add(name);
        } else expect(index.delete(name)).toBe(model.delete(name));
      }
      expect(index.size).toBe(model.size);
      expect([...index.keys(wanted)]).toEqual(within(model, wanted));
    }),
    { numRuns: 300 },
  );
  expect(model.size).toBeGreaterThan(5000);
  for (const name of [...model]) index.delete(name);
  expect(index.size).toBe(0);
  expect([...index.keys()]).toEqual([]);
});

test('an iteration shows the set as it was when it began', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(key, { maxLength: 3000 }),
      range,
      fc.array(fc.tuple(fc.boolean(), key)),
      (names, wanted, changes) => {
        const index = new KeyIndex();
        for (const name of names) index.add(name);
        const iterations = [index.keys(wanted), index.keys(wanted)];
        const [first, second] = iterations.map((iteration) => iteration[Symbol.iterator]());
        const seen: string[] = [];
        for (const [isAdded, name] of changes) {
          const next = first!.next();
          if (next.done !== true) seen.push(next.value);
          if (isAdded) index.add(name);
          else index.delete(name);
        }
        for (const name of { [Symbol.iterator]: () => first! }) seen.push(name);
        expect(seen).toEqual(within(names, wanted));
        index.clear();
        expect([...second!]).toEqual(within(names, wanted));
      },
    ),
    { numRuns: 50 },
  );
});
