import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { stringSerde } from '../../schemas/serde.ts';
import { defineTopology } from '../../topology/builder.ts';
import { TestDriver } from '../../topology/runtime/driver.ts';
import { failureOf } from '../support/node-harness.ts';
import { texts } from '../support/sample-topologies.ts';

const left = texts('left');
const right = texts('right');
const output = texts('output');

type Kind = 'inner' | 'left' | 'outer';
interface Windows {
  readonly beforeMs: number;
  readonly afterMs: number;
  readonly graceMs: number;
}
type Input = readonly [side: 'l' | 'r', key: string | null, value: string | null, timestampMs: number];
type Result = readonly [key: string | null, value: string | null, timestampMs: number];

const joiner = (value: string | null, other: string | null): string => `${String(value)}+${String(other)}`;

function topologyOf(kind: Kind, windows: Windows) {
  return defineTopology('pairs', (t) => {
    const one = t.stream(left);
    const other = t.stream(right);
    const how = { windows, joiner };
    const joined = {
      inner: () => one.joinStream('pair', other, how),
      left: () => one.leftJoinStream('pair', other, how),
      outer: () => one.outerJoinStream('pair', other, how),
    };
    joined[kind]().withSerdes({ valueSerde: stringSerde }).to(output);
  });
}

class Join {
  readonly driver: TestDriver;

  constructor(kind: Kind, { beforeMs = 10, afterMs = 10, graceMs = 5 }: Partial<Windows> = {}) {
    this.driver = new TestDriver(topologyOf(kind, { beforeMs, afterMs, graceMs }));
  }

  pipe(...[side, key, value, timestampMs]: Input): readonly Result[] {
    this.driver.pipe(side === 'l' ? left : right, key, value, { timestampMs });
    return this.driver.read(output).map((record) => [record.key, record.value, record.timestampMs]);
  }
}

