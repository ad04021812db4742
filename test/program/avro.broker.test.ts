import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, jest, test } from '@jest/globals';
import { silentLogger, systemClock, systemRandom } from '../../clock.ts';
import { kafkaLog } from '../../connectors/kafka/kafka-log.ts';
import type { Log } from '../../connectors/log.ts';
import { confluentRegistry } from '../../connectors/registry/confluent-registry.ts';
import { stewardOverridesValue } from '../../schemas/app/customer/avro.ts';
import type { StewardOverride } from '../../schemas/app/customer/override.ts';
import { defaultPolicy } from '../../schemas/app/customer/policy.ts';
import { bytesSerde, stringSerde } from '../../schemas/serde.ts';
import { createAvroSerdes } from '../../schemas/avro/avro-serde.ts';
import type { SchemaRegistry } from '../../schemas/schema-registry.ts';
import { startApicurio, type RunningRegistry } from '../support/apicurio.ts';
import { startApplication, type RunningApplication } from '../support/application.ts';
import { avroReader, type AvroReader } from '../support/avro-topics.ts';
import { produce, readAll, until } from '../support/cluster.ts';
import { Gate } from '../support/gate.ts';
import { describeKafka } from '../support/kafka.ts';

// Longer than any wait within: what is waited for in vain is named.
jest.setTimeout(900_000);
/** All topologies make their topics first, on a machine that may do much else. */
const startMs = 300_000;
const waitMs = 120_000;
const email = 'steward@x.test';
/** Topics of the application forget what is too old. */
const now = (): number => systemClock.nowMs();

