import { expect, test } from '@jest/globals';
import {
  defineTopic,
  defineTopology,
  hoppingWindows,
  int64Serde,
  stringSerde,
  timeWindowedSerde,
} from '../../index.ts';
import { TestDriver } from '../../testing.ts';

const input = defineTopic({ name: 'input', key: stringSerde, value: stringSerde });
const output = defineTopic({ name: 'output', key: timeWindowedSerde(stringSerde, 10), value: int64Serde });

test('closed windows are looked for at most once in so many ms of the wall clock', () => {
  const topology = defineTopology('emit-every', (t) => {
    t.stream(input)
      .groupByKey()
      .windowedBy(hoppingWindows({ sizeMs: 10, advanceMs: 5, graceMs: 5 }))
      .emitStrategy('on-close', { everyMs: 1_000 })
      .count({ name: 'counts', retentionMs: 1_000 })
      .toStream()
      .to(output);
  });
  const driver = new TestDriver(topology);
  const starts = (): readonly unknown[] => driver.read(output).map(({ key, value }) => [key?.startMs, value]);
  for (const timestampMs of [0, 5, 15]) driver.pipe(input, 'k', 'v', { timestampMs });
  expect(starts()).toEqual([]);
  driver.advanceWallClock(999);
  driver.pipe(input, 'k', 'v', { timestampMs: 20 });
  expect(starts()).toEqual([]);
  driver.advanceWallClock(1);
  driver.pipe(input, 'k', 'v', { timestampMs: 20 });
  expect(starts()).toEqual([
    [0, 2],
    [5, 1],
  ]);
  driver.pipe(input, 'k', 'v', { timestampMs: 60 });
  expect(starts()).toEqual([]);
});
