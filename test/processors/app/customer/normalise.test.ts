import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { dateFrom, isoFromMicros, microsFrom } from '../../../../schemas/app/customer/instant.ts';
import { canonicalEmail } from '../../../../processors/app/customer/normalise.ts';

describe('a canonical e-mail', () => {
  test.each([
    ['Ann@Example.TEST', 'ann@example.test'],
    ['  ann@example.test\t', 'ann@example.test'],
    ['bo\u0308b@x.test', 'b\u00f6b@x.test'],
    ['B\u00d6B@x.test', 'b\u00f6b@x.test'],
    ['a+b@x', 'a+b@x'],
    ['', undefined],
    ['   ', undefined],
    [null, undefined],
    ['ann', undefined],
    ['ann@', undefined],
    ['@x.test', undefined],
    ['a@b@c', undefined],
    ['a b@x.test', undefined],
    ['a\u0000@x.test', undefined],
    ['a\u200b@x.test', undefined],
    ['a\ud800@x.test', undefined],
    [`${'a'.repeat(250)}@x.test`, undefined],
  ])('of %p is %p', (raw, canonical) => {
    expect(canonicalEmail(raw)).toBe(canonical);
  });

  test('made canonical again is the same', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.emailAddress(),
          fc.string({ unit: 'binary' }),
          fc.string().map((s) => `${s}@${s}`),
        ),
        (raw) => {
          const once = canonicalEmail(raw);
          if (once !== undefined) expect(canonicalEmail(once)).toBe(once);
        },
      ),
      { numRuns: 2000 },
    );
  });

  test('is found or refused in linear time', () => {
    const started = performance.now();
    for (const bomb of ['@'.repeat(100_000), `${'a'.repeat(100_000)}@`, ' '.repeat(100_000)])
      expect(canonicalEmail(bomb)).toBeUndefined();
    expect(performance.now() - started).toBeLessThan(500);
  });
});

describe('instants and dates', () => {
  test('text becomes microseconds and back, agreeing with the calendar of the platform', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (micros) => {
        const iso = isoFromMicros(micros);
        const millis = new Date(Math.floor(micros / 1000)).toISOString().slice(0, 23);
        expect(iso).toBe(`${millis}${String(micros % 1000).padStart(3, '0')}Z`);
        expect(microsFrom(iso)).toBe(micros);
      }),
    );
  });

  test.each([
    ['1970-01-01T00:00:00Z', 0],
    ['1970-01-01', 0],
    ['1970-01-01 00:00:01', 1_000_000],
    ['1970-01-01T00:00', 0],
    ['1970-01-01T01:00:00+01:00', 0],
    ['1970-01-01T00:00:00.123456789Z', 123_456],
    ['1969-12-31T23:59:59Z', -1_000_000],
    ['1970-13-01', undefined],
    ['1970-02-30', undefined],
    ['1970-01-01T24:00:00Z', undefined],
    ['1970-01-01T00:00:60Z', undefined],
    ['9999-12-31T00:00:00Z', undefined],
    ['now', undefined],
    ['', undefined],
    [1.5, undefined],
    [NaN, undefined],
    [1000, 1_000_000],
    [1_767_225_600_000, 1_767_225_600_000_000],
    [1_767_225_600_000_000, 1_767_225_600_000_000],
    [1_767_225_600_000_000_000, 1_767_225_600_000_000],
    [1_767_225_600_000_000n, 1_767_225_600_000_000],
    [1e308, undefined],
    [null, undefined],
    [{}, undefined],
  ])('%p is %p microseconds', (given, micros) => {
    expect(microsFrom(given)).toBe(micros);
  });

  test.each([
    ['0000-02-29', '0000-02-29'],
    ['1900-02-29', undefined],
    [2_932_896, '9999-12-31'],
    [-719_528, '0000-01-01'],
    [-719_529, undefined],
    [0.5, undefined],
    ['infinity', undefined],
    [true, undefined],
  ])('the date of %p is %p', (given, date) => {
    expect(dateFrom(given)).toBe(date);
  });
});
