/**
 * `npm run chaos -- [--workload customers|billing] [--minutes M | --seconds S] [--seed N] [--instances 3] [--brokers 1]`
 *
 * Real processes and a real broker under faults drawn by the seed and under constant load: counting and the customer merge, or billing. Then everything is
 * recomputed from the inputs. Exits with 1 if anything was lost, duplicated or wrong, if a committed offset went back, or if something did not recover by itself.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { systemClock, systemRandom } from '../../clock.ts';
import { hasCode } from '../../errors.ts';
import type { Log } from '../../connectors/log.ts';
import { until } from '../support/cluster.ts';
import { seeded } from '../support/seeded.ts';
import { soundVersion, startKafka, startKafkaCluster } from '../support/kafka-broker.ts';
import { billingWorkload } from './billing-workload.ts';
import { customerWorkload } from './customer-workload.ts';
import { Member, faults, pick } from './faults.ts';
import { Watch, load, openLog } from './load.ts';
import type { Verdict } from './workload.ts';

/** Longest time for everything to be processed after a fault, and at the end. */
const recoveryMsMax = 60_000;
const calmMs = 1_000;

interface Survived {
  readonly kind: string;
  /** `undefined`: it did not recover in time. */
  readonly recoveryMs: number | undefined;
}

const { values } = parseArgs({
  options: {
    workload: { type: 'string', default: 'customers' },
    minutes: { type: 'string', default: '5' },
    seconds: { type: 'string' },
    seed: { type: 'string', default: '1' },
    instances: { type: 'string', default: '3' },
    brokers: { type: 'string', default: '1' },
  },
});
const seed = Number(values.seed);
const durationMs = values.seconds === undefined ? Number(values.minutes) * 60_000 : Number(values.seconds) * 1_000;

// It kills its brokers, so it needs some of its own.
delete process.env['KAFKA_BROKERS'];
const kafka = await startBrokers(Number(values.brokers));
if ('skipped' in kafka) {
  console.error(kafka.skipped);
  process.exit(1);
}
const kafkaNodes = kafka.nodes;
const directory = await mkdtemp(join(tmpdir(), 'rivulet-chaos-'));
const suffix = `chaos-${systemRandom.uuid().slice(0, 8)}`;
const workload = values.workload === 'billing' ? billingWorkload() : customerWorkload(suffix);
const members = Array.from({ length: Number(values.instances) }, (_, index) => {
  const id = `member-${String(index)}`;
  return new Member(workload, { id, directory: join(directory, id), brokers: kafka.brokers });
});
const log = openLog(kafka.brokers, 'chaos');
let isClean = false;
try {
  isClean = await run(log);
} catch (error) {
  console.error(error);
} finally {
  if (!isClean)
    for (const member of members)
      console.error(`--- ${member.id}\n${await tasksOf(member)}\n${member.errors.slice(-4_000)}`);
  await Promise.all(members.map((member) => member.kill()));
  await log.close();
  await kafka.stop();
  await rm(directory, { recursive: true, force: true });
}
process.exit(isClean ? 0 : 1);

async function startBrokers(count: number) {
  const version = process.env['KAFKA_VERSION'] ?? soundVersion;
  if (count > 1) return await startKafkaCluster(count, { version });
  const broker = await startKafka({ version });
  return 'skipped' in broker ? broker : { brokers: broker.brokers, nodes: [broker], stop: () => broker.stop() };
}

async function run(reader: Log): Promise<boolean> {
  const sizes = `${String(members.length)} instances, ${String(kafkaNodes.length)} brokers`;
  console.log(`chaos for ${String(durationMs / 1_000)} s, seed ${String(seed)}, ${sizes}`);
  await createTopics(reader);
  for (const member of members) await member.start();
  const controller = new AbortController();
  const watch = new Watch(reader, workload);
  const loading = load(reader, workload, { seed, signal: controller.signal });
  const watching = watch.run(controller.signal);
  await recovered(watch, 'the first start');
  const survived = await disturb(watch);
  controller.abort();
  const drawn = await loading;
  await watching;
  await until('all topics are through', () => workload.isThrough(reader), recoveryMsMax);
  const urls = await reachable();
  const verdict = await workload.verify(reader, urls);
  return report({ survived, verdict, drawn, regressions: watch.regressions });
}

