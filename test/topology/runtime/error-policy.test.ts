import { describe, expect, test } from '@jest/globals';
import {
  defineProcessor,
  defineStore,
  defineTopic,
  defineTopology,
  stringSerde,
  type ErrorPolicy,
  type KStream,
  type TopologySettings,
} from '../../../index.ts';
import { TestDriver } from '../../../testing.ts';

const input = defineTopic({ name: 'input', key: stringSerde, value: stringSerde });
const output = defineTopic({ name: 'output', key: stringSerde, value: stringSerde });
const dlq = defineTopic({ name: 'dlq', key: stringSerde, value: stringSerde });
const letters: Partial<TopologySettings> = { onError: 'dead-letter', deadLetterTopic: dlq.name };

const seen = defineStore('seen', { key: stringSerde, value: stringSerde });
const sorted = defineStore('sorted', { key: stringSerde, value: stringSerde, ordered: true });

/** Writes to both stores and forwards before it looks at the value. */
const careless = defineProcessor<string, string, string, string, { seen: typeof seen; sorted: typeof sorted }>({
  name: 'careless',
  stores: { seen, sorted },
  process({ key, value, timestampMs }, { stores, forward }) {
    stores.seen.put(key, value);
    stores.seen.put('last', key);
    stores.sorted.delete('first');
    stores.sorted.put(`${key}-${value}`, value);
    forward({ key, value: `${value} seen`, timestampMs });
    if (value.startsWith('bad')) throw new Error(`cannot digest ${value}`);
    forward({ key, value: [...stores.sorted.range()].map(([name]) => name).join(), timestampMs });
  },
});

function carelessTopology(settings: Partial<TopologySettings>) {
  return defineTopology('sample', (t) => t.stream(input).process(careless).to(output), settings);
}

/** A step that fails as long as `failures` says so. */
function flaky(onError: ErrorPolicy, failures: { left: number }, settings: Partial<TopologySettings> = {}) {
  return defineTopology(
    'sample',
    (t) => {
      const digest = (stream: KStream<string, string>) =>
        stream.withErrorPolicy(onError).mapValues('digest', (value) => {
          if (value === 'bad' && failures.left > 0) {
            failures.left -= 1;
            throw new Error('cannot digest this');
          }
          return value;
        });
      digest(t.stream(input)).to(output);
    },
    settings,
  );
}

function values(driver: TestDriver, topic = output): readonly (string | null)[] {
  return driver.read(topic).map(({ value }) => value);
}

function header(driver: TestDriver, name: string): string | undefined {
  const [record] = driver.read(dlq);
  const value = record?.headers.find(({ key }) => key === name)?.value;
  return value === undefined ? undefined : Buffer.from(value).toString();
}

describe('a record that fails half way', () => {
  test.each([['dead-letter'], ['skip']] as const)(
    'leaves nothing behind under %s: neither writes nor outputs nor keys of an ordered store',
    async (onError) => {
      const driver = new TestDriver(carelessTopology({ ...letters, onError }));
      driver.pipe(input, 'a', 'one');
      driver.read(output);
      driver.pipe(input, 'a', 'bad');
      driver.pipe(input, 'b', 'bad too');
      expect(driver.read(output)).toEqual([]);
      expect(await driver.rows(seen)).toEqual([
        { key: 'a', value: 'one', timestampMs: 0 },
        { key: 'last', value: 'a', timestampMs: 0 },
      ]);
      driver.pipe(input, 'c', 'two');
      expect(values(driver)).toEqual(['two seen', 'a-one,c-two']);
      expect(driver.read({ name: 'sample-seen-changelog', key: stringSerde, value: stringSerde })).toHaveLength(4);
    },
  );

  test('brings back the row that it overwrote before it failed, in what later records of the same commit see', () => {
    const counter = defineStore('counter', { key: stringSerde, value: stringSerde });
    const count = defineProcessor<string, string, string, string, { counter: typeof counter }>({
      name: 'count',
      stores: { counter },
      process({ key, value, timestampMs }, { stores, forward }) {
        const sum = String(Number(stores.counter.get(key) ?? '0') + 1);
        stores.counter.put(key, sum);
        if (value === 'bad') throw new Error('no');
        forward({ key, value: sum, timestampMs });
      },
    });
    const topology = defineTopology(
      'sample',
      (t) =>
        t
          .stream(input)
          .flatMapValues((value) => value.split(' '))
          .repartition('words', { valueSerde: stringSerde })
          .process(count)
          .to(output),
      letters,
    );
    const driver = new TestDriver(topology);
    driver.pipe(input, 'k', 'a a bad a bad a');
    expect(values(driver)).toEqual(['1', '2', '3', '4']);
    expect(values(driver, dlq)).toEqual(['bad', 'bad']);
  });

  test('counts once in the metrics of its end, whatever the steps before it dropped', () => {
    const topology = defineTopology(
      'sample',
      (t) => {
        const stream = t.stream(input);
        stream.branch('split', { never: () => false });
        stream
          .mapValues((value) => {
            if (value === 'bad') throw new Error('no');
            return value;
          })
          .to(output);
      },
      letters,
    );
    const driver = new TestDriver(topology);
    driver.pipe(input, 'k', 'bad');
    expect(driver.drops().get('no-branch')).toBeUndefined();
    driver.pipe(input, 'k', 'good');
    expect(driver.drops().get('no-branch')).toBe(1);
  });

  test('is dead-lettered even if the step before it swallows the failure', () => {
    const swallow = defineProcessor<string, string, string, string>({
      name: 'swallow',
      process(record, { forward }) {
        try {
          forward(record);
        } catch {
          forward({ ...record, value: 'never mind' });
        }
      },
    });
    const topology = defineTopology(
      'sample',
      (t) =>
        t
          .stream(input)
          .process(swallow)
          .mapValues((value) => {
            if (value === 'bad') throw new Error('no');
            return value;
          })
          .withSerdes({ keySerde: stringSerde, valueSerde: stringSerde })
          .to(output),
      letters,
    );
    const driver = new TestDriver(topology);
    driver.pipe(input, 'k', 'bad');
    expect(values(driver)).toEqual([]);
    expect(values(driver, dlq)).toEqual(['bad']);
  });
});

