/**
 * State by key, a repartition, a stateless copy and a timer. Every record's output is known, so that none can be lost, doubled or reordered unseen:
 * `numbered` holds each event with its place among those of its key, `counts` each number from 1 up for each word, `copies` each line once, `ticks`
 * each number from 1 up for each task.
 */
import { defineProcessor } from '../../processors/processor.ts';
import { int64Serde, stringSerde } from '../../schemas/serde.ts';
import { defineTopic, type Topic } from '../../schemas/topic.ts';
import { defineStore } from '../../state-stores/spec.ts';
import { defineTopology } from '../../topology/builder.ts';
import type { ReadRecord } from '../support/cluster.ts';
import { batchesOf } from './batches.ts';
import { byKey, differences, type Values } from './expected.ts';
import { epochMs } from './process.ts';
import type { Append, InputOptions, ReadTopic, Scenario } from './scenario.ts';

const texts = (name: string): Topic<string, string> => defineTopic({ name, key: stringSerde, value: stringSerde });
const numbers = (name: string): Topic<string, number> => defineTopic({ name, key: stringSerde, value: int64Serde });

const events = texts('events');
const lines = texts('lines');
const numbered = texts('numbered');
const counts = numbers('counts');
const copies = texts('copies');
const ticks = numbers('ticks');

const tickMs = 400;

const seen = defineStore('seen', { key: stringSerde, value: int64Serde });
const ticked = defineStore('ticked', { key: stringSerde, value: int64Serde });

const number = defineProcessor<string, string, string, string, { seen: typeof seen }>({
  name: 'number',
  stores: { seen },
  process({ key, value, timestampMs }, { stores, forward }) {
    const place = (stores.seen.get(key) ?? 0) + 1;
    stores.seen.put(key, place);
    forward({ key, value: `${place}:${value}`, timestampMs });
  },
});

/** Writes by the clock alone, whether records come or not. */
const tick = defineProcessor<string, string, string, number, { ticked: typeof ticked }>({
  name: 'tick',
  stores: { ticked },
  init({ schedule, stores, forward, taskId }) {
    schedule({ everyMs: tickMs, by: 'wall-clock' }, (timestampMs) => {
      const count = (stores.ticked.get(taskId) ?? 0) + 1;
      stores.ticked.put(taskId, count);
      forward({ key: taskId, value: count, timestampMs });
    });
  },
  process() {
    // What arrives here only keeps the timer company.
  },
});

const topology = defineTopology('simulated', (t) => {
  const input = t.stream(events);
  input.process(number).withSerdes({ keySerde: stringSerde, valueSerde: stringSerde }).to(numbered);
  input.process(tick).withSerdes({ keySerde: stringSerde, valueSerde: int64Serde }).to(ticks);
  input
    .groupBy('by-word', (word) => word, { keySerde: stringSerde })
    .count('counts-by-word')
    .toStream()
    .to(counts);
  t.stream(lines)
    .mapValues('copy', (line) => line.toUpperCase())
    .withSerdes({ keySerde: stringSerde, valueSerde: stringSerde })
    .to(copies);
});

export const engineScenario: Scenario = {
  name: 'engine',
  topologies: [topology],
  marks: ['input: aborted', 'input: abandoned'],
  topics: [events, lines, numbered, counts, copies, ticks].map(({ name }) => ({ name })),
  inputs,
  verify,
};

/** Bursts of a few records, some in transactions, and transactions that come to nothing in between. */
function inputs({ chance, records, partitions, durationMs }: InputOptions): readonly Append[] {
  const appends: Append[] = [];
  const keys = chance.between(1, 12);
  const words = chance.between(1, 6);
  for (let left = records; left > 0;) {
    const count = Math.min(left, chance.between(1, 8));
    const isPoison = chance.isTrue(0.15);
    const outcome = isPoison
      ? chance.pick(['aborted', 'abandoned'] as const)
      : chance.pick(['plain', 'committed'] as const);
    const burst = Array.from({ length: count }, (_, index) => ({
      key: `k${chance.below(keys)}`,
      value: isPoison ? 'poison' : `w${chance.below(words)}`,
      timestampMs: epochMs + records - left + index,
    }));
    appends.push({
      atMs: chance.next() * durationMs,
      outcome,
      batches: batchesOf(chance.isTrue(0.5) ? lines : events, partitions, burst),
    });
    if (!isPoison) left -= count;
  }
  return appends;
}

async function verify(read: ReadTopic): Promise<readonly string[]> {
  const given = await read(events);
  const words = new Map<string | null, number>();
  for (const { value } of given) words.set(value, (words.get(value) ?? 0) + 1);
  const expectedCounts = new Map([...words].map(([word, count]) => [word, upTo(count)]));
  const ticksRead = byKey(await read(ticks));
  const expectedTicks = new Map([...ticksRead].map(([task, values]) => [task, upTo(values.length)]));
  return [
    ...differences('numbered', byKey(await read(numbered)), numberedOf(given)),
    ...differences('counts', byKey(await read(counts)), expectedCounts),
    ...differences('copies', byKey(await read(copies)), copiesOf(await read(lines))),
    ...differences('ticks', ticksRead, expectedTicks),
  ];
}

const upTo = (count: number): readonly number[] => Array.from({ length: count }, (_, index) => index + 1);

function numberedOf(given: readonly ReadRecord<string, string>[]): Values {
  return new Map(
    [...byKey(given)].map(([key, values]) => [key, values.map((value, index) => `${index + 1}:${String(value)}`)]),
  );
}

function copiesOf(given: readonly ReadRecord<string, string>[]): Values {
  return new Map([...byKey(given)].map(([key, values]) => [key, values.map((value) => String(value).toUpperCase())]));
}
