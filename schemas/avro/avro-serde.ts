/** Avro in Confluent's wire format: a zero byte, the number of the writer's schema, the value. */
import type { Type } from 'avsc';
import type { Clock } from '../../clock.ts';
import { StreamError } from '../../errors.ts';
import type { CompatibilityLevel, SchemaRegistry } from '../schema-registry.ts';
import type { Serde } from '../serde.ts';
import { compileAvro, type AvroSchema } from './avro-type.ts';
import { WriterSchemas } from './writer-schemas.ts';

const magic = 0;
const headerBytes = 5;
/** Of a value; Kafka refuses far smaller ones. */
const valueBytesMax = 64 * 1024 * 1024;
/** Decoders of one serde; they are made anew when needed again. */
const decodersMax = 1_000;

/** Makes the value of the next event version out of one of this version, both as plain Avro values. */
export type Upcast = (value: unknown) => unknown;

export interface AvroValue<T> {
  /** The subject's schema now. Its root may say its `eventVersion`, a number; 1 if it does not. */
  readonly schema: AvroSchema;
  readonly level: CompatibilityLevel;
  /** Gives a decoded value its type: optional fields without value are `null`. Throws on what it cannot be. */
  readonly parse: (value: unknown) => T;
  /** The value as its schema has it; by default it is so already. Absent fields take their default. */
  readonly plain?: (value: T) => unknown;
  /** By the version they start from: for records of older versions, which are then read as they were written. */
  readonly upcasts?: ReadonlyMap<number, Upcast>;
  /** Reads records that are JSON; without it they are refused. */
  readonly json?: (bytes: Uint8Array) => T;
}

/** A record read without a schema of our own. */
export interface ForeignRecord {
  /** Longs beyond 2^53 are `bigint`, decimals unscaled `bigint`. */
  readonly value: unknown;
  /** The schema it was written with. */
  readonly schema: AvroSchema;
}

/** The serdes of one process over one registry; they share what they learn of it. */
export interface AvroSerdes {
  /** Made before `register`. What a registry does not know, or is no Avro of this schema, cannot be deserialised; it serialises once registered. */
  value<T>(subject: string, options: AvroValue<T>): Serde<T>;
  /** Reads Avro by the writer's schema alone. Bytes that are no Avro are returned as they are. Never writes Avro. */
  readonly foreign: Serde<ForeignRecord | Uint8Array>;
  /** Registers the schemas of all serdes made so far that are not yet. Rejects with `SCHEMA_REFUSED` or `REGISTRY_UNAVAILABLE`; may be called again. */
  register(): Promise<void>;
}

export function createAvroSerdes(registry: SchemaRegistry, clock: Clock): AvroSerdes {
  const schemas = new WriterSchemas(registry, clock);
  const pending: (() => Promise<void>)[] = [];
  return {
    value: (subject, options) => {
      const serde = new AvroSerde(subject, options, schemas);
      pending.push(async () => serde.registered(await registry.register(subject, serde.schemaText, options.level)));
      return serde;
    },
    foreign: foreignSerde(schemas),
    register: async () => {
      // One by one: a registry that refuses is asked no more, and each call is two requests.
      for (let next = pending[0]; next !== undefined; next = pending[0]) {
        await next();
        pending.shift();
      }
    },
  };
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function refuse(problem: string, facts: Record<string, number | string> = {}): never {
  throw new StreamError('DESERIALIZATION_FAILED', `avro: ${problem}`, { facts });
}

/** Numbers of the schemas that some of these values name. */
function* schemaIdsOf(values: readonly Uint8Array[]): Generator<number> {
  for (const bytes of values)
    if (bytes[0] === magic && bytes.byteLength >= headerBytes) yield asBuffer(bytes).readUInt32BE(1);
}

/** Reads the value behind the header; all of it, and nothing after it. */
function decode(type: Type, bytes: Buffer, resolver: ReturnType<Type['createResolver']> | undefined): unknown {
  let decoded: Decoded;
  try {
    decoded = type.decode(bytes, headerBytes, resolver);
  } catch {
    // Errors of avsc may quote values: only that there was one is passed on.
    return refuse('the value does not fit its schema');
  }
  const { value, offset } = decoded;
  if (offset < 0) refuse('the value is cut short');
  if (offset !== bytes.length) refuse('bytes follow the value', { bytes: bytes.length - offset });
  return value;
}

interface Decoded {
  readonly value: unknown;
  readonly offset: number;
}

type Decoder = (bytes: Buffer) => unknown;

class Decoders {
  readonly #byId = new Map<number, Decoder>();
  readonly #schemas: WriterSchemas;
  readonly #make: (schema: AvroSchema) => Decoder;

  constructor(schemas: WriterSchemas, make: (schema: AvroSchema) => Decoder) {
    this.#schemas = schemas;
    this.#make = make;
  }

  /** The bytes begin with the magic byte. */
  decode(bytes: Buffer): unknown {
    if (bytes.length < headerBytes) refuse('shorter than a header');
    const id = bytes.readUInt32BE(1);
    const decoder = this.#byId.get(id) ?? this.#learn(id);
    return decoder(bytes);
  }

  #learn(schemaId: number): Decoder {
    const schema = this.#schemas.get(schemaId);
    if (schema === undefined) return refuse('the registry has no such schema', { schemaId });
    if (this.#byId.size >= decodersMax) this.#byId.clear();
    const decoder = this.#tried(schema);
    this.#byId.set(schemaId, decoder);
    return decoder;
  }

  #tried(schema: AvroSchema): Decoder {
    try {
      return this.#make(schema);
    } catch (error) {
      const problem = error instanceof Error ? error.message.slice(0, 300) : 'unknown';
      return () => refuse('written with a schema that cannot be read here', { problem });
    }
  }
}

