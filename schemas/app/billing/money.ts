/**
 * Money: `decimal(20,8)`. In JSON a decimal text, in Avro a decimal, inside the process a `bigint` of hundred-millionths; nowhere a float.
 *
 * One amount has one text: no exponent, no plus sign, no leading zeros, no trailing zeros behind the point, no `-0`.
 */
import { StreamError, canonicalJson, canonicalJsonSerde, type Serde } from '../../../index.ts';
import { refuseFor } from '../reader.ts';

const scale = 8;
const integerDigitsMax = 12;

/** The largest amount and balance; also the limit of accounts that have none of their own. */
export const amountMax = 10n ** BigInt(integerDigitsMax + scale) - 1n;

/** Why a text is no amount to be moved. */
export type AmountRefusal =
  'amount_invalid' | 'amount_negative' | 'amount_zero' | 'amount_precision' | 'amount_overflow';

/** Longer texts are not looked at. */
const textLengthMax = 64;
const decimalForm = /^(-?)(0|[1-9]\d*)(?:\.(\d+))?$/;

interface Decimal {
  readonly isNegative: boolean;
  readonly integer: string;
  readonly fraction: string;
}

function decimalOf(value: unknown): Decimal | undefined {
  if (typeof value !== 'string' || value.length > textLengthMax) return undefined;
  const [, sign = '', integer, fraction = ''] = decimalForm.exec(value) ?? [];
  return integer === undefined ? undefined : { isNegative: sign === '-', integer, fraction };
}

/** Whole numbers of so many digits are exact as a `number`, which is far quicker to reckon with. */
const exactDigits = 15;

function scaled({ isNegative, integer, fraction }: Decimal): bigint {
  const digits = `${integer}${fraction.padEnd(scale, '0')}`;
  const magnitude = BigInt(digits.length <= exactDigits ? Number(digits) : digits);
  return isNegative ? -magnitude : magnitude;
}

/** A positive amount from a request, or why it is none. Never rounds: a ninth decimal is refused even if it is 0. */
export function parseAmount(value: unknown): bigint | AmountRefusal {
  const limit = parseLimit(value);
  if (typeof limit === 'string') return limit;
  if (limit === 0n) return 'amount_zero';
  return limit < 0n ? 'amount_negative' : limit;
}

/** An amount of either sign, or zero, within `decimal(20,8)`, or why it is none. */
export function parseLimit(value: unknown): bigint | 'amount_invalid' | 'amount_precision' | 'amount_overflow' {
  // From Avro: no text was there to be read.
  if (typeof value === 'bigint') return value > amountMax || value < -amountMax ? 'amount_overflow' : value;
  const decimal = decimalOf(value);
  if (decimal === undefined) return 'amount_invalid';
  if (decimal.fraction.length > scale) return 'amount_precision';
  if (decimal.integer.length > integerDigitsMax) return 'amount_overflow';
  return scaled(decimal);
}

const zeroCode = 48;

/** The one text of an amount, of any size. */
export function formatAmount(amount: bigint): string {
  if (amount === 0n) return '0';
  const isNegative = amount < 0n;
  const digits = String(isNegative ? -amount : amount).padStart(scale + 1, '0');
  let end = digits.length;
  const point = end - scale;
  while (end > point && digits.charCodeAt(end - 1) === zeroCode) end -= 1;
  const fraction = end === point ? '' : `.${digits.slice(point, end)}`;
  return `${isNegative ? '-' : ''}${digits.slice(0, point)}${fraction}`;
}

/** Of a record: a balance or posting, of any size, since sums of stripes have no bound. Throws `DESERIALIZATION_FAILED`. */
export function readMoney(value: unknown, where: string): bigint {
  if (typeof value === 'bigint') return value;
  const decimal = decimalOf(value);
  if (decimal === undefined || decimal.fraction.length > scale)
    refuseFor('amount_invalid', where, 'not a decimal number');
  return scaled(decimal);
}

/** Of a record: a positive amount. Throws `DESERIALIZATION_FAILED`. */
export function readAmount(value: unknown, where: string): bigint {
  const amount = parseAmount(value);
  return typeof amount === 'string' ? refuseFor(amount, where, amount) : amount;
}

/** Of a record: a limit, of either sign. Throws `DESERIALIZATION_FAILED`. */
export function readLimit(value: unknown, where: string): bigint {
  const limit = parseLimit(value);
  return typeof limit === 'string' ? refuseFor(limit, where, limit) : limit;
}

/** Canonical JSON in which every `bigint` is an amount, written as its text; `undefined` for what has no JSON form. */
export function moneyJson(value: unknown): string | undefined {
  return canonicalJson(value, formatAmount);
}

/** Canonical JSON with amounts; `parse` reads them back. */
export function moneyJsonSerde<T>(parse: (value: unknown) => T): Serde<T> {
  const json = canonicalJsonSerde(parse);
  return {
    name: 'money-json',
    serialize: (value) => {
      const text = moneyJson(value);
      if (text === undefined) throw new StreamError('SERIALIZATION_FAILED', 'money-json: value has no JSON form');
      return Buffer.from(text, 'utf8');
    },
    deserialize: (bytes) => json.deserialize(bytes),
  };
}
