import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { layered, type LayeredStore } from '../../state-stores/layered-store.ts';
import { memoryStores } from '../../state-stores/memory.ts';
import type { KeyValueStore } from '../../state-stores/store.ts';
import { collect, hex, openOptions, text, write } from '../contracts/key-value-store-contract.ts';

const backingStore = (): Promise<KeyValueStore> => memoryStores().open(['0_0', 'totals'], openOptions);

const make = async (
  options: { ordered?: boolean; orderedKeysMax?: number; rowBytesMax?: number } = {},
): Promise<LayeredStore> => layered(await backingStore(), { name: 'totals', ...options });

const read = (store: LayeredStore, key: string): string | undefined => {
  const value = store.get(text(key));
  return value === undefined ? undefined : Buffer.from(value).toString();
};

const keysOf = (entries: Iterable<readonly [Uint8Array, Uint8Array]>): string[] =>
  [...entries].map(([key]) => Buffer.from(key).toString());

describe('writes', () => {
  test('are seen at once by reads, by queries only when applied', async () => {
    const store = await make();
    store.put(text('a'), text('1'), 10);
    expect(read(store, 'a')).toBe('1');
    expect(store.committedGet(text('a'))).toBeUndefined();
    store.seal();
    expect(read(store, 'a')).toBe('1');
    expect(store.committedGet(text('a'))).toBeUndefined();
    await store.apply(3);
    expect(store.committedGet(text('a'))).toEqual(Buffer.from('1'));
    expect(hex(await collect(store.committedScan({})))).toEqual(hex([[text('a'), text('1')]]));
    expect(store.position).toBe(3);
  });

  test('are sealed once per key, in the order of last writes, with the last timestamp and headers', async () => {
    const store = await make();
    const headers = [{ key: 'trace', value: text('t') }];
    store.put(text('a'), text('1'), 1);
    store.put(text('b'), text('2'), 2);
    store.put(text('c'), text('3'), 3);
    store.put(text('b'), undefined, 4, headers);
    store.put(text('a'), text('5'), 5);
    store.put(text('a'), text('6'), 6);
    expect(store.seal()).toMatchObject([
      { key: text('c'), value: text('3'), timestampMs: 3, headers: [] },
      { key: text('b'), value: undefined, timestampMs: 4, headers },
      { key: text('a'), value: text('6'), timestampMs: 6, headers: [] },
    ]);
  });

  test('are counted by key, in bytes of their last form', async () => {
    const store = await make();
    store.put(text('key'), text('12345'), 1, [{ key: 'h', value: text('22') }]);
    expect([store.uncommittedCount, store.uncommittedBytes]).toEqual([1, 3 + 5 + 3]);
    store.put(text('key'), text('1'), 1);
    store.put(text('gone'), undefined, 1);
    expect([store.uncommittedCount, store.uncommittedBytes]).toEqual([2, 3 + 1 + 4]);
    store.seal();
    expect([store.uncommittedCount, store.uncommittedBytes]).toEqual([0, 0]);
  });

  test('a deleted row is gone on every layer', async () => {
    const store = await make();
    store.put(text('a'), text('1'), 1);
    store.seal();
    await store.apply(1);
    store.put(text('a'), undefined, 2);
    expect(read(store, 'a')).toBeUndefined();
    store.seal();
    expect(read(store, 'a')).toBeUndefined();
    store.put(text('a'), text('3'), 3);
    expect(read(store, 'a')).toBe('3');
    await store.apply(2);
    expect(read(store, 'a')).toBe('3');
    expect(store.committedGet(text('a'))).toBeUndefined();
  });

  test('a row beyond the bound of its changelog is refused and not written', async () => {
    const store = await make({ rowBytesMax: 4, ordered: true });
    expect(() => {
      store.put(text('key'), text('12'), 1);
    }).toThrow(expect.objectContaining({ code: 'RECORD_TOO_LARGE' }));
    expect([store.uncommittedCount, keysOf(store.range({}))]).toEqual([0, []]);
    store.put(text('key'), text('1'), 1);
  });
});

