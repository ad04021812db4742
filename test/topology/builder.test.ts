import { describe, expect, test } from '@jest/globals';
import { defineTopology, type TopologyBuilder } from '../../topology/builder.ts';
import type { KStream, KTable } from '../../topology/handles.ts';
import { defineProcessor } from '../../processors/processor.ts';
import { int64Serde, stringSerde } from '../../schemas/serde.ts';
import { defineStore, defineTimestampedStore } from '../../state-stores/spec.ts';
import { failureOf } from '../support/node-harness.ts';
import { TestDriver } from '../../testing.ts';
import { numbers, remember, texts } from '../support/sample-topologies.ts';

const serdes = { keySerde: stringSerde, valueSerde: stringSerde };
const same = (value: string): string => value;

function namesOf(declare: (t: TopologyBuilder) => void): readonly string[] {
  return defineTopology('sample', declare).nodes.map(({ name }) => name);
}

function problemOf(declare: (t: TopologyBuilder) => void): string {
  const { code, message } = failureOf(() => defineTopology('sample', declare));
  expect(code).toBe('TOPOLOGY_INVALID');
  return message;
}

describe('names', () => {
  test('steps without memory get names in the style of Kafka Streams, every step counts', () => {
    expect(
      namesOf((t) => {
        t.stream(texts('input'))
          .filter('mine', () => true)
          .selectKey(same)
          .withSerdes(serdes)
          .to(texts('output'));
      }),
    ).toEqual(['KSTREAM-SOURCE-0000000000', 'mine', 'KSTREAM-KEY-SELECT-0000000002', 'KSTREAM-SINK-0000000003']);
  });

  test('nothing durable is numbered: adding a step renames no store and no repartition topic', () => {
    const declare =
      (extra: boolean) =>
      (t: TopologyBuilder): void => {
        let input = t.stream(texts('input'));
        if (extra) input = input.filter(() => true).peek(() => undefined);
        input.groupBy('by-value', same).count('counts');
        t.table(texts('rows'), { store: 'rows' });
      };
    const durable = (extra: boolean): unknown => {
      const { stores, repartitions } = defineTopology('sample', declare(extra));
      return [stores.map(({ name }) => name), repartitions];
    };
    expect(durable(true)).toEqual(durable(false));
    expect(durable(false)).toEqual([['counts', 'rows'], [{ name: 'by-value', kind: 'repartition' }]]);
  });

  test.each<readonly [string, (t: TopologyBuilder) => void, RegExp]>([
    [
      'step',
      (t) => {
        const input = t.stream(texts('input'));
        input.filter('twice', () => true);
        input.mapValues('twice', same);
      },
      /step name twice is used twice: by filter and by mapValues/,
    ],
    [
      'step of a store',
      (t) => {
        const input = t.stream(texts('input'));
        input.groupByKey().count('twice');
        input.toTable('twice');
      },
      /store name twice is used twice: by count twice and by toTable twice/,
    ],
    [
      'repartition',
      (t) => {
        const input = t.stream(texts('input'));
        input.repartition('twice');
        input.groupBy('twice', same);
      },
      /repartition name twice is used twice: by repartition and by groupBy/,
    ],
    [
      'store',
      (t) => {
        const other = defineStore('last', { key: stringSerde, value: stringSerde });
        const definition = defineProcessor<string, string, string, string, { other: typeof other }>({
          name: 'other',
          stores: { other },
          process: () => undefined,
        });
        const input = t.stream(texts('input'));
        input.process(remember);
        input.process(definition);
      },
      /store name last is used twice: by process remember and by process other/,
    ],
  ])('a %s name that is taken is refused, naming both', (_, declare, message) => {
    expect(problemOf(declare)).toMatch(message);
  });

  test.each(['a/b', '', '..', 'ä', 'x'.repeat(201)])('%j is no name', (name) => {
    expect(problemOf((t) => void t.stream(texts('input')).filter(name, () => true))).toMatch(/step name must match/);
    expect(problemOf((t) => void t.stream(texts('input')).groupByKey().count(name))).toMatch(/name must match/);
  });
});

