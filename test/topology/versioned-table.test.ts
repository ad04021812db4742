import { describe, expect, test } from '@jest/globals';
import { stringSerde } from '../../schemas/serde.ts';
import { defineVersionedStore } from '../../state-stores/versioned-spec.ts';
import { defineTopology, type TopologyBuilder } from '../../topology/builder.ts';
import { TestDriver } from '../../topology/runtime/driver.ts';
import { failureOf } from '../support/node-harness.ts';
import { texts } from '../support/sample-topologies.ts';

const input = texts('input');
const rows = texts('rows');
const output = texts('output');

function versioned(historyRetentionMs = 100) {
  return defineVersionedStore('versions', { key: stringSerde, value: stringSerde, historyRetentionMs });
}

function driverOf(declare: (t: TopologyBuilder) => void): TestDriver {
  return new TestDriver(defineTopology('versioned', declare));
}

function outputs(driver: TestDriver): readonly unknown[] {
  return driver.read(output).map((record) => [record.key, record.value, record.timestampMs]);
}

describe('a versioned table', () => {
  test('a stream is joined with the row as of the time of the record', () => {
    const driver = driverOf((t) => {
      t.stream(input)
        .leftJoin('joined', t.table(rows, { store: versioned() }), (value, row) => `${value}+${String(row)}`)
        .withSerdes({ valueSerde: stringSerde })
        .to(output);
    });
    driver.pipe(rows, 'k', 'a', { timestampMs: 10 });
    driver.pipe(rows, 'k', 'b', { timestampMs: 20 });
    for (const timestampMs of [9, 10, 19, 20, 30]) driver.pipe(input, 'k', 'v', { timestampMs });

    expect(outputs(driver).map((result) => (result as unknown[])[1])).toEqual(['v+null', 'v+a', 'v+a', 'v+b', 'v+b']);
  });

  test('with a grace a record waits for the table, until the stream is that far ahead of it; a later one is joined at once', () => {
    const driver = driverOf((t) => {
      t.stream(input)
        .join('joined', t.table(rows, { store: versioned() }), (value, row) => value + row, { graceMs: 10 })
        .withSerdes({ valueSerde: stringSerde })
        .to(output);
    });
    const pipe = (value: string, timestampMs: number) => {
      driver.pipe(input, 'k', value, { timestampMs, headers: [{ key: 'of', value: Buffer.from(value) }] });
      return driver.read(output).map((record) => [record.value, Buffer.from(record.headers[0]!.value!).toString()]);
    };

    expect(pipe('1', 20)).toEqual([]);
    expect(pipe('2', 29)).toEqual([]);
    driver.pipe(rows, 'k', 'late', { timestampMs: 15 });
    expect(pipe('3', 30)).toEqual([['1late', '1']]);
    expect(pipe('4', 20)).toEqual([['4late', '4']]);
    expect(pipe('5', 19)).toEqual([['5late', '5']]);
    expect(pipe('6', 100)).toEqual([
      ['2late', '2'],
      ['3late', '3'],
    ]);
  });

  test('a grace needs a versioned table whose history reaches as far back', () => {
    const declare = (t: TopologyBuilder, graceMs: number, store: string | ReturnType<typeof versioned>) => {
      t.stream(input).join('joined', t.table(rows, { store }), (value) => value, { graceMs });
    };

    expect(failureOf(() => driverOf((t) => declare(t, 5, 'plain'))).message).toMatch(/must be versioned/);
    expect(failureOf(() => driverOf((t) => declare(t, 101, versioned(100)))).message).toMatch(/reach as far back/);
    expect(failureOf(() => driverOf((t) => declare(t, -1, versioned()))).message).toMatch(/at least 0/);
  });

  test('an older version updates no join of tables and no aggregate, and one beyond retention nothing at all', () => {
    const driver = driverOf((t) => {
      const table = t.table(rows, { store: versioned(50) });
      table
        .join('joined', t.table(input), (a, b) => a + b)
        .toStream()
        .withSerdes({ valueSerde: stringSerde })
        .to(output);
      table
        .groupBy('by-value', (value, key) => [value, key], { keySerde: stringSerde, valueSerde: stringSerde })
        .count('counts');
    });
    driver.pipe(input, 'k', 'X', { timestampMs: 0 });
    driver.pipe(rows, 'k', 'new', { timestampMs: 100 });
    driver.pipe(rows, 'k', 'old', { timestampMs: 60 });
    driver.pipe(rows, 'k', 'ancient', { timestampMs: 40 });

    expect(outputs(driver)).toEqual([['k', 'newX', 100]]);
    expect(driver.state('counts')).toBeDefined();
    expect(driver.readBytes('versioned-by-value-repartition')).toHaveLength(1);
    expect(Object.fromEntries(driver.drops())).toEqual({ stale: 1, expired: 1 });
  });

  test('the changelog has every version as a record of its key, with its time', () => {
    const driver = driverOf((t) => void t.table(rows, { store: versioned() }));
    driver.pipe(rows, 'k', 'b', { timestampMs: 20 });
    driver.pipe(rows, 'k', 'a', { timestampMs: 10 });
    driver.pipe(rows, 'k', null, { timestampMs: 30 });

    const logged = driver.readBytes('versioned-versions-changelog');
    expect(logged.map(({ key, value, timestampMs }) => [String(key), value?.toString(), timestampMs])).toEqual([
      ['k', Buffer.from('b').toString(), 20],
      ['k', Buffer.from('a').toString(), 10],
      ['k', undefined, 30],
    ]);
    const [topic] = driver.plan.internalTopics;
    expect(topic?.configs['min.compaction.lag.ms']).toBe(String(100 + 24 * 60 * 60 * 1000));
  });
});
