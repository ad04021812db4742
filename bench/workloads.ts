/** The work that Rivulet and Kafka Streams are compared on: the same topologies over the same topics. */
import { jsonSerde, stringSerde, bytesSerde } from '../schemas/serde.ts';
import { defineTopic } from '../schemas/topic.ts';
import { defineTopology } from '../topology/builder.ts';
import type { Topology } from '../topology/graph.ts';
import { tumblingWindows } from '../processors/windows.ts';

export const workloads = ['count', 'windowed', 'balance', 'merge'] as const;
export type Workload = (typeof workloads)[number];

/** Input records of every workload. */
export const inputRecords = 1_000_000;
export const partitions = 6;
/** As in `java/WindowedCount.java`. */
const windowMs = 60_000;

interface BillingEvent {
  readonly type: 'debit' | 'credit';
  readonly accountId: string;
  readonly amount: string;
  readonly currency: string;
}

interface Balance {
  readonly accountId: string;
  readonly balance: string;
  readonly currency: string;
  readonly version: number;
}

interface CustomerPayload {
  readonly email: string;
  readonly id?: string;
  readonly uuid?: string;
  readonly name: string;
  readonly address: string;
  readonly phone?: string;
  readonly contractStartDate?: string;
  readonly contractType?: string;
  readonly lastUpdated: number;
}

interface CustomerEvent {
  readonly payload: CustomerPayload;
}

/** Decimal strings with two digits, added without rounding. */
function addCents(balance: string, amount: string, sign: 1 | -1): string {
  const cents = toCents(balance) + sign * toCents(amount);
  const magnitude = Math.abs(cents);
  return `${cents < 0 ? '-' : ''}${String(Math.floor(magnitude / 100))}.${String(magnitude % 100).padStart(2, '0')}`;
}

function toCents(decimal: string): number {
  const point = decimal.indexOf('.');
  const whole = Number(point < 0 ? decimal : decimal.slice(0, point));
  const fraction = point < 0 ? 0 : Number(decimal.slice(point + 1).padEnd(2, '0'));
  return decimal.startsWith('-') ? whole * 100 - fraction : whole * 100 + fraction;
}

function conflictsBetween(a: CustomerPayload, b: CustomerPayload, newerSource: string): Record<string, unknown> {
  const conflicts: Record<string, unknown> = {};
  for (const field of ['name', 'address'] as const)
    if (a[field] !== b[field]) conflicts[field] = { systemA: a[field], systemB: b[field], newerSource };
  return conflicts;
}

function fieldsOfA({ contractStartDate, contractType, id }: CustomerPayload): Record<string, unknown> {
  return { contractStartDate, contractType, systemAId: id };
}

function fieldsOfB({ phone, uuid }: CustomerPayload): Record<string, unknown> {
  return { phone, systemBUuid: uuid };
}

function merge(a: CustomerEvent | null, b: CustomerEvent | null): unknown {
  if (a === null) return b === null ? null : merged({ newest: b.payload, b: b.payload });
  if (b === null) return merged({ newest: a.payload, a: a.payload });
  const isBNewer = b.payload.lastUpdated >= a.payload.lastUpdated;
  const conflicts = conflictsBetween(a.payload, b.payload, isBNewer ? 'system_b' : 'system_a');
  return merged({ newest: (isBNewer ? b : a).payload, a: a.payload, b: b.payload, conflicts });
}

function merged(of: {
  readonly newest: CustomerPayload;
  readonly a?: CustomerPayload;
  readonly b?: CustomerPayload;
  readonly conflicts?: Record<string, unknown>;
}): unknown {
  const { newest, a, b, conflicts = {} } = of;
  const { email, name, address } = newest;
  return {
    sources: [...(a === undefined ? [] : ['system_a']), ...(b === undefined ? [] : ['system_b'])],
    conflicts,
    email,
    name,
    address,
    ...(a === undefined ? {} : fieldsOfA(a)),
    ...(b === undefined ? {} : fieldsOfB(b)),
    isPartial: a === undefined || b === undefined,
  };
}

/** `tick` is called for each input record; `output` is where `merge` writes. */
export function topologyOf(workload: Workload, tick: () => void, output: string): Topology {
  const billing = defineTopic({ name: 'bench.billing', key: stringSerde, value: bytesSerde });
  const customer = (system: string) =>
    defineTopic({ name: `bench.customers.${system}`, key: stringSerde, value: jsonSerde<CustomerEvent>() });
  return defineTopology(`bench-${workload}`, (t) => {
    if (workload === 'count') t.stream(billing).peek(tick).groupByKey().count('cnt');
    else if (workload === 'windowed')
      t.stream(billing)
        .peek(tick)
        .groupByKey()
        .windowedBy(tumblingWindows({ sizeMs: windowMs, graceMs: 0 }))
        .count('windowed');
    else if (workload === 'balance')
      t.stream(defineTopic({ name: 'bench.billing', key: stringSerde, value: jsonSerde<BillingEvent>() }))
        .peek(tick)
        .groupByKey()
        .aggregate<Balance>('bal', {
          valueSerde: jsonSerde<Balance>(),
          initial: () => ({ accountId: '', balance: '0.00', currency: '', version: 0 }),
          add: (aggregate, event, accountId) => ({
            accountId,
            balance: addCents(aggregate.balance, event.amount, event.type === 'debit' ? -1 : 1),
            currency: event.currency,
            version: aggregate.version + 1,
          }),
        });
    else {
      const a = t.stream(customer('a')).peek(tick).toTable('a');
      const b = t.stream(customer('b')).peek(tick).toTable('b');
      a.outerJoin('merge', b, merge)
        .toStream()
        .to(defineTopic({ name: output, key: stringSerde, value: jsonSerde<unknown>() }));
    }
  });
}