describe('serdes', () => {
  const needs: readonly (readonly [string, (stream: KStream<string, string>) => void, RegExp])[] = [
    [
      'a repartition after map',
      (s) => void s.map((v, k) => [k, v]).repartition('by-key'),
      /step by-key needs a key serde and a value serde/,
    ],
    [
      'a repartition after mapValues',
      (s) => void s.mapValues(same).repartition('by-key'),
      /step by-key needs a value serde/,
    ],
    [
      'a group after selectKey',
      (s) => void s.selectKey(same).groupByKey().count('counts'),
      /step counts needs a key serde/,
    ],
    [
      'a reduction of new values',
      (s) => void s.mapValues(same).groupByKey().reduce('last', same),
      /step last needs a value serde/,
    ],
    ['a table of new values', (s) => void s.mapValues(same).toTable('rows'), /step rows needs a value serde/],
    [
      'what a processor forwards',
      (s) => void s.process(remember).repartition('by-key'),
      /step by-key needs a key serde and a value serde/,
    ],
    [
      'a join of a new key',
      (s) => void s.selectKey(same).join('joined', tableOf(s), same),
      /step joined needs a key serde/,
    ],
    [
      'an extracted topic',
      (s) => s.mapValues(same).to(() => 'anywhere', { name: 'sink' }),
      /step sink needs a value serde/,
    ],
    [
      'streams that merge',
      (s) => void s.merge(s.mapValues(same)).repartition('by-key'),
      /step by-key needs a value serde/,
    ],
  ];

  const tables = new WeakMap<object, KTable<string, string>>();
  function tableOf(stream: KStream<string, string>): KTable<string, string> {
    return tables.get(stream)!;
  }

  test.each(needs)('%s needs one and says where to give it', (_, declare, message) => {
    const problem = problemOf((t) => {
      const stream = t.stream(texts('input'));
      tables.set(stream, t.table(texts('rows')));
      declare(stream);
    });
    expect(problem).toMatch(message);
    expect(problem).toMatch(/withSerdes/);
  });

  test('travel through steps that keep the types', () => {
    expect(() =>
      defineTopology('sample', (t) => {
        t.stream(texts('input'))
          .filter(() => true)
          .peek(() => undefined)
          .merge(t.stream(texts('more')))
          .groupBy('by-value', same)
          .reduce('last', (_, value) => value)
          .filter(() => true)
          .toStream()
          .repartition('again');
      }),
    ).not.toThrow();
  });
});

describe('repartitioning', () => {
  const repartitionsOf = (declare: (input: KStream<string, string>, t: TopologyBuilder) => void): readonly string[] =>
    defineTopology('sample', (t) => {
      declare(t.stream(texts('input')), t);
    }).repartitions.map(({ name }) => name);

  test.each<readonly [string, (input: KStream<string, string>) => KStream<string, string>]>([
    ['map', (s) => s.map((v, k) => [k, v])],
    ['flatMap', (s) => s.flatMap((v, k) => [[k, v]])],
    ['selectKey', (s) => s.selectKey(same)],
    ['process', (s) => s.process(remember)],
    ['merge with a stream of a changed key', (s) => s.merge(s.selectKey(same))],
    [
      'selectKey and more steps',
      (s) =>
        s
          .selectKey(same)
          .filter(() => true)
          .mapValues(same)
          .peek(() => undefined),
    ],
    ['selectKey and a branch', (s) => s.selectKey(same).branch('all', {}, { default: 'rest' }).rest],
  ])('after %s, what depends on the key goes through a topic of its own name', (_, change) => {
    expect(
      repartitionsOf((input, t) => {
        const changed = change(input).withSerdes(serdes);
        changed.groupByKey().count('counts');
        changed.toTable('rows');
        changed.join('joined', t.table(texts('t')), same);
      }),
    ).toEqual(['counts', 'rows', 'joined']);
  });

  test.each<readonly [string, (input: KStream<string, string>) => KStream<string, string>]>([
    ['filter', (s) => s.filter(() => true)],
    ['mapValues', (s) => s.mapValues(same)],
    ['flatMapValues', (s) => s.flatMapValues((value) => [value])],
    ['peek', (s) => s.peek(() => undefined)],
    ['repartition', (s) => s.selectKey(same).withSerdes(serdes).repartition('explicit')],
    [
      'a table',
      (s) =>
        s
          .toTable('table')
          .toStream()
          .filter((value) => value !== null),
    ],
  ])('after %s, nothing is repartitioned', (_, keep) => {
    const names = repartitionsOf((input, t) => {
      const kept = keep(input).withSerdes(serdes);
      kept.groupByKey().count('counts');
      kept.join('joined', t.table(texts('t')), same);
    });
    expect(names.filter((name) => name !== 'explicit')).toEqual([]);
  });

  test('the input of a processor is not repartitioned', () => {
    expect(repartitionsOf((input) => void input.selectKey(same).process(remember))).toEqual([]);
  });

  test('a named group is repartitioned once for all its aggregations', () => {
    expect(
      repartitionsOf((input) => {
        const byKey = input.selectKey(same).groupByKey({ name: 'by-key', keySerde: stringSerde });
        byKey.count('counts');
        byKey.reduce('last', (_, value) => value);
        const byValue = input.groupBy('by-value', same);
        byValue.count('counts-by-value');
        byValue.reduce('last-by-value', (_, value) => value);
      }),
    ).toEqual(['by-key', 'by-value']);
  });

  test('records without a key pass a repartition only where a later step has a use for them', () => {
    const out = texts('out');
    const topology = defineTopology('null-keys', (t) => {
      const changed = t
        .stream(texts('input'))
        .selectKey((): string => null as never)
        .withSerdes(serdes);
      changed.groupByKey().count('counts');
      changed.repartition('moved').to(out);
      changed
        .leftJoin('joined', t.table(texts('t')), same)
        .withSerdes(serdes)
        .to(out);
    });
    const driver = new TestDriver(topology);
    driver.pipe(texts('input'), 'key', 'value');
    expect(driver.read(out)).toMatchObject([{ key: null, value: 'value' }]);
    expect(driver.drops()).toEqual(new Map([['unkeyed', 2]]));
  });

  test('a partition count that is none is refused', () => {
    for (const partitions of [0, -1, 1.5, Number.NaN])
      expect(problemOf((t) => void t.stream(texts('input')).repartition('by-key', { partitions }))).toMatch(
        /step by-key needs a whole number of partitions/,
      );
  });
});

