import { describe, expect, test } from '@jest/globals';
import { defineProcessor } from '../../processors/processor.ts';
import { stringSerde } from '../../schemas/serde.ts';
import { defineStore } from '../../state-stores/spec.ts';
import { defineTopology } from '../../topology/builder.ts';
import { TestDriver } from '../../topology/runtime/driver.ts';
import { failureOf } from '../support/node-harness.ts';
import { texts } from '../support/sample-topologies.ts';

const input = texts('input');
const rows = texts('rows');
const output = texts('output');

const joiner = (value: string, row: string | null): string => `${value}+${String(row)}`;
/** The key of the row stands behind the bar. */
const key = (value: string): string | null => value.split('|')[1] ?? null;

function driverOf(kind: 'inner' | 'left'): TestDriver {
  const topology = defineTopology('global', (t) => {
    const table = t.globalTable(rows);
    const stream = t.stream(input);
    const joined =
      kind === 'inner'
        ? stream.joinGlobal('joined', table, { key, joiner })
        : stream.leftJoinGlobal('joined', table, { key, joiner });
    joined.withSerdes({ valueSerde: stringSerde }).to(output);
  });
  return new TestDriver(topology, { partitions: { input: 3, rows: 2 } });
}

function pipe(driver: TestDriver, recordKey: string | null, value: string | null): readonly unknown[] {
  driver.pipe(input, recordKey, value, { timestampMs: 7 });
  return driver.read(output).map((record) => [record.key, record.value, record.timestampMs]);
}

describe('a stream with a global table', () => {
  test('joins with the row of any partition, by a key made of the record, at the time of the record', () => {
    const driver = driverOf('inner');
    driver.pipe(rows, 'x', 'X', { partition: 0, timestampMs: 99 });
    driver.pipe(rows, 'y', 'Y', { partition: 1, timestampMs: 99 });

    expect(pipe(driver, 'a', 'A|x')).toEqual([['a', 'A|x+X', 7]]);
    expect(pipe(driver, 'b', 'B|y')).toEqual([['b', 'B|y+Y', 7]]);
    expect(pipe(driver, null, 'C|y')).toEqual([[null, 'C|y+Y', 7]]);
  });

  test('sees the table as it is now: later rows change nothing that was joined', () => {
    const driver = driverOf('left');

    expect(pipe(driver, 'a', 'A|x')).toEqual([['a', 'A|x+null', 7]]);
    driver.pipe(rows, 'x', 'X');
    expect(driver.read(output)).toEqual([]);
    expect(pipe(driver, 'a', 'A|x')).toEqual([['a', 'A|x+X', 7]]);
    driver.pipe(rows, 'x', null);
    expect(pipe(driver, 'a', 'A|x')).toEqual([['a', 'A|x+null', 7]]);
  });

  test('without a row or a key an inner join has no result, a left join one with null; a null value is dropped', () => {
    const inner = driverOf('inner');
    const left = driverOf('left');

    expect([pipe(inner, 'a', 'A|x'), pipe(inner, 'a', 'A'), pipe(inner, 'a', null)]).toEqual([[], [], []]);
    expect(Object.fromEntries(inner.drops())).toEqual({ 'null-key': 1, 'null-value': 1 });
    expect(pipe(left, 'a', 'A')).toEqual([['a', 'A+null', 7]]);
    expect(pipe(left, 'a', null)).toEqual([]);
    expect(Object.fromEntries(left.drops())).toEqual({ 'null-value': 1 });
  });
});

const lengths = defineStore('lengths', { key: stringSerde, value: stringSerde });

const measure = defineProcessor<string | null, string | null, never, never, { lengths: typeof lengths }>({
  name: 'measure',
  stores: { lengths },
  process({ key: name, value }, { stores, drop }) {
    if (name === null || value === null) drop('null-value');
    else stores.lengths.put(name, String(value.length));
  },
});

const look = defineProcessor<string, string, string, string, { lengths: typeof lengths }>({
  name: 'look',
  stores: { lengths },
  process({ key: name, value, timestampMs }, { stores, forward }) {
    if (value === 'write') stores.lengths.put(name, 'mine');
    forward({ key: name, value: stores.lengths.get(value) ?? 'none', timestampMs });
  },
});

describe('a global store', () => {
  const topology = defineTopology('global', (t) => {
    t.globalStore(rows, measure);
    t.stream(input).process(look).withSerdes({ keySerde: stringSerde, valueSerde: stringSerde }).to(output);
  });

  test('is kept by its own processor and read by those that declare it', () => {
    const driver = new TestDriver(topology, { partitions: { input: 2, rows: 3 } });
    driver.pipe(rows, 'x', 'four');
    driver.pipe(input, 'a', 'x');
    driver.pipe(input, 'a', 'y');

    expect(driver.read(output).map(({ value }) => value)).toEqual(['4', 'none']);
    expect(topology.stores).toEqual([]);
    expect(driver.plan.internalTopics).toEqual([]);
  });

  test('is not changed by others', () => {
    const driver = new TestDriver(topology);

    expect(failureOf(() => driver.pipe(input, 'a', 'write')).message).toMatch(/store lengths is global/);
  });

  test('takes one store, under a name of its own', () => {
    const none = defineProcessor<string | null, string | null, never, never>({
      name: 'none',
      process: () => undefined,
    });

    expect(failureOf(() => defineTopology('t', (t) => t.globalStore(rows, none))).message).toMatch(/one store/);
    expect(
      failureOf(() =>
        defineTopology('t', (t) => {
          t.globalStore(rows, measure);
          t.table(input, { store: 'lengths' });
        }),
      ).message,
    ).toMatch(/store name lengths is used twice/);
  });
});
