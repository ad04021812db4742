import { describe, expect, it } from '@jest/globals';
import { partitionTimestamp, wallClockTimestamp } from '../../schemas/timestamp.ts';
import { defineVersionedStore } from '../../state-stores/versioned-spec.ts';
import { defineTimestampedStore } from '../../state-stores/spec.ts';
import { stringSerde } from '../../schemas/serde.ts';
import { defineProcessor } from '../../processors/processor.ts';
import { defineTopology, type TableOptions, type TopologyBuilder } from '../../topology/builder.ts';
import type { TopologySettings } from '../../topology/graph.ts';
import type { KTable } from '../../topology/handles.ts';
import { TestDriver } from '../../topology/runtime/driver.ts';
import { failureOf } from '../support/node-harness.ts';
import { texts } from '../support/sample-topologies.ts';

const towns = texts('towns');
const said = texts('said');
const output = texts('output');
const serdes = { key: stringSerde, value: stringSerde };

const restored = { store: 'towns', changelog: 'source-topic' } as const;

type Towns = KTable<string, string>;

function joined(t: TopologyBuilder, table: Towns): void {
  t.stream(said)
    .join('in-town', table, (word, town) => `${word} in ${town}`)
    .withSerdes({ valueSerde: stringSerde })
    .to(output);
}

function declared(
  use: (t: TopologyBuilder, table: Towns) => unknown,
  options: TableOptions<string, string> = {},
  settings: Partial<TopologySettings> = {},
) {
  const declare = (t: TopologyBuilder): void => {
    use(t, t.table(towns, { ...restored, ...options }));
  };
  return defineTopology('towns-said', declare, settings);
}

describe('a table that is restored from its source topic', () => {
  it.each([{ ...restored }, { changelog: 'source-topic' as const }])(
    'gives the same results as one with a changelog, and has none: %j',
    (options) => {
      const topology = defineTopology('towns-said', (t) => {
        joined(t, t.table(towns, options));
      });
      const driver = new TestDriver(topology);
      expect(driver.plan.internalTopics).toEqual([]);
      driver.pipe(towns, 'ann', 'Rome');
      driver.pipe(said, 'ann', 'hi');
      driver.pipe(towns, 'ann', null);
      driver.pipe(said, 'ann', 'lo');
      expect(driver.read(output).map(({ value }) => value)).toEqual(['hi in Rome']);
      expect(driver.readBytes(towns.name)).toEqual([]);
    },
  );

  it('may be filtered and mapped, and sends on what a later step can do without the old value', () => {
    const topology = declared((_, table) => {
      table
        .filter((town) => town !== 'Rome')
        .toStream()
        .to(output);
    });
    const driver = new TestDriver(topology);
    for (const town of ['Oslo', 'Rome', null]) driver.pipe(towns, 'ann', town);
    expect(driver.read(output).map(({ value }) => value)).toEqual(['Oslo', null, null]);
  });

  it('passes over what it cannot read where its policy is skip; steps after it fail', () => {
    const failing = declared(
      (_, table) => {
        table
          .toStream()
          .peek((town) => {
            if (town === 'Rome') throw new Error('Rome');
          })
          .to(output);
      },
      { onError: 'skip' },
    );
    const driver = new TestDriver(failing);
    driver.pipeBytes(towns.name, Buffer.from('ann'), Buffer.from([0xff]));
    driver.pipe(towns, 'ann', 'Oslo');
    expect(driver.read(output)).toHaveLength(1);
    expect(failureOf(() => driver.pipe(towns, 'ann', 'Rome')).code).toBe('PROCESSING_FAILED');
  });

  it('needs as many partitions of its topic as there are tasks', () => {
    const topology = declared((t, table) => {
      t.stream(said)
        .merge(table.toStream().filter((town): town is string => town !== null))
        .to(output);
    });
    expect(failureOf(() => new TestDriver(topology, { partitions: { towns: 1, said: 2, output: 1 } })).code).toBe(
      'TOPOLOGY_INVALID',
    );
  });

  const reader = defineTimestampedStore('towns', serdes);
  const other = defineProcessor<string, string, string, string, { rows: typeof reader }>({
    name: 'other',
    stores: { rows: reader },
    process: (record, { forward }) => forward(record),
  });
  const versioned = defineVersionedStore('towns', { ...serdes, historyRetentionMs: 1_000 });
  const letters = { onError: 'dead-letter', deadLetterTopic: 'letters' } as const;

  it.each<readonly [problem: RegExp, declare: () => unknown]>([
    [/know what rows were/, () => declared((_, table) => table.toChanges())],
    [/know what rows were/, () => declared((t, table) => t.table(said).outerJoin('both', table, () => 'x'))],
    [/no history/, () => declared(joined, { store: versioned })],
    [/process other declares/, () => declared((t) => t.stream(said).process(other), { store: reader })],
    [/from its beginning/, () => declared(joined, { offsetReset: 'latest' })],
    [/from the record alone/, () => declared(joined, { timestamp: wallClockTimestamp })],
    [/from the record alone/, () => declared(joined, { timestamp: partitionTimestamp })],
    [/through another topic/, () => declared(joined, {}, letters)],
    [
      /may pass over a record \(skip\)/,
      () => declared((_, table) => table.toStream().withErrorPolicy('skip').to(output), {}, { onError: 'skip' }),
    ],
    [/another table/, () => declared((t) => t.table(towns, { ...restored, store: 'again' }))],
  ])('is refused where a restore could give other rows: %s', (problem, declare) => {
    expect(declare).toThrow(problem);
    expect(failureOf(declare).code).toBe('TOPOLOGY_INVALID');
  });
});
