import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from '@jest/globals';
import { noBacklog } from '../../api/app/backlog.ts';
import { txIdOf } from '../../api/app/billing-accept.ts';
import { billingCommandRoutes } from '../../api/app/billing-routes.ts';
import { silentLogger, systemClock, systemRandom, type Clock } from '../../clock.ts';
import { memoryLog, type EmbeddedLog } from '../../connectors/embedded/embedded-log.ts';
import type { Log } from '../../connectors/log.ts';
import type { OutgoingRecord } from '../../connectors/outgoing-record.ts';
import { StreamError } from '../../errors.ts';
import { transactions } from '../../processors/app/billing/saga-processor.ts';
import { createRecordWriter, type RecordWriter } from '../../program/record-writer.ts';
import { openRequestRegister, type OpenRegister } from '../../program/request-register.ts';
import type { SagaRequest } from '../../schemas/app/billing/request.ts';
import { billingTopics } from '../../schemas/app/billing/topics.ts';
import { noHeaders } from '../../schemas/record.ts';
import { BatchBuilder } from '../../schemas/record-batch.ts';
import { levelStores } from '../../state-stores/level.ts';
import type { StoreBatch, Stores } from '../../state-stores/store.ts';
import { apiOf, type Api } from '../api/fake-instance.ts';
import { readAll, until } from '../support/cluster.ts';
import { faultyLog, type LogFaults } from '../support/faulty-log.ts';
import { partitionsOf } from '../support/progress.ts';

const { requests } = billingTopics();
const waitMs = 60_000;

/** A process that takes requests in. */
interface Entrance {
  readonly register: OpenRegister;
  readonly writer: RecordWriter;
  readonly api: Api;
  close(): Promise<void>;
}

let log: EmbeddedLog;
let directory: string;
const entrances: Entrance[] = [];

beforeEach(async () => {
  log = memoryLog({ clock: systemClock, random: systemRandom });
  directory = await mkdtemp(join(tmpdir(), 'rivulet-register-'));
  await makeTopic();
});

afterEach(async () => {
  await Promise.all(entrances.splice(0).map((one) => one.close()));
  await log.close();
  await rm(directory, { recursive: true, force: true });
});

async function makeTopic(): Promise<void> {
  await log.admin.createTopics([{ name: requests.name, partitions: 3 }]);
}

const onDisk = (name: string): Stores => levelStores({ directory: join(directory, name), logger: silentLogger });

/** `name`: of its data directory. */
function open(name: string, stores = onDisk(name), own: Log = log.client(), clock = systemClock): Entrance {
  const parts = { log: own, stores, clock, logger: silentLogger };
  const register = openRequestRegister({ ...parts, topic: requests, name: 'billing-requests' });
  const writer = createRecordWriter(own, systemClock);
  const write = (record: OutgoingRecord) => writer.write(record);
  const api = apiOf([], {
    routes: [billingCommandRoutes({ transactions, requests, register, backlog: noBacklog, write, clock: systemClock })],
  });
  const close = async (): Promise<void> => {
    await api.close();
    await register.connector.close();
    await writer.close();
    await own.close();
  };
  const entrance = { register, writer, api, close };
  entrances.push(entrance);
  return entrance;
}

async function started(name: string, stores?: Stores, client?: Log): Promise<Entrance> {
  const entrance = open(name, stores, client);
  entrance.register.connector.start();
  await until('the requests before are known', () => hasCaughtUp(entrance), waitMs);
  return entrance;
}

function hasCaughtUp({ register }: Entrance): boolean {
  try {
    register.find('any');
    return true;
  } catch {
    return false;
  }
}

async function transfer({ api }: Entrance, idempotencyKey: string, amount = '1') {
  const sides = { sourceAccountId: 'ann', destinationAccountId: 'bob', currency: 'USD' };
  const payload = { ...sides, amount, idempotencyKey };
  const answer = await api.inject({ method: 'POST', url: '/transactions/transfer', payload });
  const { code, trackingId } = answer.json<{ code?: string; trackingId?: string }>();
  return { status: answer.statusCode, said: code ?? trackingId, replayed: answer.headers['idempotency-replayed'] };
}

/** What the log has, as the saga would read it. */
async function written(): Promise<readonly SagaRequest[]> {
  return (await readAll(log, requests)).flatMap(({ value }) => value ?? []);
}

const accepted = (key: string) => ({ status: 202, said: key, replayed: undefined });
const refused = { status: 422, said: 'idempotency_key_reused', replayed: undefined };

