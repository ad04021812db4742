import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, test } from '@jest/globals';
import { silentLogger, systemClock, systemRandom } from '../../../clock.ts';
import { memoryLog } from '../../../connectors/embedded/embedded-log.ts';
import type { EmbeddedLog } from '../../../connectors/embedded/embedded-log.ts';
import { StreamError } from '../../../errors.ts';
import type { ErrorCode } from '../../../errors.ts';
import { noHeaders } from '../../../schemas/record.ts';
import { BatchBuilder } from '../../../schemas/record-batch.ts';
import { int64Serde, stringSerde } from '../../../schemas/serde.ts';
import { defineTopic } from '../../../schemas/topic.ts';
import { levelStores } from '../../../state-stores/level.ts';
import { memoryStores } from '../../../state-stores/memory.ts';
import { defineTopology } from '../../../topology/builder.ts';
import { Setbacks } from '../../../topology/runtime/setbacks.ts';
import type { StreamInstance } from '../../../topology/runtime/stream-instance.ts';
import { latest, produce, readAll, testInstance, until } from '../../support/cluster.ts';
import type { TestInstanceOptions } from '../../support/cluster.ts';
import { faultyLog } from '../../support/faulty-log.ts';
import type { LogFaults } from '../../support/faulty-log.ts';

const words = defineTopic({ name: 'words', key: stringSerde, value: stringSerde });
const counts = defineTopic({ name: 'counts', key: stringSerde, value: int64Serde });
const changelog = 'counting-counts-by-key-changelog';
const counting = defineTopology('counting', (t) => {
  t.stream(words).groupByKey().count('counts-by-key').toStream().to(counts);
});
const input = { topic: words.name, partition: 0 };

let log: EmbeddedLog;
let faults: LogFaults;
const instances: StreamInstance[] = [];

beforeEach(async () => {
  log = memoryLog({ clock: systemClock, random: systemRandom });
  faults = {};
  await log.admin.createTopics([words, counts].map(({ name }) => ({ name, partitions: 1 })));
});
afterEach(async () => {
  for (const instance of instances.splice(0)) await instance.close();
  await log.close();
});

async function start(options: TestInstanceOptions = {}, topology = counting): Promise<StreamInstance> {
  const instance = testInstance(faultyLog(log.client(), faults), topology, { topicCheckIntervalMs: 50, ...options });
  instances.push(instance);
  await instance.start();
  return instance;
}

function records(count: number) {
  return Array.from({ length: count }, () => ({ key: 'k', value: 'v' }));
}

async function counted(): Promise<number> {
  return latest(await readAll(log, counts)).get('k') ?? 0;
}

/** Each count once, in order: nothing was done twice and nothing undone. */
async function expectCounts(total: number): Promise<void> {
  const values = (await readAll(log, counts)).map(({ value }) => value);
  expect(values.at(-1)).toBe(total);
  expect(values).toEqual([...new Set(values)].sort((a, b) => Number(a) - Number(b)));
}

/** Throws an error of this code the first `times` times. */
function failing(code: ErrorCode, times = 1): () => void {
  let left = times;
  return () => {
    left -= 1;
    if (left >= 0) throw new StreamError(code, 'as the test wants it');
  };
}

describe('a commit that fails', () => {
  test.each<readonly [string, LogFaults]>([
    [
      'is refused as fenced, as after a transaction timeout or an expired producer id',
      { beforeSend: failing('PRODUCER_FENCED') },
    ],
    ['comes from a member that was expelled', { beforeCommit: failing('MEMBER_FENCED') }],
    ['is lost on the way there', { beforeCommit: failing('COMMIT_INDEFINITE') }],
    ['happens, and nobody learns of it', { afterCommit: failing('COMMIT_INDEFINITE') }],
    ['cannot reach the log for a while', { beforeSend: failing('LOG_UNAVAILABLE', 3) }],
    ['may not write for a while', { beforeSend: failing('LOG_UNAUTHORIZED', 3) }],
    ['misses a topic to write to for a while', { beforeSend: failing('TOPIC_UNKNOWN', 3) }],
  ])('%s: each record counts once', async (_, fault) => {
    Object.assign(faults, fault);
    const instance = await start();
    await produce(log, words, records(100));
    await until('all are counted', async () => (await counted()) === 100);
    await produce(log, words, records(20));
    await until('it went on', async () => (await counted()) === 120);
    await expectCounts(120);
    await until('ready again', () => instance.isReady);
  });

  it('again and again is tried less and less often, and seen until it works', async () => {
    let attempts = 0;
    faults.beforeSend = () => {
      attempts += 1;
      throw new StreamError('LOG_UNAUTHORIZED', 'not allowed', { facts: { topic: counts.name } });
    };
    const instance = await start();
    await produce(log, words, records(1));
    await until('three attempts', () => attempts >= 3);
    expect(instance.failure).toMatchObject({ code: 'LOG_UNAUTHORIZED', facts: { topic: counts.name } });
    expect(instance.isReady).toBe(false);
    faults.beforeSend = () => undefined;
    await until('it is counted', async () => (await counted()) === 1);
    await until('ready', () => instance.isReady);
    expect(instance.failure).toBeUndefined();
  });
});