describe('sources', () => {
  test('a topic that is named twice in the same way is read once, as a stream and as a table', () => {
    const input = texts('input');
    expect(
      namesOf((t) => {
        t.stream(input).filter('a', () => true);
        t.stream(input).filter('b', () => true);
        t.table(input, { store: 'rows' });
      }),
    ).toEqual(['KSTREAM-SOURCE-0000000000', 'a', 'b', 'rows']);
  });

  test.each<readonly [string, (t: TopologyBuilder) => void]>([
    ['another time', (t) => void t.stream(texts('input'), { timestamp: () => 0 })],
    ['another start', (t) => void t.stream(texts('input'), { offsetReset: 'latest' })],
    ['another error policy', (t) => void t.stream(texts('input'), { onError: 'skip' })],
    ['other serdes', (t) => void t.stream(numbers('input'))],
    ['more topics', (t) => void t.stream([texts('input'), texts('more')])],
  ])('a topic that is named again with %s is refused', (_, again) => {
    expect(
      problemOf((t) => {
        t.stream(texts('input'));
        again(t);
      }),
    ).toMatch(/read the same topic in different ways/);
  });

  test('topics of one stream have the same serdes, and there is one', () => {
    expect(problemOf((t) => void t.stream([]))).toMatch(/reads no topic/);
    expect(problemOf((t) => void t.stream<string, unknown>([texts('a'), numbers('b')]))).toMatch(/different serdes/);
  });

  test('a table keeps its rows if it has a store or a step reads them', () => {
    const storesOf = (use: (table: KTable<string, string>, t: TopologyBuilder) => void, store?: string): unknown =>
      defineTopology('sample', (t) => {
        use(t.table(texts('rows'), store === undefined ? {} : { store }), t);
      }).stores.map(({ name }) => name);
    expect(
      storesOf(
        (table) =>
          void table
            .filter(() => true)
            .mapValues(same)
            .toStream(),
      ),
    ).toEqual([]);
    expect(storesOf((table) => void table.toStream(), 'kept')).toEqual(['kept']);
    expect(storesOf((table) => void table.groupBy('by', (value) => [value, value], serdes))).toEqual(['rows']);
    expect(storesOf((table, t) => void t.stream(texts('s')).join('j', table.mapValues(same), same))).toEqual(['rows']);
    expect(storesOf((table, t) => void table.join('j', t.table(texts('other')), same))).toEqual(['rows', 'other']);
  });

  test('a declared store keeps a table under its own name and serdes', () => {
    const spec = defineTimestampedStore('declared', { key: stringSerde, value: int64Serde });
    const { stores, nodes } = defineTopology('sample', (t) => {
      t.stream(texts('input')).groupByKey().count(spec).toStream().to(numbers('output'));
    });
    expect(stores).toEqual([spec]);
    expect(nodes.find(({ name }) => name === 'declared')?.stores).toEqual(['declared']);
  });
});

