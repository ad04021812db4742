/** One example for each operator. `docs/kafka-streams.md` shows what stands between the marks; tests run all of them on every log. */
import {
  defineFixedKeyProcessor,
  defineProcessor,
  defineStore,
  defineTopic,
  defineTopology,
  hoppingWindows,
  int64Serde,
  sessionWindows,
  slidingWindows,
  stringSerde,
  tumblingWindows,
  untilTimeLimit,
  untilWindowCloses,
  type FixedKeyContext,
  type NoStores,
  type ProcessorContext,
  type Serde,
  type StreamRecord,
  type Topic,
  type Topology,
  type TopologyBuilder,
  type Windowed,
} from '../../index.ts';

export interface Example {
  readonly topology: Topology;
  /** Of the topics it reads. */
  readonly input: readonly ExampleRecord[];
  /** Of the topic it writes, in order per key. */
  readonly output: readonly (readonly [key: string | null, value: unknown, timestampMs: number])[];
  readonly writes: Topic<string, unknown>;
}

export type ExampleRecord = readonly [
  topic: Topic<string, never>,
  key: string | null,
  value: unknown,
  timestampMs: number,
];

/** Topics of a run: their names begin with `prefix`. */
function topics(prefix: string) {
  const named = <V>(name: string, value: Serde<V>): Topic<string, V> =>
    defineTopic({ name: `${prefix}${name}`, key: stringSerde, value });
  return {
    words: named('words', stringSerde),
    customers: named('customers', stringSerde),
    towns: named('towns', stringSerde),
    texts: named('texts', stringSerde),
    counts: named('counts', int64Serde),
  };
}

type Topics = ReturnType<typeof topics>;
type Examples = readonly (readonly [string, Example])[];

const strings = { keySerde: stringSerde, valueSerde: stringSerde };

function example(
  name: string,
  declare: (t: TopologyBuilder) => void,
  run: Omit<Example, 'topology'>,
): readonly [string, Example] {
  return [name, { topology: defineTopology(`example-${name}`, declare), ...run }];
}

function on<V>(topic: Topic<string, V>, key: string | null, value: V | null, timestampMs: number): ExampleRecord {
  return [topic as unknown as Topic<string, never>, key, value, timestampMs];
}

const said = ({ words }: Topics): readonly ExampleRecord[] => [
  on(words, 'ann', 'hello', 10),
  on(words, 'bob', 'hi', 20),
  on(words, 'ann', 'world', 25),
];

