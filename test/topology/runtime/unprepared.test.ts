import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { systemClock, systemRandom } from '../../../clock.ts';
import { memoryLog, type EmbeddedLog } from '../../../connectors/embedded/embedded-log.ts';
import { createAvroSerdes } from '../../../schemas/avro/avro-serde.ts';
import { bytesSerde, stringSerde, type Serde } from '../../../schemas/serde.ts';
import { defineTopic } from '../../../schemas/topic.ts';
import { defineTopology } from '../../../topology/builder.ts';
import type { StreamInstance } from '../../../topology/runtime/stream-instance.ts';
import { produce, readAll, testInstance, until } from '../../support/cluster.ts';
import { MemoryRegistry } from '../../support/memory-registry.ts';

interface Thing {
  readonly id: string;
}

const schema = { type: 'record', name: 'Thing', fields: [{ name: 'id', type: 'string' }] };
const seen = defineTopic({ name: 'seen', key: stringSerde, value: stringSerde });
const dead = defineTopic({ name: 'dead', key: bytesSerde, value: bytesSerde });
const raw = defineTopic({ name: 'things', key: stringSerde, value: bytesSerde });
const plain = defineTopic({ name: 'plain', key: stringSerde, value: stringSerde });

let log: EmbeddedLog;
let registry: MemoryRegistry;
let instance: StreamInstance | undefined;

beforeEach(async () => {
  log = memoryLog({ clock: systemClock, random: systemRandom });
  registry = new MemoryRegistry();
  await log.admin.createTopics([raw, plain, seen, dead].map(({ name }) => ({ name, partitions: 1 })));
});
afterEach(async () => {
  await instance?.close();
  await log.close();
});

/** A writer of another process: what it registered is news to the reader. */
async function thingSerde(extra: readonly object[] = []): Promise<Serde<Thing>> {
  const serdes = createAvroSerdes(registry, systemClock);
  const serde = serdes.value('things-value', {
    schema: { ...schema, fields: [...schema.fields, ...extra] },
    level: 'FULL',
    parse: (value) => value as Thing,
  });
  await serdes.register();
  return serde;
}

async function start(): Promise<StreamInstance> {
  const value = await thingSerde();
  const things = defineTopic({ name: raw.name, key: stringSerde, value });
  const topology = defineTopology(
    'reading',
    (t) => {
      const ids = t.stream(things).mapValues('ids', ({ id }) => id);
      ids.merge(t.stream(plain), 'all').to(seen);
    },
    { onError: 'dead-letter', deadLetterTopic: dead.name },
  );
  instance = testInstance(log.client(), topology);
  await instance.start();
  return instance;
}

const note = { name: 'note', type: ['null', 'string'], default: null };
const bytes = (serde: Serde<Thing>, id: string) => ({ key: id, value: serde.serialize({ id }) });
const values = async (): Promise<readonly (string | null)[]> =>
  (await readAll(log, seen)).map(({ value }) => value).sort();

describe('records whose schema the registry has to tell', () => {
  test('wait while it is away, and go on in order when it is back; nothing is dead-lettered, other inputs go on', async () => {
    const writer = await thingSerde([note]);
    const running = await start();
    registry.isAway = true;
    await produce(log, raw, [bytes(writer, 'a'), bytes(writer, 'b')]);
    await until('it says why it waits', () => running.failure?.code === 'REGISTRY_UNAVAILABLE');
    await produce(log, plain, [{ key: 'p', value: 'p' }]);
    await produce(log, raw, [bytes(writer, 'c')]);
    await until('the other input is read', async () => (await values()).includes('p'));
    expect(await values()).toEqual(['p']);

    registry.isAway = false;
    await until('all are read', async () => (await values()).length === 4);
    expect((await readAll(log, seen)).map(({ value }) => value).filter((value) => value !== 'p')).toEqual([
      'a',
      'b',
      'c',
    ]);
    expect(await readAll(log, dead)).toEqual([]);
    await until('nothing is wrong any more', () => running.failure === undefined);
  });

  test('are not missed by an instance that closes while it is away: the next one reads them', async () => {
    const writer = await thingSerde([note]);
    const first = await start();
    registry.isAway = true;
    await produce(log, raw, [bytes(writer, 'a')]);
    await until('it waits', () => first.failure?.code === 'REGISTRY_UNAVAILABLE');
    expect(await first.close()).toBe(true);
    registry.isAway = false;
    await start();
    await until('it is read', async () => (await values()).length === 1);
  });

  test('that it does not know, or that are broken, are dead-lettered with their bytes, and the next is read', async () => {
    await start();
    const writer = await thingSerde();
    const good = writer.serialize({ id: 'good' });
    const bad = [
      Buffer.from([0, 0, 0, 0, 99, 2, 97]),
      Buffer.from([7, 0, 0, 0, 1, 2, 97]),
      Buffer.concat([good, Buffer.from([1])]),
      good.subarray(0, 7),
    ];
    await produce(
      log,
      raw,
      [...bad, good].map((value, index) => ({ key: String(index), value })),
    );
    await until('the good one is read', async () => (await values()).includes('good'));
    const letters = await readAll(log, dead);
    expect(letters.map(({ value }) => Buffer.from(value ?? []))).toEqual(bad.map((value) => Buffer.from(value)));
  });
});
