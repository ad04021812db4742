import { describe, expect, test } from '@jest/globals';
import { systemClock } from '../../clock.ts';
import { memoryLog } from '../../connectors/embedded/embedded-log.ts';
import { createRecordWriter } from '../../program/record-writer.ts';
import type { OutgoingRecord } from '../../connectors/outgoing-record.ts';
import { faultyLog } from '../support/faulty-log.ts';

const record = (topic: string, key: string): OutgoingRecord => ({
  topic,
  key: Buffer.from(key),
  value: Buffer.from('v'),
  headers: [],
  timestampMs: 1,
});

describe('the record writer', () => {
  test('has every record in the log when it says so, by key, however many come at once', async () => {
    const log = memoryLog();
    await log.admin.createTopics([{ name: 't', partitions: 3 }]);
    const writer = createRecordWriter(log, systemClock);
    await Promise.all(Array.from({ length: 2_500 }, (_item, index) => writer.write(record('t', `k${index}`))));
    const offsets = await log.admin.offsets([0, 1, 2].map((partition) => ({ topic: 't', partition })));
    expect(offsets.reduce((sum, { end }) => sum + end, 0)).toBe(2_500);
    expect(Math.min(...offsets.map(({ end }) => end))).toBeGreaterThan(500);
    await writer.close();
    await log.close();
  });

  test('rejects while the topic is not there, and goes on once it is', async () => {
    const log = memoryLog();
    const writer = createRecordWriter(log, systemClock);
    await expect(writer.write(record('t', 'k'))).rejects.toMatchObject({ code: 'LOG_UNAVAILABLE' });
    await log.admin.createTopics([{ name: 't', partitions: 1 }]);
    expect(await writer.write(record('t', 'k'))).toEqual({ topic: 't', partition: 0, offset: 0 });
    const [second, third] = [writer.write(record('t', 'l')), writer.write(record('t', 'm'))];
    expect([(await second).offset, (await third).offset]).toEqual([1, 2]);
    await writer.close();
    await expect(writer.write(record('t', 'k'))).rejects.toMatchObject({ code: 'LOG_UNAVAILABLE' });
    await log.close();
  });

  test('more than can wait are turned away, the others are written', async () => {
    const log = memoryLog();
    await log.admin.createTopics([{ name: 't', partitions: 1 }]);
    const writer = createRecordWriter(log, systemClock);
    const writes = Array.from({ length: 12_000 }, () => writer.write(record('t', 'k')));
    const outcomes = await Promise.allSettled(writes);
    const written = outcomes.filter(({ status }) => status === 'fulfilled').length;
    expect(written).toBeLessThan(12_000);
    const [offsets] = await log.admin.offsets([{ topic: 't', partition: 0 }]);
    expect(offsets?.end).toBe(written);
    await writer.close();
    await log.close();
  });

  test('after several at once, what comes in goes together; one alone never waits', async () => {
    const log = memoryLog();
    await log.admin.createTopics([{ name: 't', partitions: 1 }]);
    const sent: number[] = [];
    const counted = faultyLog(log, {
      beforeSend: (batches) => sent.push(batches.reduce((sum, { records }) => sum + records.count, 0)),
    });
    const pauses: number[] = [];
    let goOn: () => void = () => undefined;
    const sleep = async (ms: number): Promise<void> => {
      pauses.push(ms);
      await new Promise<void>((resolve) => {
        goOn = resolve;
      });
    };
    const clock = { ...systemClock, monotonicMs: () => 0, sleep };
    const writer = createRecordWriter(counted, clock);
    const write = () => writer.write(record('t', 'k'));
    await write();
    await write();
    expect([sent, pauses]).toEqual([[1, 1], []]);
    await Promise.all([write(), write(), write()]);
    expect([sent, pauses]).toEqual([[1, 1, 3], [3]]);
    const late = [write()];
    await new Promise(setImmediate);
    late.push(write());
    goOn();
    expect((await Promise.all(late)).map(({ offset }) => offset)).toEqual([5, 6]);
    expect(sent).toEqual([1, 1, 3, 2]);
    const closed = writer.close();
    goOn();
    await closed;
    await log.close();
  });
});
