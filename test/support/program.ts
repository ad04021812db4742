/** Commands of this repository, run to their end by tests. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const outputBytesMax = 16 * 1024 * 1024;
const loader = new URL('./typescript-loader.js', import.meta.url).href;

/** What it wrote to standard output; rejects, with all that it wrote, unless it exits with 0. `program` is relative to `test`. */
export async function outputOf(program: string, args: readonly string[]): Promise<string> {
  const path = fileURLToPath(new URL(`../${program}`, import.meta.url));
  const options = { maxBuffer: outputBytesMax };
  const { stdout } = await run(process.execPath, ['--import', loader, path, ...args], options).catch(
    (error: unknown) => {
      const { stdout: written = '', stderr = '' } = error as { stdout?: string; stderr?: string };
      throw new Error(`${program} ${args.join(' ')} failed\n${written}\n${stderr}`, { cause: error });
    },
  );
  return stdout;
}
