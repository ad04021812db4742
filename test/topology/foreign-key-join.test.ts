import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { instruction, subscriptionSerde } from '../../processors/subscription.ts';
import { stringSerde } from '../../schemas/serde.ts';
import { defineTopology } from '../../topology/builder.ts';
import { TestDriver } from '../../topology/runtime/driver.ts';
import { failureOf } from '../support/node-harness.ts';
import { texts } from '../support/sample-topologies.ts';

const left = texts('left');
const right = texts('right');
const output = texts('output');

/** A row refers to what stands behind the bar, if anything does. */
const foreignKey = (value: string): string | null => value.split('|')[1] ?? null;

const joiner = (value: string, other: string | null): string => `${value}+${String(other)}`;

function topologyOf(kind: 'inner' | 'left') {
  return defineTopology('fk', (t) => {
    const owners = t.table(right);
    const rows = t.table(left);
    const how = { foreignKey, joiner };
    const joined =
      kind === 'inner' ? rows.foreignKeyJoin('fk', owners, how) : rows.foreignKeyLeftJoin('fk', owners, how);
    joined.toStream().withSerdes({ valueSerde: stringSerde }).to(output);
  });
}

type Input = readonly [side: 'l' | 'r', key: string, value: string | null, timestampMs: number];
type Result = readonly [key: string | null, value: string | null, timestampMs: number];

class Join {
  readonly driver: TestDriver;

  constructor(kind: 'inner' | 'left', partitions: Readonly<Record<string, number>> | number = 1) {
    this.driver = new TestDriver(topologyOf(kind), { partitions });
  }

  pipe(...[side, key, value, timestampMs]: Input): readonly Result[] {
    this.driver.pipe(side === 'l' ? left : right, key, value, { timestampMs });
    return this.driver.read(output).map((record) => [record.key, record.value, record.timestampMs]);
  }
}

describe('a foreign-key join', () => {
  test('joins when either side arrives, with the later time when the row came second, and that of the other row else', () => {
    const join = new Join('inner');

    expect(join.pipe('l', 'a', 'A|x', 5)).toEqual([]);
    expect(join.pipe('r', 'x', 'X', 3)).toEqual([['a', 'A|x+X', 3]]);
    expect(join.pipe('l', 'b', 'B|x', 2)).toEqual([['b', 'B|x+X', 3]]);
    expect(join.pipe('r', 'x', 'Y', 9)).toEqual([
      ['a', 'A|x+Y', 9],
      ['b', 'B|x+Y', 9],
    ]);
  });

  test('a deleted row of the other table deletes the results of an inner join, and empties those of a left one', () => {
    const inner = new Join('inner');
    const outer = new Join('left');
    for (const join of [inner, outer]) {
      join.pipe('r', 'x', 'X', 0);
      join.pipe('l', 'a', 'A|x', 1);
    }

    expect(inner.pipe('r', 'x', null, 2)).toEqual([['a', null, 2]]);
    expect(outer.pipe('r', 'x', null, 2)).toEqual([['a', 'A|x+null', 2]]);
  });

  test('a deleted row deletes its result, once', () => {
    for (const kind of ['inner', 'left'] as const) {
      const join = new Join(kind);
      join.pipe('r', 'x', 'X', 0);
      join.pipe('l', 'a', 'A|x', 1);

      expect(join.pipe('l', 'a', null, 2)).toEqual([['a', null, 2]]);
      expect(join.pipe('l', 'a', null, 3)).toEqual([]);
      expect(join.pipe('r', 'x', 'Y', 4)).toEqual([]);
    }
  });

  test('a changed foreign key takes leave of the old one: without a counterpart the result is deleted or empty', () => {
    const inner = new Join('inner');
    const outer = new Join('left');
    for (const join of [inner, outer]) {
      join.pipe('r', 'x', 'X', 0);
      join.pipe('l', 'a', 'A|x', 1);
    }

    expect(inner.pipe('l', 'a', 'A|y', 2)).toEqual([['a', null, 2]]);
    expect(outer.pipe('l', 'a', 'A|y', 2)).toEqual([['a', 'A|y+null', 2]]);
    expect(inner.pipe('r', 'x', 'Z', 3)).toEqual([]);
    expect(outer.pipe('r', 'x', 'Z', 3)).toEqual([]);
  });

  test('with an unchanged foreign key an inner join answers only if there is a counterpart', () => {
    const join = new Join('inner');
    join.pipe('l', 'a', 'A|x', 1);

    expect(join.pipe('l', 'a', 'B|x', 2)).toEqual([]);
    join.pipe('r', 'x', 'X', 3);
    expect(join.pipe('l', 'a', 'C|x', 4)).toEqual([['a', 'C|x+X', 4]]);
  });

  test('a row without a foreign key is dropped by an inner join, which deletes its result, and empty in a left one', () => {
    const inner = new Join('inner');
    const outer = new Join('left');
    for (const join of [inner, outer]) {
      join.pipe('r', 'x', 'X', 0);
      join.pipe('l', 'a', 'A|x', 1);
    }

    expect(inner.pipe('l', 'a', 'A', 2)).toEqual([['a', null, 2]]);
    expect(inner.pipe('l', 'b', 'B', 3)).toEqual([]);
    expect(Object.fromEntries(inner.driver.drops())).toEqual({ 'null-key': 2 });
    expect(outer.pipe('l', 'a', 'A', 2)).toEqual([['a', 'A+null', 2]]);
    expect(outer.pipe('l', 'a', 'A|x', 3)).toEqual([['a', 'A|x+X', 3]]);
  });

  test('the answer to what a row was meanwhile is discarded', () => {
    const { driver } = new Join('inner');
    driver.pipe(right, 'x', 'X', { timestampMs: 0 });
    driver.pipe(left, 'a', 'A|x', { timestampMs: 1 });
    driver.read(output);
    const [asked] = driver.readBytes('fk-fk-subscription-registration-topic');
    const late = {
      ...subscriptionSerde.deserialize(asked!.value!),
      hash: Buffer.alloc(16),
      instruction: instruction.answer,
    };

    driver.pipeBytes('fk-fk-subscription-registration-topic', asked!.key, subscriptionSerde.serialize(late));

    expect(driver.read(output)).toEqual([]);
    expect(driver.drops().get('stale')).toBe(1);
  });

  test('needs a serde of the result only where a later step keeps its rows', () => {
    const declare = (valueSerde?: typeof stringSerde) =>
      defineTopology('chain', (t) => {
        const rows = t.table(left);
        const how = { foreignKey, joiner, ...(valueSerde === undefined ? {} : { valueSerde }) };
        rows.join('again', rows.foreignKeyJoin('fk', t.table(right), how), (a, b) => a + b).toStream();
      });

    expect(declare(stringSerde).stores.map(({ name }) => name)).toContain('fk');
    expect(failureOf(() => declare()).message).toMatch(/step fk needs a value serde/);
  });

  test('takes the partitioner of the other table', () => {
    const topology = defineTopology('fk', (t) => {
      t.table(left)
        .foreignKeyLeftJoin('fk', t.table(right), { foreignKey, joiner, otherPartitioner: () => 3 })
        .toStream()
        .withSerdes({ valueSerde: stringSerde })
        .to(output);
    });
    const driver = new TestDriver(topology, { partitions: { left: 2, right: 5 } });

    driver.pipe(right, 'x', 'X', { partition: 3 });
    driver.pipe(left, 'a', 'A|x');
    driver.pipe(left, 'b', 'B');

    expect(driver.read(output).map(({ value }) => value)).toEqual(['A|x+X', 'B+null']);
  });
});

