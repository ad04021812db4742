/** Names that money has: accounts, stripes, currencies, and ids that follow from what caused them. */
import { createHash } from 'node:crypto';
import { StreamError } from '../../../index.ts';

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

function reading(what: string, isOne: (text: string) => boolean) {
  return (value: unknown, where: string): string => {
    if (typeof value === 'string' && isOne(value)) return value;
    throw new StreamError('DESERIALIZATION_FAILED', `${where}: not ${what}`);
  };
}

/** Each throws `DESERIALIZATION_FAILED`. */
export const readAccountId = reading('an account id', isAccountId);
export const readOrdinaryAccountId = reading('an account that can be opened', (text) => ordinaryForm.test(text));
export const readCounter = reading('a counter account', (text) => text === transit || isStriped(text));
export const readCurrency = reading('a currency', isCurrency);
export const readId = reading('an id', (text) => idForm.test(text));

const namespace = Buffer.from('8f4a3c0e5b7d4c1a9e62d0b7f1a35c94', 'hex');

/** A UUID (version 5) that is the same whenever the same parts cause it. */
export function uuid5(...parts: readonly string[]): string {
  const hash = createHash('sha1').update(namespace).update(JSON.stringify(parts)).digest();
  hash[6] = ((hash[6] ?? 0) & 0x0f) | 0x50;
  hash[8] = ((hash[8] ?? 0) & 0x3f) | 0x80;
  const hex = hash.toString('hex', 0, 16);
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join('-');
}
