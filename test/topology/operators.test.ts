import { describe, expect, test } from '@jest/globals';
import { defineTopology } from '../../topology/builder.ts';
import { TestDriver } from '../../topology/runtime/driver.ts';
import { int64Serde, jsonSerde, stringSerde } from '../../schemas/serde.ts';
import { defineTopic, type Topic } from '../../schemas/topic.ts';
import { numbers, texts } from '../support/sample-topologies.ts';

const serdes = { keySerde: stringSerde, valueSerde: stringSerde };

/** `[key, value, timestamp]` of what was written to a topic. */
function outputs<K, V>(driver: TestDriver, topic: Topic<K, V>): readonly (readonly [K | null, V | null, number])[] {
  return driver.read(topic).map(({ key, value, timestampMs }) => [key, value, timestampMs] as const);
}

/** The last value of each key. */
function latest<K, V>(driver: TestDriver, topic: Topic<K, V>): ReadonlyMap<K | null, V | null> {
  return new Map(driver.read(topic).map(({ key, value }) => [key, value]));
}

const keys = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];

describe('declared steps, over three partitions', () => {
  test('a count after a new key sees all records of the key, whatever partition they came from', () => {
    const input = texts('input');
    const output = numbers('output');
    const topology = defineTopology('sample', (t) => {
      t.stream(input)
        .selectKey((value) => value)
        .groupByKey({ keySerde: stringSerde })
        .count('counts')
        .toStream()
        .to(output);
    });
    const driver = new TestDriver(topology, { partitions: 3 });
    for (const key of keys) for (const word of ['x', 'y']) driver.pipe(input, key, word, { timestampMs: 1 });
    expect(Object.fromEntries(latest(driver, output))).toEqual({ x: keys.length, y: keys.length });
  });

  test('a group drops records whose new key is null', () => {
    const input = texts('input');
    const output = numbers('output');
    const topology = defineTopology('sample', (t) => {
      t.stream(input)
        .groupBy<string | null>('by-word', (value) => (value === 'none' ? null : value), {
          keySerde: stringSerde,
        })
        .count('counts')
        .toStream()
        .to(output);
    });
    const driver = new TestDriver(topology, { partitions: 3 });
    for (const word of ['x', 'none', 'x']) driver.pipe(input, 'k', word, { timestampMs: 1 });
    expect(outputs(driver, output)).toEqual([
      ['x', 1, 1],
      ['x', 2, 1],
    ]);
  });

  test('rows that move between groups are counted where they are', () => {
    const rows = texts('rows');
    const output = numbers('output');
    const topology = defineTopology('sample', (t) => {
      t.table(rows)
        .groupBy('by-value', (value, key) => [value, key], serdes)
        .count('rows-by-value')
        .toStream()
        .to(output);
    });
    const driver = new TestDriver(topology, { partitions: 3 });
    for (const key of keys) driver.pipe(rows, key, 'red', { timestampMs: 1 });
    driver.pipe(rows, 'a', 'blue', { timestampMs: 2 });
    driver.pipe(rows, 'b', 'blue', { timestampMs: 3 });
    driver.pipe(rows, 'a', null, { timestampMs: 4 });
    expect(Object.fromEntries(latest(driver, output))).toEqual({ red: keys.length - 2, blue: 1 });
  });

  test('a row that stays in its group gives one result, without the moment in between', () => {
    const rows = numbers('rows');
    const output = numbers('output');
    const topology = defineTopology('sample', (t) => {
      t.table(rows)
        .groupBy('all', (value) => ['all', value], { keySerde: stringSerde, valueSerde: int64Serde })
        .reduce('sum', { add: (a, b) => a + b, subtract: (a, b) => a - b })
        .toStream()
        .to(output);
    });
    const driver = new TestDriver(topology);
    driver.pipe(rows, 'a', 10, { timestampMs: 1 });
    driver.pipe(rows, 'b', 5, { timestampMs: 2 });
    driver.pipe(rows, 'a', 11, { timestampMs: 3 });
    expect(outputs(driver, output)).toEqual([
      ['all', 10, 1],
      ['all', 15, 2],
      ['all', 16, 3],
    ]);
  });

  test('a re-keyed stream meets the row of its new key, in the time of the record', () => {
    const input = texts('input');
    const rows = texts('rows');
    const output = texts('output');
    const topology = defineTopology('sample', (t) => {
      const table = t.table(rows);
      t.stream(input)
        .map((value, key) => [value, key])
        .withSerdes(serdes)
        .leftJoin('joined', table, (value, row) => `${value}:${row ?? '?'}`)
        .to(output);
    });
    const driver = new TestDriver(topology, { partitions: 3 });
    for (const key of keys) driver.pipe(rows, key, key.toUpperCase(), { timestampMs: 100 });
    for (const key of keys) driver.pipe(input, `from-${key}`, key, { timestampMs: 5 });
    driver.pipe(input, 'from-z', 'z', { timestampMs: 6 });
    const joined = outputs(driver, output);
    expect(joined).toHaveLength(keys.length + 1);
    for (const key of keys) expect(joined).toContainEqual([key, `from-${key}:${key.toUpperCase()}`, 5]);
    expect(joined).toContainEqual(['z', 'from-z:?', 6]);
  });

  test('tables derived from tables join by their rows as they are', () => {
    const left = texts('left');
    const right = numbers('right');
    const output = texts('output');
    const topology = defineTopology('sample', (t) => {
      const long = t.table(left).filter((value) => value.length > 1);
      const doubled = t.table(right).mapValues((value) => value * 2);
      long
        .join('both', doubled, (value, count) => `${value}${String(count)}`)
        .outerJoin('all', t.table(texts('third')), (pair, third) => `${pair ?? '-'}/${third ?? '-'}`)
        .toStream()
        .to(output);
    });
    const driver = new TestDriver(topology, { partitions: 3 });
    driver.pipe(left, 'k', 'ab', { timestampMs: 1 });
    driver.pipe(right, 'k', 2, { timestampMs: 2 });
    driver.pipe(texts('third'), 'k', 't', { timestampMs: 1 });
    driver.pipe(left, 'k', 'c', { timestampMs: 4 });
    driver.pipe(texts('third'), 'k', null, { timestampMs: 3 });
    expect(outputs(driver, output)).toEqual([
      ['k', 'ab4/-', 2],
      ['k', 'ab4/t', 2],
      ['k', '-/t', 4],
      ['k', null, 3],
    ]);
  });

  test('branches, merges and sinks that choose their topic', () => {
    const input = texts('input');
    const topology = defineTopology('sample', (t) => {
      const { big, rest } = t.stream(input).branch('size', { big: (value) => value.length > 2 }, { default: 'rest' });
      big
        .mapValues((value) => value.toUpperCase())
        .merge(rest)
        .withSerdes(serdes)
        .to((_key, value) => (value === value.toLowerCase() ? 'small' : 'large'), {
          partitioner: (_key, value, partitions) => value.length % partitions,
        });
      rest.to(texts('small'));
      big.to(texts('large'), { partitioner: () => undefined });
    });
    const driver = new TestDriver(topology, { partitions: 3 });
    driver.pipe(input, 'k', 'abcd', { timestampMs: 1 });
    driver.pipe(input, 'k', 'x', { timestampMs: 2 });
    const wrote = (name: string): unknown => driver.read(texts(name)).map(({ value, partition }) => [value, partition]);
    const keyPartition = 2;
    expect(wrote('large')).toEqual([
      ['ABCD', 1],
      ['abcd', keyPartition],
    ]);
    expect(wrote('small')).toEqual([
      ['x', 1],
      ['x', keyPartition],
    ]);
  });

  test('a topic that is read as a stream and as a table is one input', () => {
    const input = texts('input');
    const output = texts('output');
    const topology = defineTopology('sample', (t) => {
      const table = t.table(input);
      t.stream(input)
        .join('self', table, (value, row) => `${value}${row}`)
        .to(output);
    });
    const driver = new TestDriver(topology);
    driver.pipe(input, 'k', 'a', { timestampMs: 1 });
    driver.pipe(input, 'k', 'b', { timestampMs: 2 });
    expect(outputs(driver, output)).toEqual([
      ['k', 'aa', 1],
      ['k', 'bb', 2],
    ]);
  });

  test('an aggregate cannot be changed in place', () => {
    const input = texts('input');
    const topology = defineTopology('sample', (t) => {
      t.stream(input)
        .groupByKey()
        .aggregate('lists', {
          initial: (): string[] => [],
          add: (list, value) => {
            list.push(value);
            return list;
          },
          valueSerde: jsonSerde<string[]>(),
        })
        .toStream()
        .to(defineTopic({ name: 'output', key: stringSerde, value: jsonSerde<string[]>() }));
    });
    const driver = new TestDriver(topology);
    driver.pipe(input, 'k', 'a');
    expect(() => driver.pipe(input, 'k', 'b')).toThrow();
  });

  test('a record that fails in a step with a policy of its own is skipped', () => {
    const input = texts('input');
    const output = texts('output');
    const topology = defineTopology('sample', (t) => {
      t.stream(input)
        .withErrorPolicy('skip')
        .mapValues((value) => {
          if (value === 'bad') throw new Error('bad');
          return value;
        })
        .to(output);
    });
    const driver = new TestDriver(topology);
    for (const value of ['good', 'bad', 'fine']) driver.pipe(input, 'k', value, { timestampMs: 1 });
    expect(outputs(driver, output).map(([, value]) => value)).toEqual(['good', 'fine']);
  });
});