test('state that lay idle for longer than its changelog keeps deletions is rebuilt, if there is anything new', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'rivulet-tombstones-'));
  const stores = levelStores({ directory, logger: silentLogger, random: systemRandom });
  const configs = { 'cleanup.policy': 'compact', 'delete.retention.ms': '1000' };
  await log.admin.createTopics([{ name: changelog, partitions: 1, configs }]);
  const warned: string[] = [];
  let awayMs = 0;
  const host = {
    stores,
    clock: { ...systemClock, nowMs: () => systemClock.nowMs() + awayMs },
    logger: { ...silentLogger, warn: (message: string) => warned.push(message) },
  };
  const run = async (options: TestInstanceOptions, total: number): Promise<void> => {
    await produce(log, words, records(1));
    const instance = await start(options);
    await until('it is counted', async () => (await counted()) === total);
    await instance.close();
  };
  await run({ host }, 1);
  awayMs = 3_600_000;
  await run({ host }, 2);
  expect(warned).toEqual([]);
  await run({ instanceId: 'elsewhere' }, 3);
  awayMs = 7_200_000;
  await run({ host }, 4);
  expect(warned).toContain('store was away for longer than its changelog keeps deletions: rebuilding');
  await expectCounts(4);
  await rm(directory, { recursive: true, force: true });
});

test('tasks whose last commit here fails go to their new owner all the same, and each record counts once', async () => {
  for (const { name } of [words, counts]) await log.admin.addPartitions(name, 2);
  const keys = Array.from({ length: 20 }, (_, index) => ({ key: `k${String(index)}`, value: 'v' }));
  const info = (message: string, facts?: Record<string, unknown>): void => {
    if (message === 'assigned' && facts?.['released'] === 1) faults.beforeCommit = failing('COMMIT_INDEFINITE');
  };
  const never = { commitIntervalMs: 60_000, commitGapMs: 50_000 };
  const one = await start({ ...never, host: { logger: { ...silentLogger, info } } });
  await produce(log, words, keys);
  const processed = (): number =>
    one.tasks().reduce((sum, { inputs }) => sum + inputs.reduce((most, { offset }) => Math.max(most, offset), 0), 0);
  await until('all are processed, but not committed', () => processed() === 20);
  const two = await start({ instanceId: 'two' });
  await until('both have a task', () =>
    [one, two].every((each) => each.tasks().some(({ state }) => state === 'running')),
  );
  expect(faults.beforeCommit).toBeDefined();
  await one.close();
  await until('all are counted', async () => (await readAll(log, counts)).length >= keys.length);
  expect((await readAll(log, counts)).map(({ value }) => value)).toEqual(keys.map(() => 1));
});

test('a transaction that the log never ends is reported, by its topic, and waited for', async () => {
  await produce(log, words, records(3));
  const first = await start();
  await until('all are counted', async () => (await counted()) === 3);
  await first.close();
  const stray = await log.producer({ transactionalId: 'stray', transactionTimeoutMs: 600_000 });
  const batch = new BatchBuilder();
  batch.append(systemClock.nowMs(), Buffer.from('k'), undefined, noHeaders);
  stray.begin();
  await stray.send([{ topic: changelog, partition: 0, records: batch }]);

  const reported: unknown[] = [];
  const error = (message: string, facts?: unknown): void => {
    if (message.startsWith('a transaction stays open')) reported.push(facts);
  };
  await start({ transactionTimeoutMs: 100, host: { logger: { ...silentLogger, error } } });
  await until('it is reported', () => reported.length > 0);
  const [{ stable, end } = { stable: 0, end: 0 }] = await log.admin.offsets([{ topic: changelog, partition: 0 }]);
  expect(stable).toBeLessThan(end);
  expect(reported).toEqual([expect.objectContaining({ taskId: '0_0', topic: changelog, partition: 0, stable, end })]);
  await stray.abort();
  await stray.close();
  await produce(log, words, records(2));
  await until('it went on', async () => (await counted()) === 5);
  await expectCounts(5);
});

