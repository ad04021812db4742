import { describe, expect, test } from '@jest/globals';
import {
  defineTopic,
  defineTopology,
  int64Serde,
  sessionWindows,
  stringSerde,
  tumblingWindows,
  untilTimeLimit,
  untilWindowCloses,
  type TimeLimit,
} from '../../index.ts';
import { TestDriver } from '../../testing.ts';
import { run, type Piped } from '../support/windows.ts';

const rows = defineTopic({ name: 'rows', key: stringSerde, value: stringSerde });
const output = defineTopic({ name: 'output', key: stringSerde, value: stringSerde });
const counts = defineTopic({ name: 'counts', key: stringSerde, value: int64Serde });

/** What of a table is sent on for each change `[key, time, value]`. */
function suppressed(how: TimeLimit, changes: readonly Piped[]): readonly (readonly string[])[] {
  const topology = defineTopology('app', (t) => {
    t.table(rows).suppress('held', how).toStream().to(output);
  });
  const driver = new TestDriver(topology);
  return changes.map(([key, timestampMs, value = 'v']) => {
    driver.pipe(rows, key, value, { timestampMs });
    return driver.read(output).map((record) => `${String(record.key)}=${String(record.value)}/${record.timestampMs}`);
  });
}

describe('5.3 suppress until a time limit', () => {
  test('sends the latest change of a key once the first one that waits is so old', () => {
    const steps = suppressed(untilTimeLimit(10), [
      ['a', 0, 'x'],
      ['a', 8, 'y'],
      ['b', 9],
      ['b', 10, 'w'],
      ['c', 19],
    ]);
    expect(steps).toEqual([[], [], [], ['a=y/8'], ['b=w/10']]);
  });

  test('A2.2 evicts what is exactly as old as the limit', () => {
    expect(
      suppressed(untilTimeLimit(10), [
        ['a', 5],
        ['b', 14],
      ])[1],
    ).toEqual([]);
    expect(
      suppressed(untilTimeLimit(10), [
        ['a', 5],
        ['b', 15],
      ])[1],
    ).toEqual(['a=v/5']);
  });

  test('sends what is due by time, then by key', () => {
    const steps = suppressed(untilTimeLimit(10), [
      ['b', 3],
      ['c', 2],
      ['a', 3],
      ['d', 100],
    ]);
    expect(steps.at(-1)).toEqual(['c=v/2', 'a=v/3', 'b=v/3']);
  });

  test('lets deletes pass', () => {
    expect(
      suppressed(untilTimeLimit(0), [
        ['a', 1],
        ['a', 2, null],
      ]).at(-1),
    ).toEqual(['a=null/2']);
  });

  test('5.6 sends nothing without new records', () => {
    expect(suppressed(untilTimeLimit(10), [['a', 0]])).toEqual([[]]);
  });
});

describe('5.5 a full buffer', () => {
  test('sends the oldest change early, or fails', () => {
    const changes: Piped[] = [
      ['a', 1],
      ['b', 2],
      ['c', 3],
    ];
    expect(suppressed(untilTimeLimit(100, { recordsMax: 1, whenFull: 'emit-early' }), changes)).toEqual([
      [],
      ['a=v/1'],
      ['b=v/2'],
    ]);
    expect(() => suppressed(untilTimeLimit(100, { recordsMax: 1 }), changes)).toThrow(
      expect.objectContaining({
        code: 'CONFIG_INVALID',
        message: expect.stringContaining('exceeded its max capacity'),
      }),
    );
  });

  test('is counted in bytes as Kafka Streams does', () => {
    // Time and key, new value, and of the context: timestamp, offset, topic, partition.
    const bytes = 8 + 1 + 1 + (8 + 8 + 'rows'.length + 4);
    const limit = (bytesMax: number): TimeLimit => untilTimeLimit(100, { bytesMax, whenFull: 'emit-early' });
    expect(suppressed(limit(bytes), [['a', 1]])).toEqual([[]]);
    expect(suppressed(limit(bytes - 1), [['a', 1]])).toEqual([['a=v/1']]);
  });
});