const stateless = (topics: Topics): Examples => {
  const { words, texts, counts, towns } = topics;
  return [
    example(
      'filter',
      (t) => {
        // >>> filter
        t.stream(words)
          .filter((word) => word.length > 2)
          .to(texts);
        // <<<
      },
      {
        input: said(topics),
        writes: texts,
        output: [
          ['ann', 'hello', 10],
          ['ann', 'world', 25],
        ],
      },
    ),
    example(
      'filterNot',
      (t) => {
        // >>> filterNot
        t.stream(words)
          .filterNot((word) => word.length > 2)
          .to(texts);
        // <<<
      },
      { input: said(topics), writes: texts, output: [['bob', 'hi', 20]] },
    ),
    example(
      'map',
      (t) => {
        // >>> map
        t.stream(words)
          .map((word, speaker) => [word, speaker])
          .to(texts);
        // <<<
      },
      {
        input: said(topics),
        writes: texts,
        output: [
          ['hello', 'ann', 10],
          ['hi', 'bob', 20],
          ['world', 'ann', 25],
        ],
      },
    ),
    example(
      'mapValues',
      (t) => {
        // >>> mapValues
        t.stream(words)
          .mapValues((word) => word.length)
          .to(counts);
        // <<<
      },
      {
        input: said(topics),
        writes: counts,
        output: [
          ['ann', 5, 10],
          ['bob', 2, 20],
          ['ann', 5, 25],
        ],
      },
    ),
    example(
      'flatMap',
      (t) => {
        // >>> flatMap
        t.stream(words)
          .flatMap((word, speaker) => [
            [word, speaker],
            [speaker, word],
          ])
          .to(texts);
        // <<<
      },
      {
        input: said(topics).slice(0, 1),
        writes: texts,
        output: [
          ['hello', 'ann', 10],
          ['ann', 'hello', 10],
        ],
      },
    ),
    example(
      'flatMapValues',
      (t) => {
        // >>> flatMapValues
        t.stream(words)
          .flatMapValues((word) => word.split(''))
          .to(texts);
        // <<<
      },
      {
        input: [on(words, 'bob', 'hi', 20)],
        writes: texts,
        output: [
          ['bob', 'h', 20],
          ['bob', 'i', 20],
        ],
      },
    ),
    example(
      'selectKey',
      (t) => {
        // >>> selectKey
        t.stream(words)
          .selectKey((word) => word)
          .to(texts);
        // <<<
      },
      {
        input: said(topics).slice(0, 2),
        writes: texts,
        output: [
          ['hello', 'hello', 10],
          ['hi', 'hi', 20],
        ],
      },
    ),
    example(
      'peek',
      (t) => {
        // >>> peek, foreach
        const seen: string[] = [];
        t.stream(words)
          .peek((word) => {
            seen.push(word);
          })
          .to(texts);
        // <<<
      },
      { input: said(topics).slice(0, 1), writes: texts, output: [['ann', 'hello', 10]] },
    ),
    example(
      'branch',
      (t) => {
        // >>> split, branch
        const { short, rest } = t
          .stream(words)
          .branch('by-length', { short: (word) => word.length < 3 }, { default: 'rest' });
        short.mapValues((word) => `short ${word}`).to(texts);
        rest.mapValues((word) => `long ${word}`).to(texts);
        // <<<
      },
      {
        input: said(topics).slice(0, 2),
        writes: texts,
        output: [
          ['ann', 'long hello', 10],
          ['bob', 'short hi', 20],
        ],
      },
    ),
    example(
      'merge',
      (t) => {
        // >>> merge
        t.stream(words).merge(t.stream(towns)).to(texts);
        // <<<
      },
      {
        input: [on(words, 'ann', 'hello', 10), on(towns, 'bob', 'Rome', 20)],
        writes: texts,
        output: [
          ['ann', 'hello', 10],
          ['bob', 'Rome', 20],
        ],
      },
    ),
    example(
      'repartition',
      (t) => {
        // >>> repartition
        t.stream(words)
          .repartition('by-word', { key: (word) => word })
          .to(texts);
        // <<<
      },
      {
        input: said(topics).slice(0, 2),
        writes: texts,
        output: [
          ['hello', 'hello', 10],
          ['hi', 'hi', 20],
        ],
      },
    ),
    example(
      'to',
      (t) => {
        // >>> to with a topic name extractor
        t.stream(words).to(() => texts.name, strings);
        // <<<
      },
      { input: said(topics).slice(0, 1), writes: texts, output: [['ann', 'hello', 10]] },
    ),
  ];
};

