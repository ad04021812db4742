import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { int64Serde, stringSerde } from '../../schemas/serde.ts';
import { rowOfChangelogKey } from '../../state-stores/group-key.ts';
import { pageBytesMax } from '../../state-stores/group-page.ts';
import { memoryStores } from '../../state-stores/memory.ts';
import type { OpenStore } from '../../state-stores/spec.ts';
import type { KeyValueStore } from '../../state-stores/store.ts';
import { defineSessionStore, defineWindowStore, type WindowStoreSpec } from '../../state-stores/window-spec.ts';
import { openOptions } from '../contracts/key-value-store-contract.ts';

const dayMs = 24 * 60 * 60 * 1000;

async function backing(): Promise<KeyValueStore> {
  return await memoryStores().open(['0_0', 'store'], openOptions);
}

const scope = { rowBytesMax: 1_000_000, cacheBytesMax: 1_000_000, currentTimestampMs: () => 5 };

function open<K, V>(spec: WindowStoreSpec<K, V>, store: KeyValueStore): ReturnType<WindowStoreSpec<K, V>['open']> {
  return spec.open(store, scope);
}

async function commit({ layers }: Pick<OpenStore<unknown>, 'layers'>, position: number): Promise<void> {
  layers.seal();
  await layers.apply(position);
}

const counts = defineWindowStore('counts', { key: stringSerde, value: int64Serde, sizeMs: 10, retentionMs: dayMs });

