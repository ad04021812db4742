import { expect, test } from '@jest/globals';
import { defineTopic, defineTopology, stringSerde, type ProcessorWrapper } from '../../index.ts';
import { TestDriver } from '../../testing.ts';

const input = defineTopic({ name: 'input', key: stringSerde, value: stringSerde });
const output = defineTopic({ name: 'output', key: stringSerde, value: stringSerde });

function run(wrapProcessor: ProcessorWrapper): readonly unknown[] {
  const topology = defineTopology(
    'wrapped',
    (t) => {
      t.stream(input)
        .filter('long', (value) => value.length > 1)
        .mapValues('loud', (value) => value.toUpperCase())
        .to(output);
    },
    { wrapProcessor },
  );
  const driver = new TestDriver(topology);
  for (const value of ['a', 'bc']) driver.pipe(input, 'k', value);
  return driver.read(output).map(({ value }) => value);
}

test('a wrapper sees what each step takes, and steps run as without it', () => {
  const seen: string[] = [];
  const values = run((step, process) => (record) => {
    seen.push(`${step} ${String(record.value)}`);
    process(record);
  });
  expect(values).toEqual(['BC']);
  expect(seen).toEqual(['long a', 'long bc', 'loud bc']);
});

test('a wrapper that waits fails the record', () => {
  const late = (() => Promise.resolve()) as unknown as ReturnType<ProcessorWrapper>;
  expect(() => run(() => late)).toThrow(expect.objectContaining({ code: 'PROCESSING_FAILED' }));
});
