import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { openLog, type EmbeddedLog } from '../../../connectors/embedded/embedded-log.ts';
import { MemoryStorage } from '../../../connectors/embedded/memory-storage.ts';
import type { Storage } from '../../../connectors/embedded/storage.ts';
import type { Compression, Isolation, Producer } from '../../../connectors/log.ts';
import { BatchBuilder } from '../../../schemas/record-batch.ts';
import { ManualClock, seededRandom } from './manual-clock.ts';
import { imageAfter, RecordedStorage } from './recorded-storage.ts';

const at = { topic: 'table', partition: 0 };
const dayMs = 86_400_000;
/** Compaction runs when a test says so. */
const onDemand = { maintenanceIntervalMs: 1000 * dayMs };

interface Row {
  readonly offset: number;
  readonly timestampMs: number;
  readonly key: string;
  readonly value: string | undefined;
  readonly headers: string;
}

interface Rig {
  readonly log: EmbeddedLog;
  readonly clock: ManualClock;
  readonly storage: Storage;
}

async function rig(configs: Record<string, string> = {}, storage: Storage = new MemoryStorage()): Promise<Rig> {
  const clock = new ManualClock();
  const log = openLog(storage, 'on-roll', { clock, random: seededRandom(5), ...onDemand });
  await log.admin.createTopics([
    {
      name: at.topic,
      partitions: 1,
      configs: { 'cleanup.policy': 'compact', 'segment.bytes': '400', 'min.cleanable.dirty.ratio': '0', ...configs },
    },
  ]);
  return { log, clock, storage };
}

function reopen(storage: Storage, clock: ManualClock): EmbeddedLog {
  return openLog(storage, 'on-roll', { clock, random: seededRandom(6), ...onDemand });
}

async function rows(log: EmbeddedLog, isolation: Isolation = 'read_committed', from?: number): Promise<Row[]> {
  const [offsets] = await log.admin.offsets([at]);
  const reader = log.reader({ isolation, partitionBytesMax: 300 });
  const end = isolation === 'read_committed' ? offsets!.stable : offsets!.end;
  reader.seek(at, from ?? offsets!.start);
  const all: Row[] = [];
  while (reader.position(at)!.offset < end) {
    const position = reader.position(at)!.offset;
    const { batches, failures } = await reader.poll(0);
    for (const { error } of failures) throw error;
    if (reader.position(at)!.offset <= position) throw new Error(`reading stands still at ${String(position)}`);
    for (const batch of batches) {
      const cursor = batch.cursor();
      while (cursor.next())
        all.push({
          offset: cursor.offset,
          timestampMs: cursor.timestampMs,
          key: Buffer.from(cursor.key()!).toString(),
          value: cursor.value() && Buffer.from(cursor.value()!).toString(),
          headers: JSON.stringify(
            cursor.headers().map(({ key, value }) => [key, value && Buffer.from(value).toString()]),
          ),
        });
    }
  }
  await reader.close();
  return all;
}

function fold(all: readonly Row[]): ReadonlyMap<string, string> {
  const table = new Map<string, string>();
  for (const { key, value } of all) {
    if (value === undefined) table.delete(key);
    else table.set(key, value);
  }
  return table;
}

async function put(producer: Producer, ...entries: (readonly [key: string, value: string | undefined, ms?: number])[]) {
  const records = new BatchBuilder();
  for (const [key, value, ms = 1_700_000_000_000] of entries)
    records.append(ms, Buffer.from(key), value === undefined ? undefined : Buffer.from(value), [
      { key: 'h', value: Buffer.from(key) },
      { key: 'none', value: undefined },
    ]);
  await producer.send([{ ...at, records }]);
}

// ---- random histories -------------------------------------------------------------------------------------------------

type Entry = readonly [key: string, value: string | undefined, ms: number];
type Step =
  | { readonly type: 'plain'; readonly entries: readonly Entry[] }
  | { readonly type: 'commit' | 'abort'; readonly producer: number; readonly batches: readonly (readonly Entry[])[] }
  | {
      readonly type: 'interleaved';
      readonly entries: readonly Entry[];
      readonly first: boolean;
      readonly second: boolean;
    }
  | { readonly type: 'compact' }
  | { readonly type: 'reopen' };