describe('a store of windows', () => {
  test('keeps one value for each key and start', async () => {
    const { state } = open(counts, await backing());
    state.put('a', 1, { startMs: 10, timestampMs: 12 });
    state.put('a', 2, { startMs: 20, timestampMs: 21 });
    state.put('b', 3, { startMs: 10, timestampMs: 13 });
    state.put('a', 4, { startMs: 10, timestampMs: 14 });
    expect(state.get('a', 10)).toMatchObject({ value: 4, timestampMs: 14 });
    expect(state.get('b', 20)).toBeUndefined();
    expect(state.fetch('a', 0, 20).map(({ startMs, value }) => [startMs, value])).toEqual([
      [10, 4],
      [20, 2],
    ]);
    expect(state.fetch('a', 11, 19)).toEqual([]);
    state.delete('a', 10);
    expect(state.get('a', 10)).toBeUndefined();
  });

  test('writes changelog rows in the layout of Kafka Streams: key, start, sequence number', async () => {
    const { state, layers } = open(counts, await backing());
    state.put('key', 7, { startMs: 0x0102, timestampMs: 300 });
    state.delete('key', 0x0102);
    state.put('key', 8, { startMs: 0x0102, timestampMs: 301 });
    const rows = layers.seal().map(({ key, value }) => [Buffer.from(key).toString('hex'), value === undefined]);
    expect(rows).toEqual([
      ['6b6579000000000000010200000000', true],
      ['6b6579000000000000010200000000', false],
    ]);
  });

  test('shows rows younger than its retention by the latest start that was written, whatever its key', async () => {
    const short = defineWindowStore('short', { key: stringSerde, value: int64Serde, sizeMs: 10, retentionMs: 100 });
    const { state } = open(short, await backing());
    state.put('a', 1, { startMs: 50, timestampMs: 50 });
    state.put('b', 2, { startMs: 149, timestampMs: 149 });
    expect(state.get('a', 50)?.value).toBe(1);
    state.put('b', 3, { startMs: 150, timestampMs: 150 });
    expect(state.get('a', 50)).toBeUndefined();
    expect(state.fetch('a', 0, 200)).toEqual([]);
  });

  test('takes old rows until their whole segment is beyond retention, and refuses them then', async () => {
    const short = defineWindowStore('short', { key: stringSerde, value: int64Serde, sizeMs: 10, retentionMs: 100 });
    const { state } = open(short, await backing());
    state.put('b', 2, { startMs: 120_099, timestampMs: 1 });
    // Segments are of a minute; the oldest live one begins at 60 000.
    expect(state.put('a', 1, { startMs: 60_000, timestampMs: 1 })).toBe(true);
    expect(state.put('a', 1, { startMs: 59_999, timestampMs: 1 })).toBe(false);
  });

  test('remembers its time after it was opened again', async () => {
    const short = defineWindowStore('short', { key: stringSerde, value: int64Serde, sizeMs: 10, retentionMs: 100 });
    const store = await backing();
    const first = open(short, store);
    first.state.put('a', 1, { startMs: 50, timestampMs: 50 });
    first.state.put('b', 2, { startMs: 150, timestampMs: 150 });
    await commit(first, 1);
    expect(open(short, store).state.get('a', 50)).toBeUndefined();
    expect(open(short, store).state.get('b', 150)?.value).toBe(2);
  });

  test('that keeps duplicates adds a row for each put, in order of arrival', async () => {
    const pairs = defineWindowStore('pairs', {
      key: stringSerde,
      value: int64Serde,
      sizeMs: 10,
      retentionMs: dayMs,
      keepsDuplicates: true,
    });
    const { state } = open(pairs, await backing());
    for (const value of [3, 1, 2]) state.put('a', value, { startMs: 10, timestampMs: 10 });
    state.put('a', 9, { startMs: 5, timestampMs: 5 });
    expect(state.fetch('a', 0, 10).map(({ value }) => value)).toEqual([9, 3, 1, 2]);
  });

  test('finds rows of all keys by start, then by the bytes of the key', async () => {
    const timed = defineWindowStore('timed', {
      key: stringSerde,
      value: int64Serde,
      sizeMs: 10,
      retentionMs: dayMs,
      byTime: true,
    });
    const store = await backing();
    const first = open(timed, store);
    for (const [key, startMs] of [
      ['b', 20],
      ['a', 20],
      ['c', 10],
      ['a', 30],
    ] as const)
      first.state.put(key, startMs, { startMs, timestampMs: startMs });
    const rows = (opened: typeof first): unknown =>
      opened.state.fetchAll(10, 29).map(({ key, startMs }) => `${key}${String(startMs)}`);
    expect(rows(first)).toEqual(['c10', 'a20', 'b20']);
    await commit(first, 1);
    const again = open(timed, store);
    await again.layers.load();
    expect(rows(again)).toEqual(['c10', 'a20', 'b20']);
    again.state.passBy(20);
    expect(rows(again)).toEqual(['a20', 'b20']);
  });

  test('finds by time at most as many rows as it was told, however often it is loaded', async () => {
    const timed = defineWindowStore('timed', {
      key: stringSerde,
      value: int64Serde,
      sizeMs: 10,
      retentionMs: dayMs,
      byTime: true,
      byTimeRowsMax: 2,
    });
    const opened = open(timed, await backing());
    for (const startMs of [10, 20]) opened.state.put('a', startMs, { startMs, timestampMs: startMs });
    await commit(opened, 1);
    await opened.layers.load();
    expect(opened.state.fetchAll(0, 100)).toHaveLength(2);
    expect(() => opened.state.put('a', 30, { startMs: 30, timestampMs: 30 })).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID' }),
    );
    expect(opened.state.get('a', 30)).toBeUndefined();
  });

  test('refuses a row that its changelog would not take, and keeps what was there', async () => {
    const texts = defineWindowStore('texts', { key: stringSerde, value: stringSerde, sizeMs: 1, retentionMs: dayMs });
    const { state } = texts.open(await backing(), { ...scope, rowBytesMax: 100 });
    state.put('a', 'short', { startMs: 1, timestampMs: 1 });
    expect(() => state.put('a', 'x'.repeat(100), { startMs: 1, timestampMs: 1 })).toThrow(
      expect.objectContaining({ code: 'RECORD_TOO_LARGE' }),
    );
    expect(state.fetch('a', 0, 9).map(({ value }) => value)).toEqual(['short']);
  });

  test('removes pages of expired segments when it commits', async () => {
    const short = defineWindowStore('short', { key: stringSerde, value: int64Serde, sizeMs: 10, retentionMs: 100 });
    const store = await backing();
    const opened = open(short, store);
    for (let startMs = 0; startMs < 10_000; startMs += 10)
      opened.state.put('a', startMs, { startMs, timestampMs: startMs });
    await commit(opened, 1);
    opened.state.put('a', 1, { startMs: 20_000, timestampMs: 20_000 });
    await commit(opened, 2);
    opened.state.put('a', 1, { startMs: 20_010, timestampMs: 20_010 });
    await commit(opened, 3);
    // The time of the store, and the pages of what is alive.
    expect(store.approximateCount()).toBeLessThan(4);
  });

  test('splits large groups into pages, and finds every row in them, committed or not', async () => {
    const texts = defineWindowStore('texts', {
      key: stringSerde,
      value: stringSerde,
      sizeMs: dayMs,
      retentionMs: dayMs,
    });
    const store = await backing();
    const opened = texts.open(store, { ...scope, cacheBytesMax: 1 });
    const value = 'x'.repeat(1000);
    const rowCount = Math.floor((4 * pageBytesMax) / value.length);
    for (let startMs = 0; startMs < rowCount; startMs += 2) opened.state.put('a', value, { startMs, timestampMs: 1 });
    await commit(opened, 1);
    for (let startMs = 1; startMs < rowCount; startMs += 2) opened.state.put('a', value, { startMs, timestampMs: 1 });
    const starts = Array.from({ length: rowCount }, (_, index) => index);
    expect(opened.state.fetch('a', 0, dayMs).map(({ startMs }) => startMs)).toEqual(starts);
    await commit(opened, 2);
    expect(store.approximateCount()).toBeGreaterThan(4);
    expect(
      texts
        .open(store, scope)
        .state.fetch('a', 0, dayMs)
        .map(({ startMs }) => startMs),
    ).toEqual(starts);
    for (const startMs of starts) opened.state.delete('a', startMs);
    await commit(opened, 3);
    expect(texts.open(store, scope).state.fetch('a', 0, dayMs)).toEqual([]);
    expect(store.approximateCount()).toBe(1);
  });
});

