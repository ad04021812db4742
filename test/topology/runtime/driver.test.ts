import { expect, test } from '@jest/globals';
import { defineProcessor, defineTopic, defineTopology, stringSerde } from '../../../index.ts';
import type { ProcessorContext, StreamRecord } from '../../../index.ts';
import { TestDriver } from '../../../testing.ts';

const topicOf = (name: string) => defineTopic({ name, key: stringSerde, value: stringSerde });
const [input, between, output] = [topicOf('input'), topicOf('between'), topicOf('output')];

/** Says once a second that it is there. */
const beating = defineProcessor({
  name: 'beating',
  stores: {},
  init: (context: ProcessorContext<string, string, Record<string, never>>) => {
    context.schedule({ everyMs: 1_000, by: 'wall-clock' }, (nowMs) => {
      context.forward({ key: 'beat', value: String(nowMs), timestampMs: nowMs, headers: [] });
    });
  },
  process: (_record: StreamRecord<string | null, string>) => undefined,
});

test('what a punctuator writes to a topic that the topology reads is dealt with before the time has passed', () => {
  const topology = defineTopology('beats', (t) => {
    t.stream(input).process(beating).to(between);
    t.stream(between).to(output);
  });
  const driver = new TestDriver(topology);
  driver.advanceWallClock(1_000);
  expect(driver.read(output).map(({ value }) => value)).toEqual(['1000']);
  driver.close();
});
