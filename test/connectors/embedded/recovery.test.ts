import { describe, expect, test } from '@jest/globals';
import { openLog, type EmbeddedLog } from '../../../connectors/embedded/embedded-log.ts';
import { MemoryStorage } from '../../../connectors/embedded/memory-storage.ts';
import type { Storage } from '../../../connectors/embedded/storage.ts';
import { hasCode, StreamError } from '../../../errors.ts';
import { silentLogger } from '../../../clock.ts';
import { ManualClock, seededRandom } from './manual-clock.ts';
import {
  createPairTopics,
  groupId,
  numbersUpTo,
  pairTopic,
  readAll,
  readPairs,
  recordsOf,
  sides,
  transactionalId,
  writePair,
} from './pair-workload.ts';
import { imageAfter, RecordedStorage, type Change } from './recorded-storage.ts';

function open(storage: Storage, fsync: 'always' | 'on-roll' = 'on-roll', journalBytes?: number): EmbeddedLog {
  // Thousands of cuts are each reported.
  const options = { clock: new ManualClock(), random: seededRandom(7), logger: silentLogger };
  return openLog(storage, fsync, journalBytes === undefined ? options : { ...options, journalBytes });
}

interface History {
  readonly changes: readonly Change[];
  /** So many changes had been made when `number` was acknowledged; 0 stands for the topics. */
  readonly acknowledged: readonly { readonly changeCount: number; readonly number: number }[];
}

/** Committed, aborted and open transactions over two partitions, segments that fill up, a journal that is rewritten. */
async function history(fsync: 'always' | 'on-roll'): Promise<History> {
  const storage = new RecordedStorage();
  const log = open(storage, fsync, 1500);
  const acknowledged: History['acknowledged'][number][] = [];
  const acknowledge = (number: number): void => {
    acknowledged.push({ changeCount: storage.changes.length, number });
  };
  await createPairTopics(log, { 'segment.bytes': '600' });
  acknowledge(0);
  const producer = await log.producer({ transactionalId });
  const other = await log.producer({ transactionalId: 'aborting' });
  for (let number = 1; number <= 7; number++) {
    if (number === 3 || number === 6) other.begin();
    if (number === 3 || number === 6) await other.send(sides.map((side) => ({ ...side, records: recordsOf('never') })));
    await writePair(producer, number);
    acknowledge(number);
    if (number === 4) await other.abort();
    if (number === 5) await log.maintain();
  }
  await log.admin.createTopics([{ name: 'short-lived', partitions: 1 }]);
  await log.admin.deleteTopics(['short-lived']);
  return { changes: storage.changes, acknowledged };
}

/** Opens an image and checks that all of each transaction is there or nothing, and all that was acknowledged. */
async function check(image: MemoryStorage, acknowledged: number | undefined): Promise<void> {
  const log = open(image);
  try {
    const topics = await log.admin.listTopics();
    if (!topics.includes(pairTopic)) {
      expect(acknowledged).toBeUndefined();
      return;
    }
    const { left, right, offset } = await readPairs(log);
    expect(left).toEqual(numbersUpTo(offset));
    expect(right).toEqual(left);
    expect(offset).toBeGreaterThanOrEqual(acknowledged ?? 0);
    expect(await log.admin.listTopics()).not.toContain('no such topic');
  } finally {
    await log.close();
  }
}

async function checkContinues(image: MemoryStorage): Promise<void> {
  const log = open(image);
  if (!(await log.admin.listTopics()).includes(pairTopic)) return;
  const { offset } = await readPairs(log);
  const producer = await log.producer({ transactionalId });
  await writePair(producer, offset + 1);
  await log.close();

  const again = open(image);
  expect(await readPairs(again)).toEqual({
    left: numbersUpTo(offset + 1),
    right: numbersUpTo(offset + 1),
    offset: offset + 1,
  });
  await again.close();
}

function acknowledgedBy({ acknowledged }: History, changeCount: number): number | undefined {
  return acknowledged.filter((mark) => mark.changeCount <= changeCount).at(-1)?.number;
}

