import { StreamError } from '../../errors.ts';
import type { CompatibilityLevel, SchemaRegistry } from '../../schemas/schema-registry.ts';

/** A registry in memory that takes everything, and that can be away. */
export class MemoryRegistry implements SchemaRegistry {
  isAway = false;
  /** Numbers it was asked for, and how often. */
  readonly asked = new Map<number, number>();
  readonly subjects = new Map<string, CompatibilityLevel>();
  readonly #schemas: string[] = [];

  register(subject: string, schema: string, level: CompatibilityLevel): Promise<number> {
    if (this.isAway) return this.#away();
    this.subjects.set(subject, level);
    const at = this.#schemas.indexOf(schema);
    return Promise.resolve(at < 0 ? this.#schemas.push(schema) : at + 1);
  }

  schemaOf(id: number): Promise<string | undefined> {
    this.asked.set(id, (this.asked.get(id) ?? 0) + 1);
    return this.isAway ? this.#away() : Promise.resolve(this.#schemas[id - 1]);
  }

  #away(): Promise<never> {
    return Promise.reject(new StreamError('REGISTRY_UNAVAILABLE', 'away'));
  }
}
