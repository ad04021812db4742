import { describe, expect, test } from '@jest/globals';
import { differences } from '../../../../processors/app/shadow/difference.ts';

describe('two answers', () => {
  test.each([
    ['decimals', { balance: '10.00' }, { balance: '10.00000000' }],
    ['decimals as text and number', { balance: '10.50' }, { balance: 10.5 }],
    ['a negative zero', { balance: '-0.00' }, { balance: 0 }],
    ['the order of names', { a: 1, b: 2 }, { b: 2, a: 1 }],
    ['names in either spelling', { contract_start: '2026-01-01' }, { contractStart: '2026-01-01' }],
    ['a day and its midnight', { contractStart: '2026-01-01' }, { contractStart: '2026-01-01T00:00:00.000Z' }],
    ['an instant in another zone', { at: '2026-01-01T01:00:00+01:00' }, { at: '2026-01-01T00:00:00Z' }],
    ['what is not there, null and empty', { phone: null }, { address: '' }],
    ['composed letters and blanks around', { name: ' Bo\u0308b' }, { name: 'B\u00f6b' }],
    ['what is ignored', { version: 1, name: 'Ann' }, { version: 2, name: 'Ann' }],
  ])('are the same but for %s', (_, left, right) => {
    expect(differences(left, right, ['version'])).toEqual([]);
  });

  test.each([
    [{ name: 'Ann' }, { name: 'ann' }, ['name']],
    [{ phone: '0441' }, { phone: '441' }, ['phone']],
    [{ a: { b: 1, c: 2 } }, { a: { b: 1, c: 3 } }, ['a.c']],
    [{ sources: ['a', 'b'] }, { sources: ['b', 'a'] }, ['sources']],
    [{ at: '2026-01-01' }, { at: '2026-01-02' }, ['at']],
    [{ b: 1, a: 1 }, { b: 2, a: 2 }, ['a', 'b']],
    [{ at: '2026-13-45' }, { at: '2026-13-46' }, ['at']],
  ])('differ: %j and %j', (left, right, paths) => {
    expect(differences(left, right)).toEqual(paths);
  });

  test('take names that objects inherit as names like any other, and end however deep they are', () => {
    const left: unknown = JSON.parse('{"__proto__":{"polluted":true},"constructor":1}');
    expect(differences(left, {})).toEqual(['__proto__', 'constructor']);
    const deep = (levels: number, value: number): unknown => (levels === 0 ? value : { x: deep(levels - 1, value) });
    expect(differences(deep(50, 1), deep(50, 2))).toHaveLength(1);
    expect(differences(deep(50, 1), deep(50, 1))).toEqual([]);
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });
});
