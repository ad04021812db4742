import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import {
  bytesSerde,
  canonicalJsonSerde,
  float32Serde,
  int64Serde,
  jsonSerde,
  stringSerde,
  type Serde,
} from '../../schemas/serde.ts';
import { LayeredStore } from '../../state-stores/layered-store.ts';
import { memoryStores } from '../../state-stores/memory.ts';
import {
  defineStore,
  defineTimestampedStore,
  plainFormat,
  timestampedFormat,
  type AnyStoreSpec,
  type StateOf,
} from '../../state-stores/spec.ts';
import { openOptions } from '../contracts/key-value-store-contract.ts';

interface Opened<S extends AnyStoreSpec> {
  readonly state: StateOf<S>;
  readonly store: LayeredStore;
}

async function open<S extends AnyStoreSpec>(
  spec: S,
  currentTimestampMs = () => 5,
  cacheBytesMax = 1_000_000,
): Promise<Opened<S>> {
  const backing = await memoryStores().open(['0_0', spec.name], openOptions);
  const { layers, state } = spec.open(backing, { rowBytesMax: Infinity, currentTimestampMs, cacheBytesMax });
  if (!(layers instanceof LayeredStore)) throw new Error('not a store of rows');
  return { store: layers, state: state as StateOf<S> };
}

/** Counts how often values are decoded. */
function counting<T>(serde: Serde<T>): Serde<T> & { decoded: number } {
  const counted = {
    ...serde,
    decoded: 0,
    deserialize: (bytes: Uint8Array): T => {
      counted.decoded += 1;
      return serde.deserialize(bytes);
    },
  };
  return counted;
}

const thrown = (action: () => unknown): unknown => {
  try {
    action();
    return undefined;
  } catch (error) {
    return error;
  }
};

const codeThrown = (action: () => unknown): unknown => (thrown(action) as { code?: unknown } | undefined)?.code;

interface Person {
  readonly name: string;
  readonly tags: string[];
}