const inputs: fc.Arbitrary<readonly Input[]> = fc.array(
  fc.oneof(
    fc.tuple(
      fc.constant('l' as const),
      fc.constantFrom('a', 'b', 'c'),
      fc.constantFrom('1|x', '2|x', '1|y', '1|z', '1', null),
      fc.nat(20),
    ),
    fc.tuple(fc.constant('r' as const), fc.constantFrom('x', 'y'), fc.constantFrom('X', 'Y', null), fc.nat(20)),
  ),
  { maxLength: 40 },
);

/** What the join holds, by definition. */
function reference(kind: 'inner' | 'left', seen: readonly Input[]): ReadonlyMap<string, string> {
  const tables = { l: new Map<string, string>(), r: new Map<string, string>() };
  for (const [side, key, value] of seen)
    if (value === null) tables[side].delete(key);
    else tables[side].set(key, value);
  const result = new Map<string, string>();
  for (const [key, value] of tables.l) {
    const to = foreignKey(value);
    const other = to === null ? undefined : tables.r.get(to);
    if (other !== undefined || kind === 'left') result.set(key, joiner(value, other ?? null));
  }
  return result;
}

describe.each(['inner', 'left'] as const)('whatever arrives in whatever order, the %s foreign-key join', (kind) => {
  test.each([1, { left: 3, right: 2, output: 1 }])(
    'holds after each record what its definition says: %j',
    (partitions) => {
      fc.assert(
        fc.property(inputs, (records) => {
          const join = new Join(kind, partitions);
          const rows = new Map<string, string>();
          for (const [index, record] of records.entries()) {
            for (const [key, value] of join.pipe(...record))
              if (value === null) rows.delete(key ?? '');
              else rows.set(key ?? '', value);
            expect(new Map([...rows].sort())).toEqual(
              new Map([...reference(kind, records.slice(0, index + 1))].sort()),
            );
          }
        }),
        { numRuns: 30 },
      );
    },
  );
});