const entry: fc.Arbitrary<Entry> = fc.tuple(
  fc.constantFrom('a', 'b', 'c', 'dd', 'ö'),
  fc.option(fc.string({ maxLength: 30 }), { nil: undefined, freq: 3 }),
  fc.integer({ min: 1_000, max: 1_800_000_000_000 }),
);
const entries = fc.array(entry, { minLength: 1, maxLength: 5 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ type: fc.constant('plain' as const), entries }) },
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constantFrom('commit' as const, 'abort' as const),
      producer: fc.integer({ min: 0, max: 1 }),
      batches: fc.array(entries, { minLength: 1, maxLength: 3 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('interleaved' as const),
      entries,
      first: fc.boolean(),
      second: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.constant({ type: 'compact' as const }) },
  { weight: 1, arbitrary: fc.constant({ type: 'reopen' as const }) },
);

interface State {
  log: EmbeddedLog;
  /** All committed records, as they were when they were new. */
  readonly model: Row[];
  readonly compression: Compression;
  readonly again: () => EmbeddedLog;
}

const nameOf = (number: number): string => `producer-${String(number)}`;

type StepOf<T extends Step['type']> = Extract<Step, { readonly type: T }>;

async function transaction(
  { log, compression }: State,
  { type, producer: number, batches }: StepOf<'commit' | 'abort'>,
) {
  const producer = await log.producer({ transactionalId: nameOf(number), compression });
  producer.begin();
  for (const batch of batches) await put(producer, ...batch);
  await (type === 'commit' ? producer.commit() : producer.abort());
}

async function interleaved({ log, compression }: State, step: StepOf<'interleaved'>) {
  const one = await log.producer({ transactionalId: nameOf(0), compression });
  const two = await log.producer({ transactionalId: nameOf(1), compression });
  one.begin();
  two.begin();
  for (const item of step.entries) {
    await put(one, item);
    await put(two, item);
  }
  await (step.first ? one.commit() : one.abort());
  await (step.second ? two.commit() : two.abort());
}

async function write(state: State, step: StepOf<'plain' | 'commit' | 'abort' | 'interleaved'>) {
  const before = (await state.log.admin.offsets([at]))[0]!.end;
  if (step.type === 'plain') await put(await state.log.producer({ compression: state.compression }), ...step.entries);
  else if (step.type === 'interleaved') await interleaved(state, step);
  else await transaction(state, step);
  state.model.push(...(await rows(state.log, 'read_committed', before)));
}

async function run(state: State, steps: readonly Step[]) {
  for (const [index, step] of steps.entries()) {
    if (step.type === 'compact') await state.log.maintain();
    else if (step.type === 'reopen') {
      if (index % 2 === 0) await state.log.close();
      state.log = state.again();
    } else await write(state, step);
  }
}