describe('a process that is killed', () => {
  test('between any two writes leaves whole transactions, and all that was acknowledged', async () => {
    const all = await history('on-roll');
    for (let count = 0; count <= all.changes.length; count++) {
      await check(imageAfter(all.changes, count), acknowledgedBy(all, count));
      await checkContinues(imageAfter(all.changes, count));
    }
  });

  test('at any byte of a write leaves whole transactions, and all that was acknowledged', async () => {
    const all = await history('on-roll');
    for (const [count, change] of all.changes.entries()) {
      if (change.type !== 'append') continue;
      for (let bytes = 1; bytes < change.bytes.length; bytes++)
        await check(imageAfter(all.changes, count, { bytes }), acknowledgedBy(all, count));
    }
  });

  test('while it recovers recovers the next time', async () => {
    const all = await history('on-roll');
    const last = all.acknowledged.at(-1)!.changeCount - 3;
    const recovering = new RecordedStorage();
    copyInto(imageAfter(all.changes, last), recovering);
    const before = recovering.changes.length;
    open(recovering);
    expect(recovering.changes.length).toBeGreaterThan(before);
    for (let count = before; count <= recovering.changes.length; count++)
      await check(imageAfter(recovering.changes, count), acknowledgedBy(all, last));
  });
});

describe('power loss', () => {
  test('takes nothing that was acknowledged, and no part of a transaction, with fsync always', async () => {
    const all = await history('always');
    for (let count = 0; count <= all.changes.length; count++) {
      const image = imageAfter(all.changes, count, { unsynced: () => 0 });
      await check(image, acknowledgedBy(all, count));
    }
  });

  test('leaves a log that opens, shows nothing aborted and goes on, whatever of the rest the disk has kept', async () => {
    const all = await history('on-roll');
    const random = seededRandom(3);
    const parts = [() => 0, () => random.next(), () => (random.next() < 0.5 ? 0 : 1)];
    for (let count = 0; count <= all.changes.length; count++)
      for (const unsynced of parts) {
        const image = imageAfter(all.changes, count, { unsynced });
        const log = open(image);
        if ((await log.admin.listTopics()).includes(pairTopic)) {
          await checkSides(log);
          const producer = await log.producer({ transactionalId });
          await writePair(producer, 100);
          await checkSides(log);
          expect((await readPairs(log)).offset).toBe(100);
        }
        await log.close();
        await open(image).close();
      }
  });

  /** Each side holds committed numbers once and in order, some of the last ones missing. */
  async function checkSides(log: EmbeddedLog): Promise<void> {
    const { left, right } = await readPairs(log);
    for (const side of [left, right]) {
      const numbers = side.map(Number).filter((number) => number !== 100);
      expect(numbers).toEqual(numbersUpTo(numbers.length).map(Number));
    }
  }
});

describe('a torn file', () => {
  test('of a partition is cut to its last whole batch, wherever it was torn', async () => {
    const storage = new RecordedStorage();
    const log = open(storage);
    await log.admin.createTopics([{ name: 'plain', partitions: 1 }]);
    const producer = await log.producer({});
    const at = { topic: 'plain', partition: 0 };
    for (let number = 1; number <= 5; number++)
      await producer.send([{ ...at, records: recordsOf(String(number), `${String(number)} again`) }]);
    const written = numbersUpTo(5).flatMap((number) => [number, `${number} again`]);
    const { changes } = storage;
    const path = 'plain/0/00000000000000000000.log';
    const sizeBytes = imageAfter(changes, changes.length).open(path).sizeBytes;
    const batchBytes = sizeBytes / 5;

    for (let cut = 0; cut < sizeBytes; cut++) {
      const image = imageAfter(changes, changes.length);
      image.open(path).truncate(cut);
      const recovered = open(image);
      const whole = Math.floor(cut / batchBytes) * 2;
      expect(await readAll(recovered, 'plain', 0)).toEqual(written.slice(0, whole));
      expect((await recovered.admin.offsets([at]))[0]).toEqual({ start: 0, stable: whole, end: whole });
      expect(image.open(path).sizeBytes).toBe(Math.floor(cut / batchBytes) * batchBytes);
      await recovered.close();
    }
  });

  test('of the journal is cut to its last whole entry, wherever it was torn', async () => {
    const storage = new RecordedStorage();
    const log = open(storage);
    await log.admin.createTopics([{ name: 'plain', partitions: 1 }]);
    const at = { topic: 'plain', partition: 0 };
    const sizes: number[] = [];
    const image = () => imageAfter(storage.changes, storage.changes.length);
    for (let offset = 1; offset <= 5; offset++) {
      await log.admin.commitForEmptyGroup(groupId, [{ ...at, offset }]);
      sizes.push(image().open('~journal').sizeBytes);
    }
    for (let cut = sizes[0]!; cut < sizes[4]!; cut++) {
      const torn = image();
      torn.open('~journal').truncate(cut);
      const recovered = open(torn);
      const [committed] = await recovered.admin.committed(groupId, [at], { requireStable: true });
      expect(committed?.offset).toBe(sizes.filter((size) => size <= cut).length);
      await recovered.close();
    }
  });
});

