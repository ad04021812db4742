/** Checked by the compiler alone: what a declaration infers, and what it refuses. Never run. */
import { defineTopology } from '../../topology/builder.ts';
import type { KGroupedStream, KGroupedTable, KStream, KTable } from '../../topology/handles.ts';
import { defineProcessor, type ProcessorContext } from '../../processors/processor.ts';
import type { StreamRecord } from '../../schemas/record.ts';
import { int64Serde, jsonSerde, stringSerde } from '../../schemas/serde.ts';
import { defineTopic } from '../../schemas/topic.ts';
import { defineStore, defineTimestampedStore } from '../../state-stores/spec.ts';
import { exactly } from './expect.ts';

interface Paid {
  readonly kind: 'paid';
  readonly amount: number;
}
interface Cancelled {
  readonly kind: 'cancelled';
}
type Order = Paid | Cancelled;

const orders = defineTopic({ name: 'orders', key: stringSerde, value: jsonSerde<Order>() });
const paidOrders = defineTopic({ name: 'paid', key: stringSerde, value: jsonSerde<Paid>() });
const texts = defineTopic({ name: 'texts', key: stringSerde, value: stringSerde });
const numbered = defineTopic({ name: 'numbered', key: int64Serde, value: stringSerde });
const counted = defineTopic({ name: 'counted', key: stringSerde, value: int64Serde });

const isPaid = (order: Order): order is Paid => order.kind === 'paid';

export const streams = defineTopology('streams', (t) => {
  const stream = t.stream(orders);
  exactly<KStream<string, Order>>()(stream);
  // @ts-expect-error neither wider nor narrower
  exactly<KStream<string, Paid>>()(stream);
  // @ts-expect-error neither wider nor narrower
  exactly<KStream<string, Order | null>>()(stream);
  const both = t.stream([texts, texts]);
  exactly<KStream<string, string>>()(both);

  // What a step makes of keys and values.
  const mapped = stream.map((value, key) => [value.kind, key.length] as const);
  exactly<KStream<'paid' | 'cancelled', number>>()(mapped);
  const pairs = stream.map('named', (value, key) => [key.length, value.kind]);
  exactly<KStream<number, 'paid' | 'cancelled'>>()(pairs);
  const values = stream.mapValues('named', (value) => value.kind.length);
  exactly<KStream<string, number>>()(values);
  const flat = stream.flatMapValues((value) => [value.kind, 1]);
  exactly<KStream<string, number | 'paid' | 'cancelled'>>()(flat);
  const flatPairs = stream.flatMap((value, key) => [[key.length, value.kind]]);
  exactly<KStream<number, 'paid' | 'cancelled'>>()(flatPairs);
  const keyed = stream.selectKey((_value, key) => key.length);
  exactly<KStream<number, Order>>()(keyed);
  const merged = stream.merge(t.stream(texts));
  exactly<KStream<string, Order | string>>()(merged);

  // Predicates that assert a type narrow the stream.
  const paid = stream.filter(isPaid);
  exactly<KStream<string, Paid>>()(paid);
  stream.filter('some', (value) => value.kind === 'paid' && value.amount > 1);
  const kinds = stream.branch('kind', { paid: isPaid, big: (_, key) => key.length > 3 }, { default: 'rest' });
  exactly<KStream<string, Paid>>()(kinds.paid);
  exactly<KStream<string, Order>>()(kinds.big);
  exactly<KStream<string, Order>>()(kinds.rest);
  // @ts-expect-error there is no branch of that name
  exactly<unknown>()(kinds.missing);

  // A wider topic takes a narrower stream; not the other way round, nor other types.
  paid.to(orders);
  stream.to(orders, { partitioner: (key, value, partitions) => (key.length + value.kind.length) % partitions });
  // @ts-expect-error not every order is paid
  stream.to(paidOrders);
  // @ts-expect-error orders are no texts
  stream.to(texts);
  // @ts-expect-error keys are no numbers
  t.stream(texts).to(numbered);

  // Serdes fit what they write.
  stream.withSerdes({ keySerde: stringSerde, valueSerde: jsonSerde<Order>() });
  // @ts-expect-error a serde of numbers cannot write orders
  stream.withSerdes({ valueSerde: int64Serde });
  // @ts-expect-error keys are texts
  stream.withSerdes({ keySerde: int64Serde });
});