describe('a join of two streams', () => {
  test('joins all records of one key within the window, both ends included, at the later time', () => {
    const join = new Join('inner', { beforeMs: 10, afterMs: 20, graceMs: 100 });
    join.pipe('r', 'a', 'r89', 89);
    join.pipe('r', 'a', 'r90', 90);
    join.pipe('r', 'a', 'r90b', 90);
    join.pipe('r', 'a', 'r120', 120);
    join.pipe('r', 'a', 'r121', 121);
    join.pipe('r', 'b', 'other', 100);

    expect(join.pipe('l', 'a', 'L', 100)).toEqual([
      ['a', 'L+r90', 100],
      ['a', 'L+r90b', 100],
      ['a', 'L+r120', 120],
    ]);
    expect(join.pipe('r', 'a', 'r110', 110)).toEqual([['a', 'L+r110', 110]]);
  });

  test('keeps keys apart that begin alike', () => {
    const join = new Join('inner', { graceMs: 1_000 });
    join.pipe('r', 'a', 'short', 100);
    join.pipe('r', `a${'\0'.repeat(12)}`, 'long', 100);

    expect(join.pipe('l', 'a', 'L', 100)).toEqual([['a', 'L+short', 100]]);
  });

  test('a null value is dropped, a null key too where it is not joined with null at once', () => {
    const inner = new Join('inner');
    const toLeft = new Join('left');
    const outer = new Join('outer');

    for (const join of [inner, toLeft, outer]) expect(join.pipe('l', 'a', null, 1)).toEqual([]);
    expect(inner.pipe('l', null, 'L', 1)).toEqual([]);
    expect(toLeft.pipe('l', null, 'L', 1)).toEqual([[null, 'L+null', 1]]);
    expect(toLeft.pipe('r', null, 'R', 1)).toEqual([]);
    expect(outer.pipe('r', null, 'R', 1)).toEqual([[null, 'null+R', 1]]);
    expect(Object.fromEntries(inner.driver.drops())).toEqual({ 'null-value': 1, 'null-key': 1 });
    expect(Object.fromEntries(toLeft.driver.drops())).toEqual({ 'null-value': 1, 'null-key': 1 });
  });

  test.each([
    [115, []],
    [116, [['a', 'L+null', 100]]],
  ] as const)('the window of a record at 100 closes when stream time passes 100 + 10 + 5: at %d', (timeMs, emitted) => {
    const join = new Join('left');
    join.pipe('l', 'a', 'L', 100);

    expect(join.pipe('r', 'other', 'R', timeMs)).toEqual(emitted);
  });

  test('what waited comes out by time, right before left, then by key, and before the pairs of the record that made it', () => {
    const join = new Join('outer');
    join.pipe('l', 'b', 'L1', 100);
    join.pipe('l', 'a', 'L2', 100);
    join.pipe('r', 'c', 'R1', 100);
    join.pipe('l', 'd', 'L0', 99);
    join.pipe('r', 'e', 'R2', 113);

    expect(join.pipe('l', 'e', 'L3', 120)).toEqual([
      ['d', 'L0+null', 99],
      ['c', 'null+R1', 100],
      ['a', 'L2+null', 100],
      ['b', 'L1+null', 100],
      ['e', 'L3+R2', 120],
    ]);
  });

  test('a record that found its counterpart does not come out again', () => {
    const join = new Join('outer');
    join.pipe('l', 'a', 'L', 100);
    join.pipe('l', 'a', 'M', 100);

    expect(join.pipe('r', 'a', 'R', 105)).toEqual([
      ['a', 'L+R', 105],
      ['a', 'M+R', 105],
    ]);
    expect(join.pipe('r', 'b', 'S', 300)).toEqual([]);
  });

  test('a late record whose window lies behind stream time comes out at once', () => {
    const join = new Join('left');
    join.pipe('l', 'b', 'L', 100);

    expect(join.pipe('l', 'a', 'M', 89)).toEqual([['a', 'M+null', 89]]);
    expect(join.pipe('l', 'a', 'N', 90)).toEqual([]);
  });

  test('a record is joined until it is older than the retention of its store', () => {
    const join = new Join('inner', { beforeMs: 10, afterMs: 10, graceMs: 5 });
    join.pipe('r', 'a', 'R', 100);
    join.pipe('r', 'b', 'S', 124);
    expect(join.pipe('l', 'a', 'L', 100)).toEqual([['a', 'L+R', 100]]);
    join.pipe('r', 'b', 'S', 125);

    expect(join.pipe('l', 'a', 'L', 100)).toEqual([]);
  });

  test('a record that fails moves neither the time of the join nor what waits in it', () => {
    const failing = (value: string | null, other: string | null): string => {
      if (value === 'bad') throw new Error('bad');
      return joiner(value, other);
    };
    const topology = defineTopology('pairs', (t) => {
      t.stream(left, { onError: 'skip' })
        .outerJoinStream('pair', t.stream(right), {
          windows: { beforeMs: 10, afterMs: 10, graceMs: 0 },
          joiner: failing,
        })
        .withSerdes({ valueSerde: stringSerde })
        .to(output);
    });
    const driver = new TestDriver(topology);
    const pipe = (topic: typeof left, key: string, value: string, timestampMs: number): readonly unknown[] => {
      driver.pipe(topic, key, value, { timestampMs });
      return driver.read(output).map((record) => [record.value, record.timestampMs]);
    };
    expect(pipe(left, 'a', 'L', 100)).toEqual([]);
    expect(pipe(right, 'b', 'R', 195)).toEqual([['L+null', 100]]);
    expect(pipe(left, 'c', 'M', 196)).toEqual([]);
    expect(pipe(left, 'd', 'good', 190)).toEqual([]);
    expect(pipe(right, 'd', 'S', 206)).toEqual([
      ['good+null', 190],
      ['null+R', 195],
    ]);
    expect(pipe(right, 'e', 'T', 207)).toEqual([['M+null', 196]]);
    // Closes the window of S before it fails.
    expect(pipe(left, 'e', 'bad', 217)).toEqual([]);
    expect(pipe(left, 'f', 'V', 207)).toEqual([]);
    expect(pipe(right, 'f', 'W', 207)).toEqual([['V+W', 207]]);
    expect(pipe(right, 'g', 'X', 217)).toEqual([['null+S', 206]]);
  });

  test('rows beyond retention leave the store', async () => {
    const join = new Join('inner', { beforeMs: 1, afterMs: 1, graceMs: 0 });
    for (let timestampMs = 0; timestampMs < 200; timestampMs += 1) join.pipe('l', 'a', 'L', timestampMs);
    const spec = join.driver.plan.topology.stores.find(({ name }) => name === 'pair-this-join-store')!;

    expect((await join.driver.rows(spec)).length).toBeLessThan(20);
  });

  test('the stores have the layout of Kafka Streams', () => {
    const { driver } = new Join('outer');
    driver.pipe(left, 'k', 'L', { timestampMs: 258 });
    driver.pipe(left, 'k', 'M', { timestampMs: 258 });
    const hexOf = (topic: string) =>
      driver
        .readBytes(topic)
        .map(({ key, value }) => [Buffer.from(key!).toString('hex'), Buffer.from(value!).toString('hex')]);

    expect(hexOf('pairs-pair-this-join-store-changelog')).toEqual([
      ['6b000000000000010200000000', '4c'],
      ['6b000000000000010200000001', '4d'],
    ]);
    expect(hexOf('pairs-pair-outer-shared-join-store-changelog').at(-1)).toEqual([
      '0000000000000102016b',
      '010000000200000002014c00000002014d',
    ]);
  });

  test('repartitions a side whose key changed', () => {
    const topology = defineTopology('pairs', (t) => {
      const serdes = { keySerde: stringSerde, valueSerde: stringSerde };
      const other = t.stream(right).selectKey('by-value', (value) => value);
      t.stream(left)
        .joinStream('pair', other.withSerdes(serdes), {
          windows: { beforeMs: 1, afterMs: 1, graceMs: 0 },
          joiner: (value, row) => value + row,
        })
        .foreach(() => undefined);
    });

    expect(topology.repartitions).toEqual([{ name: 'pair-right', kind: 'repartition' }]);
  });

  test.each([
    { beforeMs: 1, afterMs: -2, graceMs: 0 },
    { beforeMs: 1, afterMs: 1, graceMs: -1 },
    { beforeMs: 1.5, afterMs: 1, graceMs: 0 },
  ])('refuses windows that are empty or no whole times: %j', (windows) => {
    expect(failureOf(() => topologyOf('inner', windows)).code).toBe('TOPOLOGY_INVALID');
  });
});

