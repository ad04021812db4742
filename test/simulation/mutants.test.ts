import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from '@jest/globals';
import { mutants } from './mutants.ts';

const run = promisify(execFile);

test('every planted bug is found within 200 seeds', async () => {
  // Mutants live by module hooks, which the test runner has none of.
  const loader = new URL('../support/typescript-loader.js', import.meta.url).href;
  const program = fileURLToPath(new URL('./main.ts', import.meta.url));
  const { stdout } = await run(process.execPath, ['--import', loader, program, '--mutants']).catch((error: unknown) => {
    const { stdout: found = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    throw new Error(`not every mutant was killed\n${found}\n${stderr}`);
  });
  expect(stdout.match(/ killed by seed /g)).toHaveLength(mutants.length);
}, 600_000);