export const keys = defineTopology('keys', (t) => {
  const stream = t.stream(texts);

  // A new key of another type needs its serde; one of the same type may go by the old.
  const renamed = stream.repartition('a', { key: (value) => value });
  exactly<KStream<string, string>>()(renamed);
  const renumbered = stream.repartition('b', { key: (value) => value.length, keySerde: int64Serde });
  exactly<KStream<number, string>>()(renumbered);
  // @ts-expect-error a key of another type without its serde
  stream.repartition('c', { key: (value) => value.length });
  // @ts-expect-error the serde of another type than the key's
  stream.repartition('d', { key: (value) => value.length, keySerde: stringSerde });

  const grouped = stream.groupBy('e', (value) => value.length, { keySerde: int64Serde });
  exactly<KGroupedStream<number, string>>()(grouped);
  // @ts-expect-error a key of another type without its serde
  stream.groupBy('f', (value) => value.length);

  const counts = grouped.count('counts');
  exactly<KTable<number, number>>()(counts);
  const changes = counts.toStream();
  exactly<KStream<number, number | null>>()(changes);
  const regrouped = changes.groupByKey();
  exactly<KGroupedStream<number, number>>()(regrouped);
  changes.to(defineTopic({ name: 'out', key: int64Serde, value: int64Serde }));

  const longest = grouped.reduce('longest', (a, b) => (a.length > b.length ? a : b));
  exactly<KTable<number, string>>()(longest);
  const listed = grouped.aggregate('listed', {
    initial: (): readonly string[] => [],
    add: (list, value) => [...list, value],
    valueSerde: jsonSerde<readonly string[]>(),
  });
  exactly<KTable<number, readonly string[]>>()(listed);
  // @ts-expect-error an aggregate in a store of that name needs its serde
  grouped.aggregate('unlisted', { initial: () => 0, add: (sum: number) => sum });

  // A declared store fits keys and values, and keeps times.
  grouped.count(defineTimestampedStore('g', { key: int64Serde, value: int64Serde }));
  // @ts-expect-error the keys of the store are texts
  grouped.count(defineTimestampedStore('h', { key: stringSerde, value: int64Serde }));
  // @ts-expect-error the values of the store are texts
  grouped.count(defineTimestampedStore('i', { key: int64Serde, value: stringSerde }));
  // @ts-expect-error a plain store keeps no times
  grouped.count(defineStore('j', { key: int64Serde, value: int64Serde }));
  // @ts-expect-error a plain store keeps no times
  stream.toTable(defineStore('k', { key: stringSerde, value: stringSerde }));
  // @ts-expect-error a store of other values
  t.table(texts, { store: defineTimestampedStore('l', { key: stringSerde, value: int64Serde }) });
});

export const joins = defineTopology('joins', (t) => {
  const stream = t.stream(texts);
  const rows = t.table(orders);
  const numberedRows = t.table(numbered);

  const joined = stream.join('a', rows, (value, row, key) => [value, row.kind, key] as const);
  exactly<KStream<string, readonly [string, 'paid' | 'cancelled', string]>>()(joined);
  const left = stream.leftJoin('b', rows, (_value, row) => row);
  exactly<KStream<string, Order | null>>()(left);
  // @ts-expect-error the row may be missing
  stream.leftJoin('c', rows, (_value, row) => row.kind);
  // @ts-expect-error keys of another type
  stream.join('d', numberedRows, (value) => value);
  // @ts-expect-error keys of another type
  stream.merge(t.stream(numbered));
  // @ts-expect-error a stream is no table
  stream.join('e', stream, (value) => value);

  const both = rows.join('f', t.table(counted), (order, count) => order.kind.length + count);
  exactly<KTable<string, number>>()(both);
  const outer = rows.outerJoin('g', t.table(counted), (order, count) => order?.kind ?? count);
  exactly<KTable<string, number | 'paid' | 'cancelled'>>()(outer);
  // @ts-expect-error either side may be missing
  rows.outerJoin('h', rows, (order, other) => order.kind === other.kind);
  // @ts-expect-error keys of another type
  rows.join('i', numberedRows, (order) => order);

  const paid = rows.filter(isPaid);
  exactly<KTable<string, Paid>>()(paid);
  const amounts = paid.mapValues((order) => (order.amount > 0 ? order.amount : null));
  exactly<KTable<string, number>>()(amounts);
  const byKind = rows.groupBy('j', (order, key) => [order.kind, key.length], {
    keySerde: stringSerde,
    valueSerde: int64Serde,
  });
  exactly<KGroupedTable<string, number>>()(byKind);
  // @ts-expect-error the group key is a text
  rows.groupBy('k', (order) => [order.kind, order], { keySerde: int64Serde, valueSerde: jsonSerde<Order>() });
  // @ts-expect-error rows that change must be taken out again
  byKind.reduce('l', { add: (a, b) => a + b });
});

const seen = defineStore('seen', { key: stringSerde, value: int64Serde });

const dedupe = defineProcessor({
  name: 'dedupe',
  stores: { seen },
  process(
    { key, value, timestampMs }: StreamRecord<string, Order>,
    { stores, forward }: ProcessorContext<string, Order, { seen: typeof seen }>,
  ) {
    const last = stores.seen.get(key);
    exactly<number | undefined>()(last);
    if (last === undefined) forward({ key, value, timestampMs });
    // @ts-expect-error no store of that name was declared
    exactly<unknown>()(stores.missing);
    // @ts-expect-error the values of the store are numbers
    stores.seen.put(key, 'text');
    // @ts-expect-error an order is due
    forward({ key, value: 'text', timestampMs });
  },
});

export const processors = defineTopology('processors', (t) => {
  const out = t.stream(orders).process(dedupe);
  exactly<KStream<string, Order>>()(out);
  // A processor of orders takes paid ones; one of paid orders does not take all.
  t.stream(paidOrders).process('dedupe-paid', dedupe);
  const ofPaid = defineProcessor<string, Paid, string, Paid>({ name: 'of-paid', process: () => undefined });
  t.stream(paidOrders).process(ofPaid);
  // @ts-expect-error not every order is paid
  t.stream(orders).process(ofPaid);
  // @ts-expect-error keys of another type
  t.stream(numbered).process(dedupe);
});
