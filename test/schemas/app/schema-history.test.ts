import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import { incompatibilities, type SchemaVersion } from '../../../schemas/avro/compatibility.ts';
import type { AvroSchema } from '../../../schemas/avro/avro-type.ts';
import { declaredValues } from '../../support/declared-schemas.ts';

const folder = fileURLToPath(new URL('../../../schemas/app/avro', import.meta.url));
const declared = declaredValues();

/** All versions of a subject that were ever released: files that are never edited. */
function versionsOf(subject: string): readonly SchemaVersion[] {
  const path = join(folder, subject);
  if (!existsSync(path)) return [];
  const numbers = readdirSync(path).map((name) => Number(/^(\d+)\.avsc$/.exec(name)?.[1]));
  return numbers
    .sort((left, right) => left - right)
    .map((version) => ({
      version,
      schema: JSON.parse(readFileSync(join(path, `${String(version)}.avsc`), 'utf8')) as AvroSchema,
    }));
}

/** With `UPDATE_SCHEMAS=1` a schema that has changed is written down as the next version. */
function recordChange(subject: string, schema: AvroSchema): void {
  const versions = versionsOf(subject);
  if (JSON.stringify(versions.at(-1)?.schema) === JSON.stringify(schema)) return;
  mkdirSync(join(folder, subject), { recursive: true });
  const file = join(folder, subject, `${String(versions.length + 1)}.avsc`);
  writeFileSync(file, `${JSON.stringify(schema, null, 2)}\n`);
}

function typeNames(node: unknown): readonly string[] {
  if (typeof node === 'string') return [node];
  return typeof node === 'object' && node !== null ? Object.values(node).flatMap(typeNames) : [];
}

describe('committed schemas', () => {
  describe.each([...declared])('of %s', (topic, { avro: { schema, level } }) => {
    const subject = `${topic}-value`;
    if (process.env['UPDATE_SCHEMAS'] === '1') recordChange(subject, schema);

    test('end with the one that is used', () => {
      expect(versionsOf(subject).at(-1)?.schema).toEqual(JSON.parse(JSON.stringify(schema)));
    });

    test('count from 1 without gaps, and each can live beside all before it', () => {
      const versions = versionsOf(subject);
      expect(versions.map(({ version }) => version)).toEqual(versions.map((_, index) => index + 1));
      const problems = versions.flatMap((version, index) =>
        incompatibilities(version.schema, versions.slice(0, index), level),
      );
      expect(problems).toEqual([]);
      expect(level).toMatch(/_TRANSITIVE$/);
    });

    test('hold no floating point numbers', () => {
      expect(typeNames(schema)).not.toEqual(expect.arrayContaining([expect.stringMatching(/^(float|double)$/)]));
    });
  });

  test('belong to topics that are there', () => {
    const subjects = [...declared.keys()].map((topic) => `${topic}-value`);
    expect(readdirSync(folder).sort()).toEqual(subjects.sort());
  });

  test('of compacted topics can be read in both directions', () => {
    const levels = Object.fromEntries([...declared].map(([topic, { avro }]) => [topic, avro.level]));
    for (const topic of ['customer.merged', 'customer.sources', 'customer.overrides', 'billing.balances'])
      expect(levels[topic]).toBe('FULL_TRANSITIVE');
  });
});
