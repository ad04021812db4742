/** The port to a schema registry, and what one of our own can do beside it. */
import type { AvroSchema } from './avro/avro-type.ts';

/** Which versions of a subject can read each other's data: the next one the last, the last the next, or both; transitive: of all versions. */
export const compatibilityLevels = [
  'NONE',
  'BACKWARD',
  'BACKWARD_TRANSITIVE',
  'FORWARD',
  'FORWARD_TRANSITIVE',
  'FULL',
  'FULL_TRANSITIVE',
] as const;
export type CompatibilityLevel = (typeof compatibilityLevels)[number];

/** Gives schemas the numbers under which records name them. */
export interface SchemaRegistry {
  /**
   * The schema's number under a subject; registered if it is new there. The level is set with a subject's first version.
   *
   * Rejects with `SCHEMA_REFUSED` if it is none or not compatible, `REGISTRY_UNAVAILABLE` if the registry cannot say now.
   */
  register(subject: string, schema: string, level: CompatibilityLevel): Promise<number>;
  /** The text of a schema; `undefined` if the registry has none of this number. Rejects with `REGISTRY_UNAVAILABLE`. */
  schemaOf(id: number): Promise<string | undefined>;
}

/** One version of a subject. `hidden`: deleted, but its number still counts; `gone`: only the number of its schema still stands for it. */
export interface RegisteredVersion {
  readonly subject: string;
  /** From 1. */
  readonly version: number;
  readonly id: number;
  readonly schema: AvroSchema;
  readonly state: 'live' | 'hidden' | 'gone';
}

/** A registry that can be served to others. Schemas that come in are texts. */
export interface SubjectRegistry extends SchemaRegistry {
  /** In order. Those with a version that is live, or also with hidden ones. */
  subjects(includeHidden: boolean): readonly string[];
  /** In order; empty if there is no such subject. */
  versions(subject: string, includeHidden?: boolean): readonly RegisteredVersion[];
  /** The version of a subject that has this schema. Throws `SCHEMA_REFUSED` if it is none. */
  find(subject: string, schema: string): RegisteredVersion | undefined;
  /** Registers a schema. Rejects with `SCHEMA_REFUSED`; with the fact `isIncompatible` if that is why. */
  add(subject: string, schema: string): Promise<RegisteredVersion>;
  /** Why the schema must not follow this version of the subject; by default those its level looks at. Throws `SCHEMA_REFUSED`. */
  problems(subject: string, schema: string, version?: RegisteredVersion): readonly string[];
  /** Hides versions, or removes them for good. Their schemas keep their numbers. */
  remove(versions: readonly RegisteredVersion[], permanently: boolean): Promise<void>;
  /** The subject's own level if it has one; without a subject the one for all others. */
  level(subject?: string): CompatibilityLevel | undefined;
  /** `undefined` brings the default back. */
  setLevel(level: CompatibilityLevel | undefined, subject?: string): Promise<void>;
}