describe('damage', () => {
  async function damaged(path: (paths: readonly string[]) => string, clean: boolean) {
    const storage = new MemoryStorage();
    const log = open(storage);
    await log.admin.createTopics([{ name: 'plain', partitions: 1, configs: { 'segment.bytes': '300' } }]);
    const producer = await log.producer({});
    for (let number = 1; number <= 9; number++)
      await producer.send([{ topic: 'plain', partition: 0, records: recordsOf(String(number)) }]);
    if (clean) await log.close();
    const paths = storage
      .list('plain/0')
      .map((name) => `plain/0/${name}`)
      .sort();
    return { bytesOf: () => copyOf(storage), path: path([...paths, '~journal']) };
  }

  /** Every byte of a file, flipped on its own: either the log says where, or nothing is lost. Returns where nothing was. */
  async function flipEach(path: (paths: readonly string[]) => string, clean: boolean): Promise<readonly number[]> {
    const { bytesOf, path: file } = await damaged(path, clean);
    const { sizeBytes } = bytesOf().open(file);
    const harmless: number[] = [];
    for (let position = 0; position < sizeBytes; position++) {
      const storage = bytesOf();
      flip(storage, file, position);
      try {
        const log = open(storage);
        expect(await readAll(log, 'plain', 0)).toEqual(numbersUpTo(9));
        await log.close();
        harmless.push(position);
      } catch (error) {
        if (!hasCode(error, 'LOG_CORRUPT')) throw error;
        expect(error.facts['file']).toBe(file);
      }
    }
    return harmless;
  }

  /** The partition leader epochs of the batches mean nothing here, and only they may change unnoticed. */
  async function expectFlipsFound(path: (paths: readonly string[]) => string, clean: boolean): Promise<void> {
    const { bytesOf, path: file } = await damaged(path, clean);
    const bytes = bytesOf().open(file).read(0, Infinity);
    const epochs: number[] = [];
    for (let position = 0; position < bytes.length; position += 12 + bytes.readInt32BE(position + 8))
      epochs.push(...[12, 13, 14, 15].map((byte) => position + byte));
    expect(epochs.length).toBeGreaterThan(0);
    expect(await flipEach(path, clean)).toEqual(epochs);
  }

  test('in an old segment is reported with file and offset, never skipped', async () => {
    await expectFlipsFound((paths) => paths[0]!, false);
    await expectFlipsFound((paths) => paths[1]!, false);
  });

  test('anywhere in a log that was closed in order is reported', async () => {
    await expectFlipsFound((paths) => paths.at(-2)!, true);
    // The journal's last entry says just that: that the log was closed in order.
    const { bytesOf } = await damaged((paths) => paths[0]!, true);
    const lastEntry = bytesOf().open('~journal').sizeBytes - '12345678{"type":"closed"}'.length;
    const harmless = await flipEach((paths) => paths.at(-1)!, true);
    expect(harmless.filter((position) => position < lastEntry)).toEqual([]);
  });

  test('is found when it happens while the log is open', async () => {
    const storage = new MemoryStorage();
    const log = open(storage);
    await log.admin.createTopics([{ name: 'plain', partitions: 1 }]);
    const producer = await log.producer({});
    const at = { topic: 'plain', partition: 0 };
    await producer.send([{ ...at, records: recordsOf('a') }]);
    await producer.send([{ ...at, records: recordsOf('b') }]);
    const file = storage.open('plain/0/00000000000000000000.log');
    const bytes = file.read(0, file.sizeBytes);
    bytes[bytes.length - 3]! ^= 1;
    const reader = log.reader({ isolation: 'read_committed' });
    reader.seek(at, 1);
    const { batches, failures } = await reader.poll(0);
    expect(batches).toEqual([]);
    expect(failures[0]!.error).toMatchObject({ code: 'LOG_CORRUPT', facts: { file: file.path, offset: 1 } });
  });

  test('a missing segment is reported', async () => {
    const { bytesOf } = await damaged((paths) => paths[1]!, false);
    const storage = bytesOf();
    storage.remove(
      storage
        .list('plain/0')
        .map((name) => `plain/0/${name}`)
        .sort()[1]!,
    );
    expect(() => open(storage)).toThrow(StreamError);
  });

  test('records without a journal are not taken for an empty log', async () => {
    const { bytesOf } = await damaged((paths) => paths[1]!, false);
    const storage = bytesOf();
    storage.remove('~journal');
    expect(() => open(storage)).toThrow(expect.objectContaining({ code: 'LOG_CORRUPT' }));
    expect(() => open(storage)).toThrow(expect.objectContaining({ code: 'LOG_CORRUPT' }));
  });
});

