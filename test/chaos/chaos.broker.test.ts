import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from '@jest/globals';
import { describeKafka } from '../support/kafka.ts';

const run = promisify(execFile);
const outputBytesMax = 16 * 1024 * 1024;

describeKafka('chaos on real processes', () => {
  test('processes killed, paused and robbed of their state, and a broker killed, lose and repeat nothing', async () => {
    const loader = new URL('../support/typescript-loader.js', import.meta.url).href;
    const program = fileURLToPath(new URL('./chaos.ts', import.meta.url));
    const args = ['--import', loader, program, '--seconds', '30', '--seed', '7'];
    const { stdout } = await run(process.execPath, args, { maxBuffer: outputBytesMax }).catch((error: unknown) => {
      const { stdout: found = '', stderr = '' } = error as { stdout?: string; stderr?: string };
      throw new Error(`chaos found something\n${found}\n${stderr}`);
    });
    expect(stdout).toContain('{"lost":0,"duplicated":0,"wrong":0,"regressions":0}');
  }, 600_000);
});