describe('a key-value state', () => {
  test('keeps the bytes of what is cached, not the pool that they were made in', async () => {
    const pools: WeakRef<ArrayBufferLike>[] = [];
    const serialize = (key: string): Uint8Array => {
      const pool = Buffer.alloc(1_000_000);
      pools.push(new WeakRef(pool.buffer));
      return pool.subarray(0, pool.write(key));
    };
    const { state } = await open(defineStore('pooled', { key: { ...stringSerde, serialize }, value: stringSerde }));
    for (let index = 0; index < 10; index += 1) state.get(String(index));
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    await new Promise(setImmediate);
    collect();
    expect(pools.filter((pool) => pool.deref() !== undefined).length).toBeLessThan(pools.length / 4);
    expect(state.get('1')).toBeUndefined();
  });

  test('gives back what was put, and nothing after a delete', async () => {
    const { state } = await open(defineStore('people', { key: stringSerde, value: jsonSerde<Person>() }));
    expect(state.get('ann')).toBeUndefined();
    state.put('ann', { name: 'Ann', tags: [] });
    expect(state.get('ann')).toEqual({ name: 'Ann', tags: [] });
    expect(state.putIfAbsent('ann', { name: 'other', tags: [] })).toEqual({ name: 'Ann', tags: [] });
    expect(state.putIfAbsent('bob', { name: 'Bob', tags: [] })).toBeUndefined();
    state.delete('ann');
    expect(state.get('ann')).toBeUndefined();
    expect(state.get('bob')?.name).toBe('Bob');
  });

  test('takes names that objects have from birth as keys like any other', async () => {
    const { state } = await open(defineStore('counts', { key: stringSerde, value: int64Serde }));
    for (const key of ['__proto__', 'constructor', 'toString', '', '\0', 'ключ', '💧']) {
      expect(state.get(key)).toBeUndefined();
      state.put(key, key.length);
      expect(state.get(key)).toBe(key.length);
    }
    const { state: objects } = await open(defineStore('objects', { key: stringSerde, value: jsonSerde() }));
    objects.put('a', JSON.parse('{"__proto__":{"polluted":true},"constructor":1}'));
    expect(JSON.stringify(objects.get('a'))).toBe('{"__proto__":{"polluted":true},"constructor":1}');
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });

  test('refuses keys and values that cannot be told apart or stored, by name and without their content', async () => {
    const { state, store } = await open(defineStore('people', { key: stringSerde, value: jsonSerde() }));
    const nothing = null as unknown as string;
    for (const action of [
      () => state.get('\ud800'),
      () => {
        state.put('\udfff', 1);
      },
      () => {
        state.put(nothing, 1);
      },
      () => state.get(undefined as unknown as string),
      () => {
        state.put('secret', undefined);
      },
      () => {
        state.put('secret', () => 'secret');
      },
      () => {
        state.put('secret', { toJSON: () => undefined });
      },
    ]) {
      const error = thrown(action) as Error & { facts: unknown };
      expect(error).toMatchObject({ code: 'SERIALIZATION_FAILED', facts: { store: 'people' } });
      expect(error.message).not.toContain('secret');
    }
    expect(
      (
        thrown(() => {
          state.put('a', null);
        }) as Error
      ).message,
    ).toContain('use delete');
    expect(store.uncommittedCount).toBe(0);
  });

  test('names the store when what is stored cannot be read', async () => {
    const { state, store } = await open(defineStore('counts', { key: stringSerde, value: int64Serde }));
    store.put(Buffer.from('a'), Buffer.from('short'), 1);
    expect(thrown(() => state.get('a'))).toMatchObject({ code: 'DESERIALIZATION_FAILED', facts: { store: 'counts' } });
  });

  test('refuses a serde that answers with anything but bytes', async () => {
    const serde = { ...stringSerde, serialize: () => Promise.resolve() as unknown as Uint8Array };
    const { state } = await open(defineStore('s', { key: stringSerde, value: serde }));
    expect(
      codeThrown(() => {
        state.put('a', 'b');
      }),
    ).toBe('SERIALIZATION_FAILED');
  });

  test('writes with the timestamp of the moment', async () => {
    let nowMs = 1;
    const { state, store } = await open(defineStore('counts', { key: stringSerde, value: int64Serde }), () => nowMs);
    state.put('a', 1);
    nowMs = 2;
    state.delete('b');
    expect(store.seal().map(({ timestampMs }) => timestampMs)).toEqual([1, 2]);
  });

  test('keeps what was serialised, whatever becomes of the object or array that was put', async () => {
    const { state } = await open(defineStore('people', { key: stringSerde, value: jsonSerde<Person>() }));
    const person = { name: 'Ann', tags: ['a'] };
    state.put('ann', person);
    person.tags.push('b');
    expect(state.get('ann')).toEqual({ name: 'Ann', tags: ['a'] });

    const { state: raw } = await open(defineStore('raw', { key: bytesSerde, value: bytesSerde }));
    const [key, value] = [Buffer.from('key'), Buffer.from('value')];
    raw.put(key, value);
    key.fill(0);
    value.fill(0);
    const found = raw.get(Buffer.from('key'))!;
    expect(Buffer.from(found).toString()).toBe('value');
    found.fill(0);
    expect(Buffer.from(raw.get(Buffer.from('key'))!).toString()).toBe('value');
  });
});

