import { afterEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { systemClock, systemRandom } from '../../../clock.ts';
import type { Log } from '../../../connectors/log.ts';
import {
  defineTopic,
  defineTopology,
  stringSerde,
  type ErrorPolicy,
  type KStream,
  type StreamInstance,
  type Topology,
} from '../../../index.ts';
import { TestDriver, memoryLog } from '../../../testing.ts';
import { discardHeaders, readDeadLetter, replayHeaders } from '../../../topology/runtime/dead-letter-record.ts';
import type { DeadLetter } from '../../../topology/runtime/dead-letter-record.ts';
import { createDeadLetterDesk, type DeadLetterDesk } from '../../../topology/runtime/dead-letter-desk.ts';
import { produce, readAll, testInstance, until } from '../../support/cluster.ts';

const input = defineTopic({ name: 'input', key: stringSerde, value: stringSerde });
const output = defineTopic({ name: 'output', key: stringSerde, value: stringSerde });
const dlq = defineTopic({ name: 'dlq', key: stringSerde, value: stringSerde });

/** What the step refuses now. */
const refused = new Set<string>();

function digest(stream: KStream<string, string>, onError: ErrorPolicy = 'park-key'): KStream<string, string> {
  return stream.withErrorPolicy(onError).mapValues('digest', (value) => {
    if (refused.has(value)) throw new Error(`cannot digest ${value}`);
    return value;
  });
}

const topology = defineTopology('app', (t) => digest(t.stream(input)).to(output), { deadLetterTopic: dlq.name });

/** Dead letters written since the last look; the driver does not show their offsets, and nothing here asks for them. */
function newLetters(driver: TestDriver): readonly DeadLetter[] {
  const found = driver.readBytes(dlq.name).map((record, offset) => readDeadLetter({ ...record, offset }, 0));
  return found.filter((letter) => letter !== undefined);
}

/** As the desk does it. */
function decide(driver: TestDriver, letter: DeadLetter, how: 'replay' | 'discard'): void {
  const { topic, partition } = letter.origin;
  const isPrivate = topic.startsWith('app-');
  driver.pipeBytes(isPrivate ? topic : `app-${topic}-replay`, letter.key, letter.value, {
    partition,
    timestampMs: letter.timestampMs,
    headers: how === 'replay' ? replayHeaders(letter) : discardHeaders(letter),
  });
}

function valuesOf(driver: TestDriver): readonly (string | null)[] {
  return driver.read(output).map(({ value }) => value);
}

afterEach(() => {
  refused.clear();
});

describe('a record that fails under park-key', () => {
  test('lets those after it of its key wait until it is replayed, and then go on in their order', () => {
    const driver = new TestDriver(topology);
    refused.add('a2');
    for (const value of ['a1', 'a2', 'a3', 'b1', 'a4']) driver.pipe(input, value.slice(0, 1), value);
    expect(valuesOf(driver)).toEqual(['a1', 'b1']);
    const [letter] = newLetters(driver);
    expect(letter).toMatchObject({ parksKey: true, node: 'digest', origin: { topic: 'input', offset: 1 } });
    refused.clear();
    if (letter !== undefined) decide(driver, letter, 'replay');
    expect(valuesOf(driver)).toEqual(['a2', 'a3', 'a4']);
    driver.pipe(input, 'a', 'a5');
    expect(valuesOf(driver)).toEqual(['a5']);
  });

  test('lets them go on without it when it is discarded, and is not processed itself', () => {
    const driver = new TestDriver(topology);
    refused.add('a1');
    driver.pipe(input, 'a', 'a1');
    driver.pipe(input, 'a', 'a2');
    refused.clear();
    for (const letter of newLetters(driver)) decide(driver, letter, 'discard');
    expect(valuesOf(driver)).toEqual(['a2']);
  });

  test('keeps nobody waiting if it has no key', () => {
    const driver = new TestDriver(topology);
    refused.add('bad');
    driver.pipe(input, null, 'bad');
    driver.pipe(input, null, 'good');
    expect(valuesOf(driver)).toEqual(['good']);
    expect(newLetters(driver)).toMatchObject([{ parksKey: false }]);
  });

  test('parks the key of what cannot even be decoded', () => {
    const strict = defineTopology('app', (t) => t.stream(input, { onError: 'park-key' }).to(output), {
      deadLetterTopic: dlq.name,
    });
    const driver = new TestDriver(strict);
    driver.pipeBytes(input.name, Buffer.from('a'), Buffer.of(0xff));
    driver.pipe(input, 'a', 'a2');
    expect(valuesOf(driver)).toEqual([]);
    for (const letter of newLetters(driver)) decide(driver, letter, 'discard');
    expect(valuesOf(driver)).toEqual(['a2']);
  });

  test('is tried again first where the policy says so', () => {
    const patient = defineTopology(
      'app',
      (t) => digest(t.stream(input), { retry: { attempts: 1, jitter: 0 }, then: 'park-key' }).to(output),
      { deadLetterTopic: dlq.name },
    );
    const driver = new TestDriver(patient);
    refused.add('a1');
    driver.pipe(input, 'a', 'a1');
    driver.pipe(input, 'a', 'a2');
    expect(newLetters(driver)).toEqual([]);
    driver.advanceWallClock(1_000);
    expect(newLetters(driver)).toMatchObject([{ attempts: 2, parksKey: true }]);
    expect(valuesOf(driver)).toEqual([]);
  });

  test('holds its order by the key it has where it fails, behind a repartition too', () => {
    const rekeyed = defineTopology(
      'app',
      (t) =>
        digest(
          t
            .stream(input)
            .selectKey('by-letter', (value) => value.slice(0, 1))
            .repartition('letters', { keySerde: stringSerde, valueSerde: stringSerde }),
        ).to(output),
      { deadLetterTopic: dlq.name },
    );
    const driver = new TestDriver(rekeyed);
    refused.add('a1');
    for (const [key, value] of [
      ['x', 'a1'],
      ['y', 'b1'],
      ['z', 'a2'],
    ] as const)
      driver.pipe(input, key, value);
    expect(valuesOf(driver)).toEqual(['b1']);
    refused.clear();
    for (const letter of newLetters(driver)) decide(driver, letter, 'replay');
    expect(valuesOf(driver)).toEqual(['a1', 'a2']);
  });

  test('needs a dead-letter topic', () => {
    expect(() => defineTopology('app', (t) => digest(t.stream(input)).to(output))).toThrow(/park-key.*deadLetterTopic/);
  });
});

describe('parked records', () => {
  const value = fc.record({ key: fc.constantFrom('a', 'b', 'c'), isBad: fc.boolean() });
  const step = fc.oneof(
    { weight: 4, arbitrary: value.map((record) => ({ kind: 'pipe' as const, record })) },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constantFrom('replay' as const, 'discard' as const),
        pick: fc.nat(20),
        mends: fc.boolean(),
      }),
    },
  );

  test('never overtake each other, whatever is replayed or discarded when', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        refused.clear();
        const driver = new TestDriver(topology);
        const sent = new Map<string, string[]>();
        const open: DeadLetter[] = [];
        let count = 0;
        const end = (letter: DeadLetter, kind: 'replay' | 'discard', mends: boolean): void => {
          const text = Buffer.from(letter.value ?? []).toString();
          if (kind === 'replay' && mends) refused.delete(text);
          if (kind === 'discard') {
            const key = text.slice(0, 1);
            sent.set(key, sent.get(key)?.filter((one) => one !== text) ?? []);
          }
          decide(driver, letter, kind);
          open.push(...newLetters(driver));
        };
        const pipe = (key: string, isBad: boolean): void => {
          count += 1;
          const text = `${key}${String(count)}`;
          if (isBad) refused.add(text);
          sent.set(key, [...(sent.get(key) ?? []), text]);
          driver.pipe(input, key, text);
          open.push(...newLetters(driver));
        };
        for (const next of steps) {
          if (next.kind === 'pipe') pipe(next.record.key, next.record.isBad);
          else {
            const [letter] = open.splice(next.pick % Math.max(1, open.length), 1);
            if (letter !== undefined) end(letter, next.kind, next.mends);
          }
        }
        for (let letter = open.shift(); letter !== undefined; letter = open.shift()) end(letter, 'replay', true);
        const seen = valuesOf(driver);
        for (const [key, texts] of sent) expect(seen.filter((text) => text?.startsWith(key))).toEqual(texts);
      }),
      { numRuns: 300 },
    );
  });
});