const grouped = (topics: Topics): Examples => {
  const { words, texts, counts, towns } = topics;
  return [
    example(
      'count',
      (t) => {
        // >>> groupByKey, count
        t.stream(words).groupByKey().count('words-said').toStream().to(counts);
        // <<<
      },
      {
        input: said(topics),
        writes: counts,
        output: [
          ['ann', 1, 10],
          ['bob', 1, 20],
          ['ann', 2, 25],
        ],
      },
    ),
    example(
      'groupBy',
      (t) => {
        // >>> groupBy
        t.stream(words)
          .groupBy('by-word', (word) => word)
          .count('times-said')
          .toStream()
          .to(counts);
        // <<<
      },
      {
        input: [on(words, 'ann', 'hello', 10), on(words, 'bob', 'hello', 5)],
        writes: counts,
        output: [
          ['hello', 1, 10],
          ['hello', 2, 10],
        ],
      },
    ),
    example(
      'reduce',
      (t) => {
        // >>> reduce
        t.stream(words)
          .groupByKey()
          .reduce('sentences', (sentence, word) => `${sentence} ${word}`)
          .toStream()
          .to(texts);
        // <<<
      },
      {
        input: said(topics),
        writes: texts,
        output: [
          ['ann', 'hello', 10],
          ['bob', 'hi', 20],
          ['ann', 'hello world', 25],
        ],
      },
    ),
    example(
      'aggregate',
      (t) => {
        // >>> aggregate
        t.stream(words)
          .groupByKey()
          .aggregate('letters', {
            initial: () => 0,
            add: (letters, word) => letters + word.length,
            valueSerde: int64Serde,
          })
          .toStream()
          .to(counts);
        // <<<
      },
      {
        input: said(topics),
        writes: counts,
        output: [
          ['ann', 5, 10],
          ['bob', 2, 20],
          ['ann', 10, 25],
        ],
      },
    ),
    example(
      'table-groupBy',
      (t) => {
        // >>> KTable.groupBy, aggregate with adder and subtractor
        t.table(towns)
          .groupBy('by-town', (town, person) => [town, person], strings)
          .aggregate('inhabitants', {
            initial: () => 0,
            add: (people) => people + 1,
            subtract: (people) => people - 1,
            valueSerde: int64Serde,
          })
          .toStream()
          .to(counts);
        // <<<
      },
      {
        input: [on(towns, 'ann', 'Rome', 1), on(towns, 'bob', 'Rome', 2), on(towns, 'ann', 'Oslo', 3)],
        writes: counts,
        output: [
          ['Rome', 1, 1],
          ['Rome', 2, 2],
          ['Rome', 1, 3],
          ['Oslo', 1, 3],
        ],
      },
    ),
  ];
};

const moved = ({ towns }: Topics): readonly ExampleRecord[] => [
  on(towns, 'ann', 'Rome', 1),
  on(towns, 'ann', 'Oslo', 2),
  on(towns, 'ann', null, 3),
];

const tables = (topics: Topics): Examples => {
  const { words, texts, counts, towns } = topics;
  return [
    example(
      'table',
      (t) => {
        // >>> table, toStream
        t.table(towns, { store: 'towns-by-person' }).toStream().to(texts);
        // <<<
      },
      {
        input: moved(topics),
        writes: texts,
        output: [
          ['ann', 'Rome', 1],
          ['ann', 'Oslo', 2],
          ['ann', null, 3],
        ],
      },
    ),
    example(
      'toTable',
      (t) => {
        // >>> toTable
        t.stream(words).toTable('last-word').toStream().to(texts);
        // <<<
      },
      {
        input: said(topics),
        writes: texts,
        output: [
          ['ann', 'hello', 10],
          ['bob', 'hi', 20],
          ['ann', 'world', 25],
        ],
      },
    ),
    example(
      'table-filter',
      (t) => {
        // >>> KTable.filter
        t.table(towns, { store: 'towns-by-person' })
          .filter((town) => town === 'Rome')
          .toStream()
          .to(texts);
        // <<<
      },
      {
        input: moved(topics),
        writes: texts,
        output: [
          ['ann', 'Rome', 1],
          ['ann', null, 2],
        ],
      },
    ),
    example(
      'table-mapValues',
      (t) => {
        // >>> KTable.mapValues, Materialized
        t.table(towns)
          .mapValues((town) => town.length)
          .materialize('letters', { valueSerde: int64Serde })
          .toStream()
          .to(counts);
        // <<<
      },
      {
        input: moved(topics),
        writes: counts,
        output: [
          ['ann', 4, 1],
          ['ann', 4, 2],
          ['ann', null, 3],
        ],
      },
    ),
    example(
      'toChanges',
      (t) => {
        // >>> a table's changes with their old values
        t.table(towns)
          .toChanges()
          .mapValues(({ oldValue, newValue }) => `${oldValue ?? 'nowhere'} to ${newValue ?? 'nowhere'}`)
          .to(texts);
        // <<<
      },
      {
        input: moved(topics),
        writes: texts,
        output: [
          ['ann', 'nowhere to Rome', 1],
          ['ann', 'Rome to Oslo', 2],
          ['ann', 'Oslo to nowhere', 3],
        ],
      },
    ),
  ];
};

