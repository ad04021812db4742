/** A schema registry in this process, for machines that have no other: kept in the log, and Confluent's in all it does. */
import type { Clock } from '../../clock.ts';
import { StreamError } from '../../errors.ts';
import { parseAvro, type AvroSchema } from '../../schemas/avro/avro-type.ts';
import { incompatibilities } from '../../schemas/avro/compatibility.ts';
import type { CompatibilityLevel, RegisteredVersion, SubjectRegistry } from '../../schemas/schema-registry.ts';
import type { Log } from '../log.ts';
import { RegistryState, textOf, type RegistryEntry } from './registry-state.ts';
import { SchemaTopic } from './schema-topic.ts';

/** Changes that wait for those before them. */
const waitingMax = 1_000;
const schemaBytesMax = 500_000;

export interface EmbeddedRegistryOptions {
  readonly log: Log;
  /** Nobody else may write there. */
  readonly topic: string;
  readonly clock: Clock;
}

export interface EmbeddedRegistry extends SubjectRegistry {
  close(): Promise<void>;
}

/** Opens the registry with what its topic holds. Nobody else may have it open. */
export async function openEmbeddedRegistry({ log, topic, clock }: EmbeddedRegistryOptions): Promise<EmbeddedRegistry> {
  const kept = new SchemaTopic(log, topic, clock);
  const state = new RegistryState();
  for (const entry of await kept.read()) state.apply(entry);
  return new LogRegistry(kept, state);
}

function schemaOfText(text: string): AvroSchema {
  if (Buffer.byteLength(text) > schemaBytesMax)
    throw new StreamError('SCHEMA_REFUSED', `a schema may have ${schemaBytesMax} bytes`);
  return parseAvro(text);
}

class LogRegistry implements EmbeddedRegistry {
  readonly #topic: SchemaTopic;
  readonly #state: RegistryState;
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  constructor(topic: SchemaTopic, state: RegistryState) {
    this.#topic = topic;
    this.#state = state;
  }

  async register(subject: string, schema: string, level: CompatibilityLevel): Promise<number> {
    if (this.#state.versions(subject).length === 0) await this.setLevel(level, subject);
    const { id } = await this.add(subject, schema);
    return id;
  }

  async schemaOf(id: number): Promise<string | undefined> {
    const schema = this.#state.schemaOf(id);
    return schema === undefined ? undefined : textOf(schema);
  }

  subjects(includeHidden: boolean): readonly string[] {
    return this.#state.subjects(includeHidden);
  }

  versions(subject: string, includeHidden = false): readonly RegisteredVersion[] {
    return this.#state.versions(subject, includeHidden);
  }

  find(subject: string, schema: string): RegisteredVersion | undefined {
    const text = textOf(schemaOfText(schema));
    return this.#state.versions(subject).findLast((version) => textOf(version.schema) === text);
  }

  problems(subject: string, schema: string, version?: RegisteredVersion): readonly string[] {
    const level = this.#state.level(subject) ?? this.#state.level() ?? 'BACKWARD';
    return incompatibilities(schemaOfText(schema), version === undefined ? this.versions(subject) : [version], level);
  }

  async add(subject: string, schema: string): Promise<RegisteredVersion> {
    return await this.#inTurn(async () => {
      const known = this.find(subject, schema);
      if (known !== undefined) return known;
      const problems = this.problems(subject, schema);
      if (problems.length > 0)
        throw new StreamError('SCHEMA_REFUSED', problems.join('; ').slice(0, 2_000), {
          facts: { subject, isIncompatible: true },
        });
      const version = this.#state.next(subject, schemaOfText(schema));
      await this.#keep({ version });
      return version;
    });
  }

  async remove(versions: readonly RegisteredVersion[], permanently: boolean): Promise<void> {
    await this.#inTurn(async () => {
      for (const version of versions)
        await this.#keep({ version: { ...version, state: permanently ? 'gone' : 'hidden' } });
    });
  }

  level(subject?: string): CompatibilityLevel | undefined {
    return this.#state.level(subject);
  }

  async setLevel(level: CompatibilityLevel | undefined, subject?: string): Promise<void> {
    await this.#inTurn(() => this.#keep({ setting: subject === undefined ? { level } : { subject, level } }));
  }

  async close(): Promise<void> {
    await this.#last;
    await this.#topic.close();
  }

  /** What cannot be kept did not happen. */
  async #keep(entry: RegistryEntry): Promise<void> {
    try {
      await this.#topic.write(entry);
    } catch (cause) {
      throw new StreamError('REGISTRY_UNAVAILABLE', 'the log does not keep what the registry writes', { cause });
    }
    this.#state.apply(entry);
  }

  /** One change at a time: each is judged by what those before it left. */
  async #inTurn<T>(change: () => Promise<T>): Promise<T> {
    if (this.#waiting >= waitingMax) throw new StreamError('REGISTRY_UNAVAILABLE', 'too many changes wait');
    this.#waiting += 1;
    const turn = this.#last.then(change);
    this.#last = turn.catch(() => undefined);
    try {
      return await turn;
    } finally {
      this.#waiting -= 1;
    }
  }
}
