import { describe, expect, test } from '@jest/globals';
import { defineTopology } from '../../topology/builder.ts';
import type { Topology } from '../../topology/graph.ts';
import type { TopologyBuilder } from '../../topology/builder.ts';
import { physicalName, plan, type Plan } from '../../topology/plan.ts';
import { defineProcessor } from '../../processors/processor.ts';
import { stringSerde } from '../../schemas/serde.ts';
import { defineStore, defineTimestampedStore } from '../../state-stores/spec.ts';
import { expectGolden } from '../support/golden.ts';
import { failureOf } from '../support/node-harness.ts';
import { samples, texts } from '../support/sample-topologies.ts';

const serdes = { keySerde: stringSerde, valueSerde: stringSerde };

function planned(topology: Topology, partitions: Readonly<Record<string, number>>): Plan {
  return plan(topology, { applicationId: 'app', partitions: new Map(Object.entries(partitions)) });
}

/** Plans what `declare` declares over topics of these partition counts. */
function planOf(declare: (t: TopologyBuilder) => void, partitions: Readonly<Record<string, number>>): Plan {
  return planned(defineTopology('sample', declare), partitions);
}

function allTopics(topology: Topology): Readonly<Record<string, number>> {
  const nodes = [...topology.nodes, ...topology.globals.map(({ source }) => source)];
  const names = nodes.flatMap((node) =>
    node.kind === 'source' ? node.topics : node.kind === 'sink' && typeof node.topic !== 'function' ? [node.topic] : [],
  );
  return Object.fromEntries(names.filter(({ internal }) => internal === undefined).map(({ name }) => [name, 3]));
}

/** A plan without its functions. */
function readable({ applicationId, subTopologies, globals, internalTopics, partitions }: Plan): unknown {
  const parts = (all: Plan['subTopologies']) =>
    all.map(({ nodes, stores, ...rest }) => ({
      ...rest,
      nodes: nodes.map(({ name }) => name),
      stores: stores.map(({ spec, changelogTopic }) => ({ name: spec.name, changelogTopic })),
    }));
  return {
    applicationId,
    subTopologies: parts(subTopologies),
    ...(globals.length === 0 ? {} : { globals: parts(globals) }),
    internalTopics,
    partitions: Object.fromEntries(partitions),
  };
}

function countOf({ internalTopics }: Plan, name: string): number | undefined {
  return internalTopics.find((topic) => topic.name === name)?.partitions;
}

