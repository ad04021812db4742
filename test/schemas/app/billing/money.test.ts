import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  amountMax,
  formatAmount,
  moneyJsonSerde,
  parseAmount,
  parseLimit,
  readMoney,
} from '../../../../schemas/app/billing/money.ts';
import { uuid5 } from '../../../../schemas/app/billing/names.ts';

describe('an amount', () => {
  test.each([
    ['1', 100_000_000n],
    ['0.00000001', 1n],
    ['10.50', 1_050_000_000n],
    ['999999999999.99999999', amountMax],
  ])('%s is read exactly', (text, amount) => {
    expect(parseAmount(text)).toBe(amount);
  });

  test.each([
    ['-1', 'amount_negative'],
    ['0', 'amount_zero'],
    ['0.00000000', 'amount_zero'],
    ['-0', 'amount_zero'],
    ['NaN', 'amount_invalid'],
    ['Infinity', 'amount_invalid'],
    ['1e3', 'amount_invalid'],
    ['0x10', 'amount_invalid'],
    ['+1', 'amount_invalid'],
    ['01', 'amount_invalid'],
    ['1.', 'amount_invalid'],
    ['.5', 'amount_invalid'],
    ['1,5', 'amount_invalid'],
    [' 1', 'amount_invalid'],
    ['1\n', 'amount_invalid'],
    ['', 'amount_invalid'],
    ['\u0661', 'amount_invalid'],
    ['1'.repeat(65), 'amount_invalid'],
    [1, 'amount_invalid'],
    [null, 'amount_invalid'],
    ['1.000000000', 'amount_precision'],
    ['1000000000000', 'amount_overflow'],
  ])('%j is refused as %s', (value, code) => {
    expect(parseAmount(value)).toBe(code);
  });

  test('has one text, which is read back as the same amount', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -amountMax, max: amountMax }), (amount) => {
        const text = formatAmount(amount);
        expect(parseLimit(text)).toBe(amount);
        expect(text).toMatch(/^(-(?!0$))?(0|[1-9]\d*)(\.\d{0,7}[1-9])?$/);
      }),
    );
  });

  test('sums of stripes may be larger than any amount', () => {
    expect(readMoney(formatAmount(-amountMax * 10n), 'x')).toBe(-amountMax * 10n);
  });

  test('records hold amounts as text wherever they are in them', () => {
    const serde = moneyJsonSerde((value) => value);
    const bytes = serde.serialize({ b: [150_000_000n], a: 'x' });
    expect(Buffer.from(bytes).toString()).toBe('{"a":"x","b":["1.5"]}');
    expect(() => serde.deserialize(Buffer.from([0xff]))).toThrow();
  });
});

test('an id that follows from its cause is a UUID of version 5, and no two lists of parts share one by being joined', () => {
  expect(uuid5('a', 'b')).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(uuid5('a', 'b')).toBe(uuid5('a', 'b'));
  expect(new Set([uuid5('ab'), uuid5('a', 'b'), uuid5('a', 'b', ''), uuid5('a,b')]).size).toBe(4);
});
