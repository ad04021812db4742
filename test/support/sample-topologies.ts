import { defineTopology } from '../../topology/builder.ts';
import type { Topology } from '../../topology/graph.ts';
import { defineProcessor } from '../../processors/processor.ts';
import { int64Serde, stringSerde } from '../../schemas/serde.ts';
import { defineTopic, type Topic } from '../../schemas/topic.ts';
import { defineStore } from '../../state-stores/spec.ts';

/** A topic of texts by texts. */
export function texts(name: string): Topic<string, string> {
  return defineTopic({ name, key: stringSerde, value: stringSerde });
}

export function numbers(name: string): Topic<string, number> {
  return defineTopic({ name, key: stringSerde, value: int64Serde });
}

const serdes = { keySerde: stringSerde, valueSerde: stringSerde };

const last = defineStore('last', { key: stringSerde, value: stringSerde });

export const remember = defineProcessor<string, string, string, string, { last: typeof last }>({
  name: 'remember',
  stores: { last },
  process({ key, value, timestampMs }, { stores, forward }) {
    stores.last.put(key, value);
    forward({ key, value, timestampMs });
  },
});

/** Topologies that between them use every operator; each as small as it can be. */
export const samples: Readonly<Record<string, Topology>> = {
  stateless: defineTopology('stateless', (t) => {
    const input = t.stream(texts('input'));
    input
      .filter(() => true)
      .mapValues((value) => value)
      .withSerdes(serdes)
      .to(texts('output'));
    input.peek(() => undefined).foreach(() => undefined);
  }),

  count: defineTopology('count', (t) => {
    t.stream(texts('input'))
      .selectKey((value) => value)
      .groupByKey({ keySerde: stringSerde })
      .count('counts')
      .toStream()
      .to(numbers('output'));
  }),

  joins: defineTopology('joins', (t) => {
    const first = t.table(texts('first'), { store: 'first-store' });
    const second = t.table(texts('second'));
    first
      .join('both', second, (a, b) => a + b)
      .toStream()
      .to(texts('pairs'));
    t.stream(texts('input'))
      .map('rekey', (value, key) => [value, key])
      .withSerdes(serdes)
      .leftJoin('joined', first, (value, row) => value + (row ?? ''))
      .merge(t.stream(texts('more')), 'all')
      .to(texts('joined-output'), { name: 'joined-sink' });
  }),

  table: defineTopology('table', (t) => {
    const rows = t.table(texts('rows'));
    rows
      .filter('long', (value) => value.length > 3)
      .mapValues('short', (value) => value.slice(0, 3))
      .materialize('short-rows', { valueSerde: stringSerde });
    const groups = rows.groupBy('by-value', (value, key) => [value, key], serdes);
    groups.count('rows-by-value');
    groups.reduce('keys-by-value', { add: (a, b) => a + b, subtract: (a, b) => a.replace(b, '') });
  }),

  streams: defineTopology('streams', (t) => {
    const windows = { beforeMs: 1_000, afterMs: 2_000, graceMs: 500 };
    const prices = t.globalTable(texts('prices'));
    t.stream(texts('orders'))
      .selectKey('by-value', (value) => value)
      .withSerdes(serdes)
      .leftJoinStream('paid', t.stream(texts('payments')), { windows, joiner: (a, b) => a + (b ?? '') })
      .joinGlobal('priced', prices, { key: (value) => value, joiner: (a, b) => a + b })
      .withSerdes(serdes)
      .to(texts('output'));
  }),

  'foreign-key': defineTopology('foreign-key', (t) => {
    t.table(texts('orders'))
      .foreignKeyJoin('with-customer', t.table(texts('customers')), {
        foreignKey: (order) => order,
        joiner: (order, customer) => order + customer,
      })
      .toStream()
      .withSerdes(serdes)
      .to(texts('output'));
  }),

  branches: defineTopology('branches', (t) => {
    const kinds = t
      .stream([texts('one'), texts('other')], { name: 'input' })
      .branch('kind', { a: (value) => value === 'a', b: (value) => value === 'b' }, { default: 'rest' });
    kinds.a.to(texts('a'), { name: 'to-a' });
    kinds.b.to((_, value) => value, { name: 'to-any' });
    kinds.rest
      .repartition('again', { key: (value) => value, partitions: 8 })
      .process(remember)
      .withSerdes(serdes)
      .toTable('remembered');
  }),
};