describe('a store of sessions', () => {
  const sessions = defineSessionStore('sessions', {
    key: stringSerde,
    value: int64Serde,
    retentionMs: dayMs,
  });

  test('finds the sessions of a key that overlap a stretch of time, by end', async () => {
    const { state } = sessions.open(await backing(), scope);
    state.put('a', 1, { startMs: 0, endMs: 10 });
    state.put('a', 2, { startMs: 20, endMs: 80_000_000 });
    state.put('a', 3, { startMs: 12, endMs: 15 });
    state.put('b', 4, { startMs: 0, endMs: 10 });
    expect(state.find('a', 10, 20).map(({ value }) => value)).toEqual([1, 3, 2]);
    expect(state.find('a', 11, 19).map(({ value }) => value)).toEqual([3]);
    state.delete('a', { startMs: 12, endMs: 15 });
    expect(state.get('a', { startMs: 12, endMs: 15 })).toBeUndefined();
    expect(state.get('b', { startMs: 0, endMs: 10 })).toBe(4);
  });

  test('writes changelog rows in the layout of Kafka Streams: key, end, start', async () => {
    const { state, layers } = sessions.open(await backing(), scope);
    state.put('key', 7, { startMs: 1, endMs: 2 });
    const [row] = layers.seal();
    expect(Buffer.from(row?.key ?? []).toString('hex')).toBe('6b657900000000000000020000000000000001');
    expect(row?.timestampMs).toBe(5);
  });
});

interface Command {
  readonly kind: 'put' | 'delete' | 'seal' | 'apply' | 'reopen';
  readonly key: string;
  readonly startMs: number;
  readonly value: string;
}

const keys = ['a', 'a\0', 'b', '\0\xff'];

const command: fc.Arbitrary<Command> = fc.record({
  kind: fc.oneof(
    { weight: 20, arbitrary: fc.constant('put' as const) },
    { weight: 4, arbitrary: fc.constant('delete' as const) },
    { weight: 2, arbitrary: fc.constantFrom('seal' as const, 'apply' as const) },
    { weight: 1, arbitrary: fc.constant('reopen' as const) },
  ),
  key: fc.constantFrom(...keys),
  startMs: fc.integer({ min: 0, max: 40 }),
  value: fc.integer({ min: 0, max: 3 }).map((size) => 'v'.repeat(1 + size * 6000)),
});

const texts = defineWindowStore('texts', { key: stringSerde, value: stringSerde, sizeMs: 8, retentionMs: dayMs });

/** A store beside a plain map, and the changelog between its lives. */
class Modelled {
  readonly #bounds: typeof scope;
  readonly #backing: KeyValueStore;
  readonly #rows = new Map<string, string>();
  readonly #changelog: { key: Uint8Array; value: Uint8Array | undefined }[] = [];
  #opened: ReturnType<typeof texts.open>;
  #sealed: number | undefined;

  constructor(store: KeyValueStore, bounds: typeof scope) {
    this.#backing = store;
    this.#bounds = bounds;
    this.#opened = texts.open(store, bounds);
  }