test('setbacks double the wait up to five seconds, until a commit succeeds', () => {
  const setbacks = new Setbacks();
  const error = new StreamError('LOG_UNAVAILABLE', 'away');
  const waits = [0, 1, 2, 3, 4, 5].map((nowMs) => setbacks.note(error, { nowMs, commitCount: 7 }));
  expect(waits).toEqual([400, 800, 1_600, 3_200, 5_000, 5_000]);
  expect(setbacks.failure({ nowMs: 60_000, commitCount: 7 }, false)).toBe(error);
  expect(setbacks.failure({ nowMs: 60_000, commitCount: 7 }, true)).toBeUndefined();
  expect(setbacks.failure({ nowMs: 6, commitCount: 8 }, false)).toBeUndefined();
  expect(setbacks.note(error, { nowMs: 6, commitCount: 8 })).toBe(400);
  expect(setbacks.note(new StreamError('MEMBER_FENCED', 'again'), { nowMs: 7, commitCount: 8 })).toBe(0);
});

describe('input that cannot be read', () => {
  test.each<ErrorCode>(['LOG_UNAVAILABLE', 'LOG_UNAUTHORIZED'])(
    'for a while, %s: not ready and says why, goes on where it was',
    async (code) => {
      const instance = await start();
      await produce(log, words, records(10));
      await until('counted', async () => (await counted()) === 10);
      faults.unreadable = () => [{ ...input, error: new StreamError(code, 'as the test wants it') }];
      await until('it says so', () => instance.failure?.code === code);
      expect(instance.isReady).toBe(false);
      await produce(log, words, records(10));
      delete faults.unreadable;
      await until('all are counted', async () => (await counted()) === 20);
      await until('ready', () => instance.isReady);
      await expectCounts(20);
    },
  );

  it('because it is corrupt stops the instance at that place', async () => {
    const instance = await start();
    const facts = { ...input, offset: 3 };
    faults.unreadable = () => [{ ...input, error: new StreamError('RECORD_CORRUPT', 'bad checksum', { facts }) }];
    await until('failed', () => instance.state === 'failed');
    expect(instance.failure).toMatchObject({ code: 'RECORD_CORRUPT', facts });
  });

  it('because retention has removed it is left out, and everything after it counts once', async () => {
    const instance = await start();
    await produce(log, words, records(10));
    await until('counted', async () => (await counted()) === 10);
    let isHeld = false;
    faults.unreadable = () => {
      isHeld = true;
      return [];
    };
    await until('nothing is read any more', () => isHeld);
    await produce(log, words, records(10));
    const gone = { ...input, offset: 10, start: 15, end: 20 };
    await log.admin.deleteRecords([{ ...input, before: 15 }]);
    faults.unreadable = () => {
      delete faults.unreadable;
      return [{ ...input, error: new StreamError('OFFSET_OUT_OF_RANGE', 'gone', { facts: gone }) }];
    };
    await until('the rest is counted', async () => (await counted()) === 15);
    await expectCounts(15);
    expect(instance.state).not.toBe('failed');
  });

  it('because the log ends before it stops the instance', async () => {
    const instance = await start();
    const facts = { ...input, offset: 30, start: 0, end: 20 };
    faults.unreadable = () => [{ ...input, error: new StreamError('OFFSET_OUT_OF_RANGE', 'cut', { facts }) }];
    await until('failed', () => instance.state === 'failed');
    expect(instance.failure).toMatchObject({ code: 'OFFSET_OUT_OF_RANGE', facts });
  });

  it('because a transaction is open shows as undecided, not as caught up', async () => {
    const instance = await start();
    await until('ready', () => instance.isReady);
    const foreign = await log.producer({ transactionalId: 'foreign' });
    const batch = new BatchBuilder();
    batch.append(1_700_000_000_000, stringSerde.serialize('k'), stringSerde.serialize('v'), noHeaders);
    foreign.begin();
    await foreign.send([{ ...input, records: batch }]);
    await produce(log, words, records(4));
    const undecided = (): number | undefined =>
      instance.metrics().find(({ name }) => name === 'rivulet_input_undecided_offsets')?.value;
    await until('it shows', () => undecided() === 5);
    expect(await counted()).toBe(0);
    await foreign.abort();
    await foreign.close();
    await until('what was committed is counted', async () => (await counted()) === 4);
    await until('nothing is undecided', () => undecided() === 0);
  });
});

test('membership that the log refuses for good stops the instance', async () => {
  const instance = await start();
  await until('ready', () => instance.isReady);
  await faults.expel!(new StreamError('LOG_REFUSED', 'the session timeout is out of bounds'));
  await until('failed', () => instance.state === 'failed');
  expect(instance.failure?.code).toBe('LOG_REFUSED');
});

