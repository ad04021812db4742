/** Runs one plan from the first event to the verdict. */
import type { Log } from '../../connectors/log.ts';
import { topicPartitions } from '../../schemas/record.ts';
import type { Plan as TopologyPlan } from '../../topology/plan.ts';
import { readAll } from '../support/cluster.ts';
import type { Plan } from './plan.ts';
import type { Scenario } from './scenario.ts';
import { checkAnswers, checkDisks, readHistories } from './state-check.ts';
import { Trace } from './trace.ts';
import { World } from './world.ts';

export interface Outcome {
  readonly plan: Plan;
  /** Empty: everything is as it should be. */
  readonly violations: readonly string[];
  readonly trace: Trace;
  readonly virtualMs: number;
  readonly events: number;
  readonly faults: number;
  readonly transactions: number;
  readonly records: number;
}

/** After the last fault everything is consumed within this. */
const progressWithinMs = 60_000;
const lookMs = 250;
/** What still runs then, timers above all, goes on for so long before the verdict. */
const restMs = 2_000;
/** Closing takes no longer than this when nothing is in the way. */
const closeWithinMs = 10_000;

export async function runPlan(
  plan: Plan,
  scenario: Scenario,
  options: { readonly isTraced: boolean },
): Promise<Outcome> {
  const trace = new Trace(options.isTraced);
  const world = new World(plan, scenario, trace);
  const { scheduler, ledger } = world;
  const isBroken = (): boolean => world.isBroken;
  try {
    await world.prepare();
    await scheduler.run(plan.durationMs, isBroken);
    if (!isBroken()) world.heal();
    await untilConsumed(world, scenario);
    if (!isBroken()) await judge(world, scenario);
  } catch (error) {
    ledger.violations.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
  }
  const { violations } = ledger;
  for (const what of violations) trace.add({ atMs: scheduler.nowMs, who: 'verdict', what, isMilestone: true });
  return {
    plan,
    violations,
    trace,
    virtualMs: scheduler.nowMs,
    events: scheduler.count,
    faults: world.faultCount,
    transactions: ledger.transactions,
    records: ledger.records,
  };
}

/** Lets time pass until all inputs are consumed, and a little longer. */
async function untilConsumed(world: World, scenario: Scenario): Promise<void> {
  const { scheduler, ledger } = world;
  const deadlineMs = scheduler.nowMs + progressWithinMs;
  while (!world.isBroken) {
    await scheduler.run(scheduler.nowMs + lookMs, () => world.isBroken);
    const behind = await backlog(world, scenario);
    if (behind.length === 0) break;
    if (scheduler.nowMs > deadlineMs) ledger.violations.push(`no progress: ${behind.slice(0, 5).join(', ')}`);
  }
  await scheduler.run(scheduler.nowMs + restMs, () => world.isBroken);
}

/** What keeps the system from being at rest, in words. */
async function backlog({ machines, log }: World, scenario: Scenario): Promise<readonly string[]> {
  const behind: string[] = [];
  for (const { name } of scenario.topologies) {
    const instances = machines
      .flatMap((machine) => machine.instances)
      .filter(({ applicationId }) => applicationId === name);
    const plan = instances.find((instance) => instance.plan !== undefined)?.plan;
    if (plan === undefined) return ['no instance has a plan'];
    const unready = instances.filter(({ isReady }) => !isReady);
    const running = instances.flatMap((instance) => instance.tasks()).length;
    const tasks = plan.subTopologies.reduce((sum, sub) => sum + sub.partitions, 0);
    behind.push(
      ...unready.map(({ instanceId, state, failure }) => `${instanceId} is ${state} ${failure?.message ?? ''}`),
      ...(running === tasks ? [] : [`${running} of ${tasks} tasks run`]),
      ...(await unconsumed(log, name, plan)),
    );
  }
  return behind;
}

async function unconsumed(log: Log, groupId: string, plan: TopologyPlan): Promise<readonly string[]> {
  const inputs = plan.subTopologies.flatMap(({ sourceTopics }) =>
    sourceTopics.flatMap((topic) => topicPartitions(topic, plan.partitions.get(topic))),
  );
  const ranges = await log.admin.offsets(inputs);
  const committed = await log.admin.committed(groupId, inputs, { requireStable: false });
  return inputs.flatMap(({ topic, partition }, index) => {
    const { end = 0, stable = 0 } = ranges[index] ?? {};
    const offset = committed[index]?.offset ?? 0;
    return stable < end || offset < end ? [`${topic}/${partition} is at ${offset} of ${stable} of ${end}`] : [];
  });
}

async function judge(world: World, scenario: Scenario): Promise<void> {
  const { ledger, machines, log, queries, scheduler } = world;
  for (const machine of machines)
    machine
      .retire(closeWithinMs)
      .then((isInTime) => {
        if (!isInTime) ledger.violations.push(`${machine.name} could not be closed`);
      })
      .catch((error: unknown) => {
        ledger.violations.push(`closing ${machine.name} failed: ${String(error)}`);
      });
  await scheduler.run(scheduler.nowMs + closeWithinMs + restMs, () => !machines.some(({ isUp }) => isUp));
  await scheduler.run(scheduler.nowMs + restMs, () => false);
  const histories = await readHistories(log, scenario);
  ledger.violations.push(
    ...(await scenario.verify((topic) => readAll(log, topic))),
    ...checkDisks(machines, histories),
    ...checkAnswers(queries.answers, histories),
  );
}
