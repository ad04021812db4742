import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import { int64Serde, stringSerde } from '../schemas/serde.ts';
import { counted } from './readme/word-count-driver.ts';
import { run } from './readme/word-count-run.ts';
import { lines } from './readme/word-count.ts';
import { produce, until } from './support/cluster.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const textOf = (path: string): string => readFileSync(join(root, path), 'utf8');
const readme = textOf('README.md');

/** A fixture as a user of the package would write it. */
const published = (path: string): string =>
  textOf(`test/readme/${path}`)
    .replaceAll("'../../index.ts'", "'rivulet'")
    .replaceAll("'../../testing.ts'", "'rivulet/testing'");

const expected = { be: 2, not: 1, or: 1, to: 2 };

describe('README.md', () => {
  test('shows exactly the examples that are compiled and run here', () => {
    const blocks = [...readme.matchAll(/^```ts\n([^]*?)^```/gm)].map(([, code]) => code);
    expect(blocks).toEqual(['word-count.ts', 'word-count-driver.ts', 'word-count-run.ts'].map(published));
  });

  test('the test driver counts the words of the example', () => {
    expect(counted).toHaveLength(6);
    expect(Object.fromEntries(counted)).toEqual(expected);
  });

  test('the running example counts the same words, and answers them from its store', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'rivulet-readme-'));
    const { log, instance } = await run(directory);
    try {
      await produce(log, lines, [{ key: 'hamlet', value: 'To be, or not to be' }]);
      const committed = (word: string): number | undefined => {
        const key = stringSerde.serialize(word);
        const { partition } = instance.locate('word-counts', key);
        const value = instance.localStore('word-counts', partition).get(key);
        // A table keeps the time of a row in front of its value.
        return value === undefined ? undefined : int64Serde.deserialize(value.subarray(-8));
      };
      await until('the instance runs', () => instance.isReady);
      await until('all words are counted', () =>
        Object.entries(expected).every(([word, count]) => committed(word) === count),
      );
    } finally {
      await instance.close();
      await log.close();
      await rm(directory, { recursive: true, force: true });
    }
  });

  test.each([
    'README.md',
    'CONTRIBUTING.md',
    'docs/architecture.md',
    'docs/semantics.md',
    'docs/errors.md',
    'docs/api-http.md',
  ])('every file that %s links to or names in backticks exists', (path) => {
    const text = textOf(path);
    const links = [...text.matchAll(/\]\(([^)#:]+)\)/g)].map(([, link = '']) => join(root, path, '..', link));
    const named = [
      ...text.matchAll(/`((?:api|bench|connectors|docs|processors|schemas|state-stores|test|topology)\/[\w./-]+)`/g),
    ].map(([, name = '']) => join(root, name));
    expect([...links, ...named].filter((file) => !existsSync(file))).toEqual([]);
  });
});