const joins = (topics: Topics): Examples => {
  const { words, texts, towns, customers } = topics;
  return [
    example(
      'stream-table-join',
      (t) => {
        // >>> KStream.join(KTable)
        t.stream(words)
          .join('with-town', t.table(towns), (word, town) => `${word} from ${town}`)
          .to(texts);
        // <<<
      },
      {
        input: [on(towns, 'ann', 'Rome', 1), on(words, 'ann', 'hello', 10), on(words, 'bob', 'hi', 20)],
        writes: texts,
        output: [['ann', 'hello from Rome', 10]],
      },
    ),
    example(
      'stream-table-left-join',
      (t) => {
        // >>> KStream.leftJoin(KTable)
        t.stream(words)
          .leftJoin('with-town', t.table(towns), (word, town) => `${word} from ${town ?? 'somewhere'}`)
          .to(texts);
        // <<<
      },
      {
        input: [on(towns, 'ann', 'Rome', 1), on(words, 'ann', 'hello', 10), on(words, 'bob', 'hi', 20)],
        writes: texts,
        output: [
          ['ann', 'hello from Rome', 10],
          ['bob', 'hi from somewhere', 20],
        ],
      },
    ),
    example(
      'table-table-join',
      (t) => {
        // >>> KTable.join, leftJoin, outerJoin
        t.table(customers)
          .outerJoin('customers-in-towns', t.table(towns), (name, town) => `${name ?? '?'} in ${town ?? '?'}`)
          .toStream()
          .to(texts);
        // <<<
      },
      {
        input: [on(customers, 'c1', 'Ann', 3), on(towns, 'c1', 'Rome', 5), on(customers, 'c1', null, 6)],
        writes: texts,
        output: [
          ['c1', 'Ann in ?', 3],
          ['c1', 'Ann in Rome', 5],
          ['c1', '? in Rome', 6],
        ],
      },
    ),
    example(
      'foreign-key-join',
      (t) => {
        // >>> KTable.join(KTable, foreignKeyExtractor, joiner)
        t.table(customers)
          .foreignKeyJoin('with-mayor', t.table(towns), {
            foreignKey: (customer) => customer.split(' of ')[1] ?? null,
            joiner: (customer, mayor) => `${customer}, where ${mayor} is mayor`,
            valueSerde: stringSerde,
          })
          .toStream()
          .to(texts);
        // <<<
      },
      {
        input: [on(towns, 'Rome', 'Zoe', 3), on(customers, 'c1', 'Ann of Rome', 5)],
        writes: texts,
        output: [['c1', 'Ann of Rome, where Zoe is mayor', 5]],
      },
    ),
    example(
      'stream-stream-join',
      (t) => {
        // >>> KStream.join(KStream), leftJoin, outerJoin
        t.stream(words)
          .leftJoinStream('said-while-in', t.stream(towns), {
            windows: { beforeMs: 10, afterMs: 10, graceMs: 0 },
            joiner: (word, town) => `${word} in ${town ?? 'no town'}`,
          })
          .withSerdes({ valueSerde: stringSerde })
          .to(texts);
        // <<<
      },
      {
        input: [
          on(words, 'ann', 'hello', 100),
          on(words, 'bob', 'hi', 101),
          on(towns, 'ann', 'Rome', 105),
          on(towns, 'eve', 'Oslo', 200),
        ],
        writes: texts,
        output: [
          ['ann', 'hello in Rome', 105],
          ['bob', 'hi in no town', 101],
        ],
      },
    ),
  ];
};

const lastWords = defineStore('last-words', { key: stringSerde, value: stringSerde });

