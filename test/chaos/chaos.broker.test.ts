import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from '@jest/globals';
import { describeKafka } from '../support/kafka.ts';

const run = promisify(execFile);
const path = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

describeKafka('chaos on real processes', () => {
  test('processes killed, paused and robbed of their state, and a broker killed, lose and repeat nothing', async () => {
    const loader = new URL('../support/typescript-loader.js', import.meta.url).href;
    const args = ['--import', loader, path('./chaos.ts'), '--seconds', '30', '--seed', '7'];
    const { stdout } = await run(process.execPath, args).catch((error: unknown) => {
      throw new Error('chaos found something', { cause: error });
    });
    expect(stdout).toContain('{"lost":0,"duplicated":0,"wrong":0,"regressions":0}');
  }, 600_000);
});
