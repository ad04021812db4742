import { afterEach, describe, expect, test } from '@jest/globals';
import { systemClock, systemRandom } from '../../../clock.ts';
import { memoryLog, type EmbeddedLog } from '../../../connectors/embedded/embedded-log.ts';
import { tumblingWindows } from '../../../processors/windows.ts';
import { untilWindowCloses } from '../../../processors/suppress.ts';
import { int64Serde, stringSerde } from '../../../schemas/serde.ts';
import { defineTopic } from '../../../schemas/topic.ts';
import { timeWindowedSerde } from '../../../schemas/windowed.ts';
import { memoryStores } from '../../../state-stores/memory.ts';
import { defineTopology } from '../../../topology/builder.ts';
import { decodeMetadata, encodeMetadata } from '../../../topology/runtime/commit-metadata.ts';
import type { StreamInstance } from '../../../topology/runtime/stream-instance.ts';
import { produce, readAll, testInstance, until } from '../../support/cluster.ts';

const sizeMs = 10;
const words = defineTopic({ name: 'words', key: stringSerde, value: stringSerde });
const counted = defineTopic({ name: 'counted', key: timeWindowedSerde(stringSerde, sizeMs), value: int64Serde });
const final = defineTopic({ name: 'final', key: timeWindowedSerde(stringSerde, sizeMs), value: int64Serde });
const closed = defineTopic({ name: 'closed', key: timeWindowedSerde(stringSerde, sizeMs), value: int64Serde });

const windows = tumblingWindows({ sizeMs, graceMs: 0 });
const dayMs = 24 * 60 * 60 * 1000;

const topology = defineTopology('windowed', (t) => {
  const stream = t.stream(words).groupByKey().windowedBy(windows);
  const table = stream.count({ name: 'counts', retentionMs: dayMs });
  table.toStream().to(counted);
  table.suppress('last', untilWindowCloses()).toStream().to(final);
  stream.emitStrategy('on-close').count({ name: 'finals', retentionMs: dayMs }).toStream().to(closed);
});

let log: EmbeddedLog;
const instances: StreamInstance[] = [];

afterEach(async () => {
  for (const instance of instances.splice(0)) await instance.close();
  await log.close();
});

/** Runs an instance from nothing until it has read everything. */
async function runOnce(records: readonly (readonly [string, number])[]): Promise<void> {
  await produce(
    log,
    words,
    records.map(([key, timestampMs]) => ({ key, value: 'v', timestampMs })),
  );
  const instance = testInstance(log.client(), topology, { stores: memoryStores() });
  instances.push(instance);
  await instance.start();
  await until(
    'all read',
    () => instance.isReady && instance.tasks().every(({ inputs }) => inputs.every(({ lag }) => lag === 0)),
    120_000,
  );
  await instance.close();
}

const shown = async (topic: typeof counted): Promise<readonly string[]> =>
  (await readAll(log, topic)).map(({ key, value }) => `${String(key?.key)}@${String(key?.startMs)}=${String(value)}`);

describe('windows of a restarted instance', () => {
  test('4.7 still close by the stream time of before, and 5.2, 5.7 are sent on once, by the one that sees them close', async () => {
    log = memoryLog({ clock: systemClock, random: systemRandom });
    await log.admin.createTopics([words, counted, final, closed].map(({ name }) => ({ name, partitions: 1 })));
    await runOnce([
      ['a', 5],
      ['b', 25],
    ]);
    // Late by what the instance before has seen: in Kafka Streams a restart would let it in.
    await runOnce([
      ['a', 6],
      ['b', 26],
    ]);
    await runOnce([['c', 30]]);
    expect(await shown(counted)).toEqual(['a@0=1', 'b@20=1', 'b@20=2', 'c@30=1']);
    expect(await shown(final)).toEqual(['a@0=1', 'b@20=2']);
    expect(await shown(closed)).toEqual(['a@0=1', 'b@20=2']);
  }, 300_000);
});

describe('the metadata of a committed offset', () => {
  test('12.4 is that of Kafka Streams: partition time, then times by name', () => {
    const times = new Map([
      ['counts/time', { ms: 25 }],
      ['unknown', { ms: -1 }],
    ]);
    const text = encodeMetadata(26, times);
    expect(Buffer.from(text, 'base64').toString('hex')).toBe(
      `02${'1a'.padStart(16, '0')}00000001${'0b'.padStart(8, '0')}${Buffer.from('counts/time').toString('hex')}${'19'.padStart(16, '0')}`,
    );
    expect(decodeMetadata(text)).toEqual({ partitionTimeMs: 26, stepTimes: new Map([['counts/time', 25]]) });
    expect(decodeMetadata('')).toEqual({ partitionTimeMs: -1, stepTimes: new Map() });
    expect(decodeMetadata('bm90IG91cnM=')).toEqual({ partitionTimeMs: -1, stepTimes: new Map() });
    expect(encodeMetadata(-1, new Map())).toBe('');
  });
});