describe('a commit', () => {
  test('that fails leaves what was applied before', async () => {
    const store = await make();
    store.put(text('a'), text('1'), 1);
    store.seal();
    await store.apply(1);
    const { generation } = store;
    store.put(text('a'), text('2'), 2);
    store.seal();
    store.put(text('b'), text('2'), 2);
    store.discard();
    expect([read(store, 'a'), read(store, 'b'), store.uncommittedCount]).toEqual(['1', undefined, 0]);
    expect(store.generation).not.toBe(generation);
    expect(store.seal()).toEqual([]);
  });

  test('that is being applied is not discarded: it is in the log', async () => {
    const store = await make();
    store.put(text('a'), text('1'), 1);
    store.seal();
    const applied = store.apply(1);
    store.put(text('a'), text('2'), 2);
    store.discard();
    expect(read(store, 'a')).toBe('1');
    await applied;
    expect(read(store, 'a')).toBe('1');
    expect(store.position).toBe(1);
  });

  test('with nothing new is not written', async () => {
    const backing = await backingStore();
    let batches = 0;
    const counting = new Proxy(backing, {
      get: (target, name) => {
        if (name === 'batch') batches += 1;
        const member: unknown = Reflect.get(target, name, target);
        return typeof member === 'function' ? (member.bind(target) as unknown) : member;
      },
    });
    const store = await layered(counting, { name: 'totals' });
    store.seal();
    await store.apply(4);
    store.seal();
    await store.apply(4);
    await store.apply(4);
    expect([batches, store.position]).toEqual([1, 4]);
  });

  test('is sealed once', async () => {
    const store = await make();
    store.seal();
    expect(() => store.seal()).toThrow('sealed twice');
  });
});

describe('an ordered store', () => {
  test('walks its keys in both directions over all layers', async () => {
    const store = await make({ ordered: true });
    for (const key of ['b', 'd', 'f']) store.put(text(key), text('applied'), 1);
    store.seal();
    await store.apply(1);
    store.put(text('a'), text('sealed'), 1);
    store.put(text('d'), undefined, 1);
    store.seal();
    store.put(text('c'), text('new'), 1);
    expect(keysOf(store.range({}))).toEqual(['a', 'b', 'c', 'f']);
    expect(keysOf(store.range({ from: text('b'), to: text('f'), reverse: true }))).toEqual(['c', 'b']);
    expect(keysOf(store.range({ limit: 2, reverse: true }))).toEqual(['f', 'c']);
    expect(keysOf(store.range({ limit: 0 }))).toEqual([]);
    expect(store.approximateCount()).toBe(4);
  });

  test('finds the keys under a prefix, the highest byte included', async () => {
    const store = await make({ ordered: true });
    for (const key of [[1], [1, 0], [1, 255], [1, 255, 7], [2], [255], [255, 255]])
      store.put(Uint8Array.from(key), text('x'), 1);
    const prefixed = (...prefix: number[]): number[][] =>
      [...store.prefix(Uint8Array.from(prefix))].map(([key]) => [...key]);
    expect(prefixed(1)).toEqual([[1], [1, 0], [1, 255], [1, 255, 7]]);
    expect(prefixed(1, 255)).toEqual([
      [1, 255],
      [1, 255, 7],
    ]);
    expect(prefixed(255)).toEqual([[255], [255, 255]]);
    expect(prefixed()).toHaveLength(7);
    expect([...store.prefix(Uint8Array.of(1), { reverse: true, limit: 1 })].map(([key]) => [...key])).toEqual([
      [1, 255, 7],
    ]);
  });

  test('may be written to while it is walked', async () => {
    const store = await make({ ordered: true });
    for (const key of ['a', 'b', 'c', 'd']) store.put(text(key), text('x'), 1);
    const seen: string[] = [];
    for (const [key, value] of store.range({})) {
      seen.push(`${Buffer.from(key).toString()}${Buffer.from(value).toString()}`);
      store.put(key, undefined, 2);
      store.put(text(`${Buffer.from(key).toString()}+`), text('y'), 2);
      store.put(text('d'), text('changed'), 2);
      if (seen.length === 1) store.put(text('b'), undefined, 2);
    }
    expect(seen).toEqual(['ax', 'cx', 'dchanged']);
  });

  test('knows its keys again when it is opened, and refuses more than its bound', async () => {
    const backing = await backingStore();
    await write(backing, 1, [
      [text('a'), text('1')],
      [text('b'), text('1')],
    ]);
    const store = await layered(backing, { name: 'totals', ordered: true, orderedKeysMax: 2 });
    expect(keysOf(store.range({}))).toEqual(['a', 'b']);
    store.put(text('a'), text('2'), 1);
    expect(() => {
      store.put(text('c'), text('1'), 1);
    }).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID', facts: { store: 'totals', orderedKeysMax: 2 } }));
    expect(read(store, 'c')).toBeUndefined();
    store.put(text('b'), undefined, 1);
    store.put(text('c'), text('1'), 1);
  });

  test('says so when the medium has lost a row', async () => {
    const backing = await backingStore();
    await write(backing, 1, [[text('a'), text('1')]]);
    const store = await layered(backing, { name: 'totals', ordered: true });
    await write(backing, 2, [[text('a'), undefined]]);
    expect(() => keysOf(store.range({}))).toThrow(expect.objectContaining({ code: 'STORE_CORRUPT' }));
  });
});

