/** Before an instance joins: reads what topics exist, makes the plan, and creates or checks the internal topics. */
import type { Admin } from '../../connectors/log.ts';
import { StreamError } from '../../errors.ts';
import { crc32c } from '../../schemas/crc32c.ts';
import { canonicalJson } from '../../schemas/serde.ts';
import { internalTopicKinds, type Topology } from '../graph.ts';
import { plan as planTopology } from '../plan.ts';
import type { InternalTopic, Plan } from '../plan.ts';
import type { ResolvedOptions } from './options.ts';
import type { Outputs } from './outputs.ts';
import { physicalTopicName } from './plan-tasks.ts';
import { describeKnown } from './topic-watch.ts';
import type { KnownTopics } from './topic-watch.ts';

export interface Prepared {
  readonly plan: Plan;
  readonly fingerprint: string;
  /** Identity of each changelog and topic of a global store: cluster, topic id, partitions. A store filled from another one is foreign. */
  readonly changelogIds: ReadonlyMap<string, string>;
  /** How long each changelog keeps deletions after they were compacted, ms. */
  readonly tombstonesMs: ReadonlyMap<string, number>;
  readonly clusterId: string;
  /** What is read and restored from, as it is now. */
  readonly topics: KnownTopics;
}

/** Rejects with `SOURCE_TOPIC_MISSING`, `NOT_COPARTITIONED`, `INTERNAL_TOPIC_INVALID`, `INTERNAL_TOPIC_UNKNOWN`, `LOG_UNAVAILABLE`. */
export async function prepare(options: ResolvedOptions, outputs: Outputs): Promise<Prepared> {
  const { admin } = options.host.log;
  const existing = await admin.listTopics();
  const partitions = await countPartitions(admin, userTopics(options.topology, existing));
  const plan = planTopology(options.topology, { applicationId: options.applicationId, partitions });
  refuseUnknown(options, plan, existing);
  await createMissing(options, plan, existing);
  const described = await verify(admin, plan);
  await readLimits(admin, { plan, described }, outputs);
  const clusterId = await admin.clusterId();
  const changelogIds = new Map<string, string>();
  const globalTopics = plan.globals.flatMap(({ sourceTopics }) => sourceTopics);
  const globals = globalTopics.length === 0 ? [] : await admin.describeTopics(globalTopics);
  const tables = await describeTables(admin, plan);
  for (const [name, topic] of [...described, ...globals, ...tables])
    if (topic !== undefined)
      changelogIds.set(name, `${clusterId}/${topic.topicId ?? name}/${String(topic.partitions)}`);
  const topics = await describeKnown(admin, plan);
  const tombstonesMs = new Map(
    [...described, ...tables].map(([name, { configs }]) => [
      name,
      Number(configs.get('delete.retention.ms') ?? Infinity),
    ]),
  );
  return { plan, fingerprint: fingerprintOf(plan), changelogIds, tombstonesMs, clusterId, topics };
}

/** User topics that the topology names; every topic where a sink chooses by record. */
function userTopics(topology: Topology, existing: readonly string[]): readonly string[] {
  const names = new Set<string>();
  for (const node of [...topology.nodes, ...topology.globals.map(({ source }) => source)]) {
    if (node.kind === 'source')
      for (const topic of node.topics) if (topic.internal === undefined) names.add(topic.name);
    if (node.kind === 'sink') {
      if (typeof node.topic === 'function') for (const name of existing) names.add(name);
      else if (node.topic.internal === undefined) names.add(node.topic.name);
    }
  }
  if (topology.settings.deadLetterTopic !== undefined) names.add(topology.settings.deadLetterTopic);
  return [...names];
}

async function countPartitions(admin: Admin, names: readonly string[]): Promise<ReadonlyMap<string, number>> {
  const partitions = new Map<string, number>();
  for (const [name, topic] of await admin.describeTopics(names))
    if (topic !== undefined) partitions.set(name, topic.partitions);
  return partitions;
}

const ownedKinds = ['changelog', ...internalTopicKinds];

function refuseUnknown(options: ResolvedOptions, plan: Plan, existing: readonly string[]): void {
  const prefix = `${options.applicationId}-`;
  const known = new Set(plan.internalTopics.map((topic) => topic.name));
  for (const retired of plan.topology.settings.retired)
    for (const kind of ownedKinds) known.add(`${prefix}${retired}-${kind}`);
  const unknown = existing.filter(
    (name) => name.startsWith(prefix) && ownedKinds.some((kind) => name.endsWith(`-${kind}`)) && !known.has(name),
  );
  if (unknown.length > 0)
    throw new StreamError(
      'INTERNAL_TOPIC_UNKNOWN',
      'internal topics of this application exist that the topology does not know: a step or store was renamed or removed; list its name as retired',
      { facts: { topics: unknown.slice(0, 20) } },
    );
}

async function createMissing(options: ResolvedOptions, plan: Plan, existing: readonly string[]): Promise<void> {
  const there = new Set(existing);
  const missing = plan.internalTopics.filter((topic) => !there.has(topic.name));
  if (missing.length === 0) return;
  await refuseOrphans(options, plan, new Set(missing.map(({ name }) => name)));
  const { replicationFactor } = options;
  options.host.logger.info('creating internal topics', { topics: missing.map(({ name }) => name) });
  await options.host.log.admin.createTopics(
    missing.map(({ name, partitions, configs }) => ({
      name,
      partitions,
      configs,
      ...(replicationFactor === undefined ? {} : { replicationFactor }),
    })),
  );
}