describe('a stream joined with itself', () => {
  test('each record meets itself once and every other one twice, from one store', () => {
    const topology = defineTopology('pairs', (t) => {
      const stream = t.stream(left);
      const windows = { beforeMs: 10, afterMs: 10, graceMs: 50 };
      stream.joinStream('pair', stream, { windows, joiner }).withSerdes({ valueSerde: stringSerde }).to(output);
    });
    const driver = new TestDriver(topology);
    const pipe = (value: string, timestampMs: number) => {
      driver.pipe(left, 'a', value, { timestampMs });
      return driver.read(output).map((record) => [record.value, record.timestampMs]);
    };

    expect(topology.stores).toHaveLength(1);
    expect(pipe('A', 10)).toEqual([['A+A', 10]]);
    expect(pipe('C', 20)).toEqual([
      ['C+A', 20],
      ['A+C', 20],
      ['C+C', 20],
    ]);
    expect(pipe('B', 15)).toEqual([
      ['B+A', 15],
      ['B+C', 20],
      ['A+B', 15],
      ['B+B', 15],
      ['C+B', 20],
    ]);
  });
});

const inputs: fc.Arbitrary<readonly Input[]> = fc.array(
  fc.tuple(
    fc.constantFrom('l' as const, 'r' as const),
    fc.constantFrom('a', 'b', 'c'),
    fc.constantFrom('1', '2', '3'),
    // Far enough from 0, where windows are cut off as in Kafka Streams, and pairs depend on who comes first.
    fc.integer({ min: 100, max: 160 }),
  ),
  { maxLength: 30 },
);

/**
 * All pairs, and the records without one: those whose windows closed without any, and those that came when their windows lay behind stream time
 * and found nothing, whatever comes after them.
 */
function reference(kind: Kind, windows: Windows, records: readonly Input[]): readonly string[] {
  const results: Result[] = [];
  for (const [index, record] of records.entries()) {
    const [side, , , timestampMs] = record;
    const earlier = records.slice(0, index).filter((other) => isPair(windows, record, other));
    for (const other of earlier) results.push(pairOf(record, other));
    const hasResultAlone = kind === 'outer' || (kind === 'left' && side === 'l');
    const streamTimeMs = Math.max(...records.slice(0, index + 1).map(([, , , timeMs]) => timeMs));
    const endMs = timestampMs + (side === 'l' ? windows.afterMs : windows.beforeMs);
    const isAlone = endMs < streamTimeMs || !records.slice(index).some((other) => isPair(windows, record, other));
    if (hasResultAlone && earlier.length === 0 && isAlone) results.push(aloneOf(record));
  }
  return results.map((result) => JSON.stringify(result)).sort();
}

function isPair({ beforeMs, afterMs }: Windows, a: Input, b: Input): boolean {
  if (a[0] === b[0] || a[1] !== b[1]) return false;
  const [l, r] = a[0] === 'l' ? [a, b] : [b, a];
  return r[3] >= l[3] - beforeMs && r[3] <= l[3] + afterMs;
}

function aloneOf([side, key, value, timestampMs]: Input): Result {
  return [key, side === 'l' ? joiner(value, null) : joiner(null, value), timestampMs];
}

function pairOf(a: Input, b: Input): Result {
  const [l, r] = a[0] === 'l' ? [a, b] : [b, a];
  return [l[1], joiner(l[2], r[2]), Math.max(l[3], r[3])];
}

describe.each(['inner', 'left', 'outer'] as const)(
  'whatever arrives in whatever order, the %s join of two streams',
  (kind) => {
    test.each([
      { beforeMs: 10, afterMs: 10, graceMs: 100 },
      { beforeMs: 0, afterMs: 15, graceMs: 100 },
      { beforeMs: 20, afterMs: -5, graceMs: 100 },
    ])('has each pair once, and once the windows are closed each record without one: %j', (windows) => {
      fc.assert(
        fc.property(inputs, (records) => {
          const join = new Join(kind, windows);
          const results = [...records, ['l', 'end', 'x', 10_000] as const, ['r', 'end', 'x', 10_000] as const].flatMap(
            (record) => join.pipe(...record),
          );
          const seen = results.filter(([key]) => key !== 'end').map((result) => JSON.stringify(result));
          expect([...seen].sort()).toEqual(reference(kind, windows, records));
        }),
        { numRuns: 40 },
      );
    });
  },
);