test('restoring writes past the layers, keeps the index and invalidates what was read', async () => {
  const store = await make({ ordered: true });
  const { generation } = store;
  await store.restore(
    [
      { key: text('b'), value: text('1') },
      { key: text('a'), value: text('1') },
      { key: text('b'), value: undefined },
    ],
    7,
  );
  expect([keysOf(store.range({})), store.position, store.uncommittedCount]).toEqual([['a'], 7, 0]);
  expect(store.generation).not.toBe(generation);
});

test('a failed apply is reported, and what was committed stays readable', async () => {
  const store = await make();
  store.put(text('a'), text('1'), 1);
  store.seal();
  await store.close();
  await expect(store.apply(1)).rejects.toMatchObject({ code: 'STORE_NOT_OPEN' });
  store.discard();
  expect(() => read(store, 'b')).toThrow(expect.objectContaining({ code: 'STORE_NOT_OPEN' }));
});

type Step =
  | { readonly kind: 'put'; readonly key: string; readonly value: string | undefined }
  | { readonly kind: 'seal' | 'apply' | 'discard' | 'reopen' };

const stepKeys = ['a', 'b', 'c', 'd', 'aa', ''];
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('put' as const),
      key: fc.constantFrom(...stepKeys),
      value: fc.option(fc.string({ maxLength: 3 }), { nil: undefined }),
    }),
  },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('seal' as const, 'apply' as const, 'discard' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('reopen' as const) }) },
);

/** What a layered store must be: a map, the part of it that is being committed, and the part that is applied. */
class Model {
  applied = new Map<string, string>();
  sealed: Map<string, string> | undefined;
  latest = new Map<string, string>();
  written = new Map<string, string | undefined>();
  position = 0;

  put(key: string, value: string | undefined): void {
    this.written.delete(key);
    this.written.set(key, value);
    if (value === undefined) this.latest.delete(key);
    else this.latest.set(key, value);
  }

  seal(): void {
    this.written = new Map();
    this.sealed = new Map(this.latest);
  }

  apply(): void {
    this.applied = this.sealed ?? this.applied;
    this.sealed = undefined;
  }

  discard(): void {
    this.latest = new Map(this.applied);
    this.sealed = undefined;
    this.written = new Map();
  }
}

async function run(one: Step, model: Model, store: LayeredStore): Promise<void> {
  if (one.kind === 'put') {
    store.put(text(one.key), one.value === undefined ? undefined : text(one.value), model.position);
    model.put(one.key, one.value);
  } else if (one.kind === 'seal' && model.sealed === undefined) {
    const writes = store
      .seal()
      .map(({ key, value }) => [
        Buffer.from(key).toString(),
        value === undefined ? undefined : Buffer.from(value).toString(),
      ]);
    expect(writes).toEqual([...model.written]);
    model.seal();
  } else if (one.kind === 'apply' && model.sealed !== undefined) {
    model.position += 1;
    await store.apply(model.position);
    model.apply();
  } else if (one.kind === 'discard') {
    store.discard();
    model.discard();
  }
}

test('it behaves as a map with a committed copy does', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const backing = await backingStore();
      const model = new Model();
      let store = await layered(backing, { name: 'totals', ordered: true });
      for (const one of steps) {
        if (one.kind === 'reopen') {
          store = await layered(backing, { name: 'totals', ordered: true });
          model.discard();
        } else await run(one, model, store);
        for (const name of stepKeys) expect(read(store, name)).toBe(model.latest.get(name));
        expect(keysOf(store.range({}))).toEqual([...model.latest.keys()].sort());
        expect(keysOf(await collect(store.committedScan({})))).toEqual([...model.applied.keys()].sort());
        expect(store.uncommittedCount).toBe(model.written.size);
      }
    }),
    { numRuns: 200 },
  );
});