describe('retrying', () => {
  const policy: ErrorPolicy = {
    retry: { attempts: 3, initialMs: 1_000, multiplier: 2, maxMs: 3_000, jitter: 0 },
    then: 'dead-letter',
  };

  test('a record that fails for a while succeeds without anybody noticing, and records after it wait', () => {
    const failures = { left: 2 };
    const driver = new TestDriver(flaky(policy, failures, letters));
    for (const value of ['good', 'bad', 'fine']) driver.pipe(input, 'k', value);
    expect(values(driver)).toEqual(['good']);
    driver.advanceWallClock(999);
    expect(failures.left).toBe(1);
    driver.advanceWallClock(1);
    expect(failures.left).toBe(0);
    driver.advanceWallClock(1_999);
    expect(values(driver)).toEqual([]);
    driver.advanceWallClock(1);
    expect(values(driver)).toEqual(['bad', 'fine']);
    expect(driver.read(dlq)).toEqual([]);
  });

  test('one that never succeeds ends as the policy says, with the number of its attempts', () => {
    const failures = { left: Infinity };
    const driver = new TestDriver(flaky(policy, failures, letters));
    driver.pipe(input, 'k', 'bad', { headers: [{ key: 'trace', value: Buffer.from('1') }] });
    driver.pipe(input, 'k', 'fine');
    for (const ms of [1_000, 2_000, 2_999]) driver.advanceWallClock(ms);
    expect(values(driver)).toEqual([]);
    driver.advanceWallClock(1);
    expect(values(driver)).toEqual(['fine']);
    expect(header(driver, 'rivulet.dlq.attempts')).toBe('4');
  });

  test('other partitions go on meanwhile', () => {
    const driver = new TestDriver(flaky(policy, { left: Infinity }, letters), { partitions: 2 });
    driver.pipe(input, 'k', 'bad', { partition: 0 });
    driver.pipe(input, 'k', 'here', { partition: 0 });
    driver.pipe(input, 'k', 'there', { partition: 1 });
    expect(values(driver)).toEqual(['there']);
  });

  test('what can never succeed is not tried again: bytes that cannot be decoded, rows too large to write', () => {
    const strict = defineTopic({
      name: 'input',
      key: stringSerde,
      value: {
        ...stringSerde,
        deserialize: () => {
          throw new Error('undecodable');
        },
      },
    });
    const topology = defineTopology('sample', (t) => t.stream(strict, { onError: policy }).to(output), letters);
    const driver = new TestDriver(topology);
    driver.pipeBytes('input', Buffer.from('k'), Buffer.from('v'));
    expect(values(driver, dlq)).toEqual(['v']);
  });

  test('only those failures are retried that the policy takes for passing', () => {
    const picky: ErrorPolicy = {
      retry: { isRetryable: (error) => error instanceof Error && error.message.includes('timeout') },
      then: 'skip',
    };
    const driver = new TestDriver(flaky(picky, { left: Infinity }));
    for (const value of ['bad', 'fine']) driver.pipe(input, 'k', value);
    expect(values(driver)).toEqual(['fine']);
  });

  test('jitter only shortens a wait, by at most its share', () => {
    const failures = { left: 1 };
    const jittery: ErrorPolicy = { retry: { attempts: 1, initialMs: 1_000, jitter: 0.5 }, then: 'fail' };
    const driver = new TestDriver(flaky(jittery, failures));
    driver.pipe(input, 'k', 'bad');
    driver.advanceWallClock(499);
    expect(values(driver)).toEqual([]);
    driver.advanceWallClock(501);
    expect(values(driver)).toEqual(['bad']);
  });

  test.each<[string, ErrorPolicy]>([
    ['no attempt', { retry: { attempts: 0 }, then: 'skip' }],
    ['too many attempts', { retry: { attempts: 101 }, then: 'skip' }],
    ['a wait that is none', { retry: { initialMs: 0 }, then: 'skip' }],
    ['a multiplier below 1', { retry: { multiplier: 0.5 }, then: 'skip' }],
    ['a longest wait below the first', { retry: { initialMs: 100, maxMs: 10 }, then: 'skip' }],
    ['jitter above 1', { retry: { jitter: 2 }, then: 'skip' }],
  ])('%s is refused when the topology is declared', (_what, onError) => {
    expect(() => flaky(onError, { left: 0 })).toThrow(/retry/);
    expect(() => flaky('skip', { left: 0 }, { onError })).toThrow(/retry/);
  });
});

describe('stopping', () => {
  test('holds back the records of the task for good, while other tasks go on', () => {
    const failures = { left: Infinity };
    const driver = new TestDriver(flaky('stop', failures), { partitions: 2 });
    driver.pipe(input, 'k', 'bad', { partition: 0 });
    driver.pipe(input, 'k', 'here', { partition: 0 });
    driver.pipe(input, 'k', 'there', { partition: 1 });
    driver.advanceWallClock(10_000_000);
    expect(values(driver)).toEqual(['there']);
  });

  test('a dead-letter policy behind a retry needs a dead-letter topic as well', () => {
    expect(() => flaky({ retry: {}, then: 'dead-letter' }, { left: 0 })).toThrow(/deadLetterTopic/);
  });
});
