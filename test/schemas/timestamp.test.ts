import { describe, expect, test } from '@jest/globals';
import {
  defineTopic,
  defineTopology,
  partitionTimestamp,
  recordTimestamp,
  recordTimestampOrDrop,
  stringSerde,
  wallClockTimestamp,
  type TimestampExtractor,
} from '../../index.ts';
import { TestDriver } from '../../testing.ts';

const input = defineTopic({ name: 'input', key: stringSerde, value: stringSerde });
const output = defineTopic({ name: 'output', key: stringSerde, value: stringSerde });

function drive(timestamp: TimestampExtractor): TestDriver {
  const topology = defineTopology('timestamps', (t) => {
    t.stream(input, { timestamp }).to(output);
  });
  return new TestDriver(topology, { wallClockMs: 77 });
}

function times(driver: TestDriver, timestamps: readonly number[]): readonly number[] {
  for (const timestampMs of timestamps) driver.pipe(input, 'k', 'v', { timestampMs });
  return driver.read(output).map(({ timestampMs }) => timestampMs);
}

describe('timestamp extractors', () => {
  test('by default a negative timestamp fails', () => {
    const driver = drive(recordTimestamp);
    expect(() => times(driver, [5, -1])).toThrow(expect.objectContaining({ code: 'TIMESTAMP_INVALID' }));
  });

  test('a negative timestamp drops the record, if the extractor says so', () => {
    const driver = drive(recordTimestampOrDrop);
    expect(times(driver, [5, -1, 7])).toEqual([5, 7]);
    expect(driver.drops()).toEqual(new Map([['invalid-timestamp', 1]]));
  });

  test('a negative timestamp becomes the time of its partition; before there is one it fails', () => {
    expect(times(drive(partitionTimestamp), [5, 9, -1, 6])).toEqual([5, 9, 9, 6]);
    expect(() => times(drive(partitionTimestamp), [-1])).toThrow(
      expect.objectContaining({ code: 'TIMESTAMP_INVALID' }),
    );
  });

  test('the wall clock may give the time', () => {
    const driver = drive(wallClockTimestamp);
    expect(times(driver, [5])).toEqual([77]);
    driver.advanceWallClock(3);
    expect(times(driver, [-1])).toEqual([80]);
  });

  test.each([Number.NaN, 1.5, Infinity])('%d is no timestamp', (timestampMs) => {
    expect(() =>
      times(
        drive(() => timestampMs),
        [5],
      ),
    ).toThrow(expect.objectContaining({ code: 'TIMESTAMP_INVALID' }));
  });
});