describe('reopening', () => {
  test('gives back all there was', async () => {
    const storage = new MemoryStorage();
    const log = open(storage);
    await createPairTopics(log, { 'retention.ms': '-1' });
    const producer = await log.producer({ transactionalId });
    for (let number = 1; number <= 3; number++) await writePair(producer, number);
    await log.admin.deleteRecords([{ topic: pairTopic, partition: 0, before: 2 }]);
    await log.admin.addPartitions(pairTopic, 3);
    await log.admin.alterTopicConfigs(pairTopic, { 'segment.ms': '5000' });
    const seen = await everything(log);
    await log.close();

    const reopened = open(storage);
    expect(await everything(reopened)).toEqual(seen);
    await reopened.close();
    const again = open(storage);
    expect(await everything(again)).toEqual(seen);
    await again.close();
  });

  test('the journal stays small and says the same', async () => {
    const storage = new MemoryStorage();
    const log = open(storage, 'on-roll', 2000);
    await createPairTopics(log);
    const producer = await log.producer({ transactionalId });
    for (let number = 1; number <= 200; number++) {
      await writePair(producer, number);
      if (number % 20 === 0) await log.maintain();
    }
    expect(storage.open('~journal').sizeBytes).toBeLessThan(20_000);
    const seen = await everything(log);
    await log.close();
    const reopened = open(storage);
    expect(await everything(reopened)).toEqual(seen);
    expect((await readPairs(reopened)).offset).toBe(200);
    await reopened.close();
  });

  test('a producer id is never given out twice', async () => {
    const storage = new MemoryStorage();
    const seen = new Set<bigint>();
    for (let round = 0; round < 3; round++) {
      const log = open(storage);
      await log.admin.createTopics([{ name: 'plain', partitions: 1 }]);
      for (let index = 0; index < 5; index++) {
        const producer = await log.producer({});
        await producer.send([{ topic: 'plain', partition: 0, records: recordsOf('a') }]);
      }
      const file = storage.open('plain/0/00000000000000000000.log');
      for (let position = 0; position < file.sizeBytes;) {
        const header = file.read(position, 61);
        seen.add(header.readBigInt64BE(43));
        position += 12 + header.readInt32BE(8);
      }
      // Not closed: as if killed.
    }
    expect(seen.size).toBe(15);
  });

  async function everything(log: EmbeddedLog) {
    const { admin } = log;
    const names = [...(await admin.listTopics())].sort();
    const partitions = [0, 1, 2].map((partition) => ({ topic: pairTopic, partition }));
    const existing = partitions.slice(0, (await admin.describeTopics([pairTopic])).get(pairTopic)!.partitions);
    return {
      names,
      clusterId: await admin.clusterId(),
      topics: await admin.describeTopics(names),
      configs: await Promise.all(names.map((name) => admin.topicConfigs(name))),
      offsets: await admin.offsets(existing),
      values: await Promise.all(existing.map(({ partition }) => readAll(log, pairTopic, partition))),
      committed: await admin.committed(groupId, [{ topic: 'input', partition: 0 }], { requireStable: true }),
    };
  }
});

function copyOf(storage: MemoryStorage): MemoryStorage {
  const copy = new MemoryStorage();
  copyInto(storage, copy);
  return copy;
}

function copyInto(from: Storage, to: Storage, directory = ''): void {
  for (const name of from.list(directory)) {
    const path = directory === '' ? name : `${directory}/${name}`;
    if (from.list(path).length > 0) copyInto(from, to, path);
    else {
      const file = from.open(path);
      to.open(path).append(file.read(0, file.sizeBytes));
    }
  }
}

function flip(storage: MemoryStorage, path: string, position: number): void {
  const file = storage.open(path);
  const bytes = Buffer.from(file.read(0, file.sizeBytes));
  bytes[position]! ^= 0x10;
  file.truncate(0);
  file.append(bytes);
}