describe('the plan of a topology', () => {
  test.each(Object.keys(samples))('%s', (name) => {
    const topology = samples[name]!;
    const text = JSON.stringify(readable(planned(topology, allTopics(topology))), undefined, 2);
    expectGolden(`topology/golden/${name}.plan.txt`, `${text}\n`);
  });

  test('a topic is named after its application, its author and what it is for', () => {
    expect(physicalName('app', { name: 'orders' })).toBe('orders');
    expect(physicalName('app', { name: 'by-key', internal: 'repartition' })).toBe('app-by-key-repartition');
  });

  test('all user topics that do not exist are named at once, outputs and dead letters too', () => {
    const topology = defineTopology('sample', (t) => t.stream([texts('b'), texts('a')]).to(texts('c')), {
      onError: 'dead-letter',
      deadLetterTopic: 'd',
    });
    const failure = failureOf(() => planned(topology, { b: 1 }));
    expect(failure.code).toBe('SOURCE_TOPIC_MISSING');
    expect(failure.message).toMatch(/a, c, d$/);
  });

  test('an application id that cannot be part of a topic name is refused', () => {
    const partitions = new Map([['input', 1]]);
    const topology = defineTopology('sample', (t) => t.stream(texts('input')).foreach(() => undefined));
    expect(failureOf(() => plan(topology, { applicationId: 'a/b', partitions })).code).toBe('TOPOLOGY_INVALID');
  });

  test('sub-topologies are numbered by their first step, and share a task if they share a store', () => {
    const shared = defineStore('shared', { key: stringSerde, value: stringSerde });
    const uses = (name: string) =>
      defineProcessor<string, string, string, string, { shared: typeof shared }>({
        name,
        stores: { shared },
        process: () => undefined,
      });
    const { subTopologies } = planOf(
      (t) => {
        t.stream(texts('a')).process(uses('first'));
        t.stream(texts('b')).foreach(() => undefined);
        t.stream(texts('c')).process(uses('second'));
      },
      { a: 2, b: 5, c: 2 },
    );
    expect(subTopologies.map(({ id, sourceTopics, partitions }) => ({ id, sourceTopics, partitions }))).toEqual([
      { id: 0, sourceTopics: ['a', 'c'], partitions: 2 },
      { id: 1, sourceTopics: ['b'], partitions: 5 },
    ]);
  });

  test('a task reads the same partition of every topic; there are as many as the largest topic has', () => {
    const { subTopologies } = planOf(
      (t) => {
        t.stream(texts('a'))
          .merge(t.stream(texts('b')))
          .foreach(() => undefined);
      },
      { a: 2, b: 7 },
    );
    expect(subTopologies.map(({ partitions }) => partitions)).toEqual([7]);
  });

  test('changelogs have a partition for each task, and the configurations of their stores', () => {
    const { internalTopics } = planOf(
      (t) => {
        const spec = defineTimestampedStore('kept', {
          key: stringSerde,
          value: stringSerde,
          changelog: { 'segment.bytes': '1000', 'message.timestamp.type': 'LogAppendTime' },
        });
        t.table(texts('a'), { store: spec });
        t.stream(texts('b')).toTable(
          defineTimestampedStore('unlogged', { key: stringSerde, value: stringSerde, changelog: false }),
        );
      },
      { a: 4, b: 2 },
    );
    expect(internalTopics).toEqual([
      {
        name: 'app-kept-changelog',
        kind: 'changelog',
        partitions: 4,
        configs: { 'cleanup.policy': 'compact', 'segment.bytes': '1000', 'message.timestamp.type': 'CreateTime' },
      },
    ]);
  });
});

describe('partitions of a repartition topic', () => {
  const rekeyed = (t: TopologyBuilder, topic: string) =>
    t
      .stream(texts(topic))
      .selectKey((value) => value)
      .withSerdes(serdes);

  test('as many as the largest topic it is filled from', () => {
    const made = planOf(
      (t) => {
        rekeyed(t, 'a').merge(rekeyed(t, 'b')).groupByKey().count('counts');
      },
      { a: 2, b: 5 },
    );
    expect(countOf(made, 'app-counts-repartition')).toBe(5);
    expect(countOf(made, 'app-counts-changelog')).toBe(5);
  });

  test('through a chain of repartition topics', () => {
    const made = planOf(
      (t) => {
        rekeyed(t, 'a')
          .repartition('one')
          .selectKey((value) => value)
          .repartition('two', { keySerde: stringSerde })
          .foreach(() => undefined);
      },
      { a: 6 },
    );
    expect([countOf(made, 'app-one-repartition'), countOf(made, 'app-two-repartition')]).toEqual([6, 6]);
  });

  test('as its author says', () => {
    const declare = (t: TopologyBuilder): void => {
      rekeyed(t, 'a').repartition('chosen', { partitions: 9 }).groupByKey().count('counts');
    };
    const made = planOf(declare, { a: 2 });
    expect([countOf(made, 'app-chosen-repartition'), countOf(made, 'app-counts-changelog')]).toEqual([9, 9]);
  });

  test('as the table it is joined with, however many fill it', () => {
    const made = planOf((t) => void rekeyed(t, 'a').join('joined', t.table(texts('t')), (value) => value), {
      a: 8,
      t: 3,
    });
    expect(countOf(made, 'app-joined-repartition')).toBe(3);
  });

  test('as the topic it meets in a store, and what is filled from it follows', () => {
    const store = defineStore('store', { key: stringSerde, value: stringSerde });
    const definition = defineProcessor<string, string, string, string, { store: typeof store }>({
      name: 'meets',
      stores: { store },
      process: () => undefined,
    });
    const made = planOf(
      (t) => {
        rekeyed(t, 'a')
          .repartition('by-key')
          .merge(t.stream(texts('b')))
          .process(definition)
          .repartition('after', serdes)
          .foreach(() => undefined);
      },
      { a: 2, b: 6 },
    );
    expect([countOf(made, 'app-by-key-repartition'), countOf(made, 'app-after-repartition')]).toEqual([6, 6]);
  });

  test('two that are joined agree on the larger', () => {
    const made = planOf(
      (t) => {
        const table = rekeyed(t, 't').toTable('table');
        rekeyed(t, 'a').join('joined', table, (value) => value);
      },
      { a: 2, t: 5 },
    );
    expect([countOf(made, 'app-joined-repartition'), countOf(made, 'app-table-repartition')]).toEqual([5, 5]);
  });

  test('a stream that meets what was made of it is not endless', () => {
    const made = planOf(
      (t) => {
        const first = rekeyed(t, 'a').repartition('first');
        const table = first
          .selectKey((value) => value)
          .withSerdes(serdes)
          .toTable('table');
        first.join('joined', table, (value) => value);
      },
      { a: 4 },
    );
    expect([countOf(made, 'app-first-repartition'), countOf(made, 'app-table-repartition')]).toEqual([4, 4]);
  });
});

