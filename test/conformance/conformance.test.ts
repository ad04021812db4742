import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import { parseCases } from './format.ts';
import { runCase } from './run-case.ts';

const directory = fileURLToPath(new URL('../fixtures/conformance/', import.meta.url));

describe.each(readdirSync(directory).filter((file) => file.endsWith('.json')))(
  'conformance to Kafka Streams: %s',
  (file) => {
    const cases = parseCases(readFileSync(`${directory}${file}`, 'utf8'));

    test.each(cases.map((of) => [`${of.kind}: ${of.name}`, of] as const))('%s', async (_name, of) => {
      expect(await runCase(of)).toEqual({ outcome: 'passed' });
    });
  },
);
