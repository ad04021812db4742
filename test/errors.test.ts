import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import { errorTable } from '../errors.ts';

const text = readFileSync(fileURLToPath(new URL('../docs/errors.md', import.meta.url)), 'utf8');

/** Heading -> the verdict its section begins with, and what follows it. */
const sections = [...text.matchAll(/^### (\S+)\n\nRetry: `([a-z-]+)`\. ([^#]+)/gm)].map(
  ([, code = '', retry = '', meaning = '']) => ({ code, retry, meaning }),
);

describe('docs/errors.md', () => {
  test('has one section for each code, and none for anything else', () => {
    const headings = [...text.matchAll(/^### (.*)$/gm)].map(([, heading]) => heading);
    expect([...headings].sort()).toEqual(Object.keys(errorTable).sort());
  });

  test('says of each code whether to try again as the code itself does', () => {
    const told = Object.fromEntries(sections.map(({ code, retry }) => [code, { retry }]));
    expect(told).toEqual(errorTable);
  });

  test('explains each verdict, and no other', () => {
    const verdicts = [...text.matchAll(/^\| `([a-z-]+)` +\| (?!what)/gm)].map(([, verdict]) => verdict);
    expect(new Set(verdicts)).toEqual(new Set(Object.values(errorTable).map(({ retry }) => retry)));
  });

  test('explains each code in words', () => {
    expect(sections.filter(({ meaning }) => meaning.trim().length < 40)).toEqual([]);
  });
});