describe('the object cache', () => {
  test('decodes a plain value once and freezes it throughout', async () => {
    const value = counting(jsonSerde<Person>());
    const { state } = await open(defineStore('people', { key: stringSerde, value }));
    state.put('ann', { name: 'Ann', tags: ['a'] });
    const first = state.get('ann')!;
    expect(state.get('ann')).toBe(first);
    expect(value.decoded).toBe(1);
    expect(Object.isFrozen(first) && Object.isFrozen(first.tags)).toBe(true);
    expect(() => first.tags.push('b')).toThrow(TypeError);
    state.put('ann', { ...first, name: 'Anna' });
    expect(state.get('ann')).toEqual({ name: 'Anna', tags: ['a'] });
  });

  test.each<[string, (text: string) => object]>([
    ['a class instance', (text) => new URL(`http://${text}`)],
    ['a map', (text) => new Map([[text, 1]])],
    ['a buffer', (text) => Buffer.from(text)],
    ['a date inside a plain object', (text) => ({ inner: [new Date(text.length)] })],
    ['a function inside a plain object', (text) => ({ inner: () => text })],
  ])('decodes %s for each read', async (_, make) => {
    const serde: Serde<object> = {
      name: 'made',
      serialize: () => Buffer.from('host'),
      deserialize: (bytes) => make(Buffer.from(bytes).toString()),
    };
    const { state } = await open(defineStore('s', { key: stringSerde, value: serde }));
    state.put('a', {});
    const first = state.get('a')!;
    expect(state.get('a')).not.toBe(first);
    expect(Object.isFrozen(first)).toBe(false);
  });

  test('survives values that contain themselves', async () => {
    const serde: Serde<{ self?: object }> = {
      name: 'cyclic',
      serialize: () => Buffer.from('x'),
      deserialize: () => {
        const value: { self?: object; other?: object } = {};
        value.self = value;
        value.other = { value };
        return value;
      },
    };
    const { state } = await open(defineStore('s', { key: stringSerde, value: serde }));
    state.put('a', {});
    expect(state.get('a')).not.toBe(state.get('a'));
  });

  test('does not hand out what was put unless told to, then frozen', async () => {
    const put = { name: 'Ann', tags: ['a'] };
    const safe = await open(defineStore('people', { key: stringSerde, value: jsonSerde<Person>() }));
    safe.state.put('ann', put);
    expect(safe.state.get('ann')).not.toBe(put);
    expect(Object.isFrozen(put)).toBe(false);

    const value = counting(jsonSerde<Person>());
    const kept = await open(defineStore('people', { key: stringSerde, value, cache: { keepsPutValues: true } }));
    kept.state.put('ann', put);
    expect(kept.state.get('ann')).toBe(put);
    expect(Object.isFrozen(put.tags)).toBe(true);
    expect(value.decoded).toBe(0);
  });

  test('is emptied when a commit fails or rows are restored', async () => {
    const { state, store } = await open(defineStore('counts', { key: stringSerde, value: int64Serde }));
    state.put('a', 1);
    expect(state.get('a')).toBe(1);
    store.seal();
    await store.apply(1);
    state.put('a', 2);
    state.put('b', 2);
    expect([state.get('a'), state.get('b')]).toEqual([2, 2]);
    store.discard();
    expect([state.get('a'), state.get('b')]).toEqual([1, undefined]);
    await store.restore([{ key: Buffer.from('a'), value: int64Serde.serialize(9) }], 2);
    expect(state.get('a')).toBe(9);
  });

  test('keeps keys apart exactly as their bytes are', async () => {
    const lower: Serde<string> = {
      ...stringSerde,
      name: 'lower',
      serialize: (value) => Buffer.from(value.toLowerCase()),
    };
    const { state } = await open(defineStore('lower', { key: lower, value: int64Serde }));
    state.put('A', 1);
    expect(state.get('a')).toBe(1);
    state.put('a', 2);
    expect(state.get('A')).toBe(2);

    const { state: floats } = await open(defineStore('floats', { key: float32Serde, value: int64Serde }));
    floats.put(0.1, 1);
    expect(floats.get(Math.fround(0.1))).toBe(1);
    floats.put(Math.fround(0.1), 2);
    expect(floats.get(0.1)).toBe(2);
    floats.put(0, 3);
    expect(floats.get(-0)).toBeUndefined();

    const { state: integers } = await open(defineStore('integers', { key: int64Serde, value: int64Serde }));
    integers.put(0, 1);
    integers.put(-0, 2);
    expect(integers.get(0)).toBe(2);
  });

  test('keeps within its memory, also when values grow in place', async () => {
    const value = counting(jsonSerde<string>());
    const { state } = await open(defineStore('texts', { key: stringSerde, value }), () => 5, 100_000);
    const keys = Array.from({ length: 100 }, (_, index) => `k${String(index)}`);
    const readAll = (): number => {
      const before = value.decoded;
      for (const key of keys) state.get(key);
      return value.decoded - before;
    };
    for (const key of keys) state.put(key, 'small');
    expect([readAll(), readAll()]).toEqual([100, 0]);
    for (const key of keys) state.put(key, 'x'.repeat(10_000));
    readAll();
    expect(readAll()).toBe(100);
    for (const key of keys) state.put(key, 'small');
    readAll();
    expect(readAll()).toBe(0);
  });

  test('never changes what is read, however small it is', () => {
    type Step = { readonly key: unknown; readonly value: number | undefined } | 'discard' | 'commit';
    const key = fc.oneof(fc.constantFrom('a', 'b', 'c', '"a"', 0, -0, 1, true), fc.record({ a: fc.nat(1) }));
    const step: fc.Arbitrary<Step> = fc.oneof(
      { weight: 8, arbitrary: fc.record({ key, value: fc.option(fc.nat(9), { nil: undefined }) }) },
      { weight: 1, arbitrary: fc.constantFrom<Step>('discard', 'commit') },
    );
    return fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 40 }),
        fc.constantFrom(0, 2, 4, 100),
        fc.constantFrom(0, 600, 1_200, 100_000),
        async (steps, entriesMax, bytesMax) => {
          const keySerde = canonicalJsonSerde<unknown>();
          const { state, store } = await open(
            defineStore('any', { key: keySerde, value: int64Serde, cache: { entriesMax } }),
            () => 5,
            bytesMax,
          );
          const nameOf = (one: unknown): string => Buffer.from(keySerde.serialize(one)).toString();
          let committed = new Map<string, number>();
          let latest = new Map<string, number>();
          let position = 0;
          for (const one of steps) {
            if (one === 'discard') {
              store.discard();
              latest = new Map(committed);
            } else if (one === 'commit') {
              store.seal();
              position += 1;
              await store.apply(position);
              committed = new Map(latest);
            } else {
              expect(state.get(one.key)).toBe(latest.get(nameOf(one.key)));
              if (one.value === undefined) {
                state.delete(one.key);
                latest.delete(nameOf(one.key));
              } else {
                state.put(one.key, one.value);
                latest.set(nameOf(one.key), one.value);
              }
              expect(state.get(one.key)).toBe(latest.get(nameOf(one.key)));
            }
          }
        },
      ),
    );
  });
});

