import { describe, expect, test } from '@jest/globals';
import { defineTopic, defineTopology, stringSerde } from '../../index.ts';
import { TestDriver } from '../../testing.ts';

const towns = defineTopic({ name: 'towns', key: stringSerde, value: stringSerde });
const output = defineTopic({ name: 'output', key: stringSerde, value: stringSerde });

const topology = defineTopology('once', (t) => {
  t.table(towns, { store: 'towns-by-person' })
    .oncePerCommit()
    .toChanges()
    .mapValues(({ oldValue, newValue }) => `${oldValue ?? '-'} ${newValue ?? '-'}`)
    .to(output);
});

function changes(driver: TestDriver): readonly unknown[] {
  return driver.read(output).map(({ key, value, timestampMs }) => [key, value, timestampMs]);
}

describe('a table that sends on once per commit', () => {
  test('gives the latest change of each row, with what it was at the last commit, in the order of the latest', () => {
    const driver = new TestDriver(topology, { commitsEachRecord: false });
    driver.pipe(towns, 'ann', 'Rome', { timestampMs: 1 });
    driver.pipe(towns, 'bob', 'Oslo', { timestampMs: 2 });
    driver.pipe(towns, 'ann', 'Bonn', { timestampMs: 3 });
    expect(changes(driver)).toEqual([]);
    driver.commit();
    expect(changes(driver)).toEqual([
      ['bob', '- Oslo', 2],
      ['ann', '- Bonn', 3],
    ]);
    driver.pipe(towns, 'ann', 'Lima', { timestampMs: 4 });
    driver.pipe(towns, 'ann', null, { timestampMs: 5 });
    driver.commit();
    expect(changes(driver)).toEqual([['ann', 'Bonn -', 5]]);
  });

  test('a row that came and went between two commits shows nothing', () => {
    const driver = new TestDriver(topology, { commitsEachRecord: false });
    driver.pipe(towns, 'ann', 'Rome');
    driver.pipe(towns, 'ann', null);
    driver.commit();
    expect(changes(driver)).toEqual([]);
  });

  test('what it causes is part of the same commit', async () => {
    const counted = defineTopology('counted', (t) => {
      t.table(towns, { store: 'towns-by-person' })
        .oncePerCommit()
        .toStream()
        .filter((town) => town !== null)
        .withSerdes({ valueSerde: stringSerde })
        .groupByKey()
        .count('moves');
    });
    const driver = new TestDriver(counted, { commitsEachRecord: false });
    for (const town of ['Rome', 'Oslo', 'Bonn']) driver.pipe(towns, 'ann', town);
    driver.commit();
    const spec = counted.stores.find(({ name }) => name === 'moves');
    expect(spec === undefined ? [] : await driver.rows(spec)).toMatchObject([{ key: 'ann', value: 1 }]);
  });
});
