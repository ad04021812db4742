/** What a registry knows, as a fold over what was written to it: subjects, versions, numbers of schemas, levels. */
import type { AvroSchema } from '../../schemas/avro/avro-type.ts';
import type { CompatibilityLevel, RegisteredVersion } from '../../schemas/schema-registry.ts';

/** The level of a subject, or of all that have none of their own; `undefined`: no longer one of its own. */
export interface LevelSetting {
  readonly subject?: string;
  readonly level: CompatibilityLevel | undefined;
}

export type RegistryEntry = { readonly version: RegisteredVersion } | { readonly setting: LevelSetting };

/** Equal schemas have equal texts, however they were spaced or ordered. */
export function textOf(schema: AvroSchema): string {
  return JSON.stringify(schema, (_name, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([left], [right]) => (left < right ? -1 : 1)))
      : value,
  );
}

export class RegistryState {
  readonly #subjects = new Map<string, RegisteredVersion[]>();
  readonly #levels = new Map<string, CompatibilityLevel>();
  readonly #byId = new Map<number, AvroSchema>();
  readonly #idByText = new Map<string, number>();
  #globalLevel: CompatibilityLevel = 'BACKWARD';
  #lastId = 0;

  apply(entry: RegistryEntry): void {
    if ('setting' in entry) this.#set(entry.setting);
    else this.#put(entry.version);
  }

  /** Those with a version that is live, or also hidden ones; in order. */
  subjects(includeHidden: boolean): readonly string[] {
    return [...this.#subjects.keys()].filter((subject) => this.versions(subject, includeHidden).length > 0).sort();
  }

  /** In order; empty if there is no such subject. */
  versions(subject: string, includeHidden = false): readonly RegisteredVersion[] {
    return (this.#subjects.get(subject) ?? []).filter(
      ({ state }) => state === 'live' || (includeHidden && state === 'hidden'),
    );
  }

  /** The next version of a subject with this schema; its number is the schema's own, if it has one from elsewhere. */
  next(subject: string, schema: AvroSchema): RegisteredVersion {
    const version = (this.#subjects.get(subject)?.at(-1)?.version ?? 0) + 1;
    return { subject, version, id: this.#idByText.get(textOf(schema)) ?? this.#lastId + 1, schema, state: 'live' };
  }

  schemaOf(id: number): AvroSchema | undefined {
    return this.#byId.get(id);
  }

  /** The subject's own level, or the one for all. */
  level(subject?: string): CompatibilityLevel | undefined {
    return subject === undefined ? this.#globalLevel : this.#levels.get(subject);
  }

  #put(version: RegisteredVersion): void {
    const { subject, id, schema } = version;
    const versions = this.#subjects.get(subject) ?? [];
    const at = versions.findIndex((candidate) => candidate.version === version.version);
    if (at < 0) versions.push(version);
    else versions[at] = version;
    versions.sort((left, right) => left.version - right.version);
    this.#subjects.set(subject, versions);
    this.#byId.set(id, schema);
    this.#idByText.set(textOf(schema), id);
    this.#lastId = Math.max(this.#lastId, id);
  }

  #set({ subject, level }: LevelSetting): void {
    if (subject === undefined) this.#globalLevel = level ?? 'BACKWARD';
    else if (level === undefined) this.#levels.delete(subject);
    else this.#levels.set(subject, level);
  }
}