test('a key that is known is the same request, or refused, and nothing more is written', async () => {
  const entrance = await started('one');
  expect(await transfer(entrance, 'k')).toEqual(accepted('k'));
  expect(await transfer(entrance, 'k')).toEqual({ ...accepted('k'), replayed: 'true' });
  expect(await transfer(entrance, 'k', '2')).toEqual(refused);
  expect(await written()).toHaveLength(1);
});

test('of different requests under one key that reach two processes at the same moment, the first in the log is accepted and the other refused', async () => {
  const both = await Promise.all([started('one'), started('two')]);
  for (let round = 0; round < 20; round += 1) {
    const key = `k${String(round)}`;
    const answers = await Promise.all(both.map((one, index) => transfer(one, key, String(index + 1))));
    const [first] = (await written()).filter(({ txId }) => txId === txIdOf(key));
    const winner = first !== undefined && 'amount' in first && first.amount === 100_000_000n ? 0 : 1;
    expect(answers[winner]).toEqual(accepted(key));
    expect(answers[1 - winner]).toEqual(refused);
  }
});

test('a register that rests is woken by whoever waits for what another process has written', async () => {
  const restMs = 100;
  const sleep: Clock['sleep'] = (ms, signal) => systemClock.sleep(ms === restMs ? 3_600_000 : ms, signal);
  const one = open('one', onDisk('one'), log.client(), { ...systemClock, sleep });
  const two = await started('two');
  one.register.connector.start();
  await until('the requests before are known', () => hasCaughtUp(one), waitMs);
  for (let round = 0; round < 20; round += 1) {
    const key = `k${String(round)}`;
    expect(await transfer(two, key)).toEqual(accepted(key));
    expect(await transfer(one, key, '2')).toEqual(refused);
  }
});

test('the same request that reaches two processes at the same moment is accepted by both under one tracking id', async () => {
  const both = await Promise.all([started('one'), started('two')]);
  const answers = await Promise.all(both.map((one) => transfer(one, 'k')));
  expect(answers.map(({ status, said }) => [status, said])).toEqual([
    [202, 'k'],
    [202, 'k'],
  ]);
  expect(answers.filter(({ replayed }) => replayed === undefined)).toHaveLength(1);
});

test('what a process wrote that was killed before it could answer is known to the one after it', async () => {
  const killed = await started('one');
  await transfer(killed, 'before');
  // Killed: nothing of it reaches the disk any more.
  const record = await transferRecord('written');
  await killed.writer.write(record);
  await killed.close();
  entrances.splice(0);
  const next = await started('one');
  expect(await transfer(next, 'before', '2')).toEqual(refused);
  expect(await transfer(next, 'written', '2')).toEqual(refused);
});

async function transferRecord(key: string): Promise<OutgoingRecord> {
  const value: SagaRequest = {
    ...{ type: 'TRANSFER', txId: txIdOf(key), idempotencyKey: key, fingerprint: 'f', actorId: 'a', correlationId: 'c' },
    ...{ requestedAt: 1, sourceAccountId: 'ann', destinationAccountId: 'bob', amount: 1n, currency: 'USD' },
  };
  const bytes = { key: requests.key.serialize(value.txId), value: requests.value.serialize(value) };
  return { topic: requests.name, ...bytes, headers: noHeaders, timestampMs: 1 };
}

test('what was read once is not read again after a start', async () => {
  const first = await started('one');
  await transfer(first, 'k');
  await first.close();
  entrances.splice(0);
  const partitions = await partitionsOf(log, requests.name);
  const ends = await log.admin.offsets(partitions);
  await log.admin.deleteRecords(partitions.map((at, index) => ({ ...at, before: ends[index]?.end ?? 0 })));
  const second = await started('one');
  expect(await transfer(second, 'k', '2')).toEqual(refused);
});

/** What a saga writes between requests. */
function wakeOf(key: string): BatchBuilder {
  const txId = txIdOf(key);
  const records = new BatchBuilder();
  records.append(1, requests.key.serialize(txId), requests.value.serialize({ type: 'REDRIVE', txId }), noHeaders);
  return records;
}

test('what one process has accepted is known to every other at once, and what nobody has asked for to none', async () => {
  const both = await Promise.all([started('one'), started('two')]);
  const producer = await log.producer({ transactionalId: 'saga' });
  for (let round = 0; round < 20; round += 1) {
    const key = `k${String(round)}`;
    await transfer(both[round % 2]!, key);
    expect(await both[(round + 1) % 2]!.register.current(txIdOf(key))).toBeDefined();
    // Its end is a record that nobody sees.
    producer.begin();
    await producer.send([{ topic: requests.name, partition: round % 3, records: wakeOf(key) }]);
    await producer.commit();
    expect(await both[0].register.current(txIdOf(`never-${key}`))).toBeUndefined();
  }
  await producer.close();
});

