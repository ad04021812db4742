import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';

const root = fileURLToPath(new URL('..', import.meta.url));

/** What is or could be committed: so an ignored file cannot fail the test and a forgotten one cannot hide. */
const paths = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
})
  .split('\n')
  .filter((path) => path !== '' && path !== 'test/source.test.ts' && existsSync(`${root}${path}`));

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
