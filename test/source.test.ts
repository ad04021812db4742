import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';

const root = fileURLToPath(new URL('..', import.meta.url));

const generated = ['.git', '.cache', '.data', 'bench/build', 'coverage', 'dist', 'docs/.api', 'node_modules'];

function filesIn(folder: string): readonly string[] {
  return readdirSync(`${root}${folder}`, { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}${entry.name}`;
    if (entry.isDirectory()) return generated.includes(path) ? [] : filesIn(`${path}/`);
    return entry.isFile() ? [path] : [];
  });
}

const paths = filesIn('').filter((path) => path !== 'test/source.test.ts');

const isText = (path: string): boolean => /\.(ts|js|cjs|json|md|ya?ml|xml|sh|npmrc)$|^\.ci\/run$/.test(path);
const isEngine = (path: string): boolean =>
  /^(schemas|state-stores|connectors|processors|topology)\/.*\.ts$/.test(path);

interface Line {
  readonly place: string;
  readonly text: string;
}

function linesOf(wanted: (path: string) => boolean): readonly Line[] {
  return paths.filter(wanted).flatMap((path) =>
    readFileSync(`${root}${path}`, 'utf8')
      .split('\n')
      .map((text, index) => ({ place: `${path}:${String(index + 1)}`, text })),
  );
}

function matching(lines: readonly Line[], pattern: RegExp): readonly string[] {
  return lines.filter(({ text }) => pattern.test(text)).map(({ place, text }) => `${place}: ${text.trim()}`);
}

/** A comment may speak of a clock. */
const withoutComments = (lines: readonly Line[]): readonly Line[] =>
  lines
    .filter(({ text }) => !/^\s*(\/\/|\/?\*)/.test(text))
    .map(({ place, text }) => ({ place, text: text.replace(/\s\/\/\s.*$/, '') }));

describe('the source', () => {
  // ESLint says so too; this one cannot be switched off by a comment.
  test('the engine reads no clock, starts no timer and takes no chance', () => {
    const ambient =
      /\b(new Date|Date\.|performance\.|set(Timeout|Interval|Immediate)\(|process\.(nextTick|hrtime)|Math\.random|random(UUID|Bytes|Int)|AbortSignal\.timeout)/;
    expect(matching(withoutComments(linesOf(isEngine)), ambient)).toEqual([]);
  });

  test('no file names a folder of the machine it was written on', () => {
    const machineFolder = /(^|[\s"'`(=:])\/(work|home|root|Users|mnt)\//;
    expect(matching(linesOf(isText), machineFolder)).toEqual([]);
  });

  test('a TODO says why it waits', () => {
    const bareTodo = /\b(TODO|FIXME|XXX)\b(?!\([^)]+\):? \S|: \S+ \S+)/;
    expect(
      matching(
        linesOf((path) => /\.(ts|js|cjs)$/.test(path)),
        bareTodo,
      ),
    ).toEqual([]);
  });

  test('a switched-off lint rule says why', () => {
    const bareDisable = /eslint-disable(?!.*-- \S)/;
    expect(
      matching(
        linesOf((path) => /\.(ts|js|cjs)$/.test(path)),
        bareDisable,
      ),
    ).toEqual([]);
  });

  test('the lock file names no registry', () => {
    expect(
      matching(
        linesOf((path) => path === 'package-lock.json'),
        /"resolved":/,
      ),
    ).toEqual([]);
  });
});
