/** The customer merge as it ships: random histories of source records in; out comes `customer.merged`, equal to the reference fold byte for byte. */
import fc from 'fast-check';
import type { SourceChange } from '../../schemas/app/customer/change.ts';
import type { CustomerMerged } from '../../schemas/app/customer/merged.ts';
import { customerTopics } from '../../schemas/app/customer/topics.ts';
import { canonicalJson } from '../../schemas/serde.ts';
import { customerMerge } from '../../topology/app/customer-merge.ts';
import { latest, type ReadRecord } from '../support/cluster.ts';
import { choices, histories, interleaved, overrideLists } from '../support/customer/arbitraries.ts';
import { decoded, written } from '../support/customer/records.ts';
import { referenceFold, type ReferenceCustomer } from '../support/customer/reference-fold.ts';
import { batchesOf } from './batches.ts';
import { epochMs } from './process.ts';
import type { Append, InputOptions, ReadTopic, Scenario } from './scenario.ts';

const topics = customerTopics();
const topicNames: readonly string[] = [
  topics.changesA,
  topics.changesB,
  topics.decisions,
  topics.overrides,
  topics.sources,
  topics.merged,
  topics.conflicts,
  topics.detached,
  topics.dlq,
].map((topic: { readonly name: string }) => topic.name);
const inputsOf = { system_a: topics.changesA, system_b: topics.changesB };

export const customerMergeScenario: Scenario = {
  name: 'customer-merge',
  topologies: [customerMerge()],
  marks: [],
  topics: topicNames.map((name) => ({ name })),
  inputs,
  verify,
};

/** One record at a time, in an order that keeps that of each source record, and of the lists of decisions. */
function inputs({ chance, records, partitions, durationMs }: InputOptions): readonly Append[] {
  const seed = chance.below(2 ** 31);
  const [drawn] = fc.sample(fc.tuple(histories, overrideLists, choices), { numRuns: 1, seed });
  if (drawn === undefined) return [];
  const [queues, overrides, order] = drawn;
  const inOrder = (batches: readonly Append['batches'][]): readonly Append[] => {
    const times = batches.map(() => chance.next() * durationMs).sort((a, b) => a - b);
    return batches.map((batch, index) => ({ atMs: times[index] ?? 0, outcome: 'plain', batches: batch }));
  };
  const changes = interleaved(queues, order).slice(0, records).map(written);
  return [
    ...inOrder(
      changes.map(({ source, key, value = null }) =>
        batchesOf(inputsOf[source], partitions, [{ key, value, timestampMs: epochMs }]),
      ),
    ),
    ...inOrder(
      overrides.map(({ email, overrides: value }) =>
        batchesOf(topics.overrides, partitions, [{ key: email, value, timestampMs: epochMs }]),
      ),
    ),
  ];
}

async function verify(read: ReadTopic): Promise<readonly string[]> {
  const merged = await read(topics.merged);
  const dead = await read(topics.dlq);
  return [
    ...differences(latest(merged), await reference(read)),
    ...repetitions(merged),
    ...(dead.length > 0 ? ['a good record was dead-lettered'] : []),
  ];
}

async function reference(read: ReadTopic): Promise<Map<string, ReferenceCustomer>> {
  const changes: SourceChange[] = [];
  for (const source of ['system_a', 'system_b'] as const)
    for (const { key, value, timestampMs } of await read(inputsOf[source]))
      changes.push(...decoded({ source, key: key ?? new Uint8Array(), value: value ?? undefined }, timestampMs));
  const overrides = (await read(topics.overrides)).map(({ key, value }) => ({ email: key ?? '', overrides: value }));
  return referenceFold(changes, overrides);
}

function differences(
  found: ReadonlyMap<string | null, CustomerMerged | null>,
  expected: ReadonlyMap<string, ReferenceCustomer>,
): readonly string[] {
  const wrong: string[] = [];
  for (const email of new Set([...found.keys(), ...expected.keys()])) {
    const value = found.get(email) ?? null;
    const got = value === null ? null : (canonicalJson(value) ?? null);
    const want = expected.get(email ?? '')?.json ?? null;
    if (got !== want) wrong.push(`customer.merged of ${String(email)}: ${String(got)} instead of ${String(want)}`);
  }
  return wrong;
}

/** Versions of a customer only grow: a record that was merged twice shows here even if the last value is right. */
function repetitions(merged: readonly ReadRecord<string, CustomerMerged>[]): readonly string[] {
  const wrong: string[] = [];
  const versions = new Map<string | null, number>();
  for (const { key, value } of merged) {
    if (value === null) continue;
    const before = versions.get(key) ?? 0;
    if (value.version <= before) wrong.push(`${String(key)}: version ${value.version} follows ${before}`);
    versions.set(key, value.version);
  }
  return wrong;
}