describe('an ordered state', () => {
  test('walks keys by their bytes', async () => {
    const { state } = await open(defineStore('counts', { key: stringSerde, value: int64Serde, ordered: true }));
    for (const key of ['b', 'a', 'Z', 'é', 'ab']) state.put(key, key.length);
    const keys = (rows: Iterable<readonly [string, number]>): string[] => [...rows].map(([key]) => key);
    expect(keys(state.range())).toEqual(['Z', 'a', 'ab', 'b', 'é']);
    expect(keys(state.range({ from: 'a', to: 'b' }))).toEqual(['a', 'ab']);
    expect(keys(state.range({ reverse: true, limit: 2 }))).toEqual(['é', 'b']);
    expect(keys(state.prefix('a'))).toEqual(['a', 'ab']);
    expect(keys(state.prefix(Buffer.of(0xc3)))).toEqual(['é']);
    expect([...state.range({ to: 'a' })]).toEqual([['Z', 1]]);
  });
});

describe('a timestamped state', () => {
  test('keeps value and event time, and writes its changelog with that time', async () => {
    const spec = defineTimestampedStore('people', { key: stringSerde, value: jsonSerde<Person>() });
    const { state, store } = await open(spec);
    state.put('ann', { name: 'Ann', tags: [] }, 2 ** 40 + 7);
    expect(state.get('ann')).toEqual({ value: { name: 'Ann', tags: [] }, timestampMs: 2 ** 40 + 7 });
    expect(Object.isFrozen(state.get('ann'))).toBe(true);
    state.put('zero', { name: 'Zero', tags: [] }, 0);
    state.delete('gone', 3);
    const [ann, zero, gone] = store.seal();
    expect(spec.format.toChangelog(ann!.value!, 0)).toEqual({
      value: Buffer.from('{"name":"Ann","tags":[]}'),
      timestampMs: 2 ** 40 + 7,
    });
    expect(zero?.timestampMs).toBe(0);
    expect(gone).toMatchObject({ value: undefined, timestampMs: 3 });
  });

  test.each([-1, 0.5, Number.NaN, 2 ** 53])('refuses the timestamp %d', async (timestampMs) => {
    const { state } = await open(defineTimestampedStore('counts', { key: stringSerde, value: int64Serde }));
    expect(
      codeThrown(() => {
        state.put('a', 1, timestampMs);
      }),
    ).toBe('TIMESTAMP_INVALID');
    expect(
      codeThrown(() => {
        state.delete('a', timestampMs);
      }),
    ).toBe('TIMESTAMP_INVALID');
  });
});

