/** What every implementation of `Stores` and `KeyValueStore` must do. */
import { afterEach, describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import type { Entry, KeyValueStore, Range, StoreIdentity, Stores } from '../../state-stores/store.ts';
import { hasCode, type ErrorCode } from '../../errors.ts';

export const identity: StoreIdentity = {
  application: 'shop',
  store: 'totals',
  taskId: '0_1',
  format: 1,
  changelog: 'cluster/topic/4',
};

/** Of the wall clock of every store that is opened with `openOptions`. */
const nowMs = 1_700_000_000_000;
export const openOptions = { identity, writeBufferBytes: 4 * 1024 * 1024, nowMs: () => nowMs };

export const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);
export const text = (value: string): Uint8Array => Buffer.from(value);

export async function collect(entries: AsyncIterable<Entry>): Promise<Entry[]> {
  const all: Entry[] = [];
  for await (const entry of entries) all.push(entry);
  return all;
}

/** Entries as pairs of hexadecimal strings, for comparison. */
export const hex = (entries: readonly Entry[]): string[] =>
  entries.map(([key, value]) => `${Buffer.from(key).toString('hex')}=${Buffer.from(value).toString('hex')}`);

export async function codeOf(action: () => unknown): Promise<ErrorCode | undefined> {
  try {
    await action();
    return undefined;
  } catch (error) {
    if (
      hasCode(error, 'STORE_NOT_OPEN', 'STORE_LOCKED', 'STORE_CORRUPT', 'STORE_FOREIGN', 'STORE_IO', 'TOPOLOGY_INVALID')
    )
      return error.code;
    throw error;
  }
}

export async function write(
  store: KeyValueStore,
  position: number,
  entries: Iterable<readonly [Uint8Array, Uint8Array | undefined]>,
): Promise<void> {
  const batch = store.batch();
  for (const [key, value] of entries) {
    if (value === undefined) batch.delete(key);
    else batch.put(key, value);
  }
  await batch.write(position);
}

type Model = Map<string, Uint8Array>;

function expected(model: Model, range: Range): Entry[] {
  const names = [...model.keys()].sort((a, b) => Buffer.compare(Buffer.from(a, 'hex'), Buffer.from(b, 'hex')));
  const within = names.filter((name) => {
    const key = Buffer.from(name, 'hex');
    if (range.from !== undefined && Buffer.compare(key, range.from) < 0) return false;
    return range.to === undefined || Buffer.compare(key, range.to) < 0;
  });
  if (range.reverse === true) within.reverse();
  return within.slice(0, range.limit).map((name) => [Buffer.from(name, 'hex'), model.get(name)!]);
}

