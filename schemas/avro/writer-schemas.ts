import type { Clock } from '../../clock.ts';
import type { SchemaRegistry } from '../schema-registry.ts';
import { parseAvro, type AvroSchema } from './avro-type.ts';

/** More than any cluster has that one process reads; the oldest go first. */
const schemasMax = 10_000;
/** Numbers the registry did not know are asked for again after a while: it may have been the wrong one, or slow to follow. */
const unknownLastsMs = 30_000;
const unknownMax = 10_000;
/** At a time. */
const requestsMax = 16;

/** The schemas that records name, fetched once and kept: what is known works without the registry. */
export class WriterSchemas {
  readonly #registry: SchemaRegistry;
  readonly #clock: Clock;
  readonly #schemas = new Map<number, AvroSchema>();
  readonly #unknown = new Map<number, number>();
  readonly #requests = new Map<number, Promise<void>>();

  constructor(registry: SchemaRegistry, clock: Clock) {
    this.#registry = registry;
    this.#clock = clock;
  }

  /** `undefined` if the registry has no such schema, or was not asked. */
  get(id: number): AvroSchema | undefined {
    return this.#schemas.get(id);
  }

  /** Tells what is known without asking. */
  put(id: number, schema: AvroSchema): void {
    this.#unknown.delete(id);
    keepNewest(this.#schemas, schemasMax).set(id, schema);
  }

  /** Resolves when the registry was asked for all of them; rejects with `REGISTRY_UNAVAILABLE`. */
  async load(ids: Iterable<number>): Promise<void> {
    const nowMs = this.#clock.monotonicMs();
    const missing = [...ids].filter((id) => !this.#schemas.has(id) && (this.#unknown.get(id) ?? 0) <= nowMs);
    while (missing.length > 0) await Promise.all(missing.splice(0, requestsMax).map((id) => this.#request(id)));
  }

  async #request(id: number): Promise<void> {
    const pending = this.#requests.get(id) ?? this.#fetch(id).finally(() => this.#requests.delete(id));
    this.#requests.set(id, pending);
    await pending;
  }

  async #fetch(id: number): Promise<void> {
    const schema = avroOf(await this.#registry.schemaOf(id));
    if (schema === undefined) {
      keepNewest(this.#unknown, unknownMax).set(id, this.#clock.monotonicMs() + unknownLastsMs);
      return;
    }
    this.put(id, schema);
  }
}

/** A registry may hold schemas of other languages: those are as good as unknown. */
function avroOf(text: string | undefined): AvroSchema | undefined {
  try {
    return text === undefined ? undefined : parseAvro(text);
  } catch {
    return undefined;
  }
}

function keepNewest<V>(map: Map<number, V>, sizeMax: number): Map<number, V> {
  for (const [oldest] of map) {
    if (map.size < sizeMax) break;
    map.delete(oldest);
  }
  return map;
}