const repeatLast = defineProcessor({
  name: 'repeat-last',
  stores: { lastWords },
  process(
    { key, value, timestampMs }: StreamRecord<string, string>,
    { stores, forward }: ProcessorContext<string, string, { lastWords: typeof lastWords }>,
  ) {
    const last = stores.lastWords.get(key) ?? 'nothing';
    stores.lastWords.put(key, value);
    forward({ key, value: `${last}, then ${value}`, timestampMs });
  },
});

const shout = defineFixedKeyProcessor({
  name: 'shout',
  process({ value }: StreamRecord<string, string>, { forward }: FixedKeyContext<string, NoStores>) {
    forward({ value: value.toUpperCase() });
  },
});

const tick = defineProcessor({
  name: 'tick',
  init({ schedule, forward }) {
    schedule({ everyMs: 10, by: 'stream-time' }, (timestampMs) => {
      forward({ key: 'time', value: String(timestampMs), timestampMs });
    });
  },
  process(_record: StreamRecord<string, string>, _context: ProcessorContext<string, string, NoStores>) {
    // Only time matters here.
  },
});

const processors = (topics: Topics): Examples => {
  const { words, texts } = topics;
  return [
    example(
      'process',
      (t) => {
        // >>> process
        t.stream(words).process(repeatLast).to(texts);
        // <<<
      },
      {
        input: said(topics),
        writes: texts,
        output: [
          ['ann', 'nothing, then hello', 10],
          ['bob', 'nothing, then hi', 20],
          ['ann', 'hello, then world', 25],
        ],
      },
    ),
    example(
      'processValues',
      (t) => {
        // >>> processValues
        t.stream(words).processValues(shout).to(texts);
        // <<<
      },
      { input: said(topics).slice(0, 1), writes: texts, output: [['ann', 'HELLO', 10]] },
    ),
    example(
      'schedule',
      (t) => {
        // >>> process, with a punctuator
        t.stream(words).process(tick).to(texts);
        // <<<
      },
      {
        input: said(topics),
        writes: texts,
        output: [
          ['time', '10', 10],
          ['time', '20', 20],
        ],
      },
    ),
    example(
      'mapValuesAsync',
      (t) => {
        // >>> mapValuesAsync
        t.stream(words)
          .mapValuesAsync('look-up', async (word) => await Promise.resolve(`${word}?`), {
            concurrency: 50,
            timeoutMs: 5_000,
            retry: { attempts: 3, backoffMs: 100 },
          })
          .to(texts);
        // <<<
      },
      {
        input: said(topics),
        writes: texts,
        output: [
          ['ann', 'hello?', 10],
          ['bob', 'hi?', 20],
          ['ann', 'world?', 25],
        ],
      },
    ),
  ];
};

/** Windows have keys of their own; these topics take texts. */
const label = ({ key, startMs, endMs }: Windowed<string>): string => `${key} ${String(startMs)}-${String(endMs)}`;

