import { describe, expect, test } from '@jest/globals';
import {
  defineSessionStore,
  defineTopology,
  defineWindowStore,
  hoppingWindows,
  int64Serde,
  jsonSerde,
  sessionWindows,
  slidingWindows,
  stringSerde,
  timeWindowedSerde,
  tumblingWindows,
  defineTopic,
  type WindowState,
} from '../../index.ts';
import { TestDriver } from '../../testing.ts';
import { count, dayMs, input, run, type Piped } from '../support/windows.ts';

const last = (result: ReturnType<typeof count>): readonly string[] => result.steps.at(-1) ?? [];

describe('4.1 tumbling and hopping windows', () => {
  test('hold their start and not their end', () => {
    const windows = tumblingWindows({ sizeMs: 10, graceMs: 100 });
    expect(
      count(
        [
          ['a', 0],
          ['a', 9],
          ['a', 10],
        ],
        { windows },
      ).steps,
    ).toEqual([['a@0..10=1/0'], ['a@0..10=2/9'], ['a@10..20=1/10']]);
  });

  test('begin at multiples of the advance, and never before 0', () => {
    const windows = hoppingWindows({ sizeMs: 10, advanceMs: 5, graceMs: 100 });
    expect(
      count(
        [
          ['a', 2],
          ['b', 7],
          ['c', 12],
        ],
        { windows },
      ).steps,
    ).toEqual([['a@0..10=1/2'], ['b@0..10=1/7', 'b@5..15=1/7'], ['c@5..15=1/12', 'c@10..20=1/12']]);
    expect(last(count([['a', 20]], { windows: hoppingWindows({ sizeMs: 10, advanceMs: 3, graceMs: 0 }) }))).toEqual([
      'a@12..22=1/20',
      'a@15..25=1/20',
      'a@18..28=1/20',
    ]);
  });

  test.each([
    [34, true],
    [35, false],
    [36, false],
  ])('A2.2 at stream time %i the window [10, 20) with a grace of 15 takes records: %p', (streamTimeMs, isTaken) => {
    const windows = tumblingWindows({ sizeMs: 10, graceMs: 15 });
    const result = count(
      [
        ['b', streamTimeMs],
        ['a', 12],
      ],
      { windows },
    );
    expect(last(result)).toEqual(isTaken ? ['a@10..20=1/12'] : []);
    expect(result.drops.get('late')).toBe(isTaken ? undefined : 1);
  });

  test('take a late record into those windows that are still open, and count one drop for each other one', () => {
    const windows = hoppingWindows({ sizeMs: 10, advanceMs: 2, graceMs: 0 });
    const result = count(
      [
        ['b', 14],
        ['a', 9],
      ],
      { windows },
    );
    expect(last(result)).toEqual(['a@6..16=1/9', 'a@8..18=1/9']);
    expect(result.drops.get('late')).toBe(3);
  });

  test('3.2 have the latest time of their records', () => {
    const windows = tumblingWindows({ sizeMs: 10, graceMs: 100 });
    expect(
      last(
        count(
          [
            ['a', 8],
            ['a', 3],
          ],
          { windows },
        ),
      ),
    ).toEqual(['a@0..10=2/8']);
  });

  test('A2.1 drop null keys, and give null values to the aggregator as Kafka Streams does', () => {
    const windows = tumblingWindows({ sizeMs: 10, graceMs: 0 });
    const result = count(
      [
        [null, 1],
        ['a', 2, null],
      ],
      { windows },
    );
    expect(result.steps).toEqual([[], ['a@0..10=1/2']]);
    expect([...result.drops]).toEqual([['null-key', 1]]);
  });

  test.each([
    [{ sizeMs: 0, advanceMs: 1, graceMs: 0 }],
    [{ sizeMs: 10, advanceMs: 0, graceMs: 0 }],
    [{ sizeMs: 10, advanceMs: 11, graceMs: 0 }],
    [{ sizeMs: 10, advanceMs: 5, graceMs: -1 }],
    [{ sizeMs: 1.5, advanceMs: 1, graceMs: 0 }],
  ])('refuse %j', (options) => {
    expect(() => hoppingWindows(options)).toThrow(expect.objectContaining({ code: 'TOPOLOGY_INVALID' }));
  });

  test('4.7 close by what their step has seen, whatever the key and even if it was dropped elsewhere', () => {
    const windows = tumblingWindows({ sizeMs: 10, graceMs: 0 });
    expect(
      count(
        [
          ['a', 5],
          ['b', 10],
          ['a', 6],
        ],
        { windows },
      ).steps,
    ).toEqual([['a@0..10=1/5'], ['b@10..20=1/10'], []]);
  });
});