describe('topics whose equal keys must meet', () => {
  const refused: readonly (readonly [string, (t: TopologyBuilder) => void, RegExp])[] = [
    [
      'a stream and a table',
      (t) => void t.stream(texts('a')).join('joined', t.table(texts('b')), (value) => value),
      /meet in joined .*a has 2, b has 3/,
    ],
    [
      'two tables',
      (t) => void t.table(texts('a')).outerJoin('both', t.table(texts('b')), () => 'x'),
      /meet in both.* .*a has 2, b has 3/,
    ],
    [
      'a table derived from another, and a stream',
      (t) => {
        const derived = t
          .table(texts('a'))
          .mapValues((value) => value)
          .filter(() => true);
        t.stream(texts('b')).leftJoin('joined', derived, (value) => value);
      },
      /meet in joined .*a has 2, b has 3/,
    ],
    [
      'merged streams that are counted',
      (t) => {
        t.stream(texts('a'))
          .merge(t.stream(texts('b')))
          .groupByKey()
          .count('counts');
      },
      /meet in counts .*a has 2, b has 3/,
    ],
    [
      'topics of one stream that become a table',
      (t) => void t.stream([texts('a'), texts('b')]).toTable('rows'),
      /meet in rows/,
    ],
    [
      'a table and a repartition topic of a chosen size',
      (t) => {
        t.stream(texts('b'))
          .repartition('chosen', { partitions: 5 })
          .join('joined', t.table(texts('a')), (value) => value);
      },
      /a has 2, chosen\/repartition has 5/,
    ],
  ];

  test.each(refused)('%s must have equal numbers of partitions', (_, declare, message) => {
    const failure = failureOf(() => planOf(declare, { a: 2, b: 3 }));
    expect(failure.code).toBe('NOT_COPARTITIONED');
    expect(failure.message).toMatch(message);
    expect(() => planOf(declare, { a: 5, b: 5 })).not.toThrow();
  });

  test('streams that only merge need not', () => {
    const declare = (t: TopologyBuilder): void => {
      t.stream(texts('a'))
        .merge(t.stream(texts('b')))
        .foreach(() => undefined);
    };
    expect(() => planOf(declare, { a: 2, b: 3 })).not.toThrow();
  });
});
