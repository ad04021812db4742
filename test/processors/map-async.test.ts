import { afterEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { systemClock, systemRandom } from '../../clock.ts';
import {
  StreamError,
  defineTopic,
  defineTopology,
  stringSerde,
  type AsyncCall,
  type AsyncOptions,
} from '../../index.ts';
import { memoryLog, TestDriver } from '../../testing.ts';
import { produce, readAll, testInstance, until } from '../support/cluster.ts';
import { memoryStores } from '../../state-stores/memory.ts';

const questions = defineTopic({ name: 'questions', key: stringSerde, value: stringSerde });
const answers = defineTopic({ name: 'answers', key: stringSerde, value: stringSerde });

type Ask = (question: string, key: string, call: AsyncCall) => Promise<string>;

function asking(ask: Ask, options: AsyncOptions<string, string> = {}) {
  return defineTopology('asking', (t) => {
    t.stream(questions).mapValuesAsync('ask', ask, options).to(answers);
  });
}

/** Calls whose ends the test decides. */
class Calls {
  readonly open = new Map<string, { resolve: (answer: string) => void; reject: (error: Error) => void }>();
  readonly started: string[] = [];

  readonly ask: Ask = (question) => {
    this.started.push(question);
    return new Promise((resolve, reject) => this.open.set(question, { resolve, reject }));
  };

  answer(question: string): void {
    this.open.get(question)?.resolve(`${question}!`);
  }
}

let driver: TestDriver;

afterEach(() => {
  driver.close();
});

/** Lets what was resolved arrive. */
async function arrive(): Promise<void> {
  await systemClock.yield();
  driver.advanceWallClock(0);
}

function answered(): readonly (string | null)[] {
  return driver.read(answers).map(({ value }) => value);
}

function drive(ask: Ask, options: AsyncOptions<string, string> = {}): void {
  driver = new TestDriver(asking(ask, options));
}

describe('mapValuesAsync', () => {
  test('results leave in the order of their records, whichever call ends first', async () => {
    const calls = new Calls();
    drive(calls.ask);
    for (const key of ['a', 'b', 'c']) driver.pipe(questions, key, key);
    calls.answer('c');
    calls.answer('b');
    await arrive();
    expect(answered()).toEqual([]);
    calls.answer('a');
    await arrive();
    expect(answered()).toEqual(['a!', 'b!', 'c!']);
  });

  test('ordered by key, a result waits only for those of its key', async () => {
    const calls = new Calls();
    drive(calls.ask, { order: 'key' });
    for (const key of ['a', 'b']) driver.pipe(questions, key, key);
    calls.answer('b');
    await arrive();
    expect(answered()).toEqual(['b!']);
    calls.answer('a');
    await arrive();
    expect(answered()).toEqual(['a!']);
  });

  test('records of one key are called one after the other', async () => {
    const calls = new Calls();
    drive(calls.ask, { order: 'key' });
    driver.pipe(questions, 'a', 'first');
    driver.pipe(questions, 'a', 'second');
    expect(calls.started).toEqual(['first']);
    calls.answer('first');
    await arrive();
    await arrive();
    expect(calls.started).toEqual(['first', 'second']);
  });

  test('no more calls run than allowed, and no more records wait than allowed', () => {
    const calls = new Calls();
    drive(calls.ask, { concurrency: 2, pendingMax: 3 });
    for (const key of ['a', 'b', 'c', 'd', 'e']) driver.pipe(questions, key, key);
    expect(calls.started).toEqual(['a', 'b']);
    expect([...waiting()]).toHaveLength(3);
  });

  test('what was held back goes on when there is room', async () => {
    drive((question) => Promise.resolve(question), { concurrency: 1, pendingMax: 1 });
    for (const key of ['a', 'b', 'c', 'd', 'e']) driver.pipe(questions, key, key);
    await driver.settled();
    expect(answered()).toEqual(['a', 'b', 'c', 'd', 'e']);
  });

  test('timestamp, key and headers are those of the record', async () => {
    drive((question) => Promise.resolve(question));
    const headers = [{ key: 'h', value: Buffer.from('1') }];
    driver.pipe(questions, 'k', 'v', { timestampMs: 42, headers });
    await driver.settled();
    expect(driver.read(answers)).toMatchObject([{ key: 'k', value: 'v', timestampMs: 42, headers }]);
  });

  test('a call that fails is tried again after a wait that doubles', async () => {
    const attempts: number[] = [];
    const ask: Ask = (question, _key, { attempt }) => {
      attempts.push(attempt);
      return attempt < 3 ? Promise.reject(new Error('busy')) : Promise.resolve(question);
    };
    drive(ask, { retry: { attempts: 2, backoffMs: 100 } });
    driver.pipe(questions, 'k', 'v');
    await arrive();
    driver.advanceWallClock(99);
    expect(attempts).toEqual([1]);
    driver.advanceWallClock(1);
    await arrive();
    driver.advanceWallClock(199);
    expect(attempts).toEqual([1, 2]);
    driver.advanceWallClock(1);
    await driver.settled();
    expect(attempts).toEqual([1, 2, 3]);
    expect(answered()).toEqual(['v']);
  });

  test('a call that takes too long is aborted and counts as failed; its late result is not wanted', async () => {
    const calls = new Calls();
    const signals: AbortSignal[] = [];
    drive(
      (question, key, call) => {
        signals.push(call.signal);
        return calls.ask(question, key, call);
      },
      { timeoutMs: 50, onFailure: 'skip' },
    );
    driver.pipe(questions, 'k', 'v');
    driver.advanceWallClock(50);
    await driver.settled();
    expect(signals[0]?.aborted).toBe(true);
    calls.answer('v');
    await arrive();
    expect(answered()).toEqual([]);
    expect(driver.drops()).toEqual(new Map([['failed', 1]]));
  });

  test('after the last try the record is skipped, or stops the instance', async () => {
    const refuse: Ask = () => Promise.reject(new Error('no'));
    drive(refuse, { onFailure: 'skip' });
    driver.pipe(questions, 'k', 'v');
    await driver.settled();
    expect(answered()).toEqual([]);
    driver.close();
    drive(refuse);
    driver.pipe(questions, 'k', 'v');
    await expect(driver.settled()).rejects.toMatchObject({ code: 'PROCESSING_FAILED' });
  });

  test('a limit that is none is refused', () => {
    expect(() => asking((question) => Promise.resolve(question), { concurrency: 0 })).toThrow(StreamError);
    drive((question) => Promise.resolve(question));
  });

  test('for any durations of calls: each record once, in order by key', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ key: fc.constantFrom('a', 'b', 'c'), turns: fc.nat(4) }), { maxLength: 25 }),
        fc.record({
          order: fc.constantFrom('offset' as const, 'key' as const),
          concurrency: fc.integer({ min: 1, max: 5 }),
          pendingMax: fc.integer({ min: 1, max: 8 }),
        }),
        async (records, options) => {
          const ask: Ask = async (question) => {
            for (let left = Number(question.split('/')[1]); left > 0; left -= 1) await systemClock.yield();
            return question;
          };
          const run = new TestDriver(asking(ask, options));
          const sent = records.map(({ key, turns }, index) => ({ key, value: `${String(index)}/${String(turns)}` }));
          for (const { key, value } of sent) run.pipe(questions, key, value);
          await run.settled();
          const got = run.read(answers).map(({ key, value }) => ({ key, value }));
          run.close();
          if (options.order === 'offset') expect(got).toEqual(sent);
          for (const wanted of ['a', 'b', 'c'])
            expect(got.filter(({ key }) => key === wanted)).toEqual(sent.filter(({ key }) => key === wanted));
        },
      ),
      { numRuns: 50 },
    );
    drive((question) => Promise.resolve(question));
  });

  test.each(['offset', 'key'] as const)(
    'on a log whose commits fail now and then, each record gives one result, in order by key (%s)',
    async (order) => {
      drive((question) => Promise.resolve(question));
      const log = memoryLog({ clock: systemClock, random: systemRandom });
      await log.admin.createTopics([questions, answers].map(({ name }) => ({ name, partitions: 2 })));
      const sent = Array.from({ length: 300 }, (_, index) => ({ key: `k${String(index % 7)}`, value: String(index) }));
      await produce(log, questions, sent);
      const ask: Ask = async (question) => {
        await systemClock.sleep(Number(question) % 5);
        return question;
      };
      let failures = 0;
      let points = 0;
      const fault = (point: string): void => {
        points += 1;
        if (failures >= 6 || points % 11 !== 0 || !/produce|offsets|commit/.test(point)) return;
        failures += 1;
        throw new StreamError('LOG_UNAVAILABLE', `injected at ${point}`);
      };
      const stores = memoryStores();
      const topology = asking(ask, { order, concurrency: 20, pendingMax: 40 });
      const first = testInstance(log, topology, { stores, host: { fault } });
      await first.start();
      await until('half of it', async () => (await readAll(log, answers)).length > 100, 60_000);
      // The calls under way are lost with it; the next instance makes them again.
      await first.close();
      const second = testInstance(log, topology, { stores });
      await second.start();
      await until('all of it', async () => (await readAll(log, answers)).length >= sent.length, 60_000);
      await second.close();
      const got = await readAll(log, answers);
      expect(failures).toBeGreaterThan(0);
      for (const { key } of sent.slice(0, 7))
        expect(got.filter((record) => record.key === key).map(({ value }) => value)).toEqual(
          sent.filter((record) => record.key === key).map(({ value }) => value),
        );
      await log.close();
    },
  );
});

/** Rows of the step's store, as processors see them. */
function waiting(): Iterable<unknown> {
  return (driver.state('ask') as { range(): Iterable<unknown> }).range();
}