async function createTopics(target: Log): Promise<void> {
  // A loaded machine may keep the fresh broker from answering in time.
  await until('topics are made', async () => isDone(target.admin.createTopics(workload.topics)), recoveryMsMax);
}

async function isDone(work: Promise<unknown>): Promise<boolean> {
  return await work.then(
    () => true,
    (error: unknown) => {
      if (hasCode(error, 'LOG_UNAVAILABLE')) return false;
      throw error;
    },
  );
}

/** Each kind once, in an order drawn by the seed, then any, until the time is over. */
async function disturb(watch: Watch): Promise<readonly Survived[]> {
  const random = seeded(seed);
  const untilMs = systemClock.monotonicMs() + durationMs;
  const survived: Survived[] = [];
  let queue: string[] = [];
  while (systemClock.monotonicMs() < untilMs) {
    if (queue.length === 0) queue = Object.keys(faults);
    const kind = pick(queue, random);
    queue = queue.filter((other) => other !== kind);
    await faults[kind]?.({ members, brokers: kafkaNodes, random });
    const recoveryMs = await watch.caughtUp(recoveryMsMax);
    console.log(`${kind}: ${recoveryMs === undefined ? 'not recovered' : `${(recoveryMs / 1_000).toFixed(1)} s`}`);
    survived.push({ kind, recoveryMs });
    if (recoveryMs === undefined) break;
    await systemClock.sleep(random() * calmMs);
  }
  return survived;
}

async function recovered(watch: Watch, what: string): Promise<void> {
  if ((await watch.caughtUp(recoveryMsMax)) === undefined) throw new Error(`not everything is processed after ${what}`);
}

/** The API of every process, once all of them are ready. */
async function reachable(): Promise<readonly string[]> {
  const untilMs = systemClock.monotonicMs() + recoveryMsMax;
  while (systemClock.monotonicMs() < untilMs) {
    const urls = await Promise.all(members.map((member) => member.url()));
    const ready = await Promise.all(
      urls.map(async (url) => (await fetch(`${url ?? ''}/health/ready`).catch(() => undefined))?.status === 200),
    );
    if (ready.every(Boolean)) return urls.map((url) => url ?? '');
    await systemClock.sleep(200);
  }
  throw new Error('not every process is ready');
}

async function tasksOf(member: Member): Promise<string> {
  const url = await member.url();
  const answer = await fetch(`${url ?? ''}/admin/tasks`).catch(() => undefined);
  return answer === undefined ? 'does not answer' : await answer.text();
}

interface Outcome {
  readonly survived: readonly Survived[];
  readonly verdict: Verdict;
  readonly drawn: number;
  readonly regressions: number;
}

function report({ survived, verdict, drawn, regressions }: Outcome): boolean {
  console.log(`\nsurvived ${String(survived.length)} faults under ${String(drawn)} records`);
  for (const kind of Object.keys(faults)) {
    const times = survived.filter((fault) => fault.kind === kind).map(({ recoveryMs }) => recoveryMs ?? Infinity);
    if (times.length > 0)
      console.log(`  ${kind}: ${String(times.length)}, recovery p50 ${at(times, 0.5)} s, p99 ${at(times, 0.99)} s`);
  }
  console.log(`verified: ${JSON.stringify(verdict.checked)}; aborted records seen: ${String(verdict.aborted)}`);
  const { lost, duplicated, wrong } = verdict;
  const counts = { lost: lost.length, duplicated: duplicated.length, wrong: wrong.length, regressions };
  console.log(JSON.stringify(counts));
  for (const line of [...lost, ...duplicated, ...wrong].slice(0, 20)) console.log(`  ${line}`);
  const isRecovered = survived.every(({ recoveryMs }) => recoveryMs !== undefined);
  return isRecovered && Object.values(counts).every((count) => count === 0);
}

/** Nearest rank, in seconds. */
function at(timesMs: readonly number[], share: number): string {
  const sorted = timesMs.toSorted((a, b) => a - b);
  return ((sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0) / 1_000).toFixed(1);
}