describe('4.3 sliding windows', () => {
  const windows = slidingWindows({ differenceMs: 10, graceMs: 100 });

  test('hold both their ends', () => {
    expect(
      count(
        [
          ['a', 20],
          ['a', 30],
        ],
        { windows },
      ).steps,
    ).toEqual([['a@10..20=1/20'], ['a@21..31=1/30', 'a@20..30=2/30']]);
  });

  test('begin behind each record that has a later one, also if that came first', () => {
    expect(
      last(
        count(
          [
            ['a', 30],
            ['a', 25],
          ],
          { windows },
        ),
      ),
    ).toEqual(['a@20..30=2/30', 'a@15..25=1/25', 'a@26..36=1/30']);
  });

  test('of early records begin at 0', () => {
    expect(
      count(
        [
          ['a', 3],
          ['a', 7],
        ],
        { windows },
      ).steps,
    ).toEqual([['a@0..10=1/3'], ['a@4..14=1/7', 'a@0..10=2/7']]);
  });

  test.each([
    [34, true],
    [35, true],
    [36, false],
  ])('A2.2 at stream time %i a record of 20 with a grace of 5 is taken: %p', (streamTimeMs, isTaken) => {
    const records: Piped[] = [
      ['a', 25],
      ['b', streamTimeMs],
      ['a', 20],
    ];
    const result = count(records, { windows: slidingWindows({ differenceMs: 10, graceMs: 5 }) });
    // Of its windows only the one behind it is still open.
    expect(last(result)).toEqual(isTaken ? ['a@21..31=1/25'] : []);
    expect(result.drops.get('late')).toBe(isTaken ? 2 : 1);
  });

  test('A2.1 drop null keys and null values', () => {
    expect([
      ...count(
        [
          [null, 1],
          ['a', 2, null],
        ],
        { windows },
      ).drops,
    ]).toEqual([
      ['null-key', 1],
      ['null-value', 1],
    ]);
  });
});

describe('4.4 sessions', () => {
  const windows = sessionWindows({ gapMs: 10, graceMs: 100 });

  test('take records within the gap, the gap itself included', () => {
    expect(
      last(
        count(
          [
            ['a', 0],
            ['a', 10],
          ],
          { windows },
        ),
      ),
    ).toEqual(['a@0..0=null/0', 'a@0..10=2/10']);
    expect(
      last(
        count(
          [
            ['a', 0],
            ['a', 11],
          ],
          { windows },
        ),
      ),
    ).toEqual(['a@11..11=1/11']);
  });

  test('A2.6 delete each session that they swallow, by its end, before the merged one', () => {
    expect(
      last(
        count(
          [
            ['a', 0],
            ['a', 20],
            ['a', 10],
          ],
          { windows },
        ),
      ),
    ).toEqual(['a@0..0=null/0', 'a@20..20=null/20', 'a@0..20=3/20']);
  });

  test('A2.6 do not delete a session that stays the same instant', () => {
    expect(
      last(
        count(
          [
            ['a', 5],
            ['a', 5],
          ],
          { windows },
        ),
      ),
    ).toEqual(['a@5..5=2/5']);
  });

  test.each([
    [31, true],
    [35, true],
    [36, false],
  ])(
    'A2.2 at stream time %i a record of 20, with a gap of 10 and a grace of 5, is taken: %p',
    (streamTimeMs, isTaken) => {
      const result = count(
        [
          ['b', streamTimeMs],
          ['a', 20],
        ],
        { windows: sessionWindows({ gapMs: 10, graceMs: 5 }) },
      );
      expect(last(result)).toEqual(isTaken ? ['a@20..20=1/20'] : []);
      expect(result.drops.get('late')).toBe(isTaken ? undefined : 1);
    },
  );

  test('take a late record that joins a session which is still open', () => {
    const records: Piped[] = [
      ['a', 25],
      ['b', 36],
      ['a', 20],
    ];
    expect(last(count(records, { windows: sessionWindows({ gapMs: 10, graceMs: 5 }) }))).toEqual([
      'a@25..25=null/25',
      'a@20..25=2/25',
    ]);
  });

  test('merge the initial aggregate with each session in order, then add the record', () => {
    const result = run(
      [
        ['a', 0, 'x'],
        ['a', 20, 'y'],
        ['a', 10, 'z'],
      ],
      (stream) =>
        stream.windowedBy(windows).aggregate('texts', {
          initial: () => '0',
          add: (text, value) => `(${text}+${value})`,
          merge: (one, two) => `[${one}|${two}]`,
          valueSerde: stringSerde,
        }),
    );
    expect(result.steps.at(-1)?.at(-1)).toBe('a@0..20=([[0|(0+x)]|(0+y)]+z)/20');
  });

  test('reduce by the same function that merges them', () => {
    const result = run(
      [
        ['a', 0, 'x'],
        ['a', 20, 'y'],
        ['a', 10, 'z'],
      ],
      (stream) => stream.windowedBy(windows).reduce('texts', (text, value) => `${text}${value}`),
    );
    expect(result.steps.at(-1)?.at(-1)).toBe('a@0..20=xyz/20');
  });
});