describe('5.4 suppress until windows close', () => {
  test('sends the last count of each window once, when stream time less grace reaches its end', () => {
    const windows = tumblingWindows({ sizeMs: 10, graceMs: 5 });
    const records: Piped[] = [
      ['b', 3],
      ['a', 4],
      ['a', 6],
      ['a', 14],
      ['c', 15],
      ['c', 24],
      ['c', 25],
    ];
    const { steps } = run(records, (stream) =>
      stream.windowedBy(windows).count('counted').suppress('final', untilWindowCloses()),
    );
    expect(steps).toEqual([[], [], [], [], ['a@0..10=2/6', 'b@0..10=1/3'], [], ['a@10..20=1/14', 'c@10..20=1/15']]);
  });

  test('leaves out sessions that were swallowed', () => {
    const windows = sessionWindows({ gapMs: 10, graceMs: 0 });
    const { steps } = run(
      [
        ['a', 0],
        ['a', 8],
        ['b', 18],
        ['b', 19],
      ],
      (stream) => stream.windowedBy(windows).count('counted').suppress('final', untilWindowCloses()),
    );
    expect(steps).toEqual([[], [], ['a@0..8=2/8'], []]);
  });

  test('works on what is derived of a windowed table, and on no other table', () => {
    const windows = tumblingWindows({ sizeMs: 10, graceMs: 0 });
    const { steps } = run(
      [
        ['a', 0],
        ['a', 8],
        ['b', 10],
        ['b', 11],
      ],
      (stream) =>
        stream
          .windowedBy(windows)
          .count('counted')
          .filter((count) => count > 1)
          .suppress('final', untilWindowCloses()),
    );
    // Only what passes the filter moves the time by which windows close.
    expect(steps).toEqual([[], [], [], ['a@0..10=2/8']]);
    expect(() =>
      defineTopology('t', (t) => {
        const windowed = defineTopic({ name: 'w', key: { ...stringSerde }, value: stringSerde });
        // @ts-expect-error: only windowed tables have windows that close
        t.table(windowed).suppress('final', untilWindowCloses());
      }),
    ).toThrow(expect.objectContaining({ code: 'TOPOLOGY_INVALID' }));
  });
});

describe('the buffer of a suppression', () => {
  test('5.7 is in a changelog in the format of Kafka Streams', () => {
    const topology = defineTopology('app', (t) => {
      t.table(rows).suppress('held', untilTimeLimit(10)).toStream().to(output);
    });
    const driver = new TestDriver(topology);
    driver.pipe(rows, 'a', 'x', { timestampMs: 1 });
    driver.pipe(rows, 'b', 'y', { timestampMs: 11 });
    const [put, , gone] = driver.readBytes('app-held-changelog');
    const value = Buffer.concat([
      int64Serde.serialize(1),
      int64Serde.serialize(0),
      Buffer.from('00000004', 'hex'),
      Buffer.from('rows'),
      Buffer.from('00000000' + '00000000' + 'ffffffff' + 'ffffffff' + '00000001', 'hex'),
      Buffer.from('x'),
      int64Serde.serialize(1),
    ]);
    expect(put).toMatchObject({ key: Buffer.from('a'), value, headers: [{ key: 'v', value: Buffer.of(3) }] });
    expect([put, gone].map((record) => record?.value === undefined)).toEqual([false, true]);
    expect(driver.read(output).map(({ key }) => key)).toEqual(['a']);
  });

  test('lets others read the table as it was sent on last', () => {
    const topology = defineTopology('app', (t) => {
      const held = t.table(rows).suppress('held', untilTimeLimit(10));
      t.stream(defineTopic({ name: 'asked', key: stringSerde, value: stringSerde }))
        .leftJoin('ask', held, (_, row) => row ?? 'none')
        .withSerdes({ valueSerde: stringSerde })
        .to(output);
    });
    const asked = defineTopic({ name: 'asked', key: stringSerde, value: stringSerde });
    const driver = new TestDriver(topology);
    const ask = (): unknown => {
      driver.pipe(asked, 'a', 'v', { timestampMs: 0 });
      return driver.read(output).at(-1)?.value;
    };
    driver.pipe(rows, 'a', 'x', { timestampMs: 1 });
    expect(ask()).toBe('none');
    driver.pipe(rows, 'tick', 't', { timestampMs: 11 });
    expect(ask()).toBe('x');
    driver.pipe(rows, 'a', 'y', { timestampMs: 12 });
    expect(ask()).toBe('x');
  });
});

