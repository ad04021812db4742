import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { systemClock, type Clock } from '../../../clock.ts';
import {
  createAvroSerdes,
  type AvroSerdes,
  type AvroValue,
  type ForeignRecord,
  type Upcast,
} from '../../../schemas/avro/avro-serde.ts';
import type { AvroSchema } from '../../../schemas/avro/avro-type.ts';
import type { Serde } from '../../../schemas/serde.ts';
import { MemoryRegistry } from '../../support/memory-registry.ts';

const decimal = { type: 'bytes', logicalType: 'decimal', precision: 20, scale: 8 };
const recordOf = (fields: readonly object[], attributes: object = {}): AvroSchema => ({
  type: 'record',
  name: 'Thing',
  ...attributes,
  fields,
});
const id = { name: 'id', type: 'string' };
const idSchema = recordOf([id]);

const asIs = (value: unknown): never => ({ ...(value as object) }) as never;

async function made<T>(
  schema: AvroSchema,
  options: Partial<AvroValue<T>> = {},
  registry = new MemoryRegistry(),
): Promise<{ serde: Serde<T>; serdes: AvroSerdes; registry: MemoryRegistry }> {
  const serdes = createAvroSerdes(registry, systemClock);
  const serde = serdes.value<T>('things-value', { schema, level: 'FULL', parse: asIs, ...options });
  await serdes.register();
  return { serde, serdes, registry };
}

async function readBy<T>(serde: Serde<T>, bytes: Uint8Array): Promise<T> {
  await serde.prepare?.([bytes]);
  return serde.deserialize(bytes);
}

function header(number: number, ...rest: readonly number[]): Buffer {
  const bytes = Buffer.alloc(5 + rest.length);
  bytes.writeUInt32BE(number, 1);
  bytes.set(rest, 5);
  return bytes;
}

describe('Avro in the wire format', () => {
  test('a value is a zero byte, the number of its schema and its bytes', async () => {
    const { serde } = await made<{ id: string }>(idSchema);
    expect([...serde.serialize({ id: 'ab' })]).toEqual([0, 0, 0, 0, 1, 4, 97, 98]);
    expect(await readBy(serde, serde.serialize({ id: 'ab' }))).toEqual({ id: 'ab' });
  });

  test('decimals of any size come back exactly, and so do longs as bigint', async () => {
    const wide = { ...decimal, precision: 60 };
    const long = { type: 'long', logicalType: 'bigint' };
    const { serde } = await made<{ amount: bigint; size: bigint }>(
      recordOf([
        { name: 'amount', type: wide },
        { name: 'size', type: long },
      ]),
    );
    await serde.prepare?.([header(1)]);
    const bits = fc
      .integer({ min: 1, max: 190 })
      .chain((n) => fc.bigInt({ min: -(2n ** BigInt(n)), max: 2n ** BigInt(n) }));
    fc.assert(
      fc.property(bits, fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }), (amount, size) => {
        expect(serde.deserialize(serde.serialize({ amount, size }))).toEqual({ amount, size });
      }),
      { numRuns: 2_000 },
    );
  });

  test.each([
    [0n, [0]],
    [127n, [127]],
    [128n, [0, 128]],
    [-128n, [128]],
    [-129n, [255, 127]],
    [2n ** 47n, [0, 128, 0, 0, 0, 0, 0]],
    [-(2n ** 63n), [128, 0, 0, 0, 0, 0, 0, 0]],
    [2n ** 63n, [0, 128, 0, 0, 0, 0, 0, 0, 0]],
  ])('the decimal %s is written in as few bytes as can be', async (amount, bytes) => {
    const { serde } = await made<{ amount: bigint }>(recordOf([{ name: 'amount', type: decimal }]));
    expect([...serde.serialize({ amount })].slice(5)).toEqual([2 * bytes.length, ...bytes]);
  });

  test('a decimal with more digits than its schema allows, and a value that does not fit, are refused by name but never quoted', async () => {
    const { serde } = await made<object>(recordOf([id, { name: 'amount', type: { ...decimal, precision: 9 } }]));
    for (const value of [
      { id: 'secret', amount: 10n ** 9n },
      { id: 'secret', amount: 'secret' },
    ])
      try {
        serde.serialize(value);
        expect('was').toBe('refused');
      } catch (error) {
        expect(error).toMatchObject({ code: 'SERIALIZATION_FAILED', facts: { misfits: ['amount'] } });
        expect(String(error)).not.toContain('secret');
      }
  });

  test('absent optional fields are written as null, and large values in full', async () => {
    const note = { name: 'note', type: ['null', 'string'], default: null };
    const { serde } = await made<{ id: string; note?: string | null }>(recordOf([id, note]));
    expect(await readBy(serde, serde.serialize({ id: 'a' }))).toEqual({ id: 'a', note: null });
    const large = 'x'.repeat(3_000_000);
    expect(await readBy(serde, serde.serialize({ id: 'a', note: large }))).toEqual({ id: 'a', note: large });
  });

  test('nothing can be written before the schema is registered', () => {
    const serdes = createAvroSerdes(new MemoryRegistry(), systemClock);
    const serde = serdes.value<object>('things-value', { schema: idSchema, level: 'FULL', parse: asIs });
    expect(() => serde.serialize({ id: 'a' })).toThrow(expect.objectContaining({ code: 'SERIALIZATION_FAILED' }));
  });
});

