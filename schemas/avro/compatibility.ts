/** Whether a new version of a schema can live beside those before it. */
import type { Type } from 'avsc';
import type { CompatibilityLevel } from '../schema-registry.ts';
import { compileAvro, type AvroSchema } from './avro-type.ts';

export interface SchemaVersion {
  readonly version: number;
  readonly schema: AvroSchema;
}

/**
 * Why `schema` must not follow `versions` (in order) at this level, in words; empty if it may.
 *
 * Backward: it reads what they wrote. Forward: they read what it writes. Full: both. Only the last of them counts unless the level is
 * transitive. Throws `SCHEMA_REFUSED` if it is no schema.
 */
export function incompatibilities(
  schema: AvroSchema,
  versions: readonly SchemaVersion[],
  level: CompatibilityLevel,
): readonly string[] {
  const type = compileAvro(schema);
  if (level === 'NONE') return [];
  const relevant = level.endsWith('_TRANSITIVE') ? versions : versions.slice(-1);
  const direction = level.replace('_TRANSITIVE', '');
  return relevant.flatMap(({ version, schema: earlier }) => {
    const other = compileAvro(earlier);
    const backward = direction === 'FORWARD' ? undefined : whyUnreadable(type, other);
    const forward = direction === 'BACKWARD' ? undefined : whyUnreadable(other, type);
    return [
      ...(backward === undefined ? [] : [`the new schema cannot read version ${version}: ${backward}`]),
      ...(forward === undefined ? [] : [`version ${version} cannot read the new schema: ${forward}`]),
    ];
  });
}

function whyUnreadable(reader: Type, writer: Type): string | undefined {
  try {
    reader.createResolver(writer);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message.slice(0, 500) : 'unknown';
  }
}