describe('4.8 retention', () => {
  test.each([
    ['tumbling windows', tumblingWindows({ sizeMs: 10, graceMs: 5 }), 15],
    ['sliding windows', slidingWindows({ differenceMs: 10, graceMs: 5 }), 25],
  ])('of %s is at least what can still change', (_, windows, leastMs) => {
    const declare = (retentionMs: number) => () =>
      defineTopology('t', (t) => {
        t.stream(input).groupByKey().windowedBy(windows).count({ name: 'counts', retentionMs });
      });
    expect(declare(leastMs - 1)).toThrow(`needs ${String(leastMs)}`);
    expect(declare(leastMs)).not.toThrow();
  });

  test('of sessions is at least the gap and the grace', () => {
    const windows = sessionWindows({ gapMs: 10, graceMs: 5 });
    expect(() =>
      defineTopology('t', (t) => {
        t.stream(input).groupByKey().windowedBy(windows).count({ name: 'counts', retentionMs: 14 });
      }),
    ).toThrow('needs 15');
  });

  test('decides how long the changelog keeps rows: a day more', () => {
    const store = defineWindowStore('w', { key: stringSerde, value: int64Serde, sizeMs: 10, retentionMs: 1000 });
    expect(store.changelog).toEqual({ 'cleanup.policy': 'compact,delete', 'retention.ms': String(dayMs + 1000) });
  });

  test('a declared store must be of the same windows', () => {
    const store = defineWindowStore('w', { key: stringSerde, value: int64Serde, sizeMs: 20, retentionMs: 1000 });
    expect(() =>
      defineTopology('t', (t) => {
        t.stream(input)
          .groupByKey()
          .windowedBy(tumblingWindows({ sizeMs: 10, graceMs: 0 }))
          .count(store);
      }),
    ).toThrow('another size');
  });
});