describe('3.3 cogroup', () => {
  const clicks = defineTopic({ name: 'clicks', key: stringSerde, value: stringSerde });
  const visits = defineTopic({ name: 'visits', key: stringSerde, value: stringSerde });

  test('aggregates each stream in its own way into one store', () => {
    const topology = defineTopology('app', (t) => {
      t.stream(clicks)
        .groupByKey()
        .cogroup<string>((aggregate, value) => `${aggregate}+${value}`)
        .cogroup(t.stream(visits).groupByKey(), (aggregate, value) => `${aggregate}-${value}`)
        .aggregate('both', { initial: () => '0', valueSerde: stringSerde })
        .toStream()
        .to(output);
    });
    const driver = new TestDriver(topology);
    driver.pipe(clicks, 'a', 'x', { timestampMs: 5 });
    driver.pipe(visits, 'a', 'y', { timestampMs: 3 });
    driver.pipe(visits, 'a', null, { timestampMs: 9 });
    expect(driver.read(output).map(({ value, timestampMs }) => [value, timestampMs])).toEqual([
      ['0+x', 5],
      ['0+x-y', 5],
    ]);
    expect([...driver.drops()]).toEqual([['null-value', 1]]);
  });

  test('repartitions each stream whose key changed through a topic of its own', () => {
    const topology = defineTopology('app', (t) => {
      const byValue = (value: string): string => value;
      t.stream(clicks)
        .selectKey(byValue)
        .withSerdes({ keySerde: stringSerde })
        .groupByKey()
        .cogroup<number>((count) => count + 1)
        .cogroup(
          t.stream(visits).selectKey(byValue).withSerdes({ keySerde: stringSerde }).groupByKey(),
          (count) => count + 10,
        )
        .aggregate('both', { initial: () => 0, valueSerde: int64Serde })
        .toStream()
        .to(counts);
    });
    const driver = new TestDriver(topology, { partitions: 3 });
    driver.pipe(clicks, '1', 'word');
    driver.pipe(visits, '2', 'word');
    expect(driver.read(counts).map(({ key, value }) => [key, value])).toEqual([
      ['word', 1],
      ['word', 11],
    ]);
    expect(topology.repartitions.map(({ name }) => name)).toEqual(['both-1', 'both-2']);
  });

  test('aggregates by windows and sessions too', () => {
    const windows = tumblingWindows({ sizeMs: 10, graceMs: 0 });
    const tumbling = run(
      [
        ['a', 1, 'x'],
        ['a', 2, 'y'],
      ],
      (stream) =>
        stream
          .cogroup<string>((aggregate, value) => aggregate + value)
          .windowedBy(windows)
          .aggregate('texts', { initial: () => '', valueSerde: stringSerde }),
    );
    expect(tumbling.steps).toEqual([['a@0..10=x/1'], ['a@0..10=xy/2']]);
    const sessions = run(
      [
        ['a', 1, 'x'],
        ['a', 2, 'y'],
      ],
      (stream) =>
        stream
          .cogroup<string>((aggregate, value) => aggregate + value)
          .windowedBy(sessionWindows({ gapMs: 5, graceMs: 0 }))
          .aggregate('texts', { initial: () => '', merge: (a, b) => a + b, valueSerde: stringSerde }),
    );
    expect(sessions.steps).toEqual([['a@1..1=x/1'], ['a@1..1=null/1', 'a@1..2=xy/2']]);
  });
});
