import { describe as suite, expect, test } from '@jest/globals';
import { defineTopology } from '../../topology/builder.ts';
import { describe, describeJson, describeMermaid } from '../../topology/describe.ts';
import { expectGolden } from '../support/golden.ts';
import { samples, texts } from '../support/sample-topologies.ts';

suite('the description of a topology', () => {
  test.each(Object.keys(samples))('%s, as text', (name) => {
    expectGolden(`topology/golden/${name}.txt`, describe(samples[name]!));
  });

  test.each(Object.keys(samples))('%s, as a Mermaid chart', (name) => {
    expectGolden(`topology/golden/${name}.mermaid.txt`, describeMermaid(samples[name]!));
  });

  test.each(Object.keys(samples))('%s, as JSON', (name) => {
    expectGolden(`topology/golden/${name}.json.txt`, `${JSON.stringify(describeJson(samples[name]!), undefined, 2)}\n`);
  });

  // What Kafka Streams 4.3.1 prints for the same steps.
  test('is the text of Kafka Streams', () => {
    const topology = defineTopology('same', (t) => {
      const input = t.stream(texts('in'));
      const next = (name: string, from: typeof input): typeof input => from.filter(name, () => true);
      next('z3', next('z2', next('z', input))).to(texts('o'), { name: 'zo' });
      next('a', input).to(texts('o2'), { name: 'ao' });
      next('m2', next('m', input)).to(texts('o3'), { name: 'mo' });
    });
    expect(describe(topology)).toBe(
      [
        'Topologies:',
        '   Sub-topology: 0',
        '    Source: KSTREAM-SOURCE-0000000000 (topics: [in])',
        '      --> z, m, a',
        '    Processor: z (stores: [])',
        '      --> z2',
        '      <-- KSTREAM-SOURCE-0000000000',
        '    Processor: m (stores: [])',
        '      --> m2',
        '      <-- KSTREAM-SOURCE-0000000000',
        '    Processor: z2 (stores: [])',
        '      --> z3',
        '      <-- z',
        '    Processor: a (stores: [])',
        '      --> ao',
        '      <-- KSTREAM-SOURCE-0000000000',
        '    Processor: m2 (stores: [])',
        '      --> mo',
        '      <-- m',
        '    Processor: z3 (stores: [])',
        '      --> zo',
        '      <-- z2',
        '    Sink: ao (topic: o2)',
        '      <-- a',
        '    Sink: mo (topic: o3)',
        '      <-- m2',
        '    Sink: zo (topic: o)',
        '      <-- z3',
        '',
        '',
      ].join('\n'),
    );
  });
});