describe('topics that change while an instance runs', () => {
  it('an input with more partitions: the instance stops, since keys moved away from their state', async () => {
    const instance = await start();
    await log.admin.addPartitions(words.name, 3);
    await until('failed', () => instance.state === 'failed');
    expect(instance.failure).toMatchObject({
      code: 'SOURCE_TOPIC_CHANGED',
      facts: { topic: words.name, expected: 1, found: 3 },
    });
  });

  it('an input that is deleted: the instance waits, and stops when another one is there in its place', async () => {
    const instance = await start();
    await until('ready', () => instance.isReady);
    await log.admin.deleteTopics([words.name]);
    await until('it says so', () => instance.failure?.code === 'SOURCE_TOPIC_MISSING');
    expect(instance.isReady).toBe(false);
    expect(instance.state).not.toBe('failed');
    await log.admin.createTopics([{ name: words.name, partitions: 1 }]);
    await until('failed', () => instance.state === 'failed');
    expect(instance.failure).toMatchObject({ code: 'SOURCE_TOPIC_CHANGED', facts: { topic: words.name } });
  });

  it('a changelog that is deleted under load: the instance stops and names it', async () => {
    const instance = await start({ topicCheckIntervalMs: 60_000 });
    await produce(log, words, records(10));
    await until('counted', async () => (await counted()) === 10);
    await log.admin.deleteTopics([changelog]);
    await produce(log, words, records(10));
    await until('failed', () => instance.state === 'failed');
    expect(instance.failure).toMatchObject({ code: 'INTERNAL_TOPIC_INVALID', facts: { topic: changelog } });
  });

  it('a changelog that is gone at the start while its state is here: refused, and not made anew', async () => {
    const stores = { ...memoryStores(), list: () => Promise.resolve([{ path: ['counting', '0_0', 'counts-by-key'] }]) };
    await expect(start({ stores })).rejects.toMatchObject({
      code: 'INTERNAL_TOPIC_INVALID',
      facts: { topic: changelog, store: 'counts-by-key' },
    });
    expect(await log.admin.listTopics()).not.toContain(changelog);
  });
});

describe('restoring from a changelog', () => {
  it('that is cut meanwhile begins again with what is left', async () => {
    const first = await start();
    await produce(log, words, records(10));
    await until('counted', async () => (await counted()) === 10);
    await first.close();
    const at = { topic: changelog, partition: 0 };
    const [range] = await log.admin.offsets([at]);
    faults.unreadable = () => {
      delete faults.unreadable;
      const facts = { ...at, offset: 0, start: 1, end: range!.end };
      return [{ ...at, error: new StreamError('OFFSET_OUT_OF_RANGE', 'cut', { facts }) }];
    };
    const second = await start({ instanceId: 'two' });
    await until('ready', () => second.isReady);
    await produce(log, words, records(1));
    await until('it goes on from its state', async () => (await counted()) === 11);
  });

  it('that may not be read says so, and goes on once it may', async () => {
    const first = await start();
    await produce(log, words, records(10));
    await until('counted', async () => (await counted()) === 10);
    await first.close();
    const at = { topic: changelog, partition: 0 };
    faults.unreadable = () => [{ ...at, error: new StreamError('LOG_UNAUTHORIZED', 'not allowed') }];
    const second = await start({ instanceId: 'two' });
    await until('it says so', () => second.failure?.code === 'LOG_UNAUTHORIZED');
    delete faults.unreadable;
    await until('ready', () => second.isReady);
    expect(second.failure).toBeUndefined();
  });

  it('of one store fails while another one waits for its end: the next attempt is not in the way of this one', async () => {
    const twice = defineTopology('counting', (t) => {
      const grouped = t.stream(words).groupByKey();
      grouped.count('counts-by-key').toStream().to(counts);
      grouped.count('late');
    });
    const first = await start({}, twice);
    await produce(log, words, records(10));
    await until('counted', async () => (await counted()) === 10);
    await first.close();
    let attempts = 0;
    faults.toldOffsets = (topic, range) => {
      if (topic === changelog && (attempts += 1) === 1) throw new StreamError('LOG_UNAVAILABLE', 'not now');
      return topic.includes('late') && attempts < 2 ? { ...range, stable: 0 } : range;
    };
    let pollsLeft = 40;
    faults.unreadable = () => (attempts < 2 || (pollsLeft -= 1) > 0 ? [] : undefined);
    const second = await start({ instanceId: 'two' }, twice);
    await until('ready', () => second.isReady);
    await produce(log, words, records(1));
    await until('it goes on from its state', async () => (await counted()) === 11);
  });
});
