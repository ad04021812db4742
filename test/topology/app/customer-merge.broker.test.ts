import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { silentLogger, systemClock, systemRandom } from '../../../clock.ts';
import { kafkaLog } from '../../../connectors/kafka/kafka-log.ts';
import type { Log } from '../../../connectors/log.ts';
import type { Topic } from '../../../schemas/topic.ts';
import type { SourceChange } from '../../../schemas/app/customer/change.ts';
import type { StewardOverride } from '../../../schemas/app/customer/override.ts';
import { customerTopics } from '../../../schemas/app/customer/topics.ts';
import { canonicalJson } from '../../../schemas/serde.ts';
import { levelStores } from '../../../state-stores/level.ts';
import { customerMerge } from '../../../topology/app/customer-merge.ts';
import type { StreamInstance } from '../../../topology/runtime/stream-instance.ts';
import { latest, produce, readAll, testInstance, until } from '../../support/cluster.ts';
import { choices, histories, interleaved, overrideLists } from '../../support/customer/arbitraries.ts';
import { decoded, written } from '../../support/customer/records.ts';
import { referenceFold } from '../../support/customer/reference-fold.ts';
import type { OverrideInput } from '../../support/customer/reference-fold.ts';
import { describeKafka } from '../../support/kafka.ts';
import { isThrough } from '../../support/progress.ts';

const partitions = 6;
const families = 60;
const seed = 20_261_121;
/** The topics keep seven days. */
const timestampMs = systemClock.nowMs();

/** One random history, with addresses and records of its own: `family` tells it from all others. */
function renamed(change: SourceChange, family: number): SourceChange {
  const sourceId = `${String(family)}-${change.sourceId}`;
  if (change.op === 'TOMBSTONE') return { ...change, sourceId };
  const { email, emailRaw } = change;
  return {
    ...change,
    sourceId,
    ...(email === undefined ? {} : { email: addressOf(email, family) }),
    ...(emailRaw === undefined ? {} : { emailRaw: addressOf(emailRaw, family) }),
  };
}

const addressOf = (email: string, family: number): string => email.replace('@', `.${String(family)}@`);

function renamedOverrides({ email, overrides }: OverrideInput, family: number): OverrideInput {
  const rename = (override: StewardOverride): StewardOverride => ({
    ...override,
    email: addressOf(override.email, family),
    ...(override.ref === undefined ? {} : { ref: override.ref.replace(':', `:${String(family)}-`) }),
  });
  return { email: addressOf(email, family), overrides: overrides === null ? null : overrides.map(rename) };
}

interface Inputs {
  readonly changes: readonly SourceChange[];
  readonly overrides: readonly OverrideInput[];
}

/** All families' histories, interleaved at random. */
function inputs(): Inputs {
  const draw = fc.tuple(histories, overrideLists, choices);
  const drawn = fc.sample(draw, { numRuns: families, seed });
  const queues = drawn.flatMap(([queue], family) =>
    queue.map((history) => history.map((change) => renamed(change, family))),
  );
  const order = fc.sample(fc.nat({ max: 1_000 }), { numRuns: 1_000, seed });
  return {
    changes: interleaved(queues, order),
    overrides: drawn.flatMap(([, lists], family) => lists.map((list) => renamedOverrides(list, family))),
  };
}

const prefix = `merge-${systemRandom.uuid().slice(0, 8)}.`;
const topics = customerTopics(prefix);
const declared: readonly Pick<Topic<unknown, unknown>, 'name' | 'create'>[] = [
  topics.changesA,
  topics.changesB,
  topics.decisions,
  topics.overrides,
  topics.sources,
  topics.merged,
  topics.conflicts,
  topics.dlq,
  topics.detached,
];
const sources = [topics.changesA, topics.changesB, topics.overrides];
const applicationId = `${prefix}customer-merge`;
const passed = {
  topics: [
    ...sources.map(({ name }) => name),
    ...['by-source', 'by-email'].map((name) => `${applicationId}-${name}-repartition`),
  ],
  outputs: [topics.merged.name],
};