test('a request is known without being read back where nothing of others lies before it, and waits to be read where something does', async () => {
  const faults: LogFaults = {};
  const entrance = await started('one', undefined, faultyLog(log.client(), faults));
  let isStalled = false;
  faults.unreadable = () => {
    isStalled = true;
    return [];
  };
  await until('nothing more is read', () => isStalled, waitMs);
  const keys = Array.from({ length: 30 }, (_, index) => `k${String(index)}`);
  expect(await Promise.all(keys.map((key) => transfer(entrance, key)))).toEqual(keys.map(accepted));
  expect(await transfer(entrance, 'k0')).toEqual({ ...accepted('k0'), replayed: 'true' });
  const other = log.client();
  const writer = createRecordWriter(other, systemClock);
  await writer.write(await transferRecord('l'));
  let isAnswered = false;
  const late = transfer(entrance, 'l', '2').finally(() => {
    isAnswered = true;
  });
  await until('it is written', async () => (await written()).length === keys.length + 2, waitMs);
  expect(isAnswered).toBe(false);
  delete faults.unreadable;
  expect(await late).toEqual(refused);
  expect(await transfer(entrance, 'k1', '2')).toEqual(refused);
  await writer.close();
  await other.close();
});

test('nothing is accepted before everything is known that is there', async () => {
  const entrance = open('one');
  expect(await transfer(entrance, 'k')).toEqual({ status: 503, said: 'store_not_ready', replayed: undefined });
  expect(await written()).toEqual([]);
});

test('what sagas tell themselves, and what is no request, stands for no key', async () => {
  const entrance = await started('one');
  const txId = txIdOf('k');
  const wake = requests.value.serialize({ type: 'TIMED_OUT', txId, seq: 1 });
  const about = { topic: requests.name, key: requests.key.serialize(txId), headers: noHeaders, timestampMs: 1 };
  const stray = { ...(await transferRecord('k')), key: requests.key.serialize(txIdOf('other')) };
  for (const record of [{ ...about, value: wake }, { ...about, value: Buffer.from('{') }, stray])
    await entrance.writer.write(record);
  expect(await transfer(entrance, 'k')).toEqual(accepted('k'));
  expect(await transfer(entrance, 'other')).toEqual(accepted('other'));
});

/** Stores whose first write fails. */
function failingOnce(stores: Stores): { readonly stores: Stores; readonly hasFailed: () => boolean } {
  let hasFailed = false;
  const open: Stores['open'] = async (path, options) => {
    const store = await stores.open(path, options);
    const batch = (): StoreBatch => {
      const made = store.batch();
      const write: StoreBatch['write'] = async (position) => {
        if (hasFailed) return made.write(position);
        hasFailed = true;
        throw new StreamError('STORE_IO', 'the disk is full');
      };
      return { put: (key, value) => made.put(key, value), delete: (key) => made.delete(key), count: made.count, write };
    };
    return new Proxy(store, {
      get: (target, name) => {
        const value: unknown = name === 'batch' ? batch : Reflect.get(target, name, target);
        return typeof value === 'function' ? (value.bind(target) as unknown) : value;
      },
    });
  };
  return { stores: { ...stores, open }, hasFailed: () => hasFailed };
}

test('what could not be written to the disk is read once more', async () => {
  const { stores, hasFailed } = failingOnce(onDisk('one'));
  const entrance = await started('one', stores);
  await transfer(entrance, 'k');
  await until('the first write has failed', hasFailed, waitMs);
  await until('it begins anew', () => !hasCaughtUp(entrance), waitMs);
  await until('everything is known again', () => hasCaughtUp(entrance), waitMs);
  expect(await transfer(entrance, 'k', '2')).toEqual(refused);
  await entrance.close();
  entrances.splice(0);
  expect(await transfer(await started('one'), 'k', '2')).toEqual(refused);
});

test('a topic that was made anew is read from its start', async () => {
  const before = await started('one');
  await transfer(before, 'k');
  await before.close();
  entrances.splice(0);
  await log.admin.deleteTopics([requests.name]);
  await makeTopic();
  const after = await started('one');
  expect(await transfer(after, 'k', '2')).toEqual(accepted('k'));
});