describe('5.2 emit on close', () => {
  test('sends each window once, when stream time less grace reaches its end, by start and key', () => {
    const windows = tumblingWindows({ sizeMs: 10, graceMs: 5 });
    const records: Piped[] = [
      ['b', 3],
      ['a', 4],
      ['a', 5],
      ['a', 14],
      ['c', 15],
      ['c', 40],
    ];
    expect(count(records, { windows, emit: 'on-close' }).steps).toEqual([
      [],
      [],
      [],
      [],
      ['a@0..10=2/5', 'b@0..10=1/3'],
      ['a@10..20=1/14', 'c@10..20=1/15'],
    ]);
  });

  test('sends sliding windows once stream time less grace passes their end', () => {
    const windows = slidingWindows({ differenceMs: 10, graceMs: 0 });
    expect(
      count(
        [
          ['a', 20],
          ['b', 20],
          ['c', 21],
        ],
        { windows, emit: 'on-close' },
      ).steps,
    ).toEqual([[], [], ['a@10..20=1/20', 'b@10..20=1/20']]);
  });

  test('sends sessions once nothing can join them, by end, start and key, and never deletes', () => {
    const windows = sessionWindows({ gapMs: 10, graceMs: 0 });
    const records: Piped[] = [
      ['b', 5],
      ['a', 5],
      ['a', 8],
      ['c', 30],
      ['c', 50],
    ];
    expect(count(records, { windows, emit: 'on-close' }).steps).toEqual([
      [],
      [],
      [],
      ['b@5..5=1/5', 'a@5..8=2/8'],
      ['c@30..30=1/30'],
    ]);
  });

  test('loses windows that the default retention hides, as Kafka Streams does', () => {
    const windows = tumblingWindows({ sizeMs: 10, graceMs: 0 });
    const records: Piped[] = [
      ['a', 5],
      ['a', 100],
    ];
    expect(last(count(records, { windows, emit: 'on-close', retentionMs: 10 }))).toEqual([]);
    expect(last(count(records, { windows, emit: 'on-close' }))).toEqual(['a@0..10=1/5']);
  });

  test('needs a store that keeps rows by time', () => {
    const store = defineWindowStore('w', { key: stringSerde, value: int64Serde, sizeMs: 10, retentionMs: 1000 });
    expect(() =>
      defineTopology('t', (t) => {
        const windows = tumblingWindows({ sizeMs: 10, graceMs: 0 });
        t.stream(input).groupByKey().windowedBy(windows).emitStrategy('on-close').count(store);
      }),
    ).toThrow('byTime');
  });
});

describe('A3 on the wire', () => {
  const windows = tumblingWindows({ sizeMs: 0x0100, graceMs: 0 });
  const output = defineTopic({
    name: 'output',
    key: timeWindowedSerde(stringSerde, 0x0100),
    value: jsonSerde<number>(),
  });

  test('windowed keys are key and start, and go to the partition of the key alone', () => {
    const topology = defineTopology('app', (t) => {
      t.stream(input).groupByKey().windowedBy(windows).count('counts').toStream().to(output);
    });
    const driver = new TestDriver(topology, { partitions: 7 });
    for (const key of ['a', 'b', 'c', 'd']) driver.pipe(input, key, 'v', { timestampMs: 0x0203 });
    const written = driver.readBytes('output');
    expect(written.map(({ key }) => Buffer.from(key ?? []).toString('hex')).sort()).toEqual([
      '610000000000000200',
      '620000000000000200',
      '630000000000000200',
      '640000000000000200',
    ]);
    const changelog = driver.readBytes('app-counts-changelog');
    for (const { key, partition } of written) {
      const text = Buffer.from(key ?? []).toString('hex');
      expect(changelog.find((row) => Buffer.from(row.key ?? []).toString('hex') === `${text}00000000`)).toMatchObject({
        partition,
        timestampMs: 0x0203,
        value: Buffer.from('0000000000000001', 'hex'),
      });
    }
  });
});

describe('26.5 the test driver', () => {
  test('gives the rows of windows and sessions, and their states', async () => {
    const store = defineWindowStore('w', { key: stringSerde, value: int64Serde, sizeMs: 10, retentionMs: dayMs });
    const visits = defineSessionStore('s', { key: stringSerde, value: int64Serde, retentionMs: dayMs });
    const topology = defineTopology('t', (t) => {
      const stream = t.stream(input).groupByKey();
      stream.windowedBy(tumblingWindows({ sizeMs: 10, graceMs: 0 })).count(store);
      stream.windowedBy(sessionWindows({ gapMs: 5, graceMs: 0 })).count(visits);
    });
    const driver = new TestDriver(topology);
    for (const timestampMs of [3, 7, 21]) driver.pipe(input, 'a', 'v', { timestampMs });
    expect(await driver.rows(store)).toMatchObject([
      { key: { key: 'a', startMs: 0, endMs: 10 }, value: 2 },
      { key: { key: 'a', startMs: 20, endMs: 30 }, value: 1 },
    ]);
    expect((await driver.rows(visits)).map(({ key }) => [key.startMs, key.endMs])).toEqual([
      [3, 7],
      [21, 21],
    ]);
    expect((driver.state('w') as WindowState<string, number>).get('a', 20)?.value).toBe(1);
  });
});