/** Registers the contract's tests. `makeStores` is called once per test and must give an empty place. */
export function storesContract(name: string, makeStores: () => Promise<Stores>): void {
  describe(`${name} keeps the contract of stores`, () => {
    const path = ['0_1', 'totals'];
    const open: KeyValueStore[] = [];

    const fresh = async (): Promise<{ stores: Stores; store: KeyValueStore }> => {
      const stores = await makeStores();
      const store = await stores.open(path, openOptions);
      open.push(store);
      return { stores, store };
    };

    afterEach(async () => {
      await Promise.all(open.splice(0).map((store) => store.close()));
    });

    test('a fresh store is empty and has no position', async () => {
      const { store } = await fresh();
      expect(store.position).toBeUndefined();
      expect(store.savedAtMs).toBeUndefined();
      expect(store.get(text('a'))).toBeUndefined();
      expect(await collect(store.scan({}))).toEqual([]);
    });

    test('a batch is visible when written, with its position, and not before', async () => {
      const { store } = await fresh();
      const batch = store.batch();
      batch.put(text('a'), text('1'));
      batch.delete(text('b'));
      expect(batch.count).toBe(2);
      expect(store.get(text('a'))).toBeUndefined();
      await batch.write(17);
      expect(store.position).toBe(17);
      expect(store.savedAtMs).toBe(nowMs);
      expect(store.get(text('a'))).toEqual(Buffer.from('1'));
    });

    test('an empty batch moves the position; 0 and the largest safe integer are positions', async () => {
      const { store } = await fresh();
      await write(store, 0, []);
      expect(store.position).toBe(0);
      await write(store, Number.MAX_SAFE_INTEGER, []);
      expect(store.position).toBe(Number.MAX_SAFE_INTEGER);
    });

    test('the last write of a key in a batch counts', async () => {
      const { store } = await fresh();
      await write(store, 1, [
        [text('a'), text('1')],
        [text('a'), text('2')],
        [text('b'), text('1')],
        [text('b'), undefined],
        [text('c'), undefined],
        [text('c'), text('3')],
      ]);
      expect(hex(await collect(store.scan({})))).toEqual(
        hex([
          [text('a'), text('2')],
          [text('c'), text('3')],
        ]),
      );
      expect(store.get(text('b'))).toBeUndefined();
    });

    test('empty keys and empty values are keys and values', async () => {
      const { store } = await fresh();
      await write(store, 1, [
        [bytes(), bytes()],
        [bytes(0), bytes(7)],
      ]);
      expect(store.get(bytes())).toHaveLength(0);
      expect(hex(await collect(store.scan({ to: bytes(0) })))).toEqual(['=']);
      await write(store, 2, [[bytes(), undefined]]);
      expect(store.get(bytes())).toBeUndefined();
    });

    test('a range is half-open and ordered by unsigned bytes', async () => {
      const { store } = await fresh();
      const keys = [
        bytes(),
        bytes(0),
        bytes(0, 0),
        bytes(0x7f),
        bytes(0x80),
        bytes(0xff),
        bytes(0xff, 0),
        bytes(0xff, 0xff),
      ];
      await write(
        store,
        1,
        [...keys].reverse().map((key) => [key, key] as const),
      );
      const scan = async (range: Range): Promise<string[]> => hex(await collect(store.scan(range)));
      const all = hex(keys.map((key) => [key, key]));
      expect(await scan({})).toEqual(all);
      expect(await scan({ reverse: true })).toEqual([...all].reverse());
      expect(await scan({ from: bytes(0x80) })).toEqual(all.slice(4));
      expect(await scan({ to: bytes(0x80) })).toEqual(all.slice(0, 4));
      expect(await scan({ from: bytes(0), to: bytes(0xff), reverse: true, limit: 2 })).toEqual([all[4], all[3]]);
      expect(await scan({ from: bytes(0xff), to: bytes(0x80) })).toEqual([]);
      expect(await scan({ limit: 0 })).toEqual([]);
    });

    test('a scan shows the store as it was when it was called', async () => {
      const { store } = await fresh();
      await write(
        store,
        1,
        Array.from({ length: 3000 }, (_, index) => [text(`key-${String(index)}`), text('old')]),
      );
      const untouched = hex(await collect(store.scan({})));
      const scan = store.scan({});
      await write(
        store,
        2,
        Array.from({ length: 3000 }, (_, index) => [
          text(`key-${String(index)}`),
          index % 2 === 0 ? undefined : text('new'),
        ]),
      );
      await write(store, 3, [[text('added'), text('new')]]);
      expect(hex(await collect(scan))).toEqual(untouched);
    });

    test('a scan may be left early, and a closed store ends the others', async () => {
      const { store } = await fresh();
      await write(
        store,
        1,
        Array.from({ length: 5000 }, (_, index) => [text(`key-${String(index)}`), text('x')]),
      );
      for await (const [key] of store.scan({})) if (Buffer.from(key).toString() === 'key-1') break;
      const abandoned = store.scan({});
      const started = store.scan({})[Symbol.asyncIterator]();
      await started.next();
      await store.close();
      expect(await codeOf(() => collect(abandoned))).toBe('STORE_NOT_OPEN');
      const rest = async (): Promise<void> => {
        while ((await started.next()).done !== true);
      };
      expect(await codeOf(rest)).toBe('STORE_NOT_OPEN');
    });

    test('a pending write can be read already', async () => {
      const { store } = await fresh();
      await write(store, 1, [
        [text('a'), text('1')],
        [text('b'), text('1')],
      ]);
      const batch = store.batch();
      batch.put(text('a'), text('2'));
      batch.delete(text('b'));
      const pending = batch.write(2);
      expect(store.get(text('a'))).toEqual(Buffer.from('2'));
      expect(store.get(text('b'))).toBeUndefined();
      await pending;
      expect(store.get(text('a'))).toEqual(Buffer.from('2'));
    });

    test('arrays handed in may be reused, arrays handed out belong to the caller', async () => {
      const { store } = await fresh();
      const key = text('key');
      const value = text('value');
      await write(store, 1, [[key, value]]);
      key.fill(0);
      value.fill(0);
      store.get(text('key'))?.fill(1);
      for (const [scannedKey, scannedValue] of await collect(store.scan({}))) {
        scannedKey.fill(2);
        scannedValue.fill(2);
      }
      expect(hex(await collect(store.scan({})))).toEqual(hex([[text('key'), text('value')]]));
      expect(store.get(text('key'))).toEqual(Buffer.from('value'));
    });

    test('a batch that was begun and left is replaced by the next one', async () => {
      const { store } = await fresh();
      store.batch().put(text('a'), text('1'));
      await write(store, 1, [[text('b'), text('1')]]);
      expect(hex(await collect(store.scan({})))).toEqual(hex([[text('b'), text('1')]]));
    });

    test('after close every method says so, and close may be called again', async () => {
      const { store } = await fresh();
      const batch = store.batch();
      await store.close();
      await store.close();
      expect(await codeOf(() => store.get(text('a')))).toBe('STORE_NOT_OPEN');
      expect(await codeOf(() => store.scan({}))).toBe('STORE_NOT_OPEN');
      expect(await codeOf(() => store.batch())).toBe('STORE_NOT_OPEN');
      expect(await codeOf(() => batch.write(1))).toBe('STORE_NOT_OPEN');
      expect(await codeOf(() => store.compact())).toBe('STORE_NOT_OPEN');
    });

    test('close waits for a pending write', async () => {
      const { store } = await fresh();
      const order: string[] = [];
      const batch = store.batch();
      for (let index = 0; index < 1000; index += 1) batch.put(text(`key-${String(index)}`), text('x'));
      const pending = batch.write(1).then(() => order.push('written'));
      await store.close().then(() => order.push('closed'));
      await pending;
      expect(order).toEqual(['written', 'closed']);
    });

    test('one path is open once; another is independent', async () => {
      const { stores, store } = await fresh();
      expect(await codeOf(() => stores.open(path, openOptions))).toBe('STORE_LOCKED');
      expect(await codeOf(() => stores.destroy(path))).toBe('STORE_LOCKED');
      const other = await stores.open(['0_2', 'totals'], openOptions);
      open.push(other);
      await write(store, 1, [[text('a'), text('1')]]);
      expect(other.get(text('a'))).toBeUndefined();
      await store.close();
      open.push(await stores.open(path, openOptions));
    });

    test('a destroyed store is empty when opened again', async () => {
      const { stores, store } = await fresh();
      await write(store, 9, [[text('a'), text('1')]]);
      await store.close();
      await stores.destroy(path);
      await stores.destroy(path);
      const again = await stores.open(path, openOptions);
      open.push(again);
      expect(again.position).toBeUndefined();
      expect(again.get(text('a'))).toBeUndefined();
    });

    test('list names the open stores', async () => {
      const { stores } = await fresh();
      open.push(await stores.open(['0_2', 'totals'], openOptions));
      const paths = (await stores.list()).map((entry) => entry.path.join('/')).sort();
      expect(paths).toEqual(['0_1/totals', '0_2/totals']);
    });

    test('what survives a close is what `persistent` says', async () => {
      const { stores, store } = await fresh();
      await write(store, 5, [[text('a'), text('1')]]);
      await store.close();
      const again = await stores.open(path, openOptions);
      open.push(again);
      expect(again.position).toBe(stores.persistent ? 5 : undefined);
      expect(again.savedAtMs).toBe(stores.persistent ? nowMs : undefined);
      expect(again.get(text('a'))).toEqual(stores.persistent ? Buffer.from('1') : undefined);
    });

    test.each([[['..']], [['a', '..', 'b']], [['a/b']], [['']], [['a', '\0']]])(
      'the path %j is refused',
      async (bad) => {
        const stores = await makeStores();
        expect(await codeOf(() => stores.open(bad, openOptions))).toBe('TOPOLOGY_INVALID');
        expect(await codeOf(() => stores.destroy(bad))).toBe('TOPOLOGY_INVALID');
      },
    );

    test('it behaves as a map with sorted keys does', async () => {
      const key = fc.uint8Array({ maxLength: 3 }).map((array) => Buffer.from(array));
      const value = fc.uint8Array({ maxLength: 40 }).map((array) => Buffer.from(array));
      const batches = fc.array(fc.array(fc.tuple(key, fc.option(value, { nil: undefined })), { maxLength: 12 }), {
        maxLength: 6,
      });
      const range = fc.record(
        { from: key, to: key, reverse: fc.boolean(), limit: fc.nat(8) },
        { requiredKeys: [] },
      ) as fc.Arbitrary<Range>;
      const { store } = await fresh();
      const model: Model = new Map();
      let position = 0;
      await fc.assert(
        fc.asyncProperty(batches, fc.array(range, { maxLength: 4 }), async (writes, ranges) => {
          for (const entries of writes) {
            position += 1;
            await write(store, position, entries);
            for (const [entryKey, entryValue] of entries) {
              if (entryValue === undefined) model.delete(entryKey.toString('hex'));
              else model.set(entryKey.toString('hex'), entryValue);
            }
            for (const [entryKey] of entries) expect(store.get(entryKey)).toEqual(model.get(entryKey.toString('hex')));
          }
          for (const one of ranges) expect(hex(await collect(store.scan(one)))).toEqual(hex(expected(model, one)));
          expect(store.position).toBe(position === 0 ? undefined : position);
        }),
        { numRuns: 60 },
      );
      await store.compact();
      expect(hex(await collect(store.scan({})))).toEqual(hex(expected(model, {})));
    });
  });
}