async function append(log: Log, { changes, overrides }: Inputs): Promise<void> {
  for (const [topic, source] of [
    [topics.changesA, 'system_a'],
    [topics.changesB, 'system_b'],
  ] as const) {
    const records = changes.filter((change) => change.source === source).map(written);
    await produce(
      log,
      topic,
      records.map(({ key, value }) => ({ key, value: value ?? null, timestampMs })),
    );
  }
  await produce(
    log,
    topics.overrides,
    overrides.map(({ email, overrides: list }) => ({ key: email, value: list, timestampMs })),
  );
}

async function merged(log: Log): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const [key, value] of latest(await readAll(log, topics.merged)))
    if (value !== null) found.set(key ?? '', canonicalJson(value) ?? '');
  return found;
}

describeKafka('the customer merge on Kafka', (brokers) => {
  test('I-C1: two instances leave the reference fold in customer.merged, byte for byte; again after a replay, and after a reset', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'rivulet-merge-'));
    const log = kafkaLog(
      { brokers, clientId: 'test' },
      { clock: systemClock, random: systemRandom, logger: silentLogger },
    );
    const run = async (id: string): Promise<StreamInstance> => {
      const path = join(directory, id);
      const stores = levelStores({ directory: path, logger: silentLogger, random: systemRandom });
      const instance = testInstance(log, customerMerge(prefix), { applicationId, instanceId: id, stores });
      await instance.start();
      return instance;
    };
    await log.admin.createTopics(declared.map(({ name, create }) => ({ name, partitions, ...create })));
    const given = inputs();
    await append(log, given);
    const expected = expectedAfter(1, given);
    expect(expected.size).toBeGreaterThan(families);

    const both = [await run('one'), await run('two')];
    await until('all is merged', async () => isEqual(await merged(log), expected), 90_000);
    expect(both.every((instance) => instance.tasks().length > 0)).toBe(true);
    for (const instance of both) await instance.close();

    // The same inputs again over the state that is there, as if they had been written twice.
    await log.admin.commitForEmptyGroup(applicationId, fromTheStart);
    const again = await run('one');
    await until('the replay is through', async () => isThrough(log, applicationId, passed), 60_000);
    await again.close();
    expect(await merged(log)).toEqual(expectedAfter(2, given));

    // From nothing: no state on disk, no internal topics, offsets at the start.
    const internal = (await log.admin.listTopics()).filter((name) => name.startsWith(`${applicationId}-`));
    expect(internal).toHaveLength(9);
    await log.admin.deleteTopics(internal);
    await rm(directory, { recursive: true, force: true });
    await log.admin.commitForEmptyGroup(applicationId, fromTheStart);
    const fresh = await run('three');
    await until('the inputs are through', async () => isThrough(log, applicationId, passed), 60_000);
    await fresh.close();
    expect(await merged(log)).toEqual(expected);
    expect(await readAll(log, topics.dlq)).toEqual([]);
    await rm(directory, { recursive: true, force: true });
    await log.close();
  }, 240_000);
});

const fromTheStart = sources.flatMap(({ name }) =>
  Array.from({ length: partitions }, (_, partition) => ({ topic: name, partition, offset: 0 })),
);

function isEqual(found: ReadonlyMap<string, string>, expected: ReadonlyMap<string, string>): boolean {
  return found.size === expected.size && [...expected].every(([key, value]) => found.get(key) === value);
}

/** What is left by the inputs, given so many times in a row. */
function expectedAfter(times: number, { changes, overrides }: Inputs): Map<string, string> {
  const repeat = <T>(list: readonly T[]): readonly T[] => Array.from({ length: times }, () => list).flat();
  const accepted = changes.flatMap((change) => decoded(written(change), timestampMs));
  const expected = new Map<string, string>();
  for (const [email, { json }] of referenceFold(repeat(accepted), repeat(overrides)))
    if (json !== null) expected.set(email, json);
  return expected;
}