function eventVersionOf(schema: AvroSchema): number {
  const version = typeof schema === 'object' && 'eventVersion' in schema ? schema['eventVersion'] : 1;
  return typeof version === 'number' ? version : 1;
}

/** Grows to the largest value written so far. */
let scratch = Buffer.allocUnsafe(16 * 1024);

class AvroSerde<T> implements Serde<T> {
  readonly name: string;
  readonly schemaText: string;
  readonly #type: Type;
  readonly #options: AvroValue<T>;
  readonly #schemas: WriterSchemas;
  readonly #decoders: Decoders;
  #id: number | undefined;

  constructor(subject: string, options: AvroValue<T>, schemas: WriterSchemas) {
    this.name = `avro of ${subject}`;
    this.schemaText = JSON.stringify(options.schema);
    this.#type = compileAvro(options.schema);
    this.#options = options;
    this.#schemas = schemas;
    this.#decoders = new Decoders(schemas, (schema) => this.#decoderOf(schema));
  }

  registered(id: number): void {
    this.#schemas.put(id, this.#options.schema);
    this.#id = id;
  }

  async prepare(values: readonly Uint8Array[]): Promise<void> {
    await this.#schemas.load(new Set(schemaIdsOf(values)));
  }

  serialize(value: T): Uint8Array {
    const id = this.#id;
    if (id === undefined)
      throw new StreamError('SERIALIZATION_FAILED', `${this.name}: its schema is not registered yet`);
    const end = this.#encode(this.#options.plain === undefined ? value : this.#options.plain(value));
    scratch[0] = magic;
    scratch.writeUInt32BE(id, 1);
    const bytes = Buffer.allocUnsafe(end);
    scratch.copy(bytes, 0, 0, end);
    return bytes;
  }

  deserialize(bytes: Uint8Array): T {
    const { json, parse } = this.#options;
    if (bytes[0] === magic) return parse(this.#decoders.decode(asBuffer(bytes)));
    if (json === undefined || (bytes[0] !== 0x7b && bytes[0] !== 0x5b)) return refuse('neither Avro nor JSON');
    return json(bytes);
  }

  /** Writes behind the header of `scratch`; returns where the value ends. */
  #encode(plain: unknown): number {
    for (;;) {
      const end = this.#written(plain);
      if (end >= 0) return end;
      const size = scratch.length - end;
      if (size > valueBytesMax) throw new StreamError('SERIALIZATION_FAILED', `${this.name}: the value is too large`);
      scratch = Buffer.allocUnsafe(Math.max(size, 2 * scratch.length));
    }
  }

  #written(plain: unknown): number {
    try {
      return this.#type.encode(plain, scratch, headerBytes);
    } catch {
      const misfits: string[] = [];
      this.#type.isValid(plain, { errorHook: (path) => misfits.push(path.join('.')) });
      throw new StreamError('SERIALIZATION_FAILED', `${this.name}: a value does not fit its schema`, {
        facts: { misfits: misfits.slice(0, 5) },
      });
    }
  }

  /** Records of the current event version are read with the current schema; older ones as they were written, then raised version by version. */
  #decoderOf(schema: AvroSchema): Decoder {
    const writer = compileAvro(schema);
    const upcasts = this.#upcastsFrom(eventVersionOf(schema));
    if (upcasts.length > 0)
      return (bytes) => upcasts.reduce((value, upcast) => upcast(value), decode(writer, bytes, undefined));
    // Also for the same schema: what it was compiled with may differ.
    const resolver = this.#type.createResolver(writer);
    return (bytes) => decode(this.#type, bytes, resolver);
  }

  #upcastsFrom(version: number): readonly Upcast[] {
    const { schema, upcasts } = this.#options;
    const current = eventVersionOf(schema);
    const steps = Array.from({ length: Math.max(0, current - version) }, (_, step) => upcasts?.get(version + step));
    return steps.filter((step) => step !== undefined);
  }
}

function foreignSerde(schemas: WriterSchemas): Serde<ForeignRecord | Uint8Array> {
  const decoders = new Decoders(schemas, (schema) => {
    const type = compileAvro(schema, { longs: 'exact' });
    return (bytes): ForeignRecord => ({ value: decode(type, bytes, undefined), schema });
  });
  return {
    name: 'avro of any schema',
    prepare: (values) => schemas.load(new Set(schemaIdsOf(values))),
    deserialize: (bytes) => (bytes[0] === magic ? (decoders.decode(asBuffer(bytes)) as ForeignRecord) : bytes),
    serialize: (value) => {
      if (value instanceof Uint8Array) return value;
      throw new StreamError('SERIALIZATION_FAILED', 'a record without a schema of our own cannot be written');
    },
  };
}