describe('parked records of an instance', () => {
  const open: { instance: StreamInstance; log: Log }[] = [];

  function begin(log: Log): StreamInstance {
    const instance = testInstance(log, topology);
    open.push({ instance, log });
    return instance;
  }

  function deskOn(log: Log, of: Topology = topology): DeadLetterDesk {
    return createDeadLetterDesk({ log, clock: systemClock, random: systemRandom, applicationId: 'app', topology: of });
  }

  const outputs = async (log: Log): Promise<readonly (string | null)[]> =>
    (await readAll(log, output)).map(({ value }) => value);

  function metric(instance: StreamInstance, name: string): number {
    return instance.metrics().reduce((sum, sample) => sum + (sample.name === name ? sample.value : 0), 0);
  }

  afterEach(async () => {
    for (const { instance, log } of open.splice(0)) {
      await instance.close();
      await log.close();
    }
  });

  test('wait over a restart, are counted meanwhile, and go on when an operator replays or discards', async () => {
    const log = memoryLog({ clock: systemClock, random: systemRandom });
    await log.admin.createTopics([input, output, dlq].map(({ name }) => ({ name, partitions: 2 })));
    const first = begin(log.client());
    for (const bad of ['a1', 'b1']) refused.add(bad);
    const values = ['a1', 'b1', 'a2', 'b2', 'a3', 'c1'];
    await produce(
      log,
      input,
      values.map((value) => ({ key: value.slice(0, 1), value })),
    );
    await first.start();
    await until('three wait', () => metric(first, 'rivulet_parked_records') === 3);
    expect(metric(first, 'rivulet_parked_keys')).toBe(2);
    expect(first.storeNames()).toEqual([]);
    await first.close();
    const second = begin(log.client());
    await second.start();
    await until('they still wait', () => metric(second, 'rivulet_parked_records') === 3);
    refused.clear();
    const desk = deskOn(log.client());
    const { items } = await desk.list({ state: 'open' });
    const idOf = (key: string): string =>
      items.find((letter) => Buffer.from(letter.key ?? []).toString() === key)?.id ?? '';
    await desk.replay(idOf('a'), 'me');
    await desk.discard(idOf('b'), { by: 'me', reason: 'a test record' });
    await until('nobody waits', async () => (await outputs(log)).length === 5);
    const ended = await outputs(log);
    expect(ended.filter((value) => value?.startsWith('a'))).toEqual(['a1', 'a2', 'a3']);
    expect(ended.filter((value) => value?.startsWith('b'))).toEqual(['b2']);
    await until('the keys are free', () => metric(second, 'rivulet_parked_keys') === 0);
  });
});