  readonly run: Readonly<Record<Command['kind'], (command: Command) => Promise<void> | void>> = {
    put: ({ key, startMs, value }) => {
      this.#opened.state.put(key, value, { startMs, timestampMs: startMs });
      this.#rows.set(JSON.stringify([key, startMs]), value);
    },
    delete: ({ key, startMs }) => {
      this.#opened.state.delete(key, startMs);
      this.#rows.delete(JSON.stringify([key, startMs]));
    },
    seal: () => {
      if (this.#sealed === undefined) this.#seal();
    },
    apply: () => this.#apply(),
    reopen: async () => {
      await this.#apply();
      // What is sealed last is committed but not applied: it comes back from the changelog.
      this.#seal();
      this.#sealed = undefined;
      this.#opened = texts.open(this.#backing, this.#bounds);
      const position = this.#backing.position ?? 0;
      await this.#opened.layers.restore(this.#changelog.slice(position), this.#changelog.length);
      await this.#opened.layers.load();
    },
  };

  #seal(): void {
    this.#changelog.push(...this.#opened.layers.seal().map(({ key, value }) => ({ key, value })));
    this.#sealed = this.#changelog.length;
  }

  async #apply(): Promise<void> {
    if (this.#sealed !== undefined) await this.#opened.layers.apply(this.#sealed);
    this.#sealed = undefined;
  }

  expectRows(): void {
    for (const key of keys) {
      const expected = [...this.#rows]
        .map(([name, text]) => ({ name: JSON.parse(name) as [string, number], text }))
        .filter(({ name }) => name[0] === key)
        .map(({ name, text }) => [name[1], text.length] as const)
        .sort(([a], [b]) => a - b);
      const found = this.#opened.state.fetch(key, 0, 40).map(({ startMs, value }) => [startMs, value.length]);
      expect(found).toEqual(expected);
    }
  }

  /** A store that is filled from the whole changelog holds the same. */
  async expectRestorable(): Promise<void> {
    await this.#apply();
    this.#seal();
    await this.#apply();
    const restored = texts.open(await backing(), this.#bounds);
    await restored.layers.restore(this.#changelog, this.#changelog.length);
    const rows = await scanned(restored.layers);
    expect(rows).toEqual(await scanned(this.#opened.layers));
    expect(rows).toHaveLength(this.#rows.size);
  }
}

async function scanned(layers: ReturnType<typeof texts.open>['layers']): Promise<readonly unknown[]> {
  const rows: unknown[] = [];
  for await (const [key] of layers.committedScan({})) rows.push(texts.key.deserialize(key));
  return rows;
}

describe('grouped rows', () => {
  test('are those of a plain map, whatever is put, deleted, sealed, applied, lost and restored', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(command, { maxLength: 80 }),
        fc.constantFrom(1, 100_000),
        async (commands, cacheBytesMax) => {
          const modelled = new Modelled(await backing(), { ...scope, cacheBytesMax });
          for (const each of commands) {
            await modelled.run[each.kind](each);
            modelled.expectRows();
          }
          await modelled.expectRestorable();
        },
      ),
      { numRuns: 30 },
    );
  }, 300_000);

  test('are scanned in the order of their keys, in both directions and from any key', async () => {
    const opened = texts.open(await backing(), scope);
    for (const key of ['a', 'a\0', 'b'])
      for (let startMs = 0; startMs < 60; startMs += 1)
        opened.state.put(key, 'v'.repeat(2000), { startMs: startMs * 100, timestampMs: 1 });
    await commit(opened, 1);
    const scan = async (range: {
      from?: Uint8Array;
      to?: Uint8Array;
      reverse?: boolean;
      limit?: number;
    }): Promise<Buffer[]> => {
      const keys: Buffer[] = [];
      for await (const [key] of opened.layers.committedScan(range)) keys.push(Buffer.from(key));
      return keys;
    };
    const all = await scan({});
    expect(all).toHaveLength(180);
    expect([...all].sort((a, b) => Buffer.compare(a, b))).toEqual(all);
    expect(await scan({ reverse: true })).toEqual(all.toReversed());
    const [from, to] = [all[77] ?? all[0], all[140] ?? all[0]];
    expect(await scan({ ...(from === undefined ? {} : { from }), ...(to === undefined ? {} : { to }) })).toEqual(
      all.slice(77, 140),
    );
    expect(await scan({ ...(from === undefined ? {} : { from }), limit: 3 })).toEqual(all.slice(77, 80));
    for (const key of all) expect(opened.layers.committedGet(key)).toBeDefined();
  });

  test('have keys in the changelog that name group, time and number', () => {
    const key = Buffer.concat([Buffer.from('key'), int64Serde.serialize(258), Buffer.of(0, 0, 0, 3)]);
    expect(rowOfChangelogKey(key, 4)).toEqual({ group: Buffer.from('key'), major: 258, minor: 3 });
    expect(() => rowOfChangelogKey(Buffer.from('short'), 4)).toThrow(
      expect.objectContaining({ code: 'STORE_CORRUPT' }),
    );
  });
});