describe('compaction', () => {
  test('never changes what a reader of the whole log concludes, nor any record that it keeps', async () => {
    const compressions = fc.constantFrom<Compression>('none', 'gzip', 'lz4');
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 30 }), compressions, async (steps, compression) => {
        const { log, clock, storage } = await rig();
        const state: State = { log, model: [], compression, again: () => reopen(storage, clock) };
        await run(state, steps);
        const before = await state.log.admin.offsets([at]);
        for (let round = 0; round < 3; round++) {
          await state.log.maintain();
          const kept = await rows(state.log);
          expect(fold(kept)).toEqual(fold(state.model));
          const byOffset = new Map(state.model.map((row) => [row.offset, row]));
          for (const row of kept) expect(row).toEqual(byOffset.get(row.offset));
          expect(kept.map(({ offset }) => offset)).toEqual(kept.map(({ offset }) => offset).sort((a, b) => a - b));
          await clock.advance(dayMs * 0.7);
          if (round === 1) state.log = reopen(storage, clock);
        }
        expect(await state.log.admin.offsets([at])).toEqual(before);
        await state.log.close();
      }),
      { numRuns: 60 },
    );
  });

  test('keeps one record of a key in what it has been over', async () => {
    const { log } = await rig();
    const producer = await log.producer({});
    for (let round = 0; round < 50; round++)
      await put(producer, ['a', `a${String(round)}`], ['b', `b${String(round)}`]);
    await log.maintain();
    const kept = await rows(log);
    const newestSegment = 3;
    expect(kept.length).toBeLessThanOrEqual(2 + 2 * newestSegment);
    expect(fold(kept)).toEqual(
      new Map([
        ['a', 'a49'],
        ['b', 'b49'],
      ]),
    );
  });

  test('leaves the newest segment and what is not decided alone', async () => {
    const { log } = await rig();
    const open = await log.producer({ transactionalId: 'open' });
    open.begin();
    await put(open, ['k', 'undecided']);
    const producer = await log.producer({});
    for (let round = 0; round < 20; round++) await put(producer, ['a', String(round)]);
    await log.maintain();
    expect(await rows(log, 'read_uncommitted')).toHaveLength(21);
    await open.commit();
    await log.maintain();
    expect((await rows(log)).length).toBeLessThan(10);
    expect(fold(await rows(log)).get('k')).toBe('undecided');
  });

  test('drops aborted records and markers, and a transaction stays committed after reopening', async () => {
    const { log, storage, clock } = await rig();
    const producer = await log.producer({ transactionalId: 'txn' });
    for (let round = 0; round < 20; round++) {
      producer.begin();
      await put(producer, [`key ${String(round)}`, 'value']);
      await (round % 2 === 0 ? producer.commit() : producer.abort());
    }
    const sizeBefore = sizeOf(storage);
    await log.maintain();
    expect(sizeOf(storage)).toBeLessThan(sizeBefore * 0.5);
    await log.close();
    const again = reopen(storage, clock);
    expect(await rows(again)).toHaveLength(10);
    expect((await rows(again, 'read_uncommitted')).length).toBeLessThanOrEqual(12);
    const [offsets] = await again.admin.offsets([at]);
    expect(offsets).toEqual({ start: 0, stable: 40, end: 40 });
    await again.close();
  });

  test('keeps tombstones for delete.retention.ms after it first met them, then drops them', async () => {
    const { log, clock } = await rig({ 'delete.retention.ms': '10000' });
    const producer = await log.producer({});
    const churn = async () => {
      for (let round = 0; round < 8; round++) await put(producer, ['other', `${String(round)} ${'-'.repeat(50)}`]);
      await log.maintain();
    };
    await put(producer, ['gone', 'value']);
    // Its own timestamp is long ago: that does not count.
    await put(producer, ['gone', undefined, 1000]);
    const tombstones = async () => (await rows(log)).filter(({ key }) => key === 'gone');
    await churn();
    expect(await tombstones()).toEqual([expect.objectContaining({ value: undefined, timestampMs: 1000 })]);
    await clock.advance(9_000);
    await churn();
    expect(await tombstones()).toHaveLength(1);
    await clock.advance(2_000);
    await churn();
    expect(await tombstones()).toEqual([]);
  });

  test('waits for min.cleanable.dirty.ratio and min.compaction.lag.ms', async () => {
    const { log, clock } = await rig({ 'min.cleanable.dirty.ratio': '0.5', 'min.compaction.lag.ms': '60000' });
    const producer = await log.producer({});
    const write = async (count: number) => {
      for (let round = 0; round < count; round++) await put(producer, ['a', '-'.repeat(100), clock.nowMs()]);
    };
    const count = async () => (await rows(log)).length;
    await write(40);
    await log.maintain();
    expect(await count()).toBe(40);
    await clock.advance(61_000);
    await log.maintain();
    const cleaned = await count();
    expect(cleaned).toBeLessThan(10);
  });

  test('merges small segments', async () => {
    const { log, storage } = await rig({ 'segment.bytes': '1000' });
    const producer = await log.producer({});
    for (let round = 0; round < 100; round++) await put(producer, ['a', '-'.repeat(100)]);
    const segments = () => storage.list('table/0').filter((name) => name.endsWith('.log')).length;
    expect(segments()).toBeGreaterThan(10);
    await log.maintain();
    // What a run left small, the next one puts together.
    for (let round = 0; round < 10; round++) await put(producer, ['a', '-'.repeat(100)]);
    await log.maintain();
    expect(segments()).toBeLessThanOrEqual(4);
  });

  test('lets a reader go on that stands in what was compacted', async () => {
    const { log } = await rig();
    const producer = await log.producer({});
    for (let round = 0; round < 30; round++) await put(producer, ['a', String(round)], ['b', String(round)]);
    const reader = log.reader({ isolation: 'read_committed', partitionBytesMax: 1 });
    reader.seek(at, 0);
    await reader.poll(0);
    await log.maintain();
    const seen: number[] = [];
    while (reader.position(at)!.offset < 60) {
      for (const batch of (await reader.poll(0)).batches) {
        const cursor = batch.cursor();
        while (cursor.next()) seen.push(cursor.offset);
      }
    }
    expect(seen.at(-1)).toBe(59);
    for (let from = 0; from <= 60; from++) {
      reader.seek(at, from);
      const { failures } = await reader.poll(0);
      expect(failures).toEqual([]);
      expect(reader.position(at)!.offset).toBeGreaterThanOrEqual(Math.min(60, from));
    }
  });

  test('a crash at any moment of it leaves a log with the same conclusion', async () => {
    const storage = new RecordedStorage();
    const { log, clock } = await rig({ 'delete.retention.ms': '0' }, storage);
    const producer = await log.producer({ transactionalId: 'txn' });
    for (let round = 0; round < 12; round++) {
      producer.begin();
      await put(
        producer,
        ['a', String(round)],
        [`key ${String(round % 4)}`, round % 3 === 0 ? undefined : String(round)],
      );
      await (round % 4 === 3 ? producer.abort() : producer.commit());
    }
    const expected = fold(await rows(log));
    const before = storage.changes.length;
    await log.maintain();
    await clock.advance(1000);
    await put(await log.producer({}), ['more', '-'.repeat(400)], ['gone', undefined]);
    const afterMore = fold(await rows(log));
    const middle = storage.changes.length;
    await log.maintain();
    expect(storage.changes.length - before).toBeGreaterThan(20);

    for (let count = before; count <= storage.changes.length; count++) {
      const image = imageAfter(storage.changes, count);
      const crashed = reopen(image, clock);
      const found = fold(await rows(crashed));
      if (count >= middle) expect(found).toEqual(afterMore);
      else {
        const rest = [...found].filter(([key]) => key !== 'more');
        expect(new Map(rest)).toEqual(expected);
      }
      await crashed.maintain();
      expect(image.list('table/0').filter((name) => !name.endsWith('.log'))).toEqual([]);
      await crashed.close();
      await reopen(image, clock).close();
    }
  });

  test('gives way to deleted records and a deleted topic', async () => {
    const { log, storage } = await rig();
    const producer = await log.producer({});
    for (let round = 0; round < 30; round++) await put(producer, ['a', String(round)]);
    const running = log.maintain();
    await log.admin.deleteRecords([{ ...at, before: 25 }]);
    await running;
    expect((await rows(log)).map(({ offset }) => offset)).toEqual([25, 26, 27, 28, 29]);
    await log.maintain();
    for (let round = 0; round < 30; round++) await put(producer, ['a', String(round)]);
    const again = log.maintain();
    await log.admin.deleteTopics([at.topic]);
    await again;
    expect(storage.list('table')).toEqual([]);
    await log.close();
  });
});

function sizeOf(storage: Storage): number {
  return storage
    .list('table/0')
    .map((name) => storage.open(`table/0/${name}`).sizeBytes)
    .reduce((sum, size) => sum + size, 0);
}