describeKafka('the application with a registry of others', (brokers) => {
  let registry: RunningRegistry;
  let client: SchemaRegistry;
  let gate: Gate;
  let gatedUrl: string;
  let log: Log;
  let directory: string;
  const running: RunningApplication[] = [];

  beforeAll(async () => {
    registry = await startApicurio();
    client = confluentRegistry({ url: registry.url, clock: systemClock });
    const direct = new URL(registry.url);
    gate = new Gate(Number(direct.port));
    gatedUrl = `http://127.0.0.1:${String(await gate.listen())}${direct.pathname}`;
    log = kafkaLog({ brokers, clientId: 'avro' }, { clock: systemClock, random: systemRandom, logger: silentLogger });
    directory = await mkdtemp(join(tmpdir(), 'rivulet-avro-'));
  });

  afterEach(async () => {
    for (const { signal, ended } of running.splice(0)) {
      signal('SIGKILL');
      await ended;
    }
  });

  afterAll(async () => {
    await Promise.all([log.close(), gate.close(), registry.stop()]);
    await rm(directory, { recursive: true, force: true });
  });

  const newPrefix = (): string => `avro-${systemRandom.uuid().slice(0, 8)}.`;

  function start(prefix: string, env: Readonly<Record<string, string>> = {}): RunningApplication {
    const application = startApplication({
      DATA_DIR: join(directory, prefix),
      KAFKA_BROKERS: brokers.join(','),
      APPLICATION_ID: prefix.slice(0, -1),
      TOPIC_PREFIX: prefix,
      SCHEMA_REGISTRY_URL: gatedUrl,
      SAMPLE_FEED: 'true',
      ...env,
    });
    running.push(application);
    return application;
  }

  test('ends at the start with the reason if the registry holds a schema that does not go with its own', async () => {
    const prefix = newPrefix();
    const serdes = createAvroSerdes(client, systemClock);
    const fields = [{ name: 'somethingElse', type: 'int' }];
    serdes.value(`${prefix}customer.merged-value`, {
      schema: { type: 'record', name: 'CustomerMerged', namespace: 'ctb', fields },
      level: 'FULL_TRANSITIVE',
      parse: (value) => value,
    });
    await serdes.register();
    const application = start(prefix, { TOPOLOGIES: 'customer-merge' });
    expect(await application.ended).toBe(1);
    expect(application.stdout()).toContain('the registry refused the schema');
    expect(application.stderr()).toContain('SCHEMA_REFUSED');
  });

  test('writes and reads Avro through every topic; what is broken is put aside with its bytes, what the registry cannot tell waits', async () => {
    const prefix = newPrefix();
    // What came before is waited for: the registry is away while it starts.
    gate.shut();
    const application = start(prefix);
    await until('it waits', () => application.stdout().includes('waiting for the schema registry'), waitMs);
    gate.open();
    const base = await application.url;
    const reader = await avroReader(client, prefix);
    const { customer } = reader;
    await until('it runs', async () => (await fetch(`${base}/health/ready`)).status === 200, startMs);
    await tellOf(customer);
    const found = async (): Promise<Response> => await fetch(`${base}/customers/${email}`);
    await until(
      'both systems know her',
      async () => (await (await found()).text()).includes('"isPartial":false'),
      waitMs,
    );
    await decide(customer);
    await until('there is Avro in every topic', async () => await isEverywhere(reader), startMs);

    const expected = await produceBroken(customer);
    await until('they are put aside', async () => (await putAside(customer)).length >= expected.length, waitMs);
    expect(await putAside(customer)).toEqual(expected);
    await waitsForRegistry(customer, base);
    expect(await putAside(customer)).toEqual(expected);
    application.signal('SIGTERM');
    expect(await application.ended).toBe(0);
  });

  /** As others may: in JSON. */
  async function tellOf({ changesA, changesB }: AvroReader['customer']): Promise<void> {
    const common = { email, name: 'Ann', lastUpdated: '2026-01-01T00:00:00Z' };
    for (const [topic, source, id] of [
      [changesA, 'system_a', { id: 1_000_001 }],
      [changesB, 'system_b', { uuid: 'steward-1' }],
    ] as const) {
      const event = { eventId: source, source, operation: 'CREATE', timestamp: common.lastUpdated };
      const value = JSON.stringify({ ...event, payload: { ...common, ...id } });
      await produce(log, { ...topic, key: stringSerde, value: stringSerde }, [
        { key: email, value, timestampMs: now() },
      ]);
    }
  }

  /** What samples do not do: a policy, and a steward who takes a record out of a customer. */
  async function decide({ overrides, policy }: AvroReader['customer']): Promise<void> {
    await produce(log, policy, [{ key: 'name', value: defaultPolicy.name, timestampMs: now() }]);
    const decisions = [pinOf('Pinned'), { ...pinOf(), action: 'DETACH_REF', ref: 'b:steward-1' } as const];
    await produce(log, overrides, [{ key: email, value: decisions, timestampMs: now() }]);
  }

  function pinOf(value?: string): StewardOverride {
    const decision = { email, actorId: 'steward', reason: '', at: systemClock.nowMs() * 1_000 };
    return { ...decision, action: 'PIN_VALUE', field: 'name', ...(value === undefined ? {} : { value }) };
  }

  async function isEverywhere(reader: AvroReader): Promise<boolean> {
    const counts = await reader.counts(log);
    return [...counts.values()].every((count) => count > 0);
  }

  /** Resolves with the bytes of what cannot be read, in order. */
  async function produceBroken({ overrides, changesA }: AvroReader['customer']): Promise<readonly string[]> {
    const good = Buffer.from(overrides.value.serialize([pinOf('never')]));
    const unknownId = Buffer.from(good);
    unknownId.writeUInt32BE(987_654, 1);
    const bad = [
      Buffer.concat([good, Buffer.from([1])]),
      Buffer.concat([Buffer.from([9]), good.subarray(1)]),
      unknownId,
      good.subarray(0, good.length - 3),
    ];
    const records = bad.map((value) => ({ key: email, value, timestampMs: now() }));
    await produce(log, { ...overrides, value: bytesSerde }, records);
    await produce(log, { ...changesA, key: stringSerde, value: bytesSerde }, [
      { key: 'x', value: unknownId, timestampMs: now() },
    ]);
    return [...bad, unknownId].map((bytes) => bytes.toString('hex')).sort();
  }

  /** The bytes of the dead letters but for those of the samples, which are JSON. */
  async function putAside({ dlq }: AvroReader['customer']): Promise<readonly string[]> {
    const values = (await readAll(log, dlq)).map(({ value }) => Buffer.from(value ?? []).toString('hex'));
    return values.filter((hex) => !hex.startsWith('7b')).sort();
  }

  /** A schema that the application has not met, while it cannot ask for it. */
  async function waitsForRegistry({ overrides }: AvroReader['customer'], base: string): Promise<void> {
    const serdes = createAvroSerdes(client, systemClock);
    const { avro } = stewardOverridesValue;
    const own = avro.schema as { readonly type: unknown; readonly fields: readonly object[] };
    const schema = { ...own, fields: [...own.fields, { name: 'note', type: ['null', 'string'], default: null }] };
    const value = serdes.value(`${overrides.name}-other`, { ...avro, schema });
    await serdes.register();
    gate.shut();
    await produce(log, { ...overrides, value }, [
      { key: email, value: [pinOf('After the outage')], timestampMs: now() },
    ]);
    const tasks = async (): Promise<string> => await (await fetch(`${base}/admin/tasks`)).text();
    await until('it says why it waits', async () => (await tasks()).includes('REGISTRY_UNAVAILABLE'), waitMs);
    expect((await fetch(`${base}/customers/${email}`)).status).toBe(200);
    gate.open();
    const nameOf = async (): Promise<unknown> =>
      ((await (await fetch(`${base}/customers/${email}`)).json()) as { readonly name?: string }).name;
    await until('it goes on', async () => (await nameOf()) === 'After the outage', waitMs);
    await until('nothing is wrong any more', async () => !(await tasks()).includes('REGISTRY_UNAVAILABLE'), waitMs);
  }
});