describe('bytes that are no record of the topic', () => {
  test.each([
    ['nothing', Buffer.alloc(0), /neither Avro nor JSON/],
    ['another magic byte', Buffer.from([1, 0, 0, 0, 1, 2, 97]), /neither Avro nor JSON/],
    ['less than a header', Buffer.from([0, 0, 0]), /shorter than a header/],
    ['a schema nobody registered', header(7, 2, 97), /no such schema/],
    ['a value that is cut short', header(1, 8, 97), /cut short/],
    ['bytes after the value', header(1, 2, 97, 0), /bytes follow/],
    ['no value at all', header(1), /cut short/],
  ])('%s cannot be deserialised', async (_, bytes, why) => {
    const { serde } = await made<object>(idSchema);
    const refused = readBy(serde, bytes);
    await expect(refused).rejects.toThrow(why);
    await expect(readBy(serde, bytes)).rejects.toMatchObject({ code: 'DESERIALIZATION_FAILED' });
  });

  test('arbitrary bytes behind a valid header never do anything but fail or decode', async () => {
    const rich = recordOf([
      id,
      { name: 'amount', type: decimal },
      { name: 'list', type: { type: 'array', items: ['null', 'long'] } },
      { name: 'map', type: { type: 'map', values: 'string' } },
    ]);
    const { serde } = await made<object>(rich);
    await serde.prepare?.([header(1)]);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (rest) => {
        try {
          serde.deserialize(header(1, ...rest));
        } catch (error) {
          expect(error).toMatchObject({ code: 'DESERIALIZATION_FAILED' });
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('a registry', () => {
  test('is asked once for a number that is not of our own, and again after a while for one it does not know', async () => {
    const registry = new MemoryRegistry();
    let nowMs = 0;
    const clock: Clock = { ...systemClock, monotonicMs: () => nowMs };
    const serdes = createAvroSerdes(registry, clock);
    const serde = serdes.value<object>('things-value', { schema: idSchema, level: 'FULL', parse: asIs });
    await serdes.register();
    await registry.register('others-value', '"string"', 'FULL');
    const batch = [header(1, 0), header(2, 0), header(2, 0), header(9, 0), header(9, 0)];
    const asked = (): readonly unknown[] => [1, 2, 9].map((number) => registry.asked.get(number));
    for (let round = 0; round < 5; round++) await serde.prepare?.(batch);
    expect(asked()).toEqual([undefined, 1, 1]);
    nowMs = 60_000;
    await serde.prepare?.(batch);
    expect(asked()).toEqual([undefined, 1, 2]);
  });

  test('that is away makes preparing fail for numbers that are not known, and only for those', async () => {
    const { serde, registry } = await made<object>(idSchema);
    await serde.prepare?.([header(1)]);
    registry.isAway = true;
    await serde.prepare?.([header(1)]);
    await expect(serde.prepare?.([header(2)])).rejects.toMatchObject({ code: 'REGISTRY_UNAVAILABLE' });
    registry.isAway = false;
    await serde.prepare?.([header(2)]);
    expect(() => serde.deserialize(header(2, 0))).toThrow(/no such schema/);
  });

  test('that is away when schemas are registered is asked again for those it has not taken', async () => {
    const registry = new MemoryRegistry();
    const serdes = createAvroSerdes(registry, systemClock);
    const serde = serdes.value<object>('things-value', { schema: idSchema, level: 'FULL_TRANSITIVE', parse: asIs });
    registry.isAway = true;
    await expect(serdes.register()).rejects.toMatchObject({ code: 'REGISTRY_UNAVAILABLE' });
    registry.isAway = false;
    await serdes.register();
    await serdes.register();
    expect([...registry.subjects]).toEqual([['things-value', 'FULL_TRANSITIVE']]);
    expect(serde.serialize({ id: '' }).byteLength).toBe(6);
  });
});

describe('records of other versions', () => {
  const older = recordOf([id, { name: 'size', type: 'int' }, { name: 'gone', type: 'string' }]);
  const newer = recordOf([
    id,
    { name: 'size', type: 'long' },
    { name: 'kind', type: { type: 'enum', name: 'Kind', symbols: ['UNKNOWN', 'A'], default: 'UNKNOWN' }, default: 'A' },
  ]);

  test('are read by the rules of Avro: dropped, defaulted and widened fields', async () => {
    const registry = new MemoryRegistry();
    const old = await made<object>(older, {}, registry);
    const { serde } = await made<object>(newer, {}, registry);
    const bytes = old.serde.serialize({ id: 'a', size: 3, gone: 'x' });
    expect(await readBy(serde, bytes)).toEqual({ id: 'a', size: 3, kind: 'A' });
  });

  test('with words that are not known yet keep to the word for that', async () => {
    const registry = new MemoryRegistry();
    const kind = { type: 'enum', name: 'Kind', symbols: ['UNKNOWN', 'A', 'B'], default: 'UNKNOWN' };
    const future = await made<object>(
      recordOf([id, { name: 'size', type: 'long' }, { name: 'kind', type: kind }]),
      {},
      registry,
    );
    const { serde } = await made<object>(newer, {}, registry);
    const bytes = future.serde.serialize({ id: 'a', size: 3, kind: 'B' });
    expect(await readBy(serde, bytes)).toEqual({ id: 'a', size: 3, kind: 'UNKNOWN' });
  });

  test('that cannot be read are refused one by one, and say why', async () => {
    const registry = new MemoryRegistry();
    const other = await made<object>(recordOf([{ name: 'n', type: 'int' }]), {}, registry);
    const { serde } = await made<object>(idSchema, {}, registry);
    await expect(readBy(serde, other.serde.serialize({ n: 1 }))).rejects.toMatchObject({
      code: 'DESERIALIZATION_FAILED',
      facts: { problem: expect.stringContaining('no matching field') as unknown },
    });
  });

  test('a decimal of another scale is refused, a shorter one of the same is read', async () => {
    const registry = new MemoryRegistry();
    const amount = (type: object): AvroSchema => recordOf([{ name: 'amount', type }]);
    const short = await made<object>(amount({ ...decimal, precision: 12 }), {}, registry);
    const cents = await made<object>(amount({ ...decimal, scale: 2 }), {}, registry);
    const { serde } = await made<{ amount: bigint }>(amount(decimal), {}, registry);
    expect(await readBy(serde, short.serde.serialize({ amount: 5n }))).toEqual({ amount: 5n });
    await expect(readBy(serde, cents.serde.serialize({ amount: 5n }))).rejects.toThrow(/cannot be read here/);
  });

  test('of older event versions are raised step by step from what was written', async () => {
    const registry = new MemoryRegistry();
    const first = await made<object>(recordOf([{ name: 'name', type: 'string' }]), {}, registry);
    const second = await made<object>(
      recordOf([{ name: 'fullName', type: 'string' }], { eventVersion: 2 }),
      {},
      registry,
    );
    const upcasts = new Map<number, Upcast>([
      [1, (value: unknown) => ({ fullName: (value as { name: string }).name })],
      [
        2,
        (value: unknown) => {
          const [given = '', family = ''] = (value as { fullName: string }).fullName.split(' ');
          return { given, family };
        },
      ],
    ]);
    const parts = ['given', 'family'].map((name) => ({ name, type: 'string' }));
    const { serde } = await made<object>(recordOf(parts, { eventVersion: 3 }), { upcasts }, registry);
    const expected = { given: 'Ann', family: 'Lee' };
    expect(await readBy(serde, first.serde.serialize({ name: 'Ann Lee' }))).toEqual(expected);
    expect(await readBy(serde, second.serde.serialize({ fullName: 'Ann Lee' }))).toEqual(expected);
    expect(await readBy(serde, serde.serialize(expected))).toEqual(expected);
  });

  test('that are JSON are read where that is allowed', async () => {
    const json = (bytes: Uint8Array): object => JSON.parse(Buffer.from(bytes).toString()) as object;
    const { serde } = await made<object>(idSchema, { json });
    expect(await readBy(serde, Buffer.from('{"id":"a"}'))).toEqual({ id: 'a' });
  });
});

interface WireSample {
  readonly writerSchemas: Readonly<Record<string, AvroSchema>>;
  readonly records: readonly { readonly value: unknown; readonly valueSchemaId: number; readonly valueHex?: string }[];
}

describe('records of other schemas altogether', () => {
  test('are read by the schema of their writer; longs beyond 2^53 are exact; bytes that are no Avro stay', async () => {
    const file = new URL('../../fixtures/debezium/debezium-avro-confluent-wire.json', import.meta.url);
    const sample = JSON.parse(readFileSync(fileURLToPath(file), 'utf8')) as WireSample;
    const schemaOf = (number: number): Promise<string> => Promise.resolve(JSON.stringify(sample.writerSchemas[number]));
    const { foreign } = createAvroSerdes({ register: () => Promise.resolve(1), schemaOf }, systemClock);
    let count = 0;
    for (const { value, valueHex } of sample.records) {
      if (valueHex === undefined) continue;
      const bytes = Buffer.from(valueHex, 'hex');
      const read = (await readBy(foreign, bytes)) as ForeignRecord;
      expect(JSON.parse(JSON.stringify(read.value, asText))).toEqual(value);
      count += 1;
    }
    expect(count).toBeGreaterThan(3);
    expect(foreign.deserialize(Buffer.from('{}'))).toEqual(Buffer.from('{}'));
  });
});

/** The sample shows a `bigint` as text that ends in `n`. */
const asText = (_name: string, value: unknown): unknown => (typeof value === 'bigint' ? `${String(value)}n` : value);
