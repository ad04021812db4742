/** Names that money has: accounts, stripes, currencies, and ids that follow from what caused them. */
import { hash } from 'node:crypto';
import { refuseFor } from '../reader.ts';

const ordinaryForm = /^[A-Za-z0-9._@-]{1,64}$/;
const stripedForm = /^(?:external|system):[A-Za-z0-9._@-]{1,64}$/;
const currencyForm = /^[A-Z][A-Z0-9]{2,9}$/;
const idForm = /^[A-Za-z0-9._:-]{1,64}$/;

/** Counter account of money that has left one account and not yet reached the other. */
export const transit = 'transit';

/** Whether this is an account without limits, kept as one stripe per partition: `external:…` or `system:…`. It needs no opening. */
export function isStriped(accountId: string): boolean {
  return stripedForm.test(accountId);
}

export function isAccountId(text: string): boolean {
  return ordinaryForm.test(text) || isStriped(text);
}

export function isCurrency(text: string): boolean {
  return currencyForm.test(text);
}

/** The part of an unbounded account, or of the money in transit, that one partition keeps. No account id holds a `#`. */
export function stripeName(account: string, currency: string, partition: number): string {
  return `${account}:${currency}#${partition}`;
}

function reading(reason: string, what: string, isOne: (text: string) => boolean) {
  return (value: unknown, where: string): string =>
    typeof value === 'string' && isOne(value) ? value : refuseFor(reason, where, `not ${what}`);
}

/** Each throws `DESERIALIZATION_FAILED`. */
export const readAccountId = reading('account_invalid', 'an account id', isAccountId);
export const readOrdinaryAccountId = reading('account_invalid', 'an account that can be opened', (text) =>
  ordinaryForm.test(text),
);
export const readCounter = reading(
  'account_invalid',
  'a counter account',
  (text) => text === transit || isStriped(text),
);
export const readCurrency = reading('currency_invalid', 'a currency', isCurrency);
export const readId = reading('id_invalid', 'an id', (text) => idForm.test(text));

const namespace = Buffer.from('8f4a3c0e5b7d4c1a9e62d0b7f1a35c94', 'hex');

/** Of the clock sequence's first digit, by its lower two bits. */
const variants = ['8', '9', 'a', 'b'] as const;

/** A UUID (version 5) that is the same whenever the same parts cause it. */
export function uuid5(...parts: readonly string[]): string {
  const hex = hash('sha1', Buffer.concat([namespace, Buffer.from(JSON.stringify(parts))]));
  const variant = variants[Number.parseInt(hex.charAt(16), 16) % 4] ?? '8';
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-5${hex.slice(13, 16)}-${variant}${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}