describe('a declaration', () => {
  test('becomes frozen data', () => {
    const topology = defineTopology('sample', (t) => void t.stream(texts('input')).toTable('rows'), {
      retired: ['old'],
    });
    const all = [
      topology,
      topology.nodes,
      topology.stores,
      topology.repartitions,
      topology.copartitions,
      topology.settings,
    ];
    expect([...all, ...topology.nodes, topology.settings.retired].every((part) => Object.isFrozen(part))).toBe(true);
    expect(topology.settings).toEqual({ onError: 'fail', retired: ['old'] });
  });

  test('parents come before children', () => {
    const { nodes } = defineTopology('sample', (t) => {
      const input = t.stream(texts('input'));
      input.groupBy('by-value', same).count('counts').toStream().to(numbers('output'));
      t.table(texts('a')).outerJoin('both', t.table(texts('b')), () => 'x');
    });
    const places = new Map(nodes.map(({ name }, index) => [name, index]));
    for (const [index, { parents }] of nodes.entries())
      for (const parent of parents) expect(places.get(parent)).toBeLessThan(index);
  });

  test('is over when its function returned', () => {
    const kept: KStream<string, string>[] = [];
    defineTopology('sample', (t) => {
      kept.push(t.stream(texts('input')).filter(() => true));
    });
    expect(failureOf(() => kept[0]?.filter('late', () => true)).message).toMatch(/late is added after the declaration/);
  });

  test('uses only what it made itself', () => {
    const kept: KTable<string, string>[] = [];
    const others: KStream<string, string>[] = [];
    defineTopology('other', (t) => {
      kept.push(t.table(texts('rows')));
      others.push(t.stream(texts('more')));
    });
    expect(problemOf((t) => void t.stream(texts('input')).join('joined', kept[0]!, same))).toMatch(/another topology/);
    expect(problemOf((t) => void t.table(texts('input')).join('joined', kept[0]!, same))).toMatch(/another topology/);
    expect(problemOf((t) => void t.stream(texts('input')).merge(others[0]!, 'merged'))).toMatch(/another topology/);
  });

  test('must not wait, and must declare something', () => {
    const later = (): never => Promise.resolve() as never;
    expect(problemOf(later)).toMatch(/asynchronous/);
    expect(problemOf(() => undefined)).toMatch(/declares nothing/);
  });

  test('that sends failures to dead letters names their topic', () => {
    const declare = (t: TopologyBuilder): void => t.stream(texts('input')).foreach(() => undefined);
    expect(failureOf(() => defineTopology('sample', declare, { onError: 'dead-letter' })).message).toMatch(
      /deadLetterTopic/,
    );
    expect(problemOf((t) => void t.stream(texts('input'), { onError: 'dead-letter' }))).toMatch(/deadLetterTopic/);
    expect(() => defineTopology('sample', declare, { onError: 'dead-letter', deadLetterTopic: 'd' })).not.toThrow();
  });

  test('an error policy holds for the steps after it', () => {
    const { nodes } = defineTopology('sample', (t) => {
      t.stream(texts('input'))
        .filter('before', () => true)
        .withErrorPolicy('skip')
        .filter('after', () => true)
        .groupByKey()
        .count('counts')
        .toStream('stream');
    });
    const policies = nodes.map((node) => [node.name, node.kind === 'sink' ? undefined : node.onError]);
    expect(Object.fromEntries(policies)).toMatchObject({
      before: undefined,
      after: 'skip',
      counts: 'skip',
      stream: 'skip',
    });
  });

  test('a branch may not be named by a number, which would lose its place', () => {
    expect(problemOf((t) => void t.stream(texts('input')).branch('kind', { a: () => true, 1: () => true }))).toMatch(
      /kind has a branch named 1/,
    );
  });
});
