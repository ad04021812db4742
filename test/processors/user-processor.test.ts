import { describe, expect, test } from '@jest/globals';
import { defineProcessor, type ProcessorContext, type StoreSpecs } from '../../processors/processor.ts';
import { userProcessor } from '../../processors/user-processor.ts';
import type { StreamRecord } from '../../schemas/record.ts';
import { stringSerde } from '../../schemas/serde.ts';
import { defineTimestampedStore } from '../../state-stores/spec.ts';
import { brief, failureOf, MapState, NodeHarness } from '../support/node-harness.ts';

const latest = defineTimestampedStore('latest-store', { key: stringSerde, value: stringSerde });

/** Forwards what was there before. */
const previous = defineProcessor({
  name: 'previous',
  stores: { latest },
  process(
    { key, value, timestampMs }: StreamRecord<string, string>,
    { stores, forward }: ProcessorContext<string, string, { latest: typeof latest }>,
  ) {
    const before = stores.latest.get(key);
    stores.latest.put(key, value, timestampMs);
    if (before !== undefined) forward({ key, value: before.value, timestampMs });
  },
});

const header = { key: 'h', value: Buffer.of(1) };

type Anything = ProcessorContext<unknown, unknown, StoreSpecs>;

function harnessOf(process: (record: StreamRecord<unknown, unknown>, context: Anything) => void): NodeHarness {
  return new NodeHarness(userProcessor('mine', defineProcessor({ name: 'mine', process })));
}

describe('a processor written by hand', () => {
  test('sees its stores under the names of its declaration, and may take its context apart', () => {
    const harness = new NodeHarness(userProcessor('previous', previous), {
      stores: { 'latest-store': new MapState() },
    });
    expect(harness.pipe('k', 'a', 1)).toEqual([]);
    expect(brief(harness.pipe('k', 'b', 2))).toEqual([['k', 'a', 2]]);
  });

  test('forwards with the headers of its record, unless it names others', () => {
    const harness = harnessOf(({ key, value, timestampMs }, { forward }) => {
      forward({ key, value, timestampMs });
      forward({ key, value, timestampMs, headers: [] });
    });
    expect(harness.pipe('k', 'v', 1, [header]).map(({ headers }) => headers)).toEqual([[header], []]);
  });

  test('forwards to all following steps or to the one it names', () => {
    const harness = harnessOf(({ key, value, timestampMs }, { forward }) => {
      forward({ key, value, timestampMs }, 'child');
      forward({ key, value, timestampMs });
    });
    harness.send('k', 'v');
    expect(harness.takeAddressed().map(({ to }) => to)).toEqual(['child', undefined]);
  });

  test('from a timer there is no record: no metadata, no headers', () => {
    const seen: unknown[] = [];
    const harness = new NodeHarness(
      userProcessor(
        'mine',
        defineProcessor<unknown, unknown, string, string>({
          name: 'mine',
          init({ schedule, forward }) {
            schedule({ everyMs: 10, by: 'stream-time' }, (timestampMs) => {
              forward({ key: 'timer', value: 'tick', timestampMs });
            });
          },
          process(_record, context) {
            seen.push(context.metadata?.topic, context.streamTimeMs, context.wallClockMs, context.taskId);
            context.drop('stale');
            context.requestCommit();
          },
        }),
      ),
    );
    harness.wallClockMs = 77;
    harness.pipe('k', 'v', 5, [header]);
    expect(seen).toEqual(['input', 5, 77, '0_0']);
    expect([harness.drops, harness.commitRequests]).toEqual([['stale'], 1]);
    harness.scheduled[0]?.run(20);
    expect(harness.take()).toEqual([{ key: 'timer', value: 'tick', timestampMs: 20, headers: [] }]);
  });

  test('is closed once with its context', () => {
    const closed: string[] = [];
    const definition = defineProcessor({
      name: 'mine',
      process: () => undefined,
      close: ({ taskId }) => {
        closed.push(taskId);
      },
    });
    new NodeHarness(userProcessor('mine', definition)).close();
    expect(closed).toEqual(['0_0']);
  });

  /** What an async function gives where its type would not do. */
  const later = (): never => Promise.reject(new Error('never seen')) as never;

  test('a promise from process, init or a timer is an error', () => {
    expect(failureOf(() => harnessOf(later).pipe('k', 'v')).message).toMatch(/step mine returned a promise/);
    const starts = defineProcessor({ name: 'mine', init: later, process: () => undefined });
    expect(failureOf(() => new NodeHarness(userProcessor('mine', starts))).code).toBe('PROCESSING_FAILED');
    const timed = defineProcessor({
      name: 'mine',
      init({ schedule }) {
        schedule({ everyMs: 1, by: 'wall-clock' }, later);
      },
      process: () => undefined,
    });
    const harness = new NodeHarness(userProcessor('mine', timed));
    expect(failureOf(() => harness.scheduled[0]?.run(1)).code).toBe('PROCESSING_FAILED');
  });

  test.each([
    ['an undefined key', { key: undefined, value: 1, timestampMs: 1 }],
    ['an undefined value', { key: 1, value: undefined, timestampMs: 1 }],
    ['a negative time', { key: 1, value: 1, timestampMs: -1 }],
    ['no time', { key: 1, value: 1, timestampMs: Number.NaN }],
  ])('forwarding %s is an error', (_, output) => {
    const harness = harnessOf((_record, { forward }) => {
      forward(output);
    });
    expect(failureOf(() => harness.pipe('k', 'v')).code).toBe('PROCESSING_FAILED');
  });

  test('a record that failed leaves nothing behind for the next', () => {
    const harness = harnessOf(({ key, value, timestampMs }, { forward }) => {
      if (value === 'bad') throw new Error('bad');
      forward({ key, value, timestampMs });
    });
    expect(() => harness.pipe('k', 'bad', 1, [header])).toThrow('bad');
    expect(harness.pipe('k', 'good', 2)[0]?.headers).toEqual([]);
  });
});