/** An empty changelog beside state that was written to the old one would pass lost state off as a store that never held any. */
async function refuseOrphans(options: ResolvedOptions, plan: Plan, missing: ReadonlySet<string>): Promise<void> {
  const stored = new Set<string>();
  for (const { path } of await options.host.stores.list()) {
    const [application, , store] = path;
    if (application === options.applicationId && store !== undefined) stored.add(store);
  }
  for (const { spec, changelogTopic } of plan.subTopologies.flatMap(({ stores }) => stores))
    if (changelogTopic !== undefined && missing.has(changelogTopic) && stored.has(spec.name))
      throw new StreamError(
        'INTERNAL_TOPIC_INVALID',
        `changelog ${changelogTopic} does not exist, but this instance has state that was written to it`,
        { facts: { topic: changelogTopic, store: spec.name } },
      );
}

interface VerifiedTopic {
  readonly topicId: string | undefined;
  readonly partitions: number;
  readonly configs: ReadonlyMap<string, string>;
}

async function verify(admin: Admin, plan: Plan): Promise<ReadonlyMap<string, VerifiedTopic>> {
  const names = plan.internalTopics.map((topic) => topic.name);
  const described = await admin.describeTopics(names);
  const verified = new Map<string, VerifiedTopic>();
  for (const wanted of plan.internalTopics) {
    const topic = described.get(wanted.name);
    if (topic === undefined)
      throw new StreamError('TOPIC_UNKNOWN', `internal topic ${wanted.name} does not exist`, {
        facts: { topic: wanted.name },
      });
    if (topic.partitions !== wanted.partitions)
      throw new StreamError(
        'INTERNAL_TOPIC_INVALID',
        `internal topic ${wanted.name} has the wrong number of partitions`,
        {
          facts: { topic: wanted.name, expected: wanted.partitions, found: topic.partitions },
        },
      );
    const configs = await admin.topicConfigs(wanted.name);
    verifyPolicy(wanted, configs);
    verified.set(wanted.name, { ...topic, configs });
  }
  return verified;
}

/** Topics of tables that are the changelogs of their stores. What is deleted by time would be missing after a restore, and only then. */
async function describeTables(admin: Admin, { subTopologies }: Plan): Promise<ReadonlyMap<string, VerifiedTopic>> {
  const stores = subTopologies.flatMap((sub) => sub.stores).filter(({ source }) => source !== undefined);
  const names = stores.flatMap(({ changelogTopic }) => changelogTopic ?? []);
  const verified = new Map<string, VerifiedTopic>();
  for (const [name, topic] of names.length === 0 ? [] : await admin.describeTopics(names)) {
    if (topic === undefined) continue;
    const configs = await admin.topicConfigs(name);
    const found = configs.get('cleanup.policy');
    if (found !== undefined && !samePolicy(found, 'compact'))
      throw new StreamError(
        'TOPIC_INVALID',
        `topic ${name} is the changelog of a table, but not compacted alone: rows would be missing after a restore`,
        { facts: { topic: name, expected: 'compact', found } },
      );
    verified.set(name, { ...topic, configs });
  }
  return verified;
}

function verifyPolicy(wanted: InternalTopic, configs: ReadonlyMap<string, string>): void {
  const expected = wanted.configs['cleanup.policy'];
  if (expected === undefined) return;
  const found = configs.get('cleanup.policy');
  if (found !== undefined && !samePolicy(found, expected))
    throw new StreamError(
      'INTERNAL_TOPIC_INVALID',
      `internal topic ${wanted.name} has the wrong cleanup.policy: state would be lost`,
      {
        facts: { topic: wanted.name, expected, found },
      },
    );
}

function samePolicy(a: string, b: string): boolean {
  const sorted = (policy: string): string =>
    policy
      .split(',')
      .map((part) => part.trim())
      .sort()
      .join(',');
  return sorted(a) === sorted(b);
}

async function readLimits(
  admin: Admin,
  { plan, described }: { readonly plan: Plan; readonly described: ReadonlyMap<string, VerifiedTopic> },
  outputs: Outputs,
): Promise<void> {
  for (const name of writtenTopics(plan)) {
    const configs = described.get(name)?.configs ?? (await admin.topicConfigs(name));
    const limit = Number(configs.get('max.message.bytes'));
    if (Number.isSafeInteger(limit) && limit > 0) outputs.setMessageBytesMax(name, limit);
  }
}

function writtenTopics(plan: Plan): ReadonlySet<string> {
  const names = new Set(plan.internalTopics.map((topic) => topic.name));
  for (const node of plan.topology.nodes)
    if (node.kind === 'sink' && typeof node.topic !== 'function') {
      const name = physicalTopicName(plan.applicationId, node.topic);
      if (plan.partitions.has(name)) names.add(name);
    }
  const { deadLetterTopic } = plan.topology.settings;
  if (deadLetterTopic !== undefined && plan.partitions.has(deadLetterTopic)) names.add(deadLetterTopic);
  return names;
}

/** Equal for instances that would run the same tasks in the same way. */
function fingerprintOf(plan: Plan): string {
  const shape = plan.subTopologies.map((sub) => ({
    sources: sub.sourceTopics,
    partitions: sub.partitions,
    stores: sub.stores.map((store) => store.changelogTopic ?? store.spec.name),
    nodes: sub.nodes.map((node) => node.name),
  }));
  return (crc32c(Buffer.from(canonicalJson(shape) ?? '', 'utf8')) >>> 0).toString(16);
}
