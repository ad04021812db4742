/** From a customer as a system that is polled tells of it to the change event that says so; ids follow from content, so that the same change is the same event. */
import { createHash } from 'node:crypto';
import { canonicalJson, noHeaders, stringSerde } from '../../index.ts';
import type { OutgoingRecord } from '../../index.ts';
import type { SourceSystem } from '../../schemas/app/customer/fields.ts';
import { isoFromMicros, microsFrom } from '../../schemas/app/customer/instant.ts';
import { isObject, ownValue } from '../../schemas/app/reader.ts';

/** A customer as a system lists it, as far as it is understood. */
export interface ListedCustomer {
  /** What it is remembered by: its id, or for a record without one a hash of what it says. */
  readonly id: string;
  /** Text keys the record; absent: the id does. */
  readonly email: string | undefined;
  /** Microseconds. */
  readonly updatedAt: number | undefined;
  readonly payload: Readonly<Record<string, unknown>>;
  /** Of the payload. */
  readonly hash: string;
}

/** What is remembered of a customer: enough to tell a change, and a deletion without asking. */
export interface KnownCustomer {
  readonly email: string | undefined;
  readonly updatedAt: number | undefined;
  readonly hash: string;
  /** Complete scans in a row that did not find it. */
  readonly missing: number;
}

export type CustomerOperation = 'SNAPSHOT' | 'CREATE' | 'UPDATE';

const hashOf = (value: unknown): string =>
  createHash('sha256')
    .update(canonicalJson(value) ?? '')
    .digest('hex')
    .slice(0, 32);

/** 32 hexadecimal digits in the form of a UUID. */
function eventId(...parts: readonly unknown[]): string {
  const hex = hashOf(parts);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

function given(customer: object, names: readonly string[]): unknown {
  for (const name of names) {
    const value = ownValue(customer, name);
    if (value !== undefined) return value;
  }
  return undefined;
}

/** What the payload of an event has, and what the systems call it; the first one an entry has counts. */
const common = {
  email: ['email'],
  name: ['name'],
  address: ['address'],
  lastUpdated: ['updatedAt', 'lastUpdated', 'updated_at', 'last_updated'],
};
const payloadNames: Readonly<Record<SourceSystem, Readonly<Record<string, readonly string[]>>>> = {
  system_a: {
    id: ['id'],
    ...common,
    contractStart: ['contract_start', 'contractStart', 'contract_start_date', 'contractStartDate'],
    contractType: ['contract_type', 'contractType'],
  },
  system_b: { uuid: ['uuid', 'id'], ...common, phone: ['phone'] },
};
const idNames: Readonly<Record<SourceSystem, string>> = { system_a: 'id', system_b: 'uuid' };

/** Reads one entry of a list; whatever it is, it becomes an event that says no more than it does. */
export function readListed(entry: unknown, source: SourceSystem): ListedCustomer {
  if (!isObject(entry))
    return { id: `#${hashOf(entry)}`, email: undefined, updatedAt: undefined, payload: {}, hash: hashOf(entry) };
  const fields = Object.entries(payloadNames[source]).map(([name, names]) => [name, given(entry, names)] as const);
  // What the system does not tell is not known, which is not the same as empty.
  const payload: Readonly<Record<string, unknown>> = Object.fromEntries(
    fields.filter(([, value]) => value !== undefined),
  );
  const hash = hashOf(payload);
  const { [idNames[source]]: id, email, lastUpdated } = payload;
  return {
    id: typeof id === 'string' && id.trim() !== '' ? id : `#${hash}`,
    email: typeof email === 'string' ? email : undefined,
    updatedAt: microsFrom(lastUpdated),
    payload,
    hash,
  };
}

export interface EventOptions {
  readonly source: SourceSystem;
  readonly topic: string;
  readonly nowMs: number;
}

/** The event that a customer is, or has become, as listed. */
export function changeEvent(
  customer: ListedCustomer,
  operation: CustomerOperation,
  { source, topic, nowMs, before }: EventOptions & { readonly before?: KnownCustomer | undefined },
): OutgoingRecord {
  const { id, email, updatedAt, payload } = customer;
  const moved = before?.email !== undefined && before.email !== email ? { before: { email: before.email } } : {};
  return record(topic, email ?? id, nowMs, {
    eventId: eventId(source, id, payload),
    source,
    operation: operation === 'SNAPSHOT' ? 'UPDATE' : operation,
    ...(operation === 'SNAPSHOT' ? { op: 'r' } : {}),
    timestamp: isoFromMicros(updatedAt ?? nowMs * 1_000),
    payload,
    ...moved,
  });
}

/** The event that a customer is gone. It is later than whatever the system last said of it, whichever clock is ahead. */
export function deletionEvent(
  id: string,
  known: KnownCustomer,
  { source, topic, nowMs }: EventOptions,
): OutgoingRecord {
  const at = Math.max(nowMs * 1_000, (known.updatedAt ?? 0) + 1);
  return record(topic, known.email ?? id, nowMs, {
    eventId: eventId(source, id, 'DELETE', known.hash),
    source,
    operation: 'DELETE',
    timestamp: isoFromMicros(at),
    payload: { [idNames[source]]: id, ...(known.email === undefined ? {} : { email: known.email }) },
  });
}

function record(topic: string, key: string, nowMs: number, value: object): OutgoingRecord {
  return {
    topic,
    key: stringSerde.serialize(key.isWellFormed() ? key : key.toWellFormed()),
    value: stringSerde.serialize(JSON.stringify(value).toWellFormed()),
    headers: noHeaders,
    timestampMs: nowMs,
  };
}

export function encodeKnown({ email, updatedAt, hash, missing }: KnownCustomer): string {
  return JSON.stringify({ e: email, u: updatedAt, h: hash, ...(missing > 0 ? { m: missing } : {}) });
}

/** Reads only what `encodeKnown` wrote. */
export function decodeKnown(text: string): KnownCustomer {
  const { e, u, h, m } = JSON.parse(text) as { e?: string; u?: number; h: string; m?: number };
  return { email: e, updatedAt: u, hash: h, missing: m ?? 0 };
}
