import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { systemClock, systemRandom } from '../../clock.ts';
import { memoryLog, TestDriver } from '../../testing.ts';
import { examples, type Example } from './operators.ts';
import { runOnLog } from './run-on-log.ts';

const page = new URL('../../docs/kafka-streams.md', import.meta.url);
const source = new URL('./operators.ts', import.meta.url);

describe('the examples of operators', () => {
  test.each([...examples()])('%s: in the test driver', async (_name, example) => {
    expect(await runInDriver(example)).toEqual(example.output);
  });

  test.each([...examples()])('%s: on the embedded log, the same', async (name, example) => {
    const log = memoryLog({ clock: systemClock, random: systemRandom });
    expect(await runOnLog(log, example, name)).toEqual(example.output);
    await log.close();
  });

  test('the page shows each of them as it is', () => {
    const shown = pageWith(snippets(readFileSync(source, 'utf8')));
    if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(page, shown);
    expect(readFileSync(page, 'utf8')).toBe(shown);
  });
});

async function runInDriver({ topology, input, writes }: Example): Promise<readonly unknown[][]> {
  const driver = new TestDriver(topology, { partitions: { [writes.name]: 1 } });
  for (const [topic, key, value, timestampMs] of input) driver.pipe(topic, key, value as never, { timestampMs });
  await driver.settled();
  const output = driver.read(writes).map(({ key, value, timestampMs }) => [key, value, timestampMs]);
  driver.close();
  return output;
}

/** What stands between `// >>> title` and `// <<<`, without its indentation. */
function snippets(text: string): readonly (readonly [title: string, code: string])[] {
  return [...text.matchAll(/^( *)\/\/ >>> (.*)\n([^]*?)\n *\/\/ <<<$/gm)].map(
    ([, indent = '', title = '', code = '']) => [
      title,
      code
        .split('\n')
        .map((line) => line.slice(indent.length))
        .join('\n'),
    ],
  );
}

/** The page with the examples at its end. */
function pageWith(all: readonly (readonly [title: string, code: string])[]): string {
  const [text = ''] = readFileSync(page, 'utf8').split('## Examples\n');
  const blocks = all.map(([title, code]) => `### ${title}\n\n\`\`\`ts\n${code}\n\`\`\`\n`);
  return `${text}## Examples\n\nEach is run by the tests: in the test driver, on the embedded log and on Kafka, with the same result.\n\n${blocks.join('\n')}`;
}
