import { expect, test } from '@jest/globals';
import { outputOf } from '../support/program.ts';
import { mutants } from './mutants.ts';

test('every planted bug is found within 200 seeds', async () => {
  // Mutants live by module hooks, which the test runner has none of.
  const output = await outputOf('simulation/main.ts', ['--mutants']);
  expect(output.match(/ killed by seed /g)).toHaveLength(mutants.length);
}, 600_000);