const windows = ({ words, towns, counts, texts }: Topics): Examples => {
  const input = [
    on(words, 'ann', 'a', 1_000),
    on(words, 'ann', 'b', 4_000),
    on(words, 'bob', 'c', 6_000),
    on(words, 'ann', 'd', 12_000),
  ];
  return [
    example(
      'windowedBy-tumbling',
      (t) => {
        // >>> windowedBy: tumbling and hopping windows
        t.stream(words)
          .groupByKey()
          .windowedBy(tumblingWindows({ sizeMs: 5_000, graceMs: 1_000 }))
          .count('per-five-seconds')
          .toStream()
          .map((count, key) => [label(key), count])
          .to(counts);
        // <<<
      },
      {
        input,
        writes: counts,
        output: [
          ['ann 0-5000', 1, 1_000],
          ['ann 0-5000', 2, 4_000],
          ['bob 5000-10000', 1, 6_000],
          ['ann 10000-15000', 1, 12_000],
        ],
      },
    ),
    example(
      'windowedBy-sliding',
      (t) => {
        // >>> windowedBy: sliding windows
        t.stream(words)
          .groupByKey()
          .windowedBy(slidingWindows({ differenceMs: 5_000, graceMs: 0 }))
          .reduce('within-five-seconds', (said, word) => said + word)
          .toStream()
          .map((said, key) => [label(key), said])
          .to(texts);
        // <<<
      },
      {
        input: input.slice(0, 2),
        writes: texts,
        output: [
          ['ann 0-5000', 'a', 1_000],
          ['ann 1001-6001', 'b', 4_000],
          ['ann 0-5000', 'ab', 4_000],
        ],
      },
    ),
    example(
      'windowedBy-sessions',
      (t) => {
        // >>> windowedBy: sessions
        t.stream(words)
          .groupByKey()
          .windowedBy(sessionWindows({ gapMs: 3_000, graceMs: 0 }))
          .aggregate('visits', {
            initial: () => '',
            add: (said, word) => said + word,
            merge: (one, two) => one + two,
            valueSerde: stringSerde,
          })
          .toStream()
          .map((said, key) => [label(key), said])
          .to(texts);
        // <<<
      },
      {
        input: input.slice(0, 2),
        writes: texts,
        output: [
          ['ann 1000-1000', 'a', 1_000],
          ['ann 1000-1000', null, 1_000],
          ['ann 1000-4000', 'ab', 4_000],
        ],
      },
    ),
    example(
      'emitStrategy',
      (t) => {
        // >>> emitStrategy
        t.stream(words)
          .groupByKey()
          .windowedBy(hoppingWindows({ sizeMs: 5_000, advanceMs: 5_000, graceMs: 1_000 }))
          .emitStrategy('on-close')
          .count({ name: 'final-counts', retentionMs: 60_000 })
          .toStream()
          .map((count, key) => [label(key), count])
          .to(counts);
        // <<<
      },
      {
        input,
        writes: counts,
        output: [
          ['ann 0-5000', 2, 4_000],
          ['bob 5000-10000', 1, 6_000],
        ],
      },
    ),
    example(
      'suppress-until-windows-close',
      (t) => {
        // >>> suppress: until windows close
        t.stream(words)
          .groupByKey()
          .windowedBy(tumblingWindows({ sizeMs: 5_000, graceMs: 1_000 }))
          .count('counts')
          .suppress('final', untilWindowCloses())
          .toStream()
          .map((count, key) => [label(key), count])
          .to(counts);
        // <<<
      },
      {
        input,
        writes: counts,
        output: [
          ['ann 0-5000', 2, 4_000],
          ['bob 5000-10000', 1, 6_000],
        ],
      },
    ),
    example(
      'suppress-until-time-limit',
      (t) => {
        // >>> suppress: until a time limit
        t.stream(words).groupByKey().count('counts').suppress('calm', untilTimeLimit(5_000)).toStream().to(counts);
        // <<<
      },
      {
        input,
        writes: counts,
        output: [
          ['ann', 2, 4_000],
          ['bob', 1, 6_000],
        ],
      },
    ),
    example(
      'cogroup',
      (t) => {
        // >>> cogroup
        t.stream(words)
          .groupByKey()
          .cogroup<string>((seen, word) => `${seen} ${word}`)
          .cogroup(t.stream(towns).groupByKey(), (seen, town) => `${seen} in ${town}`)
          .aggregate('seen', { initial: () => 'seen:', valueSerde: stringSerde })
          .toStream()
          .to(texts);
        // <<<
      },
      {
        input: [on(words, 'ann', 'a', 1_000), on(towns, 'ann', 'Bern', 2_000)],
        writes: texts,
        output: [
          ['ann', 'seen: a', 1_000],
          ['ann', 'seen: a in Bern', 2_000],
        ],
      },
    ),
  ];
};

/** By name, on topics of names that begin with `prefix`. */
export function examples(prefix = ''): ReadonlyMap<string, Example> {
  const of = topics(prefix);
  return new Map([stateless, grouped, windows, tables, joins, processors].flatMap((group) => group(of)));
}