describe('formats', () => {
  test('turn a row into its changelog record and back', () => {
    fc.assert(
      fc.property(fc.uint8Array(), fc.maxSafeNat(), (value, timestampMs) => {
        for (const format of [plainFormat, timestampedFormat]) {
          const stored = format.fromChangelog(value, timestampMs);
          const record = format.toChangelog(stored, timestampMs);
          expect(Buffer.compare(record.value, value)).toBe(0);
          expect(record.timestampMs).toBe(timestampMs);
        }
      }),
    );
  });

  test('lay a timestamped value out as Kafka Streams does', () => {
    const stored = timestampedFormat.fromChangelog(Buffer.from('v'), 0x1_0203_0405);
    expect(Buffer.from(stored).toString('hex')).toBe('000000010203040576');
    expect(codeThrown(() => timestampedFormat.toChangelog(Buffer.from('short'), 0))).toBe('STORE_CORRUPT');
  });
});

describe('declarations', () => {
  test('are frozen and complete', () => {
    const spec = defineStore('counts', { key: stringSerde, value: int64Serde, changelog: { 'segment.ms': '1000' } });
    expect(Object.isFrozen(spec)).toBe(true);
    expect(spec).toMatchObject({
      name: 'counts',
      kind: 'key-value',
      changelog: { 'cleanup.policy': 'compact', 'segment.ms': '1000' },
    });
    expect(defineStore('counts', { key: stringSerde, value: int64Serde, changelog: false }).changelog).toBeUndefined();
    expect(defineStore('counts', { key: stringSerde, value: int64Serde }).changelog).toEqual({
      'cleanup.policy': 'compact',
    });
  });

  test('refuse bad names and bounds', () => {
    const define = (name: string, entriesMax?: number): unknown =>
      codeThrown(() =>
        defineStore(name, {
          key: stringSerde,
          value: int64Serde,
          ...(entriesMax === undefined ? {} : { cache: { entriesMax } }),
        }),
      );
    expect(define('../x')).toBe('TOPOLOGY_INVALID');
    expect(define('x', -1)).toBe('TOPOLOGY_INVALID');
    expect(define('x', 1.5)).toBe('TOPOLOGY_INVALID');
    expect(define('x', 0)).toBeUndefined();
    expect(
      codeThrown(() =>
        defineStore('x', { key: stringSerde, value: int64Serde, ordered: true, orderedKeysMax: Number.NaN }),
      ),
    ).toBe('TOPOLOGY_INVALID');
  });
});
